//! An operation that met a damaged record: another owner is to coordinate it. Nothing was sent or stored for it.

use super::{Job, Running, Source, Target};
use crate::id::NodeId;
use crate::layout::Layout;
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
            // What was read for it goes to the client, who may send it again.
            Job::Delete(waiting) if waiting.is_after_read() => {
                let expired = waiting.expired(self.token_of(&waiting.target, &waiting.seen));
                self.finish(turn, source, Err(OperationError { failure, ..expired }));
                return;
            }
            Job::Delete(waiting) => {
                let context = self.token_of(&waiting.target, &waiting.seen);
                let (bucket, target) = (self.bucket_name(&waiting.target), waiting.target);
                let (key, quorum) = (target.key.key.clone(), target.quorums.asked);
                (target, Operation::Delete(Delete { bucket, key, context, quorum }))
            }
            Job::Write(_) | Job::List(_) | Job::Forward(_) => {
                self.coordinator.put_back(tag, Box::new(Running { source, began, deadline, timer, job }));
                return;
            }
        };
        let passed_on = match &source {
            Source::Client(_) | Source::List { .. } => {
                let counting = |layout: &std::sync::Arc<Layout>| -> Vec<NodeId> {
                    target.quorums.counting(layout, target.key.partition).to_vec()
                };
                let primaries = self.layout.as_ref().map(counting).unwrap_or_default();
                self.forward(turn, &source, deadline, operation, primaries)
            }
            // Whoever forwarded it tries the next one itself.
            Source::Peer { .. } | Source::Answered => Err(failure),
        };
        if let Err(failure) = passed_on {
            self.finish(turn, source, Err(OperationError::not_attempted(failure)));
        }
    }

    fn bucket_name(&self, target: &Target) -> String {
        let bucket = self.layout.as_ref().and_then(|layout| layout.bucket_by_id(target.key.bucket));
        bucket.map(|bucket| bucket.name.clone()).unwrap_or_default()
    }
}
