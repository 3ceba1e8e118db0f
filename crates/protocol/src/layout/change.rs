//! A change under way: old and new owner lists stand side by side, in two stages.
//!
//! | stage | writes count | reads count |
//! | --- | --- | --- |
//! | gather | in the old lists **and** in the new | in the old |
//! | hand over | in both, as before | in the new |
//!
//! So moving an owner, more or fewer owners, and other read and write quorums are one mechanism (joint quorums, as in Raft,
//! section 4.3 of Ongaro's thesis, though decided by a chain of single decrees).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Layout, Member, QuorumSizes};
use crate::id::{BucketId, Epoch, NodeId, PartitionId};

/// How far a change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Stage {
    /// The new owners gather what the old ones hold. The change can be cancelled.
    Gather,
    /// Reads go to the new owners; those that leave hand over what they hold. There is no way back.
    HandOver,
}

/// What a layout is changing into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The epoch that began it: its name, for no other change begins with it.
    pub began: Epoch,
    /// How far it is.
    pub stage: Stage,
    /// Nothing is moved and no stage is ended until it is resumed.
    pub paused: bool,
    /// Fewer old owners than a write quorum's complement are gathered from, when the others are lost: what only those held is
    /// given up.
    pub accepts_loss: bool,
    /// Owners of every partition, afterwards.
    pub n: u32,
    /// The owners of every partition, afterwards.
    pub owners: Vec<Vec<NodeId>>,
    /// The members afterwards, sorted by id.
    pub members: Vec<Member>,
    /// Members that it has added, sorted.
    pub added: BTreeSet<NodeId>,
    /// Of buckets whose sizes it changes: the new ones.
    pub sizes: BTreeMap<BucketId, QuorumSizes>,
    /// Members that were declared lost for good: nobody waits for them.
    pub lost: BTreeSet<NodeId>,
}

impl Change {
    /// Whether a member is no member afterwards.
    pub fn removes(&self, node: NodeId) -> bool {
        self.members.binary_search_by_key(&node, |member| member.node).is_err()
    }
}

impl Layout {
    /// Whether no change is under way.
    pub fn is_stable(&self) -> bool {
        self.change.is_none()
    }

    /// The stage of the change under way.
    pub fn stage(&self) -> Option<Stage> {
        self.change.as_ref().map(|change| change.stage)
    }

    /// Whether a member was declared lost in the change under way.
    pub fn is_lost(&self, node: NodeId) -> bool {
        self.change.as_ref().is_some_and(|change| change.lost.contains(&node))
    }

    /// The change under way, if this partition takes part in it: its list changes, order included, or its quorums do.
    pub fn change_of(&self, partition: PartitionId) -> Option<&Change> {
        let change = self.change.as_deref()?;
        let at = usize::from(partition.0);
        let takes_part = !change.sizes.is_empty() || self.owners.get(at) != change.owners.get(at);
        takes_part.then_some(change)
    }

    /// The partitions that take part in the change under way, in order.
    pub fn changing(&self) -> impl Iterator<Item = PartitionId> {
        self.all_partitions().filter(|&partition| self.change_of(partition).is_some())
    }
}
