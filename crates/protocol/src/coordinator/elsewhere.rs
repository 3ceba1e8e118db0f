//! An operation that met a damaged record: another owner is to coordinate it. Nothing was sent or stored for it.

use super::{Job, Running, Source, Target};
use crate::id::NodeId;
use crate::message::Tag;
use crate::node::Node;
use crate::operation::{Delete, Failure, Get, Operation, OperationError};
use crate::turn::Turn;

impl Node {
    /// The key's record here is damaged, and is not healed yet.
    pub(crate) fn coordinate_elsewhere(&mut self, turn: &mut Turn<'_>, tag: Tag) {
        let Some(running) = self.coordinator.take(tag) else { return };
        let Running { source, began, deadline, timer, job } = *running;
        let failure = Failure::Storage("its record of the key is damaged, and is not healed yet".into());
        // What was read for it goes to the client, who may send it again.
        if let Job::Delete(waiting) = &job
            && waiting.is_after_read()
        {
            let expired = waiting.expired(self.token_of(&waiting.target, &waiting.seen));
            self.finish(turn, source, Err(OperationError { failure, ..expired }));
            return;
        }
        if matches!(job, Job::Write(_) | Job::Forward(_)) {
            self.coordinator.put_back(tag, Box::new(Running { source, began, deadline, timer, job }));
            return;
        }
        let Some((primaries, operation)) = self.as_operation(job) else { return };
        let passed_on = match &source {
            Source::Client(_) | Source::List { .. } => {
                self.forward(turn, &source, deadline, operation, primaries)
            }
            // Whoever forwarded it tries the next one itself.
            Source::Peer { .. } | Source::Answered => Err(failure),
        };
        if let Err(failure) = passed_on {
            self.finish(turn, source, Err(OperationError::not_attempted(failure)));
        }
    }

    /// What its client has asked for, and the owners that can do it; none when it is stored or passed on already.
    pub(super) fn as_operation(&self, job: Job) -> Option<(Vec<NodeId>, Operation)> {
        let (target, operation) = match job {
            Job::Put(waiting) => (waiting.target.clone(), Operation::Put(waiting.into_put())),
            Job::Get(reading) => {
                let Target { key, quorums, .. } = reading.target.clone();
                let (bucket, key, quorum) = (self.bucket_name(&reading.target), key.key, quorums.asked);
                let operation = match reading.deletes() {
                    None => Operation::Get(Get { bucket, key, quorum }),
                    Some(seen) => {
                        let context = self.token_of(&reading.target, seen);
                        Operation::Delete(Delete { bucket, key, context, quorum })
                    }
                };
                (reading.target, operation)
            }
            Job::Delete(waiting) => {
                let context = self.token_of(&waiting.target, &waiting.seen);
                let (bucket, target) = (self.bucket_name(&waiting.target), waiting.target);
                let (key, quorum) = (target.key.key.clone(), target.quorums.asked);
                (target, Operation::Delete(Delete { bucket, key, context, quorum }))
            }
            Job::List(listing) => return Some((Vec::new(), Operation::List(listing.into_list()))),
            Job::Write(_) | Job::Forward(_) => return None,
        };
        let layout = self.layout.as_deref();
        let primaries = layout.map(|layout| target.quorums.reading(layout, target.key.partition).to_vec());
        Some((primaries.unwrap_or_default(), operation))
    }

    fn bucket_name(&self, target: &Target) -> String {
        let bucket = self.layout.as_ref().and_then(|layout| layout.bucket_by_id(target.key.bucket));
        bucket.map(|bucket| bucket.name.clone()).unwrap_or_default()
    }
}
