//! Which replicas count, how many are needed, and who has answered.

use crate::id::{NodeId, PartitionId};
use crate::layout::{Bucket, ConflictPolicy, Layout, QuorumMode, QuorumSizes, Side};
use crate::operation::{Failure, Operation, QuorumOptions};

/// How many of the first `n` owners of one side must answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quorum {
    /// The first n owners count.
    pub(crate) n: u32,
    /// Answers that are needed,
    pub(crate) needed: u32,
    /// and how many of them from primaries.
    pub(crate) primaries: u32,
    /// The bucket's own demand: only with that many primaries may a write's context become a vector.
    pub(crate) of_bucket: u32,
}

impl Quorum {
    /// The owners that count.
    pub(crate) fn counting<'a>(&self, owners: &'a [NodeId]) -> &'a [NodeId] {
        &owners[..owners.len().min(self.n as usize)]
    }

    fn strict(self) -> Self {
        Self { primaries: self.needed, ..self }
    }
}

/// The quorums of one operation: the request's where it names them, else the bucket's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quorums {
    /// Of a read, on the side that reads count in.
    pub(crate) read: Quorum,
    /// Of a write, on the old and, in a change, on the new side.
    pub(crate) write: [Quorum; 2],
    /// Whether the last writer wins.
    pub(crate) lww: bool,
    /// Whether fallbacks stand in for primaries that cannot be reached.
    pub(crate) sloppy: bool,
    /// What the request asked for, to pass it on.
    pub(crate) asked: QuorumOptions,
}

impl Quorums {
    /// Checks a request's settings against what its bucket has where reads count. A default above a request's smaller n becomes
    /// that n; and what a request names that is more than there is on the other side of a change becomes that.
    pub(crate) fn resolve(layout: &Layout, bucket: &Bucket, asked: &QuorumOptions) -> Result<Self, Failure> {
        let effective = layout.sizes(bucket, layout.reading_side());
        let n = bounded("n", asked.n, 1, effective.n, "the bucket's n")?.unwrap_or(effective.n);
        bounded("r", asked.r, 1, n, "n")?;
        bounded("w", asked.w, 1, n, "n")?;
        bounded("pr", asked.pr, 0, n, "n")?;
        bounded("pw", asked.pw, 0, n, "n")?;
        let sloppy = asked.mode.unwrap_or(bucket.mode) == QuorumMode::Sloppy;
        let quorum = |sizes: QuorumSizes, of_bucket: u32, some: Option<u32>, primaries: Option<u32>| {
            let n = asked.n.unwrap_or(sizes.n).min(sizes.n);
            let primaries = primaries.unwrap_or(0).min(n);
            // Without fallbacks only primaries count, so the stronger of the two demands holds.
            let needed = some.unwrap_or(of_bucket).min(n).max(primaries);
            Quorum { n, needed, primaries: if sloppy { primaries } else { needed }, of_bucket }
        };
        let write = [Side::Old, Side::New].map(|side| {
            let sizes = layout.sizes(bucket, side);
            quorum(sizes, sizes.w, asked.w, asked.pw)
        });
        Ok(Self {
            read: quorum(effective, effective.r, asked.r, asked.pr),
            write,
            lww: bucket.conflict == ConflictPolicy::LastWriterWins,
            sloppy,
            asked: *asked,
        })
    }

    /// The same without fallbacks.
    pub(crate) fn strict(self) -> Self {
        Self { read: self.read.strict(), write: self.write.map(Quorum::strict), sloppy: false, ..self }
    }

    /// How many have to acknowledge a write: in a change, the more of what the two sides ask for.
    pub(crate) fn needed_to_write(&self) -> u32 {
        self.write.iter().map(|quorum| quorum.needed).max().unwrap_or(1)
    }

    /// How many have to answer an operation before it succeeds.
    pub(crate) fn needed(&self, operation: &Operation) -> u32 {
        if operation.is_write() { self.needed_to_write() } else { self.read.needed }
    }

    /// The owners that answer the operation's reads and may coordinate it.
    pub(crate) fn reading<'a>(&self, layout: &'a Layout, partition: PartitionId) -> &'a [NodeId] {
        self.read.counting(layout.owners(partition))
    }

    /// The owners of each side that count for a write, and how many of them are needed.
    pub(crate) fn writing<'a>(
        &self,
        layout: &'a Layout,
        partition: PartitionId,
    ) -> impl Iterator<Item = (&'a [NodeId], Quorum)> {
        let write = self.write;
        layout.writing_sides(partition).iter().map(move |&side| {
            let quorum = match side {
                Side::Old => write[0],
                Side::New => write[1],
            };
            (quorum.counting(layout.owners_of(partition, side)), quorum)
        })
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

/// The owners of one side that count, and who of them has answered.
#[derive(Clone, Debug)]
struct Count {
    counting: Vec<NodeId>,
    /// Bit i: the i-th of them has answered. There are at most [`REPLICAS_MAX`](crate::layout::REPLICAS_MAX).
    counted: u64,
    quorum: Quorum,
}

impl Count {
    fn new((counting, quorum): (&[NodeId], Quorum)) -> Self {
        Self { counting: counting.to_vec(), counted: 0, quorum }
    }

    fn set(&mut self, replica: NodeId, counted: bool) -> bool {
        let Some(at) = self.counting.iter().position(|&counting| counting == replica) else { return false };
        self.counted = if counted { self.counted | (1 << at) } else { self.counted & !(1 << at) };
        true
    }

    fn has(&self, replica: NodeId) -> bool {
        let at = self.counting.iter().position(|&counting| counting == replica);
        at.is_some_and(|at| self.counted & (1 << at) != 0)
    }

    fn primaries(&self) -> u32 {
        self.counted.count_ones()
    }

    /// Fallbacks whose primary is of this side and has not answered: a hint never counts beside its target's own
    /// acknowledgement.
    fn fallbacks(&self, stand_ins: &[StandIn]) -> u32 {
        let counts = |other: &&StandIn| {
            other.counted && self.counting.contains(&other.target) && !self.has(other.target)
        };
        u32::try_from(stand_ins.iter().filter(counts).count()).unwrap_or(u32::MAX)
    }

    fn is_met(&self, stand_ins: &[StandIn]) -> bool {
        let primaries = self.primaries();
        primaries >= self.quorum.primaries && primaries + self.fallbacks(stand_ins) >= self.quorum.needed
    }
}

/// Counts each replica that matters once on each side, whatever it sends; and in sloppy mode those that stand in for one.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    count: Count,
    /// The new side of a change, for writes.
    also: Option<Count>,
    stand_ins: Vec<StandIn>,
}

impl Tally {
    /// Counts these replicas until the quorum is met.
    pub(crate) fn of_read(counting: &[NodeId], quorum: Quorum) -> Self {
        Self { count: Count::new((counting, quorum)), also: None, stand_ins: Vec::new() }
    }

    /// Counts these until the quorum of every side is met.
    pub(crate) fn of_write<'a>(mut sides: impl Iterator<Item = (&'a [NodeId], Quorum)>) -> Self {
        let nobody = Quorum { n: 0, needed: 1, primaries: 1, of_bucket: 1 };
        let count = Count::new(sides.next().unwrap_or((&[], nobody)));
        Self { count, also: sides.next().map(Count::new), stand_ins: Vec::new() }
    }

    fn counts(&self) -> impl Iterator<Item = &Count> {
        std::iter::once(&self.count).chain(&self.also)
    }

    /// Lets a fallback stand in for a primary.
    pub(crate) fn add_stand_in(&mut self, holder: NodeId, target: NodeId) {
        self.stand_ins.push(StandIn { holder, target, counted: false, failed: false });
    }

    /// Counts a replica; one that does not matter, or has been counted, changes nothing.
    pub(crate) fn count(&mut self, replica: NodeId) {
        let is_primary = self.set(replica, true);
        if !is_primary
            && let Some(stand_in) = self.stand_ins.iter_mut().find(|other| other.holder == replica)
            && !stand_in.failed
        {
            stand_in.counted = true;
        }
    }

    fn set(&mut self, replica: NodeId, counted: bool) -> bool {
        let first = self.count.set(replica, counted);
        let second = self.also.as_mut().is_some_and(|also| also.set(replica, counted));
        first || second
    }

    /// A replica has lost what it acknowledged: it does not count until it acknowledges anew.
    pub(crate) fn uncount(&mut self, replica: NodeId) {
        self.set(replica, false);
    }

    /// A fallback does not do what it was asked for; returns whether it was.
    pub(crate) fn fail(&mut self, holder: NodeId) -> bool {
        let waited = |other: &&mut StandIn| other.holder == holder && !other.counted && !other.failed;
        let stand_in = self.stand_ins.iter_mut().find(waited);
        stand_in.map(|stand_in| stand_in.failed = true).is_some()
    }

    /// Whether enough have answered.
    pub(crate) fn is_met(&self) -> bool {
        self.counts().all(|count| count.is_met(&self.stand_ins))
    }

    /// The side that lacks something, or the first.
    fn lacking(&self) -> &Count {
        self.counts().find(|count| !count.is_met(&self.stand_ins)).unwrap_or(&self.count)
    }

    /// How many have answered, on a side that lacks something if there is one.
    pub(crate) fn counted(&self) -> u32 {
        let count = self.lacking();
        count.primaries() + count.fallbacks(&self.stand_ins)
    }

    /// How many have to, there.
    pub(crate) fn needed(&self) -> u32 {
        self.lacking().quorum.needed
    }

    /// How many primaries have answered, of either side.
    pub(crate) fn primaries(&self) -> u32 {
        let also = self.also.iter().flat_map(|also| also.counting.iter().map(move |&node| (also, node)));
        let more = also.filter(|(also, node)| also.has(*node) && !self.count.has(*node)).count();
        self.count.primaries() + u32::try_from(more).unwrap_or(0)
    }

    /// Whether so many primaries of every side have answered as the bucket itself demands of a write.
    pub(crate) fn is_at_bucket_quorum(&self) -> bool {
        self.counts().all(|count| count.primaries() >= count.quorum.of_bucket)
    }

    /// How many fallbacks have answered whose primary has not.
    pub(crate) fn fallbacks(&self) -> u32 {
        let counts = |other: &&StandIn| other.counted && !self.has_primary(other.target);
        u32::try_from(self.stand_ins.iter().filter(counts).count()).unwrap_or(u32::MAX)
    }

    /// Whether this replica has been counted.
    pub(crate) fn has(&self, replica: NodeId) -> bool {
        self.has_primary(replica)
            || self.stand_ins.iter().any(|stand_in| stand_in.holder == replica && stand_in.counted)
    }

    fn has_primary(&self, replica: NodeId) -> bool {
        self.counts().any(|count| count.has(replica))
    }

    /// The replicas that count, in order of preference; of a write in a change those of the old side.
    pub(crate) fn counting(&self) -> &[NodeId] {
        &self.count.counting
    }

    /// Those that stand in.
    pub(crate) fn stand_ins(&self) -> &[StandIn] {
        &self.stand_ins
    }

    /// The first primary that has neither answered nor a stand-in, of those of which `away` is true.
    pub(crate) fn next_target(&self, away: impl Fn(NodeId) -> bool) -> Option<NodeId> {
        let primaries = self.counts().flat_map(|count| count.counting.iter().copied());
        let mut waiting = primaries.filter(|&primary| {
            !self.has_primary(primary)
                && away(primary)
                && self.stand_ins.iter().all(|other| other.target != primary || other.failed)
        });
        waiting.next()
    }
}
