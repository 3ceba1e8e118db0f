//! Another epoch: what was acknowledged and read in the old one does not count in the new one.
//!
//! Who owns the key, and how many have to answer, may be different now; and a replica that answered may have given its part
//! to others since. So every operation under way is begun again, and a write's container is sent again, under another name.

use std::time::Duration;

use super::write::Writing;
use super::{Asked, Job, Running, Source, Target};
use crate::message::{Place, Tag};
use crate::node::Node;
use crate::operation::{Failure, OperationError, Timed};
use crate::turn::Turn;

impl Node {
    /// Begins everything anew that is under way.
    pub(crate) fn count_anew(&mut self, turn: &mut Turn<'_>) {
        let tags: Vec<Tag> = self.coordinator.running.keys().copied().collect();
        for tag in tags {
            let Some(running) = self.coordinator.take(tag) else { continue };
            match (&running.job, &running.source) {
                (Job::Forward(_), _) => self.coordinator.put_back(tag, running),
                // Its listing begins anew.
                (_, Source::List { .. }) => {}
                (Job::Write(_), _) => self.write_anew(turn, *running),
                (Job::Put(_) | Job::Get(_) | Job::Delete(_) | Job::List(_), _) => {
                    self.begin_anew(turn, *running)
                }
            }
        }
    }

    /// Nothing was stored for it yet.
    fn begin_anew(&mut self, turn: &mut Turn<'_>, running: Running) {
        let Running { source, deadline, job, .. } = running;
        if let Job::Delete(waiting) = &job
            && waiting.is_after_read()
        {
            // What it deletes has been read once, and is not read again.
            let seen = waiting.seen.clone();
            match self.retargeted(&waiting.target) {
                Some(target) => {
                    let job = Job::Delete(super::delete::Waiting::new(target, seen, true));
                    self.start(turn, source, deadline, job);
                }
                None => {
                    let expired = waiting.expired(self.token_of(&waiting.target, &seen));
                    let failure = moved(&waiting.target);
                    self.finish(turn, source, Err(OperationError { failure, ..expired }));
                }
            }
            return;
        }
        let Some((_, operation)) = self.as_operation(job) else { return };
        let timeout = deadline.since(turn.time()).max(Duration::from_millis(1));
        self.admit(turn, source, Timed { operation, timeout });
    }

    /// The same operation in the present layout, when this node still coordinates it as an owner.
    fn retargeted(&self, target: &Target) -> Option<Target> {
        let layout = self.layout.as_deref()?;
        let bucket = layout.bucket_by_id(target.key.bucket)?;
        let quorums = super::quorum::Quorums::resolve(layout, bucket, &target.quorums.asked).ok()?;
        let owners = quorums.reading(layout, target.key.partition);
        let coordinates = target.place == Place::Replica && owners.contains(&self.config.node);
        coordinates.then(|| Target { quorums, ..target.clone() })
    }

    /// It is stored here, and on its way to the others.
    fn write_anew(&mut self, turn: &mut Turn<'_>, running: Running) {
        let Running { source, began, deadline, job, .. } = running;
        let Job::Write(mut writing) = job else { return };
        if matches!(source, Source::Answered) {
            self.leave_to_hints(turn, writing);
            return;
        }
        let Some(target) = self.rewritten(writing.target()) else {
            let expired = writing.expired(self.token_of(writing.target(), writing.seen()));
            let failure = moved(writing.target());
            self.finish(turn, source, Err(OperationError { failure, ..expired }));
            return;
        };
        let tally = self.write_tally(&target);
        writing.count_anew(target, tally);
        let tag = self.coordinator.new_tag();
        self.write(turn, Asked { tag, source, began, deadline }, writing);
    }

    /// The same write in the present layout, when this node still holds the key: its own copy is one of those that count.
    fn rewritten(&self, target: &Target) -> Option<Target> {
        let layout = self.layout.as_deref()?;
        let bucket = layout.bucket_by_id(target.key.bucket)?;
        let quorums = super::quorum::Quorums::resolve(layout, bucket, &target.quorums.asked).ok()?;
        let holds = target.place == Place::Replica && self.holds(target.key.partition);
        holds.then(|| Target { quorums, ..target.clone() })
    }

    fn leave_to_hints(&mut self, turn: &mut Turn<'_>, mut writing: Writing) {
        if self.holds(writing.target().key.partition) {
            for owner in writing.take_missing() {
                self.remember(turn, &mut writing, owner);
            }
        }
    }
}

/// This node coordinates the write no more.
fn moved(target: &Target) -> Failure {
    Failure::QuorumUnavailable { needed: target.quorums.needed_to_write(), reachable: 0 }
}
