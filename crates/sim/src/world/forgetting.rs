//! What is deleted is forgotten by and by, when nobody is away and nothing is in trouble.

use bytes::Bytes;
use quorate_protocol::operation::{Delete, Operation, QuorumOptions};

use super::World;
use crate::checks::{self, Check, violation};
use crate::describe;
use crate::oracle::DotSet;

/// All keys are forgotten within this many message bounds,
const BOUNDS: u32 = 12;
/// and this: messages, syncs, and another look at what was refused for lack of room.
const EXTRA_US: u64 = 5_000_000;

impl World {
    /// Deletes all keys; then no owner may keep anything of them for long.
    pub(super) fn forget_all(&mut self) -> Check {
        for key in 0..self.oracle.keys.len() {
            let members = self.members();
            let node = *self.rngs.lives.pick(&members);
            let history = &self.oracle.keys[key];
            let quorum = QuorumOptions {
                r: Some(history.bucket.n),
                w: Some(history.bucket.n),
                ..QuorumOptions::default()
            };
            let (bucket, user_key) = (history.bucket.name.clone(), history.key.clone());
            let delete = Delete { bucket, key: user_key, context: Bytes::new(), quorum };
            let operation =
                self.oracle.add_operation(Operation::Delete(delete), key, DotSet::default(), false);
            self.drive(operation, node)?;
        }
        let bounds_us = (self.plan.limits.message_age * BOUNDS).as_micros();
        let until_us = self.now_us + u64::try_from(bounds_us).unwrap_or(0) + EXTRA_US;
        while let Some((node, key)) = self.who_remembers() {
            if self.now_us > until_us {
                let name = String::from_utf8_lossy(&self.oracle.keys[key].key).into_owned();
                let detail = format!("{name} was deleted long ago, and {} keeps it", describe::node(node));
                return Err(violation("forgetting", detail));
            }
            self.step()?;
        }
        self.settle()?;
        for key in 0..self.oracle.keys.len() {
            checks::repaired(&self.oracle, key, &self.disks(key))?;
        }
        Ok(())
    }

    /// A node that has a record of a key, and which.
    fn who_remembers(&self) -> Option<(usize, usize)> {
        let nodes = 0..self.hosts.len();
        nodes.into_iter().find_map(|node| {
            let disk = &self.hosts[node].disk;
            let keeps = |key: &usize| disk.visible_value(&self.oracle.keys[*key].store_key).is_some();
            (0..self.oracle.keys.len()).find(keeps).map(|key| (node, key))
        })
    }
}
