//! An operation that another node coordinates: this one is not a primary of the key.

use std::time::Duration;

use super::quorum::Quorums;
use super::{Job, Running, Source, read_error, timed_out};
use crate::id::NodeId;
use crate::message::{Message, Tag};
use crate::node::Node;
use crate::operation::{Attempted, Failure, Operation, OperationError, OperationResult, Timed};
use crate::time::Time;
use crate::turn::Turn;

/// An operation that was passed on.
#[derive(Debug)]
pub(crate) struct Forwarding {
    operation: Operation,
    /// Those that can coordinate it, in order of preference: the primaries, in sloppy mode the fallbacks after them.
    candidates: Vec<NodeId>,
    tried: Vec<NodeId>,
    /// Who has it now.
    at: NodeId,
    /// Why the first of them would not: those that are asked after it may only know that they are not the right ones.
    refused: Option<OperationError>,
}

impl Forwarding {
    /// Whether this node has it now.
    pub(super) fn is_at(&self, node: NodeId) -> bool {
        self.at == node
    }

    /// The time is over; so many had to answer whoever coordinates.
    pub(super) fn expired(&self, needed: u32) -> OperationError {
        self.lost(timed_out(needed, 0))
    }

    pub(super) fn operation(&self) -> &Operation {
        &self.operation
    }

    /// The one that has it has not answered, and may have done it.
    fn lost(&self, failure: Failure) -> OperationError {
        if self.operation.is_write() { OperationError::indeterminate(failure) } else { read_error(failure) }
    }
}

impl Node {
    /// Passes an operation on to the first candidate that can be reached.
    pub(super) fn forward(
        &mut self,
        turn: &mut Turn<'_>,
        source: &Source,
        deadline: Time,
        operation: Operation,
        candidates: Vec<NodeId>,
    ) -> Result<(), Failure> {
        let Some(at) = candidates.iter().copied().find(|&candidate| self.links.is_live(candidate)) else {
            return Err(Failure::QuorumUnavailable { needed: self.needed(&operation), reachable: 0 });
        };
        let forwarding = Forwarding { operation, candidates, tried: vec![at], at, refused: None };
        self.stats.forwarded += 1;
        self.forward_send(turn, source.clone(), deadline, forwarding);
        Ok(())
    }

    /// How many have to answer an operation, as far as the layout says.
    pub(super) fn needed(&self, operation: &Operation) -> u32 {
        let quorums = self.layout.as_deref().and_then(|layout| {
            let bucket = layout.bucket(operation.bucket())?;
            Quorums::resolve(layout, bucket, operation.quorum()).ok()
        });
        quorums.map_or(1, |quorums| quorums.needed(operation))
    }

    fn forward_send(&mut self, turn: &mut Turn<'_>, source: Source, deadline: Time, forwarding: Forwarding) {
        let (at, operation) = (forwarding.at, forwarding.operation.clone());
        // None at all would ask for the default.
        let timeout = deadline.since(turn.time()).max(Duration::from_millis(1));
        let (began, job) = (turn.now, Job::Forward(forwarding));
        // A new name for every try: the answer of an earlier one is not taken for this one's.
        let tag = self.coordinator.insert(Running { source, began, deadline, timer: deadline, job });
        turn.send(at, Message::Forward { tag, timed: Timed { operation, timeout } });
    }

    /// Another primary has it, if the last one has certainly not done it and there is one left.
    fn forward_elsewhere(
        &mut self,
        turn: &mut Turn<'_>,
        source: Source,
        deadline: Time,
        mut forwarding: Forwarding,
        error: OperationError,
    ) {
        let next = forwarding
            .candidates
            .iter()
            .copied()
            .find(|candidate| self.links.is_live(*candidate) && !forwarding.tried.contains(candidate));
        match next {
            Some(next) if error.attempted == Attempted::NotAttempted && turn.time() < deadline => {
                forwarding.tried.push(next);
                forwarding.at = next;
                forwarding.refused.get_or_insert(error);
                self.forward_send(turn, source, deadline, forwarding);
            }
            _ => {
                let certain = error.attempted == Attempted::NotAttempted;
                let error = forwarding.refused.take().filter(|_| certain).unwrap_or(error);
                self.finish(turn, source, Err(error));
            }
        }
    }

    /// The coordinator has answered.
    pub(crate) fn on_forward_reply(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        tag: Tag,
        result: OperationResult,
    ) {
        let Some(running) = self.coordinator.take(tag) else {
            return;
        };
        match running.job {
            Job::Forward(forwarding) if forwarding.at == from => match result {
                Err(error) if may_succeed_elsewhere(&error.failure) => {
                    self.forward_elsewhere(turn, running.source, running.deadline, forwarding, error);
                }
                result => self.finish(turn, running.source, result),
            },
            job => self.coordinator.put_back(tag, Box::new(Running { job, ..*running })),
        }
    }

    /// The link to the coordinator is gone, and the answer with it.
    pub(super) fn forward_lost(&mut self, turn: &mut Turn<'_>, tag: Tag) {
        let Some(running) = self.coordinator.take(tag) else {
            return;
        };
        if let Job::Forward(forwarding) = running.job {
            let error = forwarding.lost(Failure::CoordinatorLost(forwarding.at));
            self.forward_elsewhere(turn, running.source, running.deadline, forwarding, error);
        }
    }
}

/// Failures that are the coordinator's own trouble, not the request's.
fn may_succeed_elsewhere(failure: &Failure) -> bool {
    match failure {
        Failure::Overloaded(_)
        | Failure::DiskFull
        | Failure::NotBootstrapped
        | Failure::NotAMember
        | Failure::Starting
        | Failure::QuorumUnavailable { .. }
        | Failure::Storage(_) => true,
        Failure::Invalid { .. }
        | Failure::TooLarge { .. }
        | Failure::UnknownBucket(_)
        | Failure::ReadFirst(_)
        | Failure::TimedOut { .. }
        | Failure::CoordinatorLost(_) => false,
    }
}
