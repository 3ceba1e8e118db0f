//! Sled, holding what has left the log: one tree with our own checksums, chunks for long values, and a mark of how far the
//! log has been taken in.

mod files;
mod keys;
mod value;

use std::ops::Bound;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use quorate_protocol::store::StoreError;

use crate::key::Key;
use value::Stored;

pub(crate) use value::CHUNK_BYTES;

/// What a read of sled found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Absent,
    Value(Bytes),
    /// The chunks of a long value were replaced while they were read: read again, the memtable first.
    Moved,
}

/// Sled.
pub(crate) struct Base {
    db: sled::Db,
    directory: PathBuf,
    /// Bytes of keys and values that are not deleted. Exact but for what a crash lost of its bookkeeping.
    live_bytes: AtomicI64,
}

impl Base {
    /// The value of a key, verified.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Found, StoreError> {
        match self.db.get(keys::data(key)).map_err(|error| read_error(key, &error))? {
            None => Ok(Found::Absent),
            Some(stored) => self.resolve(key, &stored),
        }
    }

    /// Stored entries from here on, in key order.
    pub(crate) fn range(
        &self,
        from: Bound<&[u8]>,
    ) -> impl Iterator<Item = Result<(Key, sled::IVec), StoreError>> {
        let from = match from {
            Bound::Included(key) => Bound::Included(keys::data(key)),
            Bound::Excluded(key) => Bound::Excluded(keys::data(key)),
            Bound::Unbounded => Bound::Included(keys::data(b"")),
        };
        let near = match &from {
            Bound::Included(key) | Bound::Excluded(key) => key[1..].to_vec(),
            Bound::Unbounded => Vec::new(),
        };
        self.db.range((from, Bound::Unbounded)).map(move |entry| match entry {
            Ok((key, stored)) => Ok((Key::from(keys::of_data(&key)), stored)),
            Err(error) => Err(read_error(&near, &error)),
        })
    }

    /// The value behind what [`range`](Self::range) or sled returned for a key, verified.
    pub(crate) fn resolve(&self, key: &[u8], stored: &[u8]) -> Result<Found, StoreError> {
        let damaged = |detail: String| StoreError::Corrupt { key: Bytes::copy_from_slice(key), detail };
        match value::read(key, stored).map_err(damaged)? {
            Stored::Inline(value) => Ok(Found::Value(Bytes::copy_from_slice(value))),
            Stored::Chunked(manifest) => {
                // Grows as chunks arrive: the length is not believed before they are there.
                let mut value = Vec::new();
                for index in 0..manifest.chunks() {
                    let chunk_key = keys::chunk(key, manifest.slot, index);
                    let chunk = self.db.get(&chunk_key).map_err(|error| read_error(key, &error))?;
                    let part = chunk.as_deref().and_then(|chunk| value::read_chunk(&chunk_key, chunk));
                    match part {
                        Some(part) => value.extend_from_slice(part),
                        None => return self.missing_chunk(key, stored, index),
                    }
                }
                if value.len() as u64 != manifest.value_bytes {
                    return Err(damaged("its chunks do not add up to its length".into()));
                }
                Ok(Found::Value(Bytes::from(value)))
            }
        }
    }

    /// Sets a key. With `leftovers`, also removes chunks that an interrupted earlier attempt at this or another change
    /// of the key may have left; needed when changes are taken from the log after a crash.
    pub(crate) fn put(
        &self,
        key: &[u8],
        value: &[u8],
        leftovers: bool,
        scratch: &mut Scratch,
    ) -> sled::Result<()> {
        keys::write_data(&mut scratch.key, key);
        let mut old_slot = None;
        if value.len() > CHUNK_BYTES {
            old_slot = self.db.get(&scratch.key)?.and_then(|stored| value::slot(&stored));
            let slot = old_slot.map_or(0, |slot| 1 - slot);
            self.remove_chunks(key, Some(slot))?;
            for (index, part) in (0u32..).zip(value.chunks(CHUNK_BYTES)) {
                let chunk_key = keys::chunk(key, slot, index);
                let chunk = value::chunk(&chunk_key, part);
                self.db.insert(chunk_key, chunk)?;
            }
            value::write_manifest(&mut scratch.value, key, value.len() as u64, slot);
        } else {
            value::write_inline(&mut scratch.value, key, value);
        }
        let before = self.db.insert(&scratch.key, &scratch.value[..])?;
        let before_bytes = before.as_deref().map_or(0, |stored| live_bytes(key, stored));
        let after_bytes = (key.len() + value.len()) as i64;
        self.live_bytes.fetch_add(after_bytes - before_bytes, Ordering::Relaxed);
        if value.len() <= CHUNK_BYTES {
            if leftovers || before.as_deref().is_some_and(|stored| value::slot(stored).is_some()) {
                self.remove_chunks(key, None)?;
            }
        } else if let Some(slot) = old_slot {
            self.remove_chunks(key, Some(slot))?;
        } else if leftovers {
            self.remove_chunks(key, Some(1))?;
        }
        Ok(())
    }

    /// Removes a key; see [`put`](Self::put) for `leftovers`.
    pub(crate) fn delete(&self, key: &[u8], leftovers: bool, scratch: &mut Scratch) -> sled::Result<()> {
        keys::write_data(&mut scratch.key, key);
        let before = self.db.remove(&scratch.key)?;
        if let Some(stored) = before.as_deref() {
            self.live_bytes.fetch_sub(live_bytes(key, stored), Ordering::Relaxed);
        }
        if leftovers || before.as_deref().is_some_and(|stored| value::slot(stored).is_some()) {
            self.remove_chunks(key, None)?;
        }
        Ok(())
    }

    /// Copies what is stored for a key as it is, damage included, from another sled. Returns how many bytes that was.
    pub(crate) fn copy_from(&self, other: &Base, key: &[u8], stored: &sled::IVec) -> sled::Result<usize> {
        if let Some(slot) = value::slot(stored) {
            for entry in other.db.scan_prefix(keys::chunks(key, Some(slot))) {
                let (chunk_key, chunk) = entry?;
                self.db.insert(chunk_key, chunk)?;
            }
        }
        self.db.insert(keys::data(key), stored)?;
        let bytes = live_bytes(key, stored);
        self.live_bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(usize::try_from(bytes).unwrap_or(0))
    }

    /// Alters a byte in the middle of what is stored for a key, beneath our checksum; returns whether there is anything.
    pub(crate) fn alter(&self, key: &[u8]) -> sled::Result<bool> {
        let Some(stored) = self.db.get(keys::data(key))? else { return Ok(false) };
        let chunk = value::slot(&stored).map(|slot| keys::chunk(key, slot, 0));
        let at = chunk.unwrap_or_else(|| keys::data(key));
        let mut bytes = self.db.get(&at)?.unwrap_or(stored).to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
        self.db.insert(at, bytes)?;
        Ok(true)
    }

    /// Whether any value is chunked.
    pub(crate) fn has_chunks(&self) -> sled::Result<bool> {
        self.db.scan_prefix(keys::ALL_CHUNKS).next().transpose().map(|found| found.is_some())
    }

    fn missing_chunk(&self, key: &[u8], stored: &[u8], index: u32) -> Result<Found, StoreError> {
        let now = self.db.get(keys::data(key)).map_err(|error| read_error(key, &error))?;
        if now.as_deref() != Some(stored) {
            return Ok(Found::Moved);
        }
        let detail = format!("chunk {index} of its value is missing or fails its checksum");
        Err(StoreError::Corrupt { key: Bytes::copy_from_slice(key), detail })
    }

    fn remove_chunks(&self, key: &[u8], slot: Option<u8>) -> sled::Result<()> {
        for chunk_key in self.db.scan_prefix(keys::chunks(key, slot)).keys() {
            self.db.remove(chunk_key?)?;
        }
        Ok(())
    }
}

/// Buffers that one writer uses again and again.
#[derive(Default)]
pub(crate) struct Scratch {
    key: Vec<u8>,
    value: Vec<u8>,
}

fn live_bytes(key: &[u8], stored: &[u8]) -> i64 {
    (key.len() as u64).saturating_add(value::length(stored)) as i64
}

fn read_error(key: &[u8], error: &sled::Error) -> StoreError {
    match error {
        sled::Error::Corruption { .. } => {
            StoreError::Corrupt { key: Bytes::copy_from_slice(key), detail: format!("sled: {error}") }
        }
        _ => StoreError::Failed { detail: format!("reading from sled: {error}") },
    }
}
