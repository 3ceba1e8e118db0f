//! Who waits for which commit. An acknowledgement leaves here and nowhere else: after storage has reported.

use std::collections::VecDeque;

use crate::effect::{Effect, Effects};
use crate::id::NodeId;
use crate::message::{KeyRef, Message, Tag};
use crate::store::{CommitNumber, StoreOp};

/// What happens once a commit is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Waiter {
    /// This node acknowledges its own part of an operation that it coordinates.
    Own(Tag),
    /// A replica acknowledges to the coordinator.
    Replica {
        /// The coordinator.
        to: NodeId,
        /// Its request.
        tag: Tag,
        /// Whose container it is.
        key: KeyRef,
    },
    /// The layout that was persisted is adopted.
    Layout,
    /// Something is said that must not be said before.
    Say {
        /// To whom; perhaps to this node.
        to: NodeId,
        /// What.
        message: Box<Message>,
    },
}

/// The commits of this life, and who waits for them.
#[derive(Debug, Default)]
pub(crate) struct Commits {
    issued: CommitNumber,
    durable: CommitNumber,
    /// Numbers never decrease towards the back.
    waiting: VecDeque<(CommitNumber, Waiter)>,
    /// A change that goes with the next commit, whichever that is.
    rider: Option<StoreOp>,
}

impl Commits {
    /// Emits a commit and returns its number.
    pub(crate) fn issue(&mut self, effects: &mut Effects, mut ops: Vec<StoreOp>) -> CommitNumber {
        ops.extend(self.rider.take());
        self.issued.0 += 1;
        effects.push(Effect::Commit { number: self.issued, ops });
        self.issued
    }

    /// Makes a change go with the next commit, instead of another that still waited for that.
    pub(crate) fn ride(&mut self, op: StoreOp) {
        self.rider = Some(op);
    }

    /// Whether a change waits for the next commit.
    pub(crate) fn has_rider(&self) -> bool {
        self.rider.is_some()
    }

    /// The last one.
    pub(crate) fn issued(&self) -> CommitNumber {
        self.issued
    }

    /// Whether the commit has been reported durable.
    pub(crate) fn is_durable(&self, number: CommitNumber) -> bool {
        number <= self.durable
    }

    /// Lets the waiter wait for a commit. It may be woken together with a later one, when others that wait already
    /// wait for that: the queue stays sorted without a search.
    pub(crate) fn wait(&mut self, number: CommitNumber, waiter: Waiter) {
        let last = self.waiting.back().map_or(number, |entry| entry.0);
        self.waiting.push_back((number.max(last), waiter));
    }

    /// Storage reports; [`next_ready`](Self::next_ready) then gives those who have waited long enough.
    pub(crate) fn reported(&mut self, durable: CommitNumber) {
        self.durable = self.durable.max(durable);
    }

    /// The next waiter whose commit is durable.
    pub(crate) fn next_ready(&mut self) -> Option<Waiter> {
        self.waiting.front().filter(|(number, _)| *number <= self.durable)?;
        self.waiting.pop_front().map(|(_, waiter)| waiter)
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }
}
