//! What a run's clients asked, were answered, and may rely on.
//!
//! The oracle sees more than any client: every container that a node commits or sends. Every value is unique and names its
//! operation, so each write is known from the moment some node gives it a dot.

mod dot_set;
mod history;
mod records;

use std::collections::BTreeMap;

use bytes::Bytes;
use quorate_protocol::Limits;
use quorate_protocol::id::OperationId;
use quorate_protocol::keys;
use quorate_protocol::layout::{Layout, PARTITIONS_MAX, QuorumMode};
use quorate_protocol::operation::{List, Operation, QuorumOptions};
use quorate_protocol::time::Time;
use quorate_protocol::version::Sibling;

pub use dot_set::DotSet;
pub use history::{DotRecord, KeyHistory, Maker};
pub use records::{Attempt, AttemptState, Expectation, Fate, OperationRecord, Quorum};

/// See the module.
#[derive(Debug, Default)]
pub struct Oracle {
    /// All keys that clients use.
    pub keys: Vec<KeyHistory>,
    /// All operations.
    pub operations: Vec<OperationRecord>,
    /// All attempts; a request's id is its position.
    pub attempts: Vec<Attempt>,
    /// Whether the layout changes: then promises are not counted in copies.
    pub moves: bool,
    /// What the nodes are limited to.
    pub limits: Limits,
    by_id: BTreeMap<OperationId, usize>,
}

impl Oracle {
    /// An oracle for these keys, given as (bucket's name, key).
    pub fn new(layout: &Layout, keys: &[(String, Bytes)], limits: Limits) -> Self {
        let histories = keys.iter().filter_map(|(bucket, key)| {
            let bucket = layout.bucket(bucket)?.clone();
            let partition = layout.partition_of(bucket.id, key);
            let store_key = keys::data(partition, bucket.id, key);
            Some(KeyHistory::new(bucket, key.clone(), store_key, partition))
        });
        Self { keys: histories.collect(), limits, ..Self::default() }
    }

    /// The key whose container is stored under this one, by an owner or by a fallback.
    pub fn key_of(&self, store_key: &[u8]) -> Option<usize> {
        // But for the role, the first byte, both are the same.
        let (role, rest) = store_key.split_first()?;
        if !b"df".contains(role) {
            return None;
        }
        self.keys.iter().position(|key| key.store_key[1..] == *rest)
    }

    /// The operation that has this id.
    pub fn operation_of(&self, id: OperationId) -> Option<usize> {
        self.by_id.get(&id).copied()
    }

    /// A new operation on a key; `seen` is what its context covers.
    pub fn add_operation(&mut self, operation: Operation, key: usize, seen: DotSet, foreign: bool) -> usize {
        self.add(operation, Some(key), seen, foreign)
    }

    /// A new listing.
    pub fn add_listing(&mut self, list: List) -> usize {
        self.add(Operation::List(list), None, DotSet::default(), false)
    }

    fn add(&mut self, operation: Operation, key: Option<usize>, seen: DotSet, foreign: bool) -> usize {
        let at = self.operations.len();
        if let Operation::Put(put) = &operation {
            self.by_id.insert(put.operation, at);
        }
        let quorum = self.quorum(&operation, key);
        self.operations.push(OperationRecord {
            operation,
            key,
            seen,
            foreign,
            fate: Fate::Unknown,
            asked_us: u64::MAX,
            attempts: 0,
            refused: 0,
            quorum,
            dots: Vec::new(),
        });
        at
    }

    fn quorum(&self, operation: &Operation, key: Option<usize>) -> Quorum {
        let QuorumOptions { n, r, w, pr, pw, mode } = *operation.quorum();
        let Some(key) = key else {
            return Quorum { n: PARTITIONS_MAX, r: 1, w: 1, primaries: (1, 1), sloppy: false, whole: false };
        };
        let bucket = &self.keys[key].bucket;
        let whole = n.is_none_or(|n| n == bucket.n);
        let n = n.unwrap_or(bucket.n);
        let sloppy = mode.unwrap_or(bucket.mode) == QuorumMode::Sloppy;
        let (pr, pw) = (pr.unwrap_or(0), pw.unwrap_or(0));
        let (r, w) = (r.unwrap_or(bucket.r.min(n)).max(pr), w.unwrap_or(bucket.w.min(n)).max(pw));
        Quorum { n, r, w, primaries: if sloppy { (pr, pw) } else { (r, w) }, sloppy, whole }
    }

    /// An operation is sent, at this time of the world and of the node's monotonic clock; what its answer must keep is
    /// settled by what is acknowledged now.
    pub fn begin(
        &mut self,
        operation: usize,
        client: usize,
        node: (usize, u32),
        (now_us, started): (u64, Time),
        timeout_us: u64,
    ) -> usize {
        let record = &mut self.operations[operation];
        record.attempts += 1;
        record.asked_us = record.asked_us.min(now_us);
        let first = record.attempts == 1;
        if record.fate == Fate::NotAttempted {
            record.fate = Fate::Unknown;
        }
        let record = &self.operations[operation];
        let expectations = match &record.operation {
            Operation::List(list) => self.expected_of_listing(list),
            Operation::Put(_) | Operation::Get(_) | Operation::Delete(_) => self.expected(record).collect(),
        };
        if let Some(key) = record.key {
            let history = &mut self.keys[key];
            if record.operation.is_write() && !record.foreign {
                history.replace(&record.seen, operation, matches!(record.operation, Operation::Put(_)));
                if first && chooses_itself(&record.operation, history) {
                    history.open_blind_delete();
                }
            }
        }
        self.attempts.push(Attempt {
            operation,
            client,
            node: node.0,
            life: node.1,
            started,
            timeout_us,
            state: AttemptState::Open,
            expectations,
        });
        self.attempts.len() - 1
    }

    fn expected(&self, record: &OperationRecord) -> impl Iterator<Item = Expectation> {
        let key = record.key.filter(|_| record.quorum.whole);
        key.into_iter().map(|key| self.expectation(key, record.quorum.r))
    }

    fn expected_of_listing(&self, list: &List) -> Vec<Expectation> {
        let of_listing = |&key: &usize| {
            let history = &self.keys[key];
            history.bucket.name == list.bucket && history.partition == list.partition
        };
        let keys = (0..self.keys.len()).filter(of_listing);
        keys.map(|key| self.expectation(key, self.keys[key].bucket.r)).collect()
    }

    fn expectation(&self, key: usize, r: u32) -> Expectation {
        let (must_cover, must_not_show) = self.keys[key].promises(r);
        Expectation { key, must_cover, must_not_show }
    }

    /// A node does something while its wall clock shows this.
    pub fn saw_wall(&mut self, wall_ms: u64) {
        for key in &mut self.keys {
            key.saw_wall(wall_ms);
        }
    }

    /// A copy of a key was damaged, and this many are damaged or not healed now: what was promised on no more copies may be gone.
    pub fn copies_lost(&mut self, key: usize, lost: usize) {
        self.keys[key].copy_lost(lost);
        let (covered, gone) = self.keys[key].promises(self.keys[key].bucket.n);
        for attempt in &mut self.attempts {
            let open = attempt.state == AttemptState::Open;
            for expected in attempt.expectations.iter_mut().filter(|expected| open && expected.key == key) {
                expected.must_cover.intersect(&covered);
                expected.must_not_show.intersect(&gone);
            }
        }
    }

    /// A node died: what it had not answered stays unknown.
    pub fn node_died(&mut self, node: usize) {
        for attempt in &mut self.attempts {
            if attempt.node == node && attempt.state == AttemptState::Open {
                attempt.state = AttemptState::Lost;
            }
        }
    }

    /// A write was given a dot.
    pub fn add_dot(&mut self, key: usize, sibling: &Sibling, operation: usize, maker: Maker) -> usize {
        let at = self.keys[key].add(sibling, operation, maker);
        self.operations[operation].dots.push(at);
        at
    }

    /// A client was told that a write succeeded.
    pub fn acknowledged(&mut self, operation: usize) {
        self.operations[operation].fate = Fate::Acknowledged;
    }

    /// A delete that chose itself what to delete has told what that was.
    pub fn blind_delete_told(&mut self, operation: usize, seen: DotSet) {
        let record = &mut self.operations[operation];
        record.seen = seen;
        if let Some(key) = record.key {
            let history = &mut self.keys[key];
            history.replace(&record.seen, operation, false);
            history.close_blind_delete();
        }
    }

    /// An attempt ended with nothing done. Returns whether that now holds for the whole operation.
    pub fn refused(&mut self, operation: usize) -> bool {
        let record = &mut self.operations[operation];
        record.refused += 1;
        if record.refused < record.attempts || record.fate == Fate::Acknowledged {
            return false;
        }
        record.fate = Fate::NotAttempted;
        let Some(key) = record.key else { return true };
        if !record.foreign && chooses_itself(&record.operation, &self.keys[key]) {
            self.keys[key].close_blind_delete();
        }
        self.keys[key].forget_replaced();
        for (other, record) in self.operations.iter().enumerate() {
            if record.key == Some(key)
                && record.fate != Fate::NotAttempted
                && record.attempts > 0
                && !record.foreign
            {
                let is_put = matches!(record.operation, Operation::Put(_));
                self.keys[key].replace(&record.seen, other, is_put);
            }
        }
        true
    }

    /// Whether this operation is a delete that chooses itself what to delete.
    pub fn is_blind_delete(&self, operation: usize) -> bool {
        let record = &self.operations[operation];
        let of_key = record.key.filter(|_| !record.foreign);
        of_key.is_some_and(|key| chooses_itself(&record.operation, &self.keys[key]))
    }
}

/// Deletes without context, and all deletes of a last-writer-wins bucket, delete what they read.
fn chooses_itself(operation: &Operation, history: &KeyHistory) -> bool {
    match operation {
        Operation::Delete(delete) => delete.context.is_empty() || history.last_writer_wins(),
        Operation::Put(_) | Operation::Get(_) | Operation::List(_) => false,
    }
}
