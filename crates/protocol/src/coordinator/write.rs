//! The second half of puts and deletes: replicate the merged container, count durable acknowledgements, answer.

use std::time::Duration;

use super::quorum::Tally;
use super::{Job, Running, Source, Target, timed_out};
use crate::commits::Waiter;
use crate::id::{Epoch, NodeId};
use crate::message::{KeyRef, Message, Refusal, Tag};
use crate::node::Node;
use crate::operation::{OperationError, Outcome, Written};
use crate::time::Time;
use crate::turn::Turn;
use crate::version::{Context, ContextToken, Dot};
use crate::working_set::Held;

/// What was not acknowledged after this time is sent again: a link may have lost it.
const RESEND: Duration = Duration::from_millis(400);

#[derive(Debug)]
enum Kind {
    Put(Dot),
    Delete { after_read: bool },
}

/// A write that is done here and waits for acknowledgements.
#[derive(Debug)]
pub(crate) struct Writing {
    target: Target,
    kind: Kind,
    seen: Context,
    /// As this operation replicates it; the key may have moved on since.
    held: Held,
    tally: Tally,
    /// Replicas that have lost what they acknowledged, with the request that said so: one that comes again changes nothing.
    struck: Vec<(NodeId, Tag)>,
}

impl Writing {
    pub(super) fn of_put(target: Target, seen: Context, dot: Dot, held: Held, tally: Tally) -> Self {
        Self { target, kind: Kind::Put(dot), seen, held, tally, struck: Vec::new() }
    }

    pub(super) fn of_delete(
        target: Target,
        seen: Context,
        after_read: bool,
        held: Held,
        tally: Tally,
    ) -> Self {
        Self { target, kind: Kind::Delete { after_read }, seen, held, tally, struck: Vec::new() }
    }

    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    pub(super) fn seen(&self) -> &Context {
        &self.seen
    }

    /// The time is over; some replica may have it.
    pub(super) fn expired(&self, token: ContextToken) -> OperationError {
        let failure = timed_out(self.tally.needed(), self.tally.counted());
        let read_for_it = matches!(self.kind, Kind::Delete { after_read: true });
        OperationError { context: read_for_it.then_some(token), ..OperationError::indeterminate(failure) }
    }

    fn replicate(&self, tag: Tag, epoch: Epoch) -> Message {
        Message::Replicate {
            tag: Some(tag),
            epoch,
            key: self.target.key.clone(),
            container: self.held.encoded.clone(),
        }
    }
}

impl Node {
    /// The acknowledgements that a write needs.
    pub(super) fn write_tally(&self, target: &Target) -> Tally {
        let quorums = target.quorums;
        let counting = match &self.layout {
            Some(layout) => quorums.counting(layout, target.key.partition),
            None => &[],
        };
        Tally::new(counting, quorums.write)
    }

    /// The container is made and on its way to the disk: send it to all other owners, and wait.
    pub(super) fn write(
        &mut self,
        turn: &mut Turn<'_>,
        tag: Tag,
        source: Source,
        deadline: Time,
        writing: Writing,
    ) {
        let Some(layout) = &self.layout else { return };
        for &owner in layout.owners(writing.target.key.partition) {
            if owner != self.config.node && self.links.is_up(owner) {
                turn.send(owner, writing.replicate(tag, layout.epoch));
            }
        }
        let commit = writing.held.commit;
        let timer = deadline.min(turn.time() + RESEND);
        self.coordinator
            .put_back(tag, Box::new(Running { source, deadline, timer, job: Job::Write(writing) }));
        if self.commits.is_durable(commit) {
            self.write_acknowledged(turn, tag, self.config.node);
        } else {
            self.commits.wait(commit, Waiter::Own(tag));
        }
    }

    /// Some acknowledgements are missing: send again to those owners.
    pub(super) fn write_step(&mut self, turn: &mut Turn<'_>, tag: Tag, mut running: Box<Running>) {
        if let (Job::Write(writing), Some(layout)) = (&running.job, &self.layout) {
            for &owner in layout.owners(writing.target.key.partition) {
                if owner != self.config.node && self.links.is_up(owner) && !writing.tally.has(owner) {
                    turn.send(owner, writing.replicate(tag, layout.epoch));
                }
            }
        }
        running.timer = running.deadline.min(turn.time() + RESEND);
        self.coordinator.put_back(tag, running);
    }

    /// A replica has lost its record of a key: what it acknowledged counts no more for the writes of the key that are under way,
    /// also not what it sent before and that is still to come. So they go on under other names, and all who are not counted are
    /// asked under these. `request` is what told of the loss.
    pub(crate) fn strike(&mut self, turn: &mut Turn<'_>, key: &KeyRef, replica: NodeId, request: Tag) {
        let of_key = |running: &Running| match &running.job {
            Job::Write(writing) => {
                writing.target.key == *key && !writing.struck.contains(&(replica, request))
            }
            Job::Put(_) | Job::Get(_) | Job::Delete(_) | Job::List(_) | Job::Forward(_) => false,
        };
        let running = self.coordinator.running.iter();
        let struck: Vec<Tag> = running.filter(|(_, running)| of_key(running)).map(|(&tag, _)| tag).collect();
        for tag in struck {
            let Some(mut running) = self.coordinator.take(tag) else { continue };
            let Job::Write(writing) = &mut running.job else { continue };
            writing.tally.uncount(replica);
            writing.struck.push((replica, request));
            let (commit, me) = (writing.held.commit, self.config.node);
            let own_waits = replica != me && !writing.tally.has(me);
            let tag = self.coordinator.insert(*running);
            if own_waits {
                self.commits.wait(commit, Waiter::Own(tag));
            }
            if let Some(running) = self.coordinator.take(tag) {
                self.write_step(turn, tag, running);
            }
        }
    }

    /// A link came up: what was sent on the one before may be lost.
    pub(super) fn write_resend(&self, turn: &mut Turn<'_>, tag: Tag, writing: &Writing, peer: NodeId) {
        if let Some(layout) = &self.layout
            && layout.is_owner(writing.target.key.partition, peer)
            && !writing.tally.has(peer)
        {
            turn.send(peer, writing.replicate(tag, layout.epoch));
        }
    }

    /// A replica has answered.
    pub(crate) fn on_replicate_reply(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        tag: Tag,
        epoch: Epoch,
        result: Result<(), Refusal>,
    ) {
        // A refusal, or an acknowledgement of another epoch, counts nothing; the write is sent again in a while.
        if result.is_ok() && self.layout.as_ref().is_some_and(|layout| layout.epoch == epoch) {
            self.write_acknowledged(turn, tag, from);
        }
    }

    /// The state that covers a write is durable at a replica.
    pub(crate) fn write_acknowledged(&mut self, turn: &mut Turn<'_>, tag: Tag, replica: NodeId) {
        let Some(running) = self.coordinator.running.get_mut(&tag) else {
            return;
        };
        let Job::Write(writing) = &mut running.job else {
            return;
        };
        writing.tally.count(replica);
        if !writing.tally.is_met() {
            return;
        }
        let Some(running) = self.coordinator.take(tag) else {
            return;
        };
        let Job::Write(writing) = running.job else { return };
        let epoch = self.layout.as_ref().map_or(Epoch(0), |layout| layout.epoch);
        let dot = match writing.kind {
            Kind::Put(dot) => Some(dot),
            Kind::Delete { .. } => None,
        };
        let primaries = writing.tally.counted();
        let at_quorum = primaries >= writing.target.quorums.bucket_write;
        let context = writing.held.container.answer_context(&writing.seen, dot, at_quorum);
        let written =
            Written { context: self.token_of(&writing.target, &context), primaries, fallbacks: 0, epoch };
        let outcome = match writing.kind {
            Kind::Put(_) => Outcome::Put(written),
            Kind::Delete { .. } => Outcome::Delete(written),
        };
        self.finish(turn, running.source, Ok(outcome));
    }
}
