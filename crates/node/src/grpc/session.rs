//! Operations in a stream, answered out of order.
//!
//! A session is one stream that is polled by one task: no task, channel or lock per operation. What has come is handed to
//! the loop as a whole; what the loop has answered goes out as a whole. It reads nothing while its client does not take
//! the answers, or has enough under way, so HTTP/2's flow control reaches the client.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use futures::{Stream, StreamExt as _};
use prost::Message as _;
use quorate_proto::convert::kv::{operation_from_wire, response_to_wire};
use quorate_proto::v1::{Request, Response, SessionRequest, SessionResponse};
use quorate_protocol::operation::{Failure, OperationError};
use slab::Slab;
use tokio::sync::{mpsc, watch};
use tonic::Status;

use super::value::checked;
use super::{MALFORMED, mint};
use crate::driver::{Driver, SessionAnswers};
use crate::observe::{SharedObserver, operation_name, outcome_name};

/// A session with this many operations under way reads no more: a few busy ones fit into what the core takes at once.
const UNDER_WAY_MAX: usize = 1024;
/// A session with requests of this many bytes under way reads no more.
const UNDER_WAY_BYTES_MAX: usize = 32 << 20;
/// A message is full with this many bytes of answers.
const MESSAGE_BYTES: usize = 1 << 20;

/// An operation that the loop has.
#[derive(Debug)]
struct UnderWay {
    /// What the client calls it. The loop calls it by its place in the slab, so that ids used twice confuse nobody.
    id: u64,
    name: &'static str,
    bytes: usize,
    started: Instant,
}

/// The answers of a session.
pub(super) struct Session<S> {
    driver: Driver,
    observer: SharedObserver,
    requests: S,
    requests_ended: bool,
    stopping: Pin<Box<dyn Future<Output = ()> + Send>>,
    sender: mpsc::UnboundedSender<SessionAnswers>,
    answers: mpsc::UnboundedReceiver<SessionAnswers>,
    under_way: Slab<UnderWay>,
    under_way_bytes: usize,
    ready: VecDeque<Response>,
}

impl<S> Session<S> {
    pub(super) fn new(
        driver: Driver,
        observer: SharedObserver,
        requests: S,
        mut stopping: watch::Receiver<bool>,
    ) -> Self {
        let (sender, answers) = mpsc::unbounded_channel();
        Self {
            driver,
            observer,
            requests,
            requests_ended: false,
            stopping: Box::pin(async move {
                // An error means that who would have told is gone: that is an end as well.
                let _ = stopping.wait_for(|stop| *stop).await;
            }),
            sender,
            answers,
            under_way: Slab::new(),
            under_way_bytes: 0,
            ready: VecDeque::new(),
        }
    }

    fn submit(&mut self, requests: Vec<Request>) {
        let started = Instant::now();
        let mut operations = Vec::with_capacity(requests.len());
        for request in requests {
            let (id, bytes) = (request.id, request.encoded_len());
            match operation_from_wire(request.operation, mint).map_err(Failure::from).and_then(checked) {
                Ok(timed) => {
                    let name = operation_name(&timed.operation);
                    let at = self.under_way.insert(UnderWay { id, name, bytes, started });
                    self.under_way_bytes += bytes;
                    operations.push((at as u64, timed));
                }
                Err(error) => {
                    let error = Err(OperationError::not_attempted(error));
                    self.observer.observed(MALFORMED, outcome_name(&error), started.elapsed(), 1);
                    self.ready.push_back(response_to_wire(id, error));
                }
            }
        }
        if !operations.is_empty() {
            self.driver.submit(operations, &self.sender);
        }
    }

    fn answered(&mut self, group: SessionAnswers) {
        // What came together mostly ends together, and is told together.
        let mut alike: Option<(&'static str, &'static str, Instant, u64)> = None;
        for (at, result) in group {
            let done = usize::try_from(at).ok().and_then(|at| self.under_way.try_remove(at));
            let Some(UnderWay { id, name, bytes, started }) = done else { continue };
            self.under_way_bytes -= bytes;
            let outcome = outcome_name(&result);
            self.ready.push_back(response_to_wire(id, result));
            match &mut alike {
                Some(alike) if (alike.0, alike.1, alike.2) == (name, outcome, started) => alike.3 += 1,
                _ => self.tell(alike.replace((name, outcome, started, 1))),
            }
        }
        self.tell(alike);
    }

    fn tell(&self, alike: Option<(&'static str, &'static str, Instant, u64)>) {
        if let Some((name, outcome, started, count)) = alike {
            self.observer.observed(name, outcome, started.elapsed(), count);
        }
    }

    /// As many answers as one message takes, and at least one of those that are ready.
    fn message(&mut self) -> SessionResponse {
        let mut bytes = 0;
        let mut responses = Vec::with_capacity(self.ready.len());
        while bytes < MESSAGE_BYTES
            && let Some(response) = self.ready.pop_front()
        {
            bytes += response.encoded_len();
            responses.push(response);
        }
        SessionResponse { responses }
    }

    fn has_room(&self) -> bool {
        self.under_way.len() < UNDER_WAY_MAX && self.under_way_bytes < UNDER_WAY_BYTES_MAX
    }
}

impl<S: Stream<Item = Result<SessionRequest, Status>> + Unpin> Stream for Session<S> {
    type Item = Result<SessionResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let session = &mut *self;
        loop {
            while let Poll::Ready(Some(group)) = session.answers.poll_recv(cx) {
                session.answered(group);
            }
            if !session.ready.is_empty() {
                return Poll::Ready(Some(Ok(session.message())));
            }
            if !session.requests_ended && session.stopping.as_mut().poll(cx).is_ready() {
                // What has come already is still taken, as far as there is room.
                while session.has_room()
                    && let Poll::Ready(Some(Ok(request))) = session.requests.poll_next_unpin(cx)
                {
                    session.submit(request.requests);
                }
                session.requests_ended = true;
                continue;
            }
            if !session.requests_ended && session.has_room() {
                match session.requests.poll_next_unpin(cx) {
                    Poll::Ready(Some(Ok(request))) => {
                        session.submit(request.requests);
                        continue;
                    }
                    Poll::Ready(Some(Err(status))) => {
                        // The client is gone or speaks something else: nobody is there for the answers.
                        session.requests_ended = true;
                        session.under_way.clear();
                        return Poll::Ready(Some(Err(status)));
                    }
                    Poll::Ready(None) => session.requests_ended = true,
                    Poll::Pending => {}
                }
            }
            return match session.requests_ended && session.under_way.is_empty() {
                true => Poll::Ready(None),
                false => Poll::Pending,
            };
        }
    }
}
