//! What a node says of its hints to whoever checks it: nothing in the core asks.

use crate::id::{NodeId, PartitionId};
use crate::message::KeyRef;
use crate::node::Node;

impl Node {
    /// Whether it has read all hints that were in its store when it started.
    pub fn knows_its_hints(&self) -> bool {
        self.hints.loaded.is_some()
    }

    /// Whether it remembers that an owner has missed a key.
    pub fn remembers(&self, owner: NodeId, key: &KeyRef) -> bool {
        self.hints.get(owner, key).is_some()
    }

    /// Whether a partition is compared with this owner before others, now or as soon as that is back: so it is when the owner
    /// has missed more of it than is remembered, until both are found equal.
    pub fn compares_first(&self, owner: NodeId, partition: PartitionId) -> bool {
        let when_back = self.hints.forgotten.get(&owner).is_some_and(|missed| missed.contains(&partition));
        when_back || self.anti_entropy.is_urgent(partition, owner)
    }
}
