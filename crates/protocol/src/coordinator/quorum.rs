//! Which replicas count, how many are needed, and who has answered.

use crate::id::{NodeId, PartitionId};
use crate::layout::{Bucket, ConflictPolicy, Layout};
use crate::operation::{Failure, QuorumOptions};

/// The quorums of one operation: the request's where it names them, else the bucket's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quorums {
    /// The first n owners of the partition count.
    pub(crate) n: u32,
    /// Answers that a read needs.
    pub(crate) read: u32,
    /// Acknowledgements that a write needs.
    pub(crate) write: u32,
    /// The bucket's own w: only that many acknowledgements let an answer's context become a vector.
    pub(crate) bucket_write: u32,
    /// Whether the last writer wins.
    pub(crate) lww: bool,
    /// What the request asked for, to pass it on.
    pub(crate) asked: QuorumOptions,
}

impl Quorums {
    /// Checks a request's settings against its bucket. A default above a request's smaller n becomes that n.
    pub(crate) fn resolve(bucket: &Bucket, asked: &QuorumOptions) -> Result<Self, Failure> {
        let n = bounded("n", asked.n, 1, bucket.n, "the bucket's n")?.unwrap_or(bucket.n);
        let r = bounded("r", asked.r, 1, n, "n")?.unwrap_or(bucket.r.min(n));
        let w = bounded("w", asked.w, 1, n, "n")?.unwrap_or(bucket.w.min(n));
        let pr = bounded("pr", asked.pr, 0, n, "n")?.unwrap_or(0);
        let pw = bounded("pw", asked.pw, 0, n, "n")?.unwrap_or(0);
        // Only primaries count, so the stronger of the two demands holds.
        Ok(Self {
            n,
            read: r.max(pr),
            write: w.max(pw),
            bucket_write: bucket.w,
            lww: bucket.conflict == ConflictPolicy::LastWriterWins,
            asked: *asked,
        })
    }

    /// The owners that count.
    pub(crate) fn counting<'a>(&self, layout: &'a Layout, partition: PartitionId) -> &'a [NodeId] {
        let owners = layout.owners(partition);
        &owners[..owners.len().min(self.n as usize)]
    }
}

fn bounded(
    field: &'static str,
    asked: Option<u32>,
    min: u32,
    max: u32,
    of: &str,
) -> Result<Option<u32>, Failure> {
    match asked {
        Some(value) if value < min || value > max => {
            Err(Failure::Invalid { field, reason: format!("{value} is not from {min} to {max}, {of}") })
        }
        asked => Ok(asked),
    }
}

/// Counts each replica that matters once, whatever it sends.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    counting: Vec<NodeId>,
    /// Bit i: the i-th of them has answered. There are at most [`REPLICAS_MAX`](crate::layout::REPLICAS_MAX).
    counted: u64,
    needed: u32,
}

impl Tally {
    /// Counts these replicas until `needed` of them have answered.
    pub(crate) fn new(counting: &[NodeId], needed: u32) -> Self {
        Self { counting: counting.to_vec(), counted: 0, needed }
    }

    /// Counts a replica; one that does not matter, or has been counted, changes nothing.
    pub(crate) fn count(&mut self, replica: NodeId) {
        if let Some(at) = self.counting.iter().position(|&counting| counting == replica) {
            self.counted |= 1 << at;
        }
    }

    /// A replica has lost what it acknowledged: it does not count until it acknowledges anew.
    pub(crate) fn uncount(&mut self, replica: NodeId) {
        if let Some(at) = self.counting.iter().position(|&counting| counting == replica) {
            self.counted &= !(1 << at);
        }
    }

    /// Whether enough have answered.
    pub(crate) fn is_met(&self) -> bool {
        self.counted() >= self.needed
    }

    /// How many have answered.
    pub(crate) fn counted(&self) -> u32 {
        self.counted.count_ones()
    }

    /// How many have to.
    pub(crate) fn needed(&self) -> u32 {
        self.needed
    }

    /// Whether this replica has been counted.
    pub(crate) fn has(&self, replica: NodeId) -> bool {
        let at = self.counting.iter().position(|&counting| counting == replica);
        at.is_some_and(|at| self.counted & (1 << at) != 0)
    }

    /// The replicas that count, in order of preference.
    pub(crate) fn counting(&self) -> &[NodeId] {
        &self.counting
    }
}
