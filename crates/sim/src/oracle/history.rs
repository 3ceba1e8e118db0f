//! All that the oracle knows of one key: every write that any node ever committed, and what became of each.

use std::collections::BTreeMap;

use bytes::Bytes;
use quorate_protocol::id::PartitionId;
use quorate_protocol::layout::{Bucket, ConflictPolicy};
use quorate_protocol::time::Hlc;
use quorate_protocol::version::{Container, Context, Dot, Sibling};

use super::{DotSet, OperationRecord};

/// Who made a write, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Maker {
    /// The node.
    pub node: usize,
    /// Which life of its process.
    pub life: u32,
    /// When, in the time of the world.
    pub at_us: u64,
    /// What its wall clock shows, in milliseconds since the Unix epoch.
    pub wall_ms: u64,
    /// Since when it knows that its disk is full, if it is.
    pub full_since_us: Option<u64>,
}

/// One write as some node committed it.
#[derive(Clone, Debug)]
pub struct DotRecord {
    /// Its name.
    pub dot: Dot,
    /// Which of the oracle's operations it belongs to.
    pub operation: usize,
    /// The coordinator's hybrid clock at it.
    pub hlc: Hlc,
    /// From when on it is not shown, by wall clocks.
    pub expiry: Option<u64>,
    /// Whether some node has held or sent a container that covers it and does not hold it.
    pub was_dropped: bool,
    /// Who made it first known.
    pub maker: Maker,
}

/// The history of one key. Writes are known by their position in it.
#[derive(Clone, Debug)]
pub struct KeyHistory {
    /// The bucket it is in.
    pub bucket: Bucket,
    /// The user's key.
    pub key: Bytes,
    /// Where its container is in a store.
    pub store_key: Bytes,
    /// Its partition.
    pub partition: PartitionId,
    dots: Vec<DotRecord>,
    positions: BTreeMap<Dot, usize>,
    /// The join of all contexts ever seen of this key.
    known: Context,
    /// What owners have forgotten, rightly or not: it was dead.
    forgotten: Context,
    /// What a write or delete that may have taken effect had seen.
    replaced: DotSet,
    /// What a delete that may have taken effect had seen.
    deleted: DotSet,
    /// By write: the puts that had seen it, as the oracle's operations.
    replacers: BTreeMap<usize, Vec<usize>>,
    /// Deletes under way, or lost sight of, that choose themselves what they delete.
    open_blind_deletes: u32,
    /// By number of durable copies: what acknowledged writes promise that a read covers.
    promised: Vec<DotSet>,
    /// By number of durable copies: what acknowledged writes promise that a read does not show.
    promised_gone: Vec<DotSet>,
    /// The same as `promised`, fallbacks counted with the owners that they stand in for.
    promised_with_fallbacks: Vec<DotSet>,
    /// The latest that any node's wall clock has shown when the node did something.
    latest_wall_ms: u64,
    /// Encodings that were looked at lately and found right.
    checked: [Bytes; 4],
    next_checked: usize,
    /// Where the layout changes: whether its bucket is strict all the time, and the least w that it ever has.
    moves: Option<(bool, u32)>,
    /// When nodes last dropped a damaged record of it.
    forgotten_us: BTreeMap<usize, u64>,
}

impl KeyHistory {
    pub(super) fn new(bucket: Bucket, key: Bytes, store_key: Bytes, partition: PartitionId) -> Self {
        let levels = bucket.n as usize + 1;
        Self {
            bucket,
            key,
            store_key,
            partition,
            dots: Vec::new(),
            positions: BTreeMap::new(),
            known: Context::default(),
            forgotten: Context::default(),
            replaced: DotSet::default(),
            deleted: DotSet::default(),
            replacers: BTreeMap::new(),
            open_blind_deletes: 0,
            promised: vec![DotSet::default(); levels],
            promised_gone: vec![DotSet::default(); levels],
            promised_with_fallbacks: vec![DotSet::default(); levels],
            latest_wall_ms: 0,
            checked: Default::default(),
            next_checked: 0,
            moves: None,
            forgotten_us: BTreeMap::new(),
        }
    }

    /// The layout will change: a write is promised to every later read if the bucket is strict all the time, and to none else.
    pub fn will_move(&mut self, strict: bool, least_w: u32) {
        self.moves = Some((strict, least_w));
    }

    /// The least w that the bucket ever has.
    pub fn least_w(&self) -> u32 {
        self.moves.map_or(self.bucket.w, |(_, least_w)| least_w)
    }

    /// On how many disks a write must be that was acknowledged for so many copies.
    pub fn copies_kept(&self, copies: usize) -> usize {
        self.moves.map_or(copies, |(_, least_w)| copies.min(least_w as usize))
    }

    /// All writes, by position.
    pub fn dots(&self) -> &[DotRecord] {
        &self.dots
    }

    /// The position of a write.
    pub fn position(&self, dot: Dot) -> Option<usize> {
        self.positions.get(&dot).copied()
    }

    /// Whether its bucket shows the last write only.
    pub fn last_writer_wins(&self) -> bool {
        self.bucket.conflict == ConflictPolicy::LastWriterWins
    }

    pub(super) fn add(&mut self, sibling: &Sibling, operation: usize, maker: Maker) -> usize {
        let at = self.dots.len();
        self.dots.push(DotRecord {
            dot: sibling.dot,
            operation,
            hlc: sibling.hlc,
            expiry: sibling.expiry,
            was_dropped: false,
            maker,
        });
        self.positions.insert(sibling.dot, at);
        at
    }

    /// The writes that a context covers.
    pub fn covered(&self, context: &Context) -> DotSet {
        (0..self.dots.len()).filter(|&at| context.covers(self.dots[at].dot)).collect()
    }

    /// An owner has forgotten this.
    pub fn forget(&mut self, context: &Context) {
        self.forgotten.join(context);
    }

    /// Whether a container or an answer's context knows of a write, or need not any more.
    pub fn is_known_to(&self, context: &Context, dot: Dot) -> bool {
        context.covers(dot) || self.forgotten.covers(dot)
    }

    /// All that was forgotten.
    pub fn purged(&self) -> &Context {
        &self.forgotten
    }

    /// Whether a write was forgotten.
    pub fn is_forgotten(&self, at: usize) -> bool {
        self.forgotten.covers(self.dots[at].dot)
    }

    /// The join of all contexts ever seen of this key.
    pub fn known(&self) -> &Context {
        &self.known
    }

    /// Takes note of a context that some node holds or has given away.
    pub fn learn(&mut self, context: &Context) {
        if !self.known.covers_all(context) {
            self.known.join(context);
        }
    }

    /// Whether it is right that a write is covered and lives no more: one who had seen it wrote or deleted, or may
    /// have, or a clock decided: its time may be over, or the last writer wins.
    pub fn may_be_replaced(&self, at: usize) -> bool {
        self.was_seen_by_a_writer(at)
            || self.may_be_expired(at)
            || (self.last_writer_wins() && self.is_outdone(at))
    }

    /// Whether it is right that a write lives no more in something that covers all of `covered`, this one too: the put of
    /// one who had seen it is covered there as well, or it was deleted, or a clock decided.
    pub fn may_be_gone(&self, at: usize, covered: &DotSet, operations: &[OperationRecord]) -> bool {
        let took_effect = |&put: &usize| {
            operations[put].dots.iter().any(|&dot| covered.contains(dot) || self.is_forgotten(dot))
        };
        self.open_blind_deletes > 0
            || self.deleted.contains(at)
            || self.may_be_expired(at)
            || (self.last_writer_wins() && self.is_outdone(at))
            || self.replacers.get(&at).is_some_and(|puts| puts.iter().any(took_effect))
    }

    /// Whether the wall clock of any node has ever passed a write's expiry.
    pub fn may_be_expired(&self, at: usize) -> bool {
        self.dots[at].expiry.is_some_and(|expiry| expiry <= self.latest_wall_ms)
    }

    /// Whether it is right that a key does not show a write which nobody has replaced: its time may be over, or, where
    /// the last writer wins, that of a later one.
    pub fn may_show_nothing_of(&self, at: usize) -> bool {
        let later = |other: usize| self.rank(other) > self.rank(at) && self.may_be_expired(other);
        self.may_be_expired(at) || (self.last_writer_wins() && (0..self.dots.len()).any(later))
    }

    /// A node does something while its wall clock shows this.
    pub(super) fn saw_wall(&mut self, wall_ms: u64) {
        self.latest_wall_ms = self.latest_wall_ms.max(wall_ms);
    }

    /// Takes note of the writes that a container covers and does not hold.
    pub fn note_dropped(&mut self, container: &Container) {
        for record in &mut self.dots {
            let lives = || container.siblings.iter().any(|sibling| sibling.dot == record.dot);
            if !record.was_dropped && container.context.covers(record.dot) && !lives() {
                record.was_dropped = true;
            }
        }
    }

    /// Whether one who had seen a write wrote or deleted, or may have.
    pub fn was_seen_by_a_writer(&self, at: usize) -> bool {
        self.open_blind_deletes > 0 || self.replaced.contains(at)
    }

    /// Whether there is a write with a greater (hlc, dot).
    fn is_outdone(&self, at: usize) -> bool {
        let rank = self.rank(at);
        (0..self.dots.len()).any(|other| self.rank(other) > rank)
    }

    /// What decides between concurrent writes in a last-writer-wins bucket.
    pub fn rank(&self, at: usize) -> (Hlc, Dot) {
        (self.dots[at].hlc, self.dots[at].dot)
    }

    /// A write is sent whose author has seen this much.
    pub(super) fn replace(&mut self, seen: &DotSet, operation: usize, is_put: bool) {
        self.replaced.union(seen);
        if !is_put {
            self.deleted.union(seen);
            return;
        }
        for at in seen.iter() {
            let puts = self.replacers.entry(at).or_default();
            if !puts.contains(&operation) {
                puts.push(operation);
            }
        }
    }

    pub(super) fn forget_replaced(&mut self) {
        self.replaced = DotSet::default();
        self.deleted = DotSet::default();
    }

    pub(super) fn open_blind_delete(&mut self) {
        self.open_blind_deletes += 1;
    }

    pub(super) fn close_blind_delete(&mut self) {
        self.open_blind_deletes = self.open_blind_deletes.saturating_sub(1);
    }

    /// An acknowledged write: this many disks cover `covered` and hold nothing of `gone`.
    pub fn promise(&mut self, copies: u32, covered: &DotSet, gone: &DotSet) {
        let level = (copies as usize).min(self.promised.len() - 1);
        self.promised[level].union(covered);
        self.promised_gone[level].union(gone);
    }

    /// An acknowledged write: the disks of so many owners and fallbacks cover this.
    pub fn promise_with_fallbacks(&mut self, copies: u32, covered: &DotSet) {
        let level = (copies as usize).min(self.promised_with_fallbacks.len() - 1);
        self.promised_with_fallbacks[level].union(covered);
    }

    /// All promises that fallbacks keep with owners, each with the number of disks: (copies, covered).
    pub fn promises_with_fallbacks(&self) -> impl Iterator<Item = (usize, &DotSet)> {
        self.promised_with_fallbacks.iter().enumerate()
    }

    /// One more copy is lost, so many at present: nothing is promised any more on as many or fewer. Where fallbacks keep it, too, one disk
    /// less is promised from now on: the record is healed from owners alone, and what none of them has comes with the hints.
    pub(super) fn copy_lost(&mut self, lost: usize) {
        for levels in [&mut self.promised, &mut self.promised_gone, &mut self.promised_with_fallbacks] {
            levels.iter_mut().take(lost + 1).for_each(|level| *level = DotSet::default());
        }
        self.promised_with_fallbacks.rotate_left(1);
    }

    /// A node has dropped its damaged record: what it made before it may make again.
    pub fn forgotten(&mut self, node: usize, at_us: u64) {
        self.forgotten_us.insert(node, at_us);
    }

    /// Whether a node has dropped its damaged record since then.
    pub fn has_forgotten(&self, node: usize, since_us: u64) -> bool {
        self.forgotten_us.get(&node).is_some_and(|at_us| *at_us >= since_us)
    }

    /// What a read of `r` of the bucket's owners that begins now has to cover, and what it must not show.
    pub fn promises(&self, r: u32) -> (DotSet, DotSet) {
        let enough = match self.moves {
            None => (self.bucket.n + 1).saturating_sub(r) as usize,
            Some((true, _)) => 1,
            Some((false, _)) => usize::MAX,
        };
        let union = |levels: &[DotSet]| {
            let mut all = DotSet::default();
            for level in levels.iter().skip(enough) {
                all.union(level);
            }
            all
        };
        (union(&self.promised), union(&self.promised_gone))
    }

    /// All promises, each with the number of disks that keep it: (copies, covered, gone).
    pub fn all_promises(&self) -> impl Iterator<Item = (usize, &DotSet, &DotSet)> {
        self.promised
            .iter()
            .zip(&self.promised_gone)
            .enumerate()
            .map(|(copies, (covered, gone))| (copies, covered, gone))
    }

    /// Whether exactly these bytes were looked at lately.
    pub fn was_checked(&self, encoded: &Bytes) -> bool {
        self.checked.contains(encoded)
    }

    /// Remembers that these bytes were looked at and are right.
    pub fn remember_checked(&mut self, encoded: &Bytes) {
        self.checked[self.next_checked] = encoded.clone();
        self.next_checked = (self.next_checked + 1) % self.checked.len();
    }
}
