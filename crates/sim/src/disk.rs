//! The in-memory [`Store`] with a simulated disk: what was submitted, what of it is synced, and what a crash leaves.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

use bytes::Bytes;
use quorate_protocol::keys;
use quorate_protocol::store::{CommitNumber, ScanPage, Sequence, Store, StoreError, StoreOp};

use crate::rng::SimRng;

/// One node's disk. Batches wait in memory until they are synced, in order; reads see them at once.
#[derive(Clone, Debug, Default)]
pub struct SimDisk {
    state: RefCell<State>,
}

#[derive(Clone, Debug, Default)]
struct State {
    synced: BTreeMap<Bytes, Bytes>,
    /// The synced state with all waiting batches applied.
    visible: BTreeMap<Bytes, Bytes>,
    /// Not yet synced, oldest first; the last one has the number `submitted`.
    waiting: VecDeque<Vec<StoreOp>>,
    submitted: u64,
    /// Batches that ever came to the disk.
    settled: u64,
    /// Records that came to the disk whole and cannot be read back, until others take their place there.
    damaged: BTreeSet<Bytes>,
    /// What damaged records held whose holes are not healed: it was acknowledged honestly.
    lost: BTreeMap<Bytes, Vec<Bytes>>,
    full: bool,
}

impl SimDisk {
    /// Makes all batches up to this number durable; returns whether that was news.
    pub fn sync(&self, up_to: CommitNumber) -> bool {
        let mut state = self.state.borrow_mut();
        let mut news = false;
        while state.durable() < up_to.0 {
            let Some(batch) = state.waiting.pop_front() else { break };
            state.settle(&batch);
            news = true;
        }
        news
    }

    /// The number of the newest batch.
    pub fn submitted(&self) -> CommitNumber {
        CommitNumber(self.state.borrow().submitted)
    }

    /// What a crash leaves: all synced batches and some of the waiting ones, each whole, none without those before
    /// it. Numbers start anew.
    pub fn crash(&self, rng: &mut SimRng) {
        let mut state = self.state.borrow_mut();
        let survivors = rng.below(state.waiting.len() + 1);
        for _ in 0..survivors {
            if let Some(batch) = state.waiting.pop_front() {
                state.settle(&batch);
            }
        }
        state.waiting.clear();
        state.submitted = 0;
        state.visible = state.synced.clone();
    }

    /// What would be read of a key after a crash that loses all that is not synced.
    pub fn synced_value(&self, key: &[u8]) -> Option<Bytes> {
        self.state.borrow().synced.get(key).cloned()
    }

    /// What the newest batches say of a key, whether or not its record can be read at present.
    pub fn visible_value(&self, key: &[u8]) -> Option<Bytes> {
        self.state.borrow().visible.get(key).cloned()
    }

    /// All that would be read after a crash, under a prefix.
    pub fn synced_entries(&self, prefix: &[u8]) -> Vec<(Bytes, Bytes)> {
        let state = self.state.borrow();
        under(&state.synced, prefix, None).map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// What the newest batches say under a prefix, whether or not the records can be read at present.
    pub fn visible_entries(&self, prefix: &[u8]) -> Vec<(Bytes, Bytes)> {
        let state = self.state.borrow();
        under(&state.visible, prefix, None).map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// Makes the record of a key unreadable until it is written anew or mended.
    pub fn damage(&self, key: Bytes) {
        self.state.borrow_mut().damaged.insert(key);
    }

    /// Whether a read of this key would fail now.
    pub fn is_damaged(&self, key: &[u8]) -> bool {
        self.state.borrow().check(key).is_err()
    }

    /// Whether the disk has lost what it held of this container's record, or would after a crash, and it is not healed: the record
    /// is damaged, or a mark says that it was.
    pub fn is_troubled(&self, record: &Bytes) -> bool {
        let state = self.state.borrow();
        let mark = mark_of(record);
        state.damaged.contains(record)
            || mark.is_some_and(|mark| state.synced.contains_key(&mark) || state.visible.contains_key(&mark))
    }

    /// Whether a mark says that this container's record was damaged.
    pub fn is_marked(&self, record: &Bytes) -> bool {
        mark_of(record).is_some_and(|mark| self.state.borrow().visible.contains_key(&mark))
    }

    /// The marks of all holes.
    pub fn marks(&self) -> Vec<Bytes> {
        let state = self.state.borrow();
        under(&state.visible, keys::HOLES, None).map(|(mark, _)| mark.clone()).collect()
    }

    /// What was synced of a container and then lost with its record, while that is not healed.
    pub fn lost_values(&self, record: &[u8]) -> Vec<Bytes> {
        self.state.borrow().lost.get(record).cloned().unwrap_or_default()
    }

    /// With a full disk no batch is taken.
    pub fn set_full(&self, full: bool) {
        self.state.borrow_mut().full = full;
    }
}

impl State {
    fn durable(&self) -> u64 {
        self.submitted - self.waiting.len() as u64
    }

    /// A batch comes to the disk.
    fn settle(&mut self, batch: &[StoreOp]) {
        for op in batch {
            if let Some(key) = keys::key_of(op.key()).filter(|_| op.key().starts_with(keys::HOLES)) {
                let record = keys::data(key.partition, key.bucket, &key.key);
                match op {
                    StoreOp::Put { .. } => {
                        let held = self.synced.get(&record).cloned();
                        self.lost.entry(record).or_default().extend(held);
                    }
                    StoreOp::Delete { .. } => drop(self.lost.remove(&record)),
                }
            }
            self.damaged.remove(op.key());
        }
        self.settled += 1;
        apply(&mut self.synced, batch);
    }

    fn check(&self, key: &[u8]) -> Result<(), StoreError> {
        // What is not yet synced is read from memory.
        let replaced = || self.waiting.iter().flatten().any(|op| op.key() == key);
        if self.damaged.contains(key) && !replaced() {
            return Err(StoreError::Corrupt {
                key: Bytes::copy_from_slice(key),
                detail: "the simulated disk gives it back altered".into(),
            });
        }
        Ok(())
    }
}

impl Store for SimDisk {
    fn submit(&self, batch: &[StoreOp]) -> Result<CommitNumber, StoreError> {
        let mut state = self.state.borrow_mut();
        if state.full {
            return Err(StoreError::Full { detail: "the simulated disk has no room".into() });
        }
        apply(&mut state.visible, batch);
        state.waiting.push_back(batch.to_vec());
        state.submitted += 1;
        Ok(CommitNumber(state.submitted))
    }

    fn durable(&self) -> CommitNumber {
        CommitNumber(self.state.borrow().durable())
    }

    fn sequence(&self) -> Sequence {
        Sequence(self.state.borrow().settled)
    }

    fn wait_durable(&self, number: CommitNumber) -> Result<(), StoreError> {
        self.sync(number);
        Ok(())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let state = self.state.borrow();
        state.check(key)?;
        Ok(state.visible.get(key).cloned())
    }

    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        entries_max: usize,
        bytes_max: usize,
    ) -> Result<ScanPage, StoreError> {
        let state = self.state.borrow();
        let mut page = ScanPage::default();
        let mut bytes = 0;
        for (key, value) in under(&state.visible, prefix, after) {
            let entries = page.entries.len() + page.damaged.len();
            if entries >= entries_max || (entries > 0 && bytes > bytes_max) {
                page.more = true;
                break;
            }
            if state.check(key).is_err() {
                page.damaged.push(key.clone());
                continue;
            }
            bytes += key.len() + value.len();
            page.entries.push((key.clone(), value.clone()));
        }
        Ok(page)
    }

    fn checkpoint(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

fn apply(map: &mut BTreeMap<Bytes, Bytes>, batch: &[StoreOp]) {
    for op in batch {
        match op {
            StoreOp::Put { key, value } => {
                map.insert(key.clone(), value.clone());
            }
            StoreOp::Delete { key } => {
                map.remove(key);
            }
        }
    }
}

/// Where the mark of a container's record would be.
fn mark_of(record: &Bytes) -> Option<Bytes> {
    keys::key_of(record).map(|key| keys::hole(&key))
}

fn under<'a>(
    map: &'a BTreeMap<Bytes, Bytes>,
    prefix: &'a [u8],
    after: Option<&'a [u8]>,
) -> impl Iterator<Item = (&'a Bytes, &'a Bytes)> {
    let from = match after {
        Some(after) if after >= prefix => Bound::Excluded(after),
        _ => Bound::Included(prefix),
    };
    map.range::<[u8], _>((from, Bound::Unbounded)).take_while(move |(key, _)| key.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use quorate_protocol::id::{BucketId, PartitionId};

    use super::*;

    fn put(key: &'static str, value: &'static str) -> StoreOp {
        StoreOp::Put { key: Bytes::from_static(key.as_bytes()), value: Bytes::from_static(value.as_bytes()) }
    }

    #[test]
    fn a_crash_keeps_what_is_synced_and_whole_batches_in_order() {
        let mut lost = 0;
        for seed in 0..50 {
            let disk = SimDisk::default();
            for value in ["1", "2", "3", "4"] {
                disk.submit(&[put("a", value), put("b", value)]).expect("there is room");
            }
            disk.sync(CommitNumber(2));
            disk.crash(&mut SimRng::new(seed, 0));
            let a = disk.get(b"a").expect("the record is whole");
            assert_eq!(a, disk.get(b"b").expect("the record is whole"));
            let survived: u64 = std::str::from_utf8(&a.expect("two batches were synced"))
                .expect("digits were written")
                .parse()
                .expect("digits were written");
            assert!(survived >= 2);
            lost += 4 - survived;
        }
        assert!(lost > 0, "some crash loses something");
    }

    #[test]
    fn damage_hides_a_record_until_another_has_taken_its_place_on_the_disk() {
        let disk = SimDisk::default();
        let first = disk.submit(&[put("a", "1"), put("b", "1")]).expect("there is room");
        disk.sync(first);
        disk.damage(Bytes::from_static(b"a"));
        assert!(matches!(disk.get(b"a"), Err(StoreError::Corrupt { .. })));
        assert!(disk.get(b"b").is_ok());
        let page = disk.scan(b"", None, 10, 1000).expect("damage does not end a scan");
        assert_eq!((page.entries.len(), &page.damaged[..]), (1, &[Bytes::from_static(b"a")][..]));
        disk.submit(&[put("a", "2")]).expect("there is room");
        assert_eq!(disk.get(b"a"), Ok(Some(Bytes::from_static(b"2"))));
        // A crash that loses the new record brings the damaged one back.
        let mut crashes = (0..50).map(|seed| {
            let other = SimDisk::default();
            let first = other.submit(&[put("a", "1")]).expect("there is room");
            other.sync(first);
            other.damage(Bytes::from_static(b"a"));
            other.submit(&[put("a", "2")]).expect("there is room");
            other.crash(&mut SimRng::new(seed, 0));
            other.is_damaged(b"a")
        });
        assert!(crashes.any(|damaged| damaged));
    }

    #[test]
    fn what_a_marked_record_held_is_remembered_until_the_mark_goes() {
        let disk = SimDisk::default();
        let record = keys::data(PartitionId(1), BucketId(2), b"k");
        let mark = keys::key_of(&record).map(|key| keys::hole(&key)).expect("it is a container's");
        let (old, new) = (Bytes::from_static(b"old"), Bytes::from_static(b"new"));
        let commit = |batch: &[StoreOp]| {
            let number = disk.submit(batch).expect("there is room");
            disk.sync(number);
        };
        commit(&[StoreOp::Put { key: record.clone(), value: old.clone() }]);
        disk.damage(record.clone());
        assert!(disk.is_troubled(&record) && !disk.is_marked(&record));
        let drop_record = StoreOp::Delete { key: record.clone() };
        commit(&[StoreOp::Put { key: mark.clone(), value: Bytes::new() }, drop_record]);
        commit(&[StoreOp::Put { key: record.clone(), value: new }]);
        assert!(disk.is_troubled(&record) && disk.is_marked(&record));
        assert_eq!(disk.lost_values(&record), [old]);
        commit(&[StoreOp::Delete { key: mark }]);
        assert!(!disk.is_troubled(&record) && disk.lost_values(&record).is_empty());
    }

    #[test]
    fn a_full_disk_takes_nothing_and_can_be_read() {
        let disk = SimDisk::default();
        disk.submit(&[put("a", "1")]).expect("there is room");
        disk.set_full(true);
        assert!(matches!(disk.submit(&[put("a", "2")]), Err(StoreError::Full { .. })));
        assert_eq!(disk.get(b"a"), Ok(Some(Bytes::from_static(b"1"))));
        disk.set_full(false);
        assert_eq!(disk.submit(&[put("a", "2")]), Ok(CommitNumber(2)));
    }
}
