//! What the store keeps account of: the value files, how much of each is live, and how many keys there are.
//!
//! Files, their extents and their tombstones stand in each checkpoint. How much is live is counted anew after every opening, by
//! the thread that changes it, a slice of the index at a time (`count`): a crash can so leave no wrong figure behind.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::key::Key;
use crate::values::entry::{ENTRY_BYTES, Entry};

/// What a checkpoint notes of a value file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileNote {
    pub(crate) id: u32,
    /// Random, secret, part of all its checksums.
    pub(crate) salt: u64,
    /// Bytes that count. All of them are durable records; what follows is to be cut.
    pub(crate) extent: u64,
    /// No record in it was ever, or will ever be, made dead by a change up to this version.
    pub(crate) birth: u64,
    /// Bytes of records that delete keys, and the newest version among them.
    pub(crate) tombstone_bytes: u64,
    pub(crate) tombstone_version: u64,
}

impl FileNote {
    pub(crate) fn new(id: u32, salt: u64, birth: u64) -> Self {
        Self { id, salt, extent: 0, birth, tombstone_bytes: 0, tombstone_version: 0 }
    }
}

/// A value file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileState {
    pub(crate) note: FileNote,
    /// Bytes of the records that the index points to.
    pub(crate) live_bytes: u64,
}

impl FileState {
    /// Bytes of records that something newer has replaced.
    pub(crate) fn dead_bytes(&self) -> u64 {
        self.note.extent.saturating_sub(self.live_bytes).saturating_sub(self.note.tombstone_bytes)
    }
}

/// The set of keys, as a number of them and a sum of hashes: two sets that differ have, all but certainly, different sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeySet {
    pub(crate) keys: u64,
    pub(crate) hash: u64,
}

impl KeySet {
    pub(crate) fn add(&mut self, key: &[u8]) {
        self.keys = self.keys.wrapping_add(1);
        self.hash = self.hash.wrapping_add(hash(key));
    }

    fn remove(&mut self, key: &[u8]) {
        self.keys = self.keys.wrapping_sub(1);
        self.hash = self.hash.wrapping_sub(hash(key));
    }
}

/// Sums over all keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Of keys and values.
    pub(crate) live_bytes: u64,
    /// Of keys and entries in the index.
    pub(crate) index_bytes: u64,
}

impl Totals {
    pub(crate) fn add(&mut self, key: &[u8], entry: &Entry) {
        self.live_bytes = self.live_bytes.saturating_add(key.len() as u64 + u64::from(entry.value_bytes));
        self.index_bytes = self.index_bytes.saturating_add((key.len() + ENTRY_BYTES) as u64);
    }

    fn remove(&mut self, key: &[u8], entry: &Entry) {
        self.live_bytes = self.live_bytes.saturating_sub(key.len() as u64 + u64::from(entry.value_bytes));
        self.index_bytes = self.index_bytes.saturating_sub((key.len() + ENTRY_BYTES) as u64);
    }
}

/// How far the count of the index has come.
#[derive(Clone, Debug)]
enum Count {
    /// All keys up to this one are counted.
    To(Option<Key>),
    Complete,
}

/// The account.
pub(crate) struct Ledger {
    pub(crate) files: BTreeMap<u32, FileState>,
    pub(crate) next_id: u32,
    /// Approximate until the count is complete.
    pub(crate) totals: Totals,
    /// The keys that there must be, if an opening knew it.
    expected: Option<KeySet>,
    count: Count,
    counted: KeySet,
    counted_totals: Totals,
}

impl Ledger {
    pub(crate) fn new(notes: &[FileNote], next_id: u32, totals: Totals, expected: Option<KeySet>) -> Self {
        let state = |note: &FileNote| (note.id, FileState { note: *note, live_bytes: 0 });
        Self {
            files: notes.iter().map(state).collect(),
            next_id,
            totals,
            expected,
            count: Count::To(None),
            counted: KeySet::default(),
            counted_totals: Totals::default(),
        }
    }

    /// What a checkpoint is to note.
    pub(crate) fn notes(&self, leave_out: &BTreeSet<u32>) -> Vec<FileNote> {
        self.files.values().map(|file| file.note).filter(|note| !leave_out.contains(&note.id)).collect()
    }

    /// The keys that there are, once that is known.
    pub(crate) fn keys(&self) -> Option<KeySet> {
        if self.is_counted() { Some(self.counted) } else { self.expected }
    }

    /// What the opening expected does not hold: keys were changed of which it did not know the state.
    pub(crate) fn expect_nothing(&mut self) {
        self.expected = None;
    }

    pub(crate) fn is_counted(&self) -> bool {
        matches!(self.count, Count::Complete)
    }

    /// Takes note of a change of the index.
    pub(crate) fn changed(&mut self, key: &[u8], old: Option<&Entry>, new: Option<&Entry>) {
        let is_counted = match &self.count {
            Count::To(last) => last.as_ref().is_some_and(|last| *key <= **last),
            Count::Complete => true,
        };
        if let Some(old) = old {
            self.totals.remove(key, old);
            if is_counted {
                self.uncount(key, old);
            }
        }
        if let Some(new) = new {
            self.totals.add(key, new);
            if is_counted {
                self.count_one(key, new);
            }
        }
        match (old, new) {
            (None, Some(_)) => {
                self.expected.iter_mut().for_each(|expected| expected.add(key));
                if is_counted {
                    self.counted.add(key);
                }
            }
            (Some(_), None) => {
                self.expected.iter_mut().for_each(|expected| expected.remove(key));
                if is_counted {
                    self.counted.remove(key);
                }
            }
            _ => {}
        }
    }

    /// Where the count goes on; `None` when it is complete.
    pub(crate) fn count_from(&self) -> Option<Bound<Key>> {
        match &self.count {
            Count::To(None) => Some(Bound::Unbounded),
            Count::To(Some(last)) => Some(Bound::Excluded(last.clone())),
            Count::Complete => None,
        }
    }

    /// Counts the next key of the index.
    pub(crate) fn count_next(&mut self, key: Key, entry: &Entry) {
        self.count_one(&key, entry);
        self.counted.add(&key);
        self.count = Count::To(Some(key));
    }

    /// All keys are counted. The error says that keys are missing, or too many.
    pub(crate) fn finish_count(&mut self) -> Result<(), String> {
        self.count = Count::Complete;
        self.totals = self.counted_totals;
        match self.expected.take().filter(|expected| *expected != self.counted) {
            Some(expected) => Err(format!(
                "it holds {} keys, which are not the {} that the checkpoint tells of",
                self.counted.keys, expected.keys
            )),
            None => Ok(()),
        }
    }

    fn count_one(&mut self, key: &[u8], entry: &Entry) {
        self.counted_totals.add(key, entry);
        if let Some(file) = self.files.get_mut(&entry.file) {
            file.live_bytes += entry.record_bytes(key);
        }
    }

    fn uncount(&mut self, key: &[u8], entry: &Entry) {
        self.counted_totals.remove(key, entry);
        if let Some(file) = self.files.get_mut(&entry.file) {
            file.live_bytes = file.live_bytes.saturating_sub(entry.record_bytes(key));
        }
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.values().map(|file| file.note.extent).sum()
    }

    /// Deletions of this version and older ones have no record to cover in files other than these, younger ones may. What is dead in a
    /// file was made so by a change after its birth; what is not dead is what the index has.
    pub(crate) fn oldest_dead_birth(&self, but: &BTreeSet<u32>) -> u64 {
        let others = self.files.values().filter(|file| !but.contains(&file.note.id));
        others.filter(|file| file.dead_bytes() > 0).map(|file| file.note.birth).min().unwrap_or(u64::MAX)
    }
}

fn hash(key: &[u8]) -> u64 {
    let low = u64::from(crc32c::crc32c(key));
    let high = u64::from(crc32c::crc32c_append(0x9E37_79B9, key));
    let mixed = ((high << 32) | low).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9)
}
