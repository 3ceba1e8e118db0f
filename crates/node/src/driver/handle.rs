//! The way to the loop for everything that serves clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use quorate_protocol::chain::Preview;
use quorate_protocol::effect::{BootstrapError, ChangeError};
use quorate_protocol::id::{Epoch, NodeId};
use quorate_protocol::layout::{Bootstrap, Layout, Order};
use quorate_protocol::operation::{Failure, OperationError, OperationResult, Timed};
use tokio::sync::{mpsc, oneshot, watch};

use super::answers::answer_one;
use super::input::{Input, Reply};
use super::view::View;

/// Answers of one turn for one session, with the ids that the session gave.
pub type SessionAnswers = Vec<(u64, OperationResult)>;

/// A handle on the loop that owns the protocol's state machine. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Driver {
    pub(super) node: NodeId,
    pub(super) inputs: mpsc::UnboundedSender<Input>,
    /// Client operations that wait for the loop.
    pub(super) queued: Arc<AtomicUsize>,
    pub(super) queued_max: usize,
    pub(super) layout: watch::Receiver<Option<Arc<Layout>>>,
}

impl Driver {
    /// Carries one operation out. Refused at once when too many wait for the loop.
    pub async fn run(&self, timed: Timed) -> OperationResult {
        let (reply, answer) = oneshot::channel();
        if self.admit(1) == 0 {
            return Err(overloaded(self.queued_max));
        }
        let is_write = timed.operation.is_write();
        let input = Input::Operations(vec![(timed, Reply::One(reply))]);
        if self.inputs.send(input).is_err() {
            return Err(self.gone(false));
        }
        answer.await.unwrap_or_else(|_| Err(self.gone(is_write)))
    }

    /// The loop has ended, and has not answered: another node is to be asked. `attempted`: it may have stored or sent something.
    pub(crate) fn gone(&self, attempted: bool) -> OperationError {
        gone(self.node, attempted)
    }

    /// Carries many operations out; their answers come to `answers` in groups, in the order in which they end.
    pub fn submit(&self, operations: Vec<(u64, Timed)>, answers: &mpsc::UnboundedSender<SessionAnswers>) {
        let admitted = self.admit(operations.len());
        let refused = |(id, _)| (id, Err(overloaded(self.queued_max)));
        let mut operations = operations.into_iter();
        if admitted > 0 {
            let inputs = operations
                .by_ref()
                .take(admitted)
                .map(|(id, timed)| (timed, Reply::Session { id, answers: answers.clone() }))
                .collect();
            if let Err(mpsc::error::SendError(input)) = self.inputs.send(Input::Operations(inputs)) {
                refuse(self.node, input);
            }
        }
        let refused: SessionAnswers = operations.map(refused).collect();
        if !refused.is_empty() {
            let _ = answers.send(refused);
        }
    }

    /// Gives the node its first layout; answers when it is durable.
    pub async fn bootstrap(&self, settings: Bootstrap) -> Result<Arc<Layout>, BootstrapFailure> {
        let (reply, answer) = oneshot::channel();
        let _ = self.inputs.send(Input::Bootstrap { settings, reply });
        match answer.await {
            Ok(result) => result.map_err(BootstrapFailure::Refused),
            Err(_) => Err(BootstrapFailure::Stopping),
        }
    }

    /// Gives the cluster another layout; answers when it is chosen and durable here.
    pub async fn change(&self, expected: Option<Epoch>, order: Order) -> Result<Arc<Layout>, ChangeFailure> {
        let (reply, answer) = oneshot::channel();
        let sent = self.inputs.send(Input::Change { expected, order, reply }).is_ok();
        match answer.await {
            Ok(result) => result.map_err(ChangeFailure::Refused),
            Err(_) => Err(ChangeFailure::Stopping { attempted: sent }),
        }
    }

    /// What another layout would move; nothing is changed.
    pub async fn preview(&self, expected: Option<Epoch>, order: Order) -> Result<Preview, ChangeFailure> {
        let (reply, answer) = oneshot::channel();
        let _ = self.inputs.send(Input::Preview { expected, order, reply });
        match answer.await {
            Ok(result) => result.map_err(ChangeFailure::Refused),
            Err(_) => Err(ChangeFailure::Stopping { attempted: false }),
        }
    }

    /// The layout that the node holds, if any.
    pub fn layout(&self) -> Option<Arc<Layout>> {
        self.layout.borrow().clone()
    }

    /// What the loop sees at this moment. None when the node is stopping; that it comes proves that the loop turns.
    pub async fn view(&self) -> Option<View> {
        let (reply, answer) = oneshot::channel();
        let _ = self.inputs.send(Input::View(reply));
        answer.await.ok()
    }

    /// Has the node compare all that it owns with the other owners now, and make them equal. Does not wait for that.
    pub fn repair(&self) {
        let _ = self.inputs.send(Input::Repair);
    }

    /// The layout, and every one that follows it.
    pub fn layouts(&self) -> watch::Receiver<Option<Arc<Layout>>> {
        self.layout.clone()
    }

    /// Lets the loop finish what is under way and end.
    pub fn stop(&self) {
        let _ = self.inputs.send(Input::Stop);
    }

    /// Takes up to `wanted` places in the queue and says how many it got.
    fn admit(&self, wanted: usize) -> usize {
        let before = self.queued.fetch_add(wanted, Ordering::Relaxed);
        let admitted = wanted.min(self.queued_max.saturating_sub(before));
        self.queued.fetch_sub(wanted - admitted, Ordering::Relaxed);
        admitted
    }
}

/// Why a node has no first layout.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BootstrapFailure {
    /// It must not have this one.
    #[error(transparent)]
    Refused(BootstrapError),
    /// The node is stopping.
    #[error("the node is stopping")]
    Stopping,
}

/// Why the layout was not changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ChangeFailure {
    /// The core says why.
    #[error(transparent)]
    Refused(ChangeError),
    /// The node is stopping.
    #[error("the node is stopping")]
    Stopping {
        /// Whether it may still happen.
        attempted: bool,
    },
}

fn overloaded(queued_max: usize) -> OperationError {
    OperationError::not_attempted(Failure::Overloaded(format!("{queued_max} operations wait already")))
}

/// What is said of an operation whose coordinator, this node, has stopped or given up its identity.
pub(super) fn gone(node: NodeId, attempted: bool) -> OperationError {
    let failure = Failure::CoordinatorLost(node);
    if attempted { OperationError::indeterminate(failure) } else { OperationError::not_attempted(failure) }
}

/// Answers operations that have not begun and never will.
pub(super) fn refuse(node: NodeId, input: Input) {
    if let Input::Operations(operations) = input {
        operations.into_iter().for_each(|(_, reply)| answer_one(reply, Err(gone(node, false))));
    }
}
