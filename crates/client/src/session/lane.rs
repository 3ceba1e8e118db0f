//! The stream to one node: a task that sends what is ready and hands out the answers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quorate_proto::v1;
use quorate_proto::v1::request::Operation;
use quorate_proto::v1::response::Result as Answer;
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::window::Window;
use crate::link::{self, Link};
use crate::operate::GRACE;

/// A message is closed at either of these, well below the 4 MiB that gRPC servers take by default.
const MESSAGE_REQUESTS_MAX: usize = 1024;
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// A node that is there opens a session at once.
const OPEN_TIMEOUT: Duration = Duration::from_secs(3);
/// Why a lane ends whose session is gone, and with it all who waited for answers.
const DROPPED: &str = "the session was dropped";
/// How often the lane looks for operations whose time is over; their node should have told by then.
const SWEEP: Duration = Duration::from_millis(100);

/// An operation on its way.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) operation: Operation,
    pub(super) deadline: Instant,
    pub(super) reply: Reply,
}

type Reply = oneshot::Sender<Result<Answer, LaneError>>;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LaneError {
    /// It was not sent.
    NotSent(String),
    /// The stream broke after it was sent.
    Lost(String),
    /// Its time was over.
    NoAnswer,
}

#[derive(Debug)]
struct Sent {
    deadline: Instant,
    reply: Reply,
}

/// Starts a lane. It ends when its stream does, or when the sender is dropped and everything is answered.
pub(super) fn start(link: Arc<Link>) -> mpsc::UnboundedSender<Command> {
    let (sender, commands) = mpsc::unbounded_channel();
    tokio::spawn(run(link, commands));
    sender
}

async fn run(link: Arc<Link>, commands: mpsc::UnboundedReceiver<Command>) {
    let mut lane = Lane { commands, incoming: Vec::new(), ready: VecDeque::new(), sent: Window::new() };
    let ended = match lane.open(&link).await {
        Ok((requests, responses)) => {
            link.mark_up();
            lane.serve(requests, responses).await
        }
        Err(message) => message,
    };
    lane.fail(&ended);
}

type Stream = (mpsc::Sender<v1::SessionRequest>, Streaming<v1::SessionResponse>);

async fn open(link: &Link) -> Result<Stream, String> {
    let channel = link.connect().await?;
    // One message: while it waits for the connection, the next one fills.
    let (requests, outgoing) = mpsc::channel(1);
    let responses =
        link::kv(channel).session(ReceiverStream::new(outgoing)).await.map_err(|status| describe(&status))?;
    Ok((requests, responses.into_inner()))
}

fn describe(status: &Status) -> String {
    link::describe(status)
}

struct Lane {
    commands: mpsc::UnboundedReceiver<Command>,
    /// Room for what is read at once.
    incoming: Vec<Command>,
    /// Waits to be sent. The session bounds how much is under way, so this is bounded too.
    ready: VecDeque<Command>,
    sent: Window<Sent>,
}

impl Lane {
    /// Connects, and keeps the time of those who wait for it.
    async fn open(&mut self, link: &Link) -> Result<Stream, String> {
        let opened = tokio::time::timeout(OPEN_TIMEOUT, open(link));
        tokio::pin!(opened);
        let mut sweep = tokio::time::interval(SWEEP);
        loop {
            tokio::select! {
                opened = &mut opened => {
                    return opened.unwrap_or_else(|_| Err("the node does not open a session".into()));
                }
                count = self.commands.recv_many(&mut self.incoming, usize::MAX) => {
                    if count == 0 {
                        return Err(DROPPED.into());
                    }
                    self.ready.extend(self.incoming.drain(..));
                }
                _ = sweep.tick() => self.sweep(Instant::now()),
            }
        }
    }

    /// Returns why the stream ended.
    async fn serve(
        &mut self,
        requests: mpsc::Sender<v1::SessionRequest>,
        mut responses: Streaming<v1::SessionResponse>,
    ) -> String {
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                message = responses.message() => match message {
                    Ok(Some(message)) => self.answer(message),
                    Ok(None) => return "the node ended the session".into(),
                    Err(status) => return describe(&status),
                },
                permit = requests.reserve(), if !self.ready.is_empty() => match permit {
                    Ok(permit) => permit.send(self.next_message()),
                    Err(_) => return "the connection is closed".into(),
                },
                count = self.commands.recv_many(&mut self.incoming, usize::MAX) => {
                    if count == 0 {
                        return DROPPED.into();
                    }
                    self.ready.extend(self.incoming.drain(..));
                }
                _ = sweep.tick(), if self.sent.len() + self.ready.len() > 0 => self.sweep(Instant::now()),
            }
        }
    }

    fn next_message(&mut self) -> v1::SessionRequest {
        let mut requests = Vec::with_capacity(self.ready.len().min(MESSAGE_REQUESTS_MAX));
        let mut bytes = 0;
        while let Some(command) = self.ready.pop_front() {
            bytes += approximate_bytes(&command.operation);
            let id = self.sent.push(Sent { deadline: command.deadline, reply: command.reply });
            requests.push(v1::Request { id, operation: Some(command.operation) });
            if requests.len() >= MESSAGE_REQUESTS_MAX || bytes >= MESSAGE_BYTES_MAX {
                break;
            }
        }
        v1::SessionRequest { requests }
    }

    fn answer(&mut self, message: v1::SessionResponse) {
        for response in message.responses {
            // Not there: given up in a sweep. The receiver is gone when its caller lost interest.
            if let Some(sent) = self.sent.take(response.id) {
                let answer = response.result.unwrap_or_else(empty_answer);
                let _ = sent.reply.send(Ok(answer));
            }
        }
    }

    fn sweep(&mut self, now: Instant) {
        for sent in self.sent.take_if(|sent| sent.deadline + GRACE < now) {
            let _ = sent.reply.send(Err(LaneError::NoAnswer));
        }
        for _ in 0..self.ready.len() {
            let Some(command) = self.ready.pop_front() else {
                break;
            };
            if command.deadline < now {
                let message = "it could not be sent in time".into();
                let _ = command.reply.send(Err(LaneError::NotSent(message)));
            } else {
                self.ready.push_back(command);
            }
        }
    }

    /// Tells all who wait that the stream has ended.
    fn fail(mut self, message: &str) {
        // First, so that whoever comes now starts another lane.
        self.commands.close();
        for sent in self.sent.take_if(|_| true) {
            let _ = sent.reply.send(Err(LaneError::Lost(message.to_owned())));
        }
        let unsent = self.ready.drain(..);
        let unread = std::iter::from_fn(|| self.commands.try_recv().ok());
        for command in unsent.chain(unread) {
            let _ = command.reply.send(Err(LaneError::NotSent(message.to_owned())));
        }
    }
}

fn approximate_bytes(operation: &Operation) -> usize {
    const REST: usize = 64;
    REST + match operation {
        Operation::Get(get) => get.key.len(),
        Operation::Put(put) => put.key.len() + put.value.len() + put.context.len(),
        Operation::Delete(delete) => delete.key.len() + delete.context.len(),
    }
}

fn empty_answer() -> Answer {
    Answer::Error(v1::OperationError {
        message: "an answer without a result".into(),
        attempted: true,
        ..Default::default()
    })
}
