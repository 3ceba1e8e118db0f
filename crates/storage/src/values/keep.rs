//! Puts changes into value files and the index, and keeps the account of both.

use std::io;
use std::sync::Arc;

use crate::base::{Base, IndexError};
use crate::disk::is_no_space;
use crate::key::Key;
use crate::rewrite::Rewrite;
use crate::values::entry::Entry;
use crate::values::file::Values;
use crate::values::ledger::{FileState, Ledger};
use crate::values::record::Kind;
use crate::values::writer::{Active, BUFFER_BYTES};

/// Changes that go to the file, then to the index, at one go.
const PORTION_KEYS: usize = 4096;

/// What becomes of a key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum New<'a> {
    Put(&'a [u8]),
    Delete,
    /// It was put, but the log does not give the value back.
    Lost,
}

/// Why changes could not be taken in.
#[derive(Debug)]
pub(crate) enum KeepError {
    Index(IndexError),
    /// What was taken in up to here stays.
    NoSpace(io::Error),
    /// What went wrong, for good.
    Failed(String),
}

impl From<IndexError> for KeepError {
    fn from(error: IndexError) -> Self {
        Self::Index(error)
    }
}

/// The writing end of the value files. One thread has it.
pub(crate) struct Keep {
    pub(crate) values: Arc<Values>,
    pub(crate) active: Active,
    pub(crate) ledger: Ledger,
}

/// A run of changes under way.
pub(crate) struct Run<'a> {
    pub(crate) base: &'a Base,
    /// Gets the changes as well, where it has passed their keys.
    pub(crate) copy: Option<&'a Rewrite>,
    pub(crate) version: u64,
    /// Whether the index may be ahead of the value files, as after a crash: that a key is not there does not mean then that it
    /// never was.
    pub(crate) replayed: bool,
}

impl Keep {
    /// Takes in changes in key order, each key once. `last` is the last key that was taken in.
    pub(crate) fn take<'k>(
        &mut self,
        run: &Run<'_>,
        changes: impl Iterator<Item = (&'k Key, New<'k>)>,
        last: &mut Option<Key>,
    ) -> Result<(), KeepError> {
        let mut portion: Vec<(&Key, Option<Entry>)> = Vec::new();
        for (key, new) in changes {
            let writer = self
                .active
                .writer(&self.values, &mut self.ledger.next_id, run.version)
                .map_err(|error| write_error(&self.values, error))?;
            let entry = match new {
                New::Put(value) => Some(writer.push(Kind::Put, key, run.version, value)),
                New::Lost => Some(writer.push(Kind::Lost, key, run.version, &[])),
                New::Delete => {
                    if run.replayed || run.base.get(key)?.is_some() {
                        writer.push(Kind::Delete, key, run.version, &[]);
                    }
                    None
                }
            };
            portion.push((key, entry));
            if writer.buffered_bytes() >= BUFFER_BYTES || portion.len() >= PORTION_KEYS {
                self.settle(run, &mut portion, last)?;
            }
        }
        self.settle(run, &mut portion, last)
    }

    /// First the file, then the index: whoever finds an entry finds its record.
    fn settle(
        &mut self,
        run: &Run<'_>,
        portion: &mut Vec<(&Key, Option<Entry>)>,
        last: &mut Option<Key>,
    ) -> Result<(), KeepError> {
        if portion.is_empty() {
            return Ok(());
        }
        let writer = self
            .active
            .writer(&self.values, &mut self.ledger.next_id, run.version)
            .map_err(|error| write_error(&self.values, error))?;
        writer.flush().map_err(|error| write_error(&self.values, error))?;
        let note = writer.note;
        self.ledger.files.entry(note.id).or_insert(FileState { note, live_bytes: 0 }).note = note;
        for (key, entry) in portion.drain(..) {
            let old = index(run.base, key, entry.as_ref())?;
            if let Some(copy) = run.copy.filter(|copy| copy.has_passed(key)) {
                index(&copy.target, key, entry.as_ref())?;
            }
            self.ledger.changed(key, old.as_ref(), entry.as_ref());
            *last = Some(key.clone());
        }
        let path = self.values.path(note.id);
        writer.sync_portion().map_err(|error| KeepError::Failed(format!("sync {}: {error}", path.display())))
    }
}

fn index(base: &Base, key: &[u8], entry: Option<&Entry>) -> Result<Option<Entry>, IndexError> {
    match entry {
        Some(entry) => base.put(key, entry),
        None => base.delete(key),
    }
}

fn write_error(values: &Values, error: io::Error) -> KeepError {
    if is_no_space(&error) {
        return KeepError::NoSpace(error);
    }
    KeepError::Failed(format!("write a value file in {}: {error}", values.directory().display()))
}
