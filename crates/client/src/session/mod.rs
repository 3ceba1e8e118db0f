//! Many operations at once: one stream per node, each over a connection of its own.

mod lane;
mod window;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use quorate_proto::v1::request::Operation;
use quorate_proto::v1::response::Result as Answer;
use tokio::sync::{Semaphore, mpsc, oneshot};

use self::lane::{Command, LaneError};
use crate::attempt::{Attempt, Failed};
use crate::cluster::Cluster;
use crate::error::{Error, Reason};
use crate::link::Link;
use crate::operate::{self, OperationAttempt, no_answer, unclear, unreachable};
use crate::operation::{Delete, Found, Get, Put, Written};
use crate::wire;

/// A pipelined way to the cluster: operations started at the same time travel together, and are answered in any
/// order. Cheap to clone; clones share the streams. Errors and retries are those of [`Client`](crate::Client).
#[derive(Clone, Debug)]
pub struct Session {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    cluster: Arc<Cluster>,
    in_flight: Semaphore,
    /// By the id of the link. Ids are never used again, so a lane that is there leads to the right node.
    lanes: Mutex<Vec<Option<mpsc::UnboundedSender<Command>>>>,
}

impl Session {
    pub(crate) fn new(cluster: Arc<Cluster>) -> Self {
        let in_flight = Semaphore::new(cluster.options.session_in_flight.max(1));
        Self { inner: Arc::new(Inner { cluster, in_flight, lanes: Mutex::default() }) }
    }

    /// The values of a key. An absent key is no error: it has no values.
    pub async fn get(&self, get: impl Into<Get>) -> Result<Found, Error> {
        let get = get.into();
        let timeout = get.timeout;
        let answer = self.run(wire::get(get), timeout).await?;
        Ok(wire::found(operate::expect_get(answer)?))
    }

    /// Stores a value in place of all that the put's context has seen.
    pub async fn put(&self, put: Put) -> Result<Written, Error> {
        let timeout = put.timeout;
        let answer = self.run(wire::put(put), timeout).await?;
        Ok(wire::put_written(operate::expect_put(answer)?))
    }

    /// Deletes all that the delete's context has seen; without one, all that a read shows.
    pub async fn delete(&self, delete: impl Into<Delete>) -> Result<Written, Error> {
        let delete = delete.into();
        let timeout = delete.timeout;
        let answer = self.run(wire::delete(delete), timeout).await?;
        Ok(wire::delete_written(operate::expect_delete(answer)?))
    }

    async fn run(&self, operation: Operation, timeout: Option<Duration>) -> Result<Answer, Error> {
        // Never closed; and if it were, going without a permit would only be less bounded.
        let _permit = self.inner.in_flight.acquire().await.ok();
        let mut attempt = SessionOperation { inner: &self.inner, operation };
        operate::run(&self.inner.cluster, timeout, &mut attempt).await
    }
}

impl Inner {
    /// Hands a command to the lane of a link, starting that if there is none or the last one has ended.
    fn send(&self, link: &Arc<Link>, command: Command) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if lanes.len() <= link.id {
            lanes.resize_with(link.id + 1, || None);
        }
        let lane = &mut lanes[link.id];
        let unsent = match lane {
            Some(sender) => match sender.send(command) {
                Ok(()) => return,
                Err(mpsc::error::SendError(command)) => command,
            },
            None => command,
        };
        let sender = lane::start(link.clone());
        // The lane has just been started and waits for it.
        let _ = sender.send(unsent);
        *lane = Some(sender);
    }
}

struct SessionOperation<'a> {
    inner: &'a Inner,
    operation: Operation,
}

impl OperationAttempt for SessionOperation<'_> {
    fn operation(&self) -> &Operation {
        &self.operation
    }
}

impl Attempt for SessionOperation<'_> {
    type Answer = Answer;

    async fn attempt(&mut self, link: &Arc<Link>, deadline: Instant) -> Result<Answer, Failed> {
        let (reply, answer) = oneshot::channel();
        let mut operation = self.operation.clone();
        let left = deadline.saturating_duration_since(Instant::now());
        wire::set_timeout(&mut operation, left);
        self.inner.send(link, Command { operation, deadline, reply });
        let read = matches!(self.operation, Operation::Get(_));
        let address = || link.address.clone();
        let error = match answer.await {
            Ok(Ok(Answer::Error(error))) => wire::error(&link.address, error, read),
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(LaneError::NotSent(message))) => unreachable(link, message),
            Ok(Err(LaneError::NoAnswer)) => no_answer(link, read),
            Ok(Err(LaneError::Lost(message))) => {
                let address = address();
                unclear(read, Reason::ConnectionLost { address, message })
            }
            // The lane was dropped with its runtime: what it had sent is anyone's guess.
            Err(_) => {
                let (address, message) = (address(), "the session was shut down".into());
                unclear(read, Reason::ConnectionLost { address, message })
            }
        };
        let failed = Failed::from(error);
        operate::learn_from(&mut self.operation, &failed);
        Err(failed)
    }

    fn may_repeat_indeterminate(&self) -> bool {
        operate::may_repeat_indeterminate(&self.operation)
    }
}
