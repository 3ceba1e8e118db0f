//! Which owners of a partition count for what.

use super::{Bucket, Layout, QuorumSizes, Stage};
use crate::id::{NodeId, PartitionId};
use crate::placement;

/// One of the two owner lists of a partition in a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Before the change; the only one in a stable layout.
    Old,
    /// After it.
    New,
}

impl Layout {
    /// The side that reads count in, and that coordinates.
    pub fn reading_side(&self) -> Side {
        match self.stage() {
            None | Some(Stage::Gather) => Side::Old,
            Some(Stage::HandOver) => Side::New,
        }
    }

    /// The owners of one side, in order of preference; none for a partition that does not exist, and none of the new side
    /// where there is none.
    pub fn owners_of(&self, partition: PartitionId, side: Side) -> &[NodeId] {
        let lists = match (side, &self.change) {
            (Side::Old, _) => &self.owners,
            (Side::New, Some(change)) => &change.owners,
            (Side::New, None) => return &[],
        };
        lists.get(usize::from(partition.0)).map_or(&[], Vec::as_slice)
    }

    /// The owners that answer reads and coordinate, in order of preference.
    pub fn owners(&self, partition: PartitionId) -> &[NodeId] {
        self.owners_of(partition, self.reading_side())
    }

    /// Whether a node answers reads of a partition and coordinates.
    pub fn is_owner(&self, partition: PartitionId, node: NodeId) -> bool {
        self.owners(partition).contains(&node)
    }

    /// The sides that writes count in: both in a change that the partition takes part in.
    pub fn writing_sides(&self, partition: PartitionId) -> &'static [Side] {
        if self.change_of(partition).is_some() { &[Side::Old, Side::New] } else { &[Side::Old] }
    }

    /// All owners that get writes, each once: those that answer reads first.
    pub fn holders(&self, partition: PartitionId) -> Vec<NodeId> {
        let mut holders = self.owners(partition).to_vec();
        if self.change_of(partition).is_some() {
            let other = match self.reading_side() {
                Side::Old => Side::New,
                Side::New => Side::Old,
            };
            let more = self.owners_of(partition, other).iter().filter(|node| !holders.contains(node));
            holders.extend(more.copied().collect::<Vec<_>>());
        }
        holders
    }

    /// Whether a node gets the writes of a partition.
    pub fn is_holder(&self, partition: PartitionId, node: NodeId) -> bool {
        self.owners_of(partition, Side::Old).contains(&node)
            || self.owners_of(partition, Side::New).contains(&node)
    }

    /// The sizes of a bucket on one side.
    pub fn sizes(&self, bucket: &Bucket, side: Side) -> QuorumSizes {
        let new = self.change.as_ref().and_then(|change| change.sizes.get(&bucket.id));
        match (side, new) {
            (Side::New, Some(&sizes)) => sizes,
            (Side::New, None) | (Side::Old, _) => bucket.sizes(),
        }
    }

    /// Who stands in for owners of a partition that cannot be reached: the next members in the partition's order, at
    /// most twice as many as there are owners, in order of preference. Nobody who leaves takes anything more once reads have
    /// moved on, and nobody who was added before: he is gone when the change is cancelled.
    pub fn fallbacks(&self, partition: PartitionId) -> Vec<NodeId> {
        let owners = self.owners(partition).len();
        let leaves = |node: NodeId| match self.change.as_deref() {
            Some(change) => {
                let in_hand_over = change.stage == Stage::HandOver;
                change.lost.contains(&node)
                    || (in_hand_over && change.removes(node))
                    || (!in_hand_over && change.added.contains(&node))
            }
            None => false,
        };
        let members = self.members.iter().map(|member| member.node);
        let mut others: Vec<NodeId> =
            members.filter(|&node| !self.is_holder(partition, node) && !leaves(node)).collect();
        others.sort_by_key(|&node| placement::tie(usize::from(partition.0), node));
        others.truncate(2 * owners);
        others
    }

    /// Whether a node is among a partition's fallbacks.
    pub fn is_fallback(&self, partition: PartitionId, node: NodeId) -> bool {
        !self.is_holder(partition, node) && self.fallbacks(partition).contains(&node)
    }
}
