//! Values whose time is over, on this node: dropped when their record changes anyway, is read, or is come by in the
//! background scan.

use crate::id::BucketId;
use crate::layout::ConflictPolicy;
use crate::message::KeyRef;
use crate::node::Node;
use crate::turn::Turn;
use crate::version::Container;
use crate::working_set::{Held, Task};

impl Node {
    /// Whether a bucket shows the last written value only.
    pub(crate) fn last_writer_wins(&self, bucket: BucketId) -> bool {
        let bucket = self.layout.as_ref().and_then(|layout| layout.bucket_by_id(bucket));
        bucket.is_some_and(|bucket| bucket.conflict == ConflictPolicy::LastWriterWins)
    }

    /// A read or the background scan has come by this record: if the time of a value in it is over, the key's newest
    /// container drops it. `found` may be older than that; it only saves the work for all others.
    pub(crate) fn expire_swept(&mut self, turn: &mut Turn<'_>, key: &KeyRef, found: &Container) {
        if self.writable && found.has_expired(turn.now.wall_ms) && self.holds(key.partition) {
            self.with_key(turn, key, Task::Expire);
        }
    }

    /// The key's newest container is here: what is over goes, and its dots stay covered.
    pub(crate) fn expire_loaded(&mut self, turn: &mut Turn<'_>, key: &KeyRef, held: &Held) {
        let mut container = Container::clone(&held.container);
        if !self.holds(key.partition) {
            return;
        }
        if container.expire(turn.now.wall_ms, self.last_writer_wins(key.bucket)) {
            self.stats.expired_values +=
                held.container.siblings.len() as u64 - container.siblings.len() as u64;
            let encoded = container.pack();
            self.hold_new(turn, key, container, encoded);
        }
    }
}
