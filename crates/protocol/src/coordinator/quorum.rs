//! Which replicas count, how many are needed, and who has answered.

use crate::id::{NodeId, PartitionId};
use crate::layout::{Bucket, ConflictPolicy, Layout, QuorumMode};
use crate::operation::{Failure, QuorumOptions};

/// The quorums of one operation: the request's where it names them, else the bucket's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quorums {
    /// The first n owners of the partition count.
    pub(crate) n: u32,
    /// Answers that a read needs,
    pub(crate) read: u32,
    /// and how many of them from primaries.
    pub(crate) read_primaries: u32,
    /// Acknowledgements that a write needs,
    pub(crate) write: u32,
    /// and how many of them from primaries.
    pub(crate) write_primaries: u32,
    /// The bucket's own w: only that many primaries let an answer's context become a vector.
    pub(crate) bucket_write: u32,
    /// Whether the last writer wins.
    pub(crate) lww: bool,
    /// Whether fallbacks stand in for primaries that cannot be reached.
    pub(crate) sloppy: bool,
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
        let sloppy = asked.mode.unwrap_or(bucket.mode) == QuorumMode::Sloppy;
        // Without fallbacks only primaries count, so the stronger of the two demands holds.
        let (read, write) = (r.max(pr), w.max(pw));
        Ok(Self {
            n,
            read,
            read_primaries: if sloppy { pr } else { read },
            write,
            write_primaries: if sloppy { pw } else { write },
            bucket_write: bucket.w,
            lww: bucket.conflict == ConflictPolicy::LastWriterWins,
            sloppy,
            asked: *asked,
        })
    }

    /// The same without fallbacks.
    pub(crate) fn strict(self) -> Self {
        Self { read_primaries: self.read, write_primaries: self.write, sloppy: false, ..self }
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

/// A fallback in the place of a primary.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StandIn {
    /// The fallback; each stands in once.
    pub(crate) holder: NodeId,
    /// The primary.
    pub(crate) target: NodeId,
    counted: bool,
    /// It has refused or cannot be reached: another takes its place.
    failed: bool,
}

/// Counts each replica that matters once, whatever it sends; and in sloppy mode those that stand in for one.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    counting: Vec<NodeId>,
    /// Bit i: the i-th of them has answered. There are at most [`REPLICAS_MAX`](crate::layout::REPLICAS_MAX).
    counted: u64,
    needed: u32,
    primaries_needed: u32,
    stand_ins: Vec<StandIn>,
}

impl Tally {
    /// Counts these replicas until `needed` of them have answered, at least `primaries_needed` of them primaries.
    pub(crate) fn new(counting: &[NodeId], needed: u32, primaries_needed: u32) -> Self {
        let counting = counting.to_vec();
        Self { counting, counted: 0, needed, primaries_needed, stand_ins: Vec::new() }
    }

    /// Lets a fallback stand in for a primary.
    pub(crate) fn add_stand_in(&mut self, holder: NodeId, target: NodeId) {
        self.stand_ins.push(StandIn { holder, target, counted: false, failed: false });
    }

    /// Counts a replica; one that does not matter, or has been counted, changes nothing.
    pub(crate) fn count(&mut self, replica: NodeId) {
        if let Some(at) = self.counting.iter().position(|&counting| counting == replica) {
            self.counted |= 1 << at;
        } else if let Some(stand_in) = self.stand_ins.iter_mut().find(|other| other.holder == replica)
            && !stand_in.failed
        {
            stand_in.counted = true;
        }
    }

    /// A replica has lost what it acknowledged: it does not count until it acknowledges anew.
    pub(crate) fn uncount(&mut self, replica: NodeId) {
        if let Some(at) = self.counting.iter().position(|&counting| counting == replica) {
            self.counted &= !(1 << at);
        }
    }

    /// A fallback does not do what it was asked for; returns whether it was.
    pub(crate) fn fail(&mut self, holder: NodeId) -> bool {
        let waited = |other: &&mut StandIn| other.holder == holder && !other.counted && !other.failed;
        let stand_in = self.stand_ins.iter_mut().find(waited);
        stand_in.map(|stand_in| stand_in.failed = true).is_some()
    }

    /// Whether enough have answered.
    pub(crate) fn is_met(&self) -> bool {
        self.counted() >= self.needed && self.primaries() >= self.primaries_needed
    }

    /// How many have answered.
    pub(crate) fn counted(&self) -> u32 {
        self.primaries() + self.fallbacks()
    }

    /// How many primaries have.
    pub(crate) fn primaries(&self) -> u32 {
        self.counted.count_ones()
    }

    /// How many fallbacks have whose primary has not: a hint never counts beside its target's own acknowledgement.
    pub(crate) fn fallbacks(&self) -> u32 {
        let counts = |stand_in: &&StandIn| stand_in.counted && !self.has_primary(stand_in.target);
        u32::try_from(self.stand_ins.iter().filter(counts).count()).unwrap_or(u32::MAX)
    }

    /// How many have to.
    pub(crate) fn needed(&self) -> u32 {
        self.needed
    }

    /// Whether this replica has been counted.
    pub(crate) fn has(&self, replica: NodeId) -> bool {
        self.has_primary(replica)
            || self.stand_ins.iter().any(|stand_in| stand_in.holder == replica && stand_in.counted)
    }

    fn has_primary(&self, replica: NodeId) -> bool {
        let at = self.counting.iter().position(|&counting| counting == replica);
        at.is_some_and(|at| self.counted & (1 << at) != 0)
    }

    /// The replicas that count, in order of preference.
    pub(crate) fn counting(&self) -> &[NodeId] {
        &self.counting
    }

    /// Those that stand in.
    pub(crate) fn stand_ins(&self) -> &[StandIn] {
        &self.stand_ins
    }

    /// The first primary that has neither answered nor a stand-in, of those of which `away` is true.
    pub(crate) fn next_target(&self, away: impl Fn(NodeId) -> bool) -> Option<NodeId> {
        self.counting.iter().copied().find(|&primary| {
            !self.has_primary(primary)
                && away(primary)
                && self.stand_ins.iter().all(|other| other.target != primary || other.failed)
        })
    }
}
