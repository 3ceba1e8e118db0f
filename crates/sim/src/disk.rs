//! The in-memory [`Store`] with a simulated disk: what was submitted, what of it is synced, and what a crash leaves.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

use bytes::Bytes;
use quorate_protocol::store::{CommitNumber, ScanPage, Store, StoreError, StoreOp};

use crate::rng::SimRng;

/// One node's disk. Batches wait in memory until they are synced, in order; reads see them at once.
#[derive(Debug, Default)]
pub struct SimDisk {
    state: RefCell<State>,
}

#[derive(Debug, Default)]
struct State {
    synced: BTreeMap<Bytes, Bytes>,
    /// The synced state with all waiting batches applied.
    visible: BTreeMap<Bytes, Bytes>,
    /// Not yet synced, oldest first; the last one has the number `submitted`.
    waiting: VecDeque<Vec<StoreOp>>,
    submitted: u64,
    /// Records that cannot be read at present.
    damaged: BTreeSet<Bytes>,
    full: bool,
}

impl SimDisk {
    /// Makes all batches up to this number durable; returns whether that was news.
    pub fn sync(&self, up_to: CommitNumber) -> bool {
        let mut state = self.state.borrow_mut();
        let mut news = false;
        while state.durable() < up_to.0 {
            let Some(batch) = state.waiting.pop_front() else { break };
            apply(&mut state.synced, &batch);
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
                apply(&mut state.synced, &batch);
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

    /// All records can be read again.
    pub fn mend(&self) {
        self.state.borrow_mut().damaged.clear();
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

    fn check(&self, key: &[u8]) -> Result<(), StoreError> {
        if self.damaged.contains(key) {
            return Err(StoreError::Corrupt {
                key: Bytes::copy_from_slice(key),
                detail: "the simulated disk gives it back altered".into(),
            });
        }
        Ok(())
    }
}

impl Store for SimDisk {
    fn submit(&self, batch: Vec<StoreOp>) -> Result<CommitNumber, StoreError> {
        let mut state = self.state.borrow_mut();
        if state.full {
            return Err(StoreError::Full { detail: "the simulated disk has no room".into() });
        }
        for op in &batch {
            state.damaged.remove(op.key());
        }
        apply(&mut state.visible, &batch);
        state.waiting.push_back(batch);
        state.submitted += 1;
        Ok(CommitNumber(state.submitted))
    }

    fn durable(&self) -> CommitNumber {
        CommitNumber(self.state.borrow().durable())
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
            if page.entries.len() >= entries_max || (!page.entries.is_empty() && bytes > bytes_max) {
                page.more = true;
                break;
            }
            state.check(key)?;
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
                disk.submit(vec![put("a", value), put("b", value)]).expect("there is room");
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
    fn damage_hides_a_record_until_it_is_written_anew() {
        let disk = SimDisk::default();
        disk.submit(vec![put("a", "1"), put("b", "1")]).expect("there is room");
        disk.damage(Bytes::from_static(b"a"));
        assert!(matches!(disk.get(b"a"), Err(StoreError::Corrupt { .. })));
        assert!(disk.get(b"b").is_ok());
        assert!(disk.scan(b"", None, 10, 1000).is_err());
        disk.submit(vec![put("a", "2")]).expect("there is room");
        assert_eq!(disk.get(b"a"), Ok(Some(Bytes::from_static(b"2"))));
        disk.damage(Bytes::from_static(b"b"));
        disk.mend();
        assert!(disk.get(b"b").is_ok());
    }

    #[test]
    fn a_full_disk_takes_nothing_and_can_be_read() {
        let disk = SimDisk::default();
        disk.submit(vec![put("a", "1")]).expect("there is room");
        disk.set_full(true);
        assert!(matches!(disk.submit(vec![put("a", "2")]), Err(StoreError::Full { .. })));
        assert_eq!(disk.get(b"a"), Ok(Some(Bytes::from_static(b"1"))));
        disk.set_full(false);
        assert_eq!(disk.submit(vec![put("a", "2")]), Ok(CommitNumber(2)));
    }
}
