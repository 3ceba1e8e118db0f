//! Scans: a merge of the memtable's generations and the index, the newest source of each key winning; values are read from their files.

use std::iter::Peekable;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use quorate_protocol::store::{ScanPage, StoreError};

use crate::base::Base;
use crate::batch::Change;
use crate::key::Key;
use crate::memtable::{Generation, Tables};
use crate::shared::Shared;
use crate::values::file::{Found, Window};

/// Entries of the active generation that are copied at one go, to hold its lock briefly.
const STRETCH_ENTRIES: usize = 256;

/// Entries of a generation in key order; `None` is a deletion.
type Entries<'a> = Box<dyn Iterator<Item = (&'a Key, &'a Option<Bytes>)> + 'a>;

/// A page being filled.
struct Page<'a> {
    prefix: &'a [u8],
    entries_max: usize,
    bytes_max: usize,
    bytes: usize,
    page: ScanPage,
    window: Window,
}

/// What a stretch of the merge came to.
enum Outcome {
    /// The page is full, or nothing follows.
    Done,
    /// All keys up to this one have been seen.
    SeenTo(Key),
}

impl Shared {
    /// See [`Store::scan`](quorate_protocol::store::Store::scan).
    pub(crate) fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        entries_max: usize,
        bytes_max: usize,
    ) -> Result<ScanPage, StoreError> {
        let (page, window) = (ScanPage::default(), Window::default());
        let mut page = Page { prefix, entries_max, bytes_max, bytes: 0, page, window };
        let mut from = match after {
            Some(after) if after >= prefix => Bound::Excluded(Key::from(after)),
            _ => Bound::Included(Key::from(prefix)),
        };
        loop {
            let bound = match &from {
                Bound::Included(key) => Bound::Included(&key[..]),
                Bound::Excluded(key) => Bound::Excluded(&key[..]),
                Bound::Unbounded => Bound::Unbounded,
            };
            let stretch = Stretch::take(&self.tables.read(), bound, prefix);
            match stretch.merge(self, bound, &mut page)? {
                Outcome::Done => return Ok(page.page),
                Outcome::SeenTo(key) => from = Bound::Excluded(key),
            }
        }
    }
}

impl Page<'_> {
    fn add(&mut self, key: &Key, value: Bytes) {
        self.bytes += key.len() + value.len();
        self.page.entries.push((key.to_bytes(), value));
    }

    fn add_damaged(&mut self, key: &Key) {
        self.bytes += key.len();
        self.page.damaged.push(key.to_bytes());
    }

    fn is_full(&self) -> bool {
        let entries = self.page.entries.len() + self.page.damaged.len();
        entries >= self.entries_max || (entries > 0 && self.bytes > self.bytes_max)
    }
}

/// Everything that is needed to merge a stretch of keys, taken under one lock.
struct Stretch {
    active: Vec<Change>,
    /// The last key up to which `active` is complete, if it is not to the prefix's end.
    ends_at: Option<Key>,
    /// Newest first.
    frozen: Vec<Arc<Generation>>,
    base: Arc<Base>,
}

impl Stretch {
    fn take(tables: &Tables, from: Bound<&[u8]>, prefix: &[u8]) -> Self {
        let active: Vec<_> = tables
            .active
            .range(from)
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(STRETCH_ENTRIES)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let is_cut = active.len() == STRETCH_ENTRIES;
        let ends_at = active.last().filter(|_| is_cut).map(|(key, _)| key.clone());
        let frozen = tables.frozen.iter().rev().map(Arc::clone).collect();
        Self { active, ends_at, frozen, base: Arc::clone(&tables.base) }
    }

    fn merge(&self, shared: &Shared, from: Bound<&[u8]>, page: &mut Page<'_>) -> Result<Outcome, StoreError> {
        let mut generations: Vec<Peekable<Entries<'_>>> = Vec::new();
        let active: Entries<'_> = Box::new(self.active.iter().map(|(key, value)| (key, value)));
        generations.push(active.peekable());
        for generation in &self.frozen {
            let entries: Entries<'_> = Box::new(generation.range(from));
            generations.push(entries.peekable());
        }
        let mut base = self.base.range(from).peekable();
        loop {
            let in_memory =
                generations.iter_mut().filter_map(|entries| entries.peek().map(|(key, _)| *key)).min();
            let in_base = match base.peek() {
                Some(Ok((key, _))) => Some(key),
                Some(Err(error)) => return Err(shared.fail_index(error)),
                None => None,
            };
            let next = [in_memory, in_base].into_iter().flatten().min();
            let Some(key) = next.filter(|key| key.starts_with(page.prefix)).cloned() else {
                return Ok(self.ends_at.clone().map_or(Outcome::Done, Outcome::SeenTo));
            };
            if let Some(end) = self.ends_at.as_ref().filter(|end| key > **end) {
                return Ok(Outcome::SeenTo(end.clone()));
            }
            let stored = base.next_if(|entry| entry.as_ref().is_ok_and(|(base_key, _)| *base_key == key));
            let mut newest: Option<Option<Bytes>> = None;
            for entries in &mut generations {
                if let Some((_, value)) = entries.next_if(|(entry_key, _)| **entry_key == key) {
                    newest.get_or_insert_with(|| value.clone());
                }
            }
            let is_full = page.is_full();
            let value = match (newest, stored) {
                (Some(value), _) => value,
                // Whether it can be read is for the page that has room for it to find out.
                (None, Some(_)) if is_full => Some(Bytes::new()),
                (None, Some(Ok((_, entry)))) => match page.window.read(&shared.values, &key, &entry) {
                    Found::Value(value) => Some(value),
                    // What is not there as the index has it may have changed since.
                    _ => match shared.get(&key) {
                        Ok(value) => value,
                        Err(StoreError::Corrupt { .. }) => {
                            page.add_damaged(&key);
                            continue;
                        }
                        Err(error) => return Err(error),
                    },
                },
                (None, Some(Err(error))) => return Err(shared.fail_index(&error)),
                (None, None) => None,
            };
            match value {
                Some(_) if is_full => {
                    page.page.more = true;
                    return Ok(Outcome::Done);
                }
                Some(value) => page.add(&key, value),
                None => {}
            }
        }
    }
}
