//! Figures for metrics; nothing in the core depends on them.

use std::time::Duration;

use crate::id::PartitionId;

/// Counters since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Stale replicas that a read has found and sent the union to.
    pub read_repairs: u64,
    /// Operations that ran out of time before enough replicas had answered.
    pub quorum_shortfalls: u64,
    /// Operations refused at the gate: nothing was sent or stored for them.
    pub refused: u64,
    /// Operations passed on to a primary.
    pub forwarded: u64,
    /// Reads that showed more than one sibling.
    pub reads_with_siblings: u64,
    /// The most siblings that a read has shown.
    pub siblings_max: u64,
    /// Records that could not be read back whole.
    pub damaged_records: u64,
    /// Hints taken: keys that an owner missed, counted each time.
    pub hints_taken: u64,
    /// Hints that their owners have acknowledged.
    pub hints_delivered: u64,
    /// Hints not kept for want of room, or because the owner was away for too long; left to anti-entropy.
    pub hints_dropped: u64,
    /// Tombstones forgotten.
    pub tombstones_purged: u64,
    /// Entries of retired actors forgotten.
    pub actors_pruned: u64,
    /// Containers not merged because they had been read too long ago.
    pub too_old: u64,
    /// Containers that this node has taken as a new owner.
    pub transferred_keys: u64,
    /// Bytes of these.
    pub transferred_bytes: u64,
    /// Records deleted of partitions that this node does not own, or not since long.
    pub cleared_records: u64,
    /// Records that the background sweep has come by.
    pub swept_records: u64,
    /// Merkle trees that a later sweep has found to be wrong, and replaced. There should be none.
    pub trees_corrected: u64,
    /// Containers that anti-entropy has sent.
    pub exchanged_keys: u64,
    /// Bytes of these.
    pub exchanged_bytes: u64,
    /// Values whose time was over that a read or the background scan has dropped.
    pub expired_values: u64,
    /// Of these, those that hold again what the other owners hold, or what was in memory.
    pub records_healed: u64,
    /// Of these, those of which there was no other owner.
    pub records_lost: u64,
    /// Batches from a life of a node that is not the newest it has shown: sent before it died, or by a copy of its directory.
    pub stale_lives: u64,
}

impl Stats {
    pub(crate) fn saw_siblings(&mut self, count: usize) {
        if count > 1 {
            self.reads_with_siblings += 1;
            self.siblings_max = self.siblings_max.max(count as u64);
        }
    }
}

/// How far anti-entropy is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AntiEntropy {
    /// Each partition that this node owns, in order.
    pub partitions: Vec<PartitionState>,
    /// Exchanges with another owner that are under way or wait for their turn.
    pub exchanges: usize,
}

impl AntiEntropy {
    /// Partitions whose tree is not complete.
    pub fn building(&self) -> usize {
        self.partitions.iter().filter(|partition| partition.root.is_none()).count()
    }

    /// How long ago the partition that has waited longest was last found equal on some other owner.
    pub fn oldest_clean(&self) -> Duration {
        self.partitions.iter().map(|partition| partition.clean).max().unwrap_or_default()
    }
}

/// How far anti-entropy is with one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionState {
    /// Which.
    pub partition: PartitionId,
    /// The root of its Merkle tree, and how many keys that is the hash of; none while the tree is being built.
    pub root: Option<(u128, u64)>,
    /// How long ago it was last found equal on the other owner with whom that is longest ago; counted from the start where it
    /// never was. Zero when there is no other owner.
    pub clean: Duration,
}

/// What there is at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Operations under way.
    pub operations: usize,
    /// Writes that are answered and wait a little for the rest of their owners.
    pub lingering: usize,
    /// Keys that wait for the store.
    pub keys_loading: usize,
    /// Acknowledgements that wait for the disk.
    pub commits_waiting: usize,
    /// About how much memory the containers take.
    pub cache_bytes: usize,
    /// Keys remembered for owners that missed them.
    pub hints: usize,
    /// Bytes of containers kept for owners that could not be reached.
    pub fallback_bytes: usize,
    /// Keys of which something waits to be forgotten: tombstones mostly.
    pub forgettable: usize,
    /// Keys whose record was damaged and is not healed yet.
    pub holes: usize,
    /// Peers whose links are up and which have not yet vouched for this node, or not shown their life.
    pub strangers: usize,
    /// Whether the node takes part in nothing yet, for it waits to hear what others know of it.
    pub starting: bool,
    /// Whether it takes part although some had not answered in time: one of them may know that its directory is an old copy.
    pub unvouched: bool,
}
