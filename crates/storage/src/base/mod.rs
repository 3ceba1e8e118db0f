//! Sled, the index: for each key the place of its newest record in the value files, and a mark of how far the log has been taken in.
//!
//! Nothing here is more than an index: any error of sled but want of space, and any panic (it meets some kinds of damage with one),
//! means that it is dropped and built anew from the value files. So there is one kind of error, [`IndexError`].
//!
//! * `files`: opening, syncing and measuring sled's files.
//! * `keys`: keys within sled.

mod files;
mod keys;

use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use crate::disk::is_no_space;
use crate::key::Key;
use crate::values::entry::Entry;

pub(crate) use files::CACHE_BYTES_MIN;

/// Sled cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IndexError {
    pub(crate) detail: String,
    /// Whether what it holds is not to be trusted any more.
    pub(crate) is_damage: bool,
}

impl IndexError {
    /// Damage, or what has to be taken for it.
    pub(crate) fn damage(detail: String) -> Self {
        Self { detail, is_damage: true }
    }
}

/// Sled.
pub(crate) struct Base {
    db: sled::Db,
    directory: PathBuf,
}

impl Base {
    /// Where the record of a key is.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Entry>, IndexError> {
        let stored = self.guarded(|| self.db.get(keys::data(key)))?;
        stored.map(|stored| self.decode(key, &stored)).transpose()
    }

    /// Entries from here on, in key order. Ends after an error.
    pub(crate) fn range(&self, from: Bound<&[u8]>) -> impl Iterator<Item = Result<(Key, Entry), IndexError>> {
        let from = match from {
            Bound::Included(key) => Bound::Included(keys::data(key)),
            Bound::Excluded(key) => Bound::Excluded(keys::data(key)),
            Bound::Unbounded => Bound::Included(keys::data(b"")),
        };
        let mut entries = Some(self.db.range((from, Bound::Unbounded)));
        std::iter::from_fn(move || {
            let next = self.guarded(|| entries.as_mut().and_then(Iterator::next).transpose());
            let decoded = next.and_then(|next| {
                let Some((stored_key, stored)) = next else { return Ok(None) };
                let key = keys::of_data(&stored_key).ok_or_else(|| self.error("a key is not one of ours"))?;
                Ok(Some((Key::from(key), self.decode(key, &stored)?)))
            });
            if decoded.is_err() {
                entries = None;
            }
            decoded.transpose()
        })
    }

    /// Sets the place of a key; returns where it was.
    pub(crate) fn put(&self, key: &[u8], entry: &Entry) -> Result<Option<Entry>, IndexError> {
        let stored = entry.encode(key);
        let before = self.guarded(|| self.db.insert(keys::data(key), &stored))?;
        before.map(|before| self.decode(key, &before)).transpose()
    }

    /// Removes a key; returns where it was.
    pub(crate) fn delete(&self, key: &[u8]) -> Result<Option<Entry>, IndexError> {
        let before = self.guarded(|| self.db.remove(keys::data(key)))?;
        before.map(|before| self.decode(key, &before)).transpose()
    }

    fn decode(&self, key: &[u8], stored: &[u8]) -> Result<Entry, IndexError> {
        Entry::decode(key, stored)
            .ok_or_else(|| self.error(&format!("the entry of key {} is damaged", key.escape_ascii())))
    }

    fn guarded<T>(&self, work: impl FnOnce() -> sled::Result<T>) -> Result<T, IndexError> {
        match catch_unwind(AssertUnwindSafe(work)) {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => {
                let is_damage = !matches!(&error, sled::Error::Io(error) if is_no_space(error));
                Err(IndexError { is_damage, ..self.error(&format!("sled: {error}")) })
            }
            Err(_) => Err(self.error("sled panicked")),
        }
    }

    fn error(&self, detail: &str) -> IndexError {
        IndexError::damage(format!("the index in {}: {detail}", self.directory.display()))
    }
}
