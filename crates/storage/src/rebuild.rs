//! Builds the index anew from the value files, when sled's own files are not to be trusted.
//!
//! What the last checkpoint lists is all there was at that checkpoint; what came after is in the log, which is taken in afterwards.
//! For each key the record of the highest version counts. Deletions stand in the new index, too, until all files have been read.
//!
//! A value that cannot be read is no matter here: its record tells the key, and whoever reads it hears of the damage. Where the head
//! of a record is damaged as well, nobody knows any more which key is lost: the directory cannot be trusted then, and is refused.

use std::ops::Bound;

use crate::base::{Base, IndexError};
use crate::checkpoint_file::Checkpoint;
use crate::directory::Directory;
use crate::error::{OpenError, io_error};
use crate::hooks::{Rebuilding, StoreObserver};
use crate::key::Key;
use crate::options::StoreOptions;
use crate::values::entry::Entry;
use crate::values::file::Values;
use crate::values::ledger::{FileNote, KeySet, Totals};
use crate::values::record::Kind;
use crate::values::walk::{Step, Walk};

/// Deletions that are taken out at one go.
const SLICE_KEYS: usize = 1000;

/// Builds the index in a directory of its own, and makes a checkpoint that names it. Returns that.
pub(crate) fn rebuild(
    directory: &Directory,
    values: &Values,
    checkpoint: &Checkpoint,
    options: &StoreOptions,
    observer: &dyn StoreObserver,
    reason: &IndexError,
) -> Result<Checkpoint, OpenError> {
    let disk = values.disk();
    let base_id = checkpoint.base_id + 1;
    let path = directory.base(base_id);
    let unusable = |error: IndexError| OpenError::Base { directory: path.clone(), detail: error.detail };
    if disk.list(&path).is_ok() {
        disk.remove_dir(&path).map_err(io_error("remove", &path))?;
    }
    let base = Base::open(disk, &path, options.cache_bytes).map_err(unusable)?;
    let mut progress =
        Rebuilding { reason: &reason.detail, files: checkpoint.files.len(), files_done: 0, records: 0 };
    observer.rebuilding(&progress);
    for note in &checkpoint.files {
        progress.records += take_file(values, note, &base, &unusable)?;
        progress.files_done += 1;
        observer.rebuilding(&progress);
    }
    let (keys, totals) = finish(&base).map_err(unusable)?;
    if let Some(expected) = checkpoint.keys.filter(|expected| *expected != keys) {
        let detail = format!(
            "they hold {} keys, which are not the {} that the checkpoint tells of",
            keys.keys, expected.keys
        );
        return Err(OpenError::Damaged { file: values.directory().to_path_buf(), offset: 0, detail });
    }
    base.flush(checkpoint.sequence).map_err(unusable)?;
    base.sync(disk).map_err(|detail| unusable(IndexError::damage(detail)))?;
    let rebuilt =
        Checkpoint { serial: checkpoint.serial + 1, base_id, totals, keys: Some(keys), ..checkpoint.clone() };
    directory.write_checkpoint(disk, &rebuilt).map_err(io_error("write CHECKPOINT in", directory.root()))?;
    directory.forget_rebuild(disk)?;
    Ok(rebuilt)
}

/// Takes a file's records into the index. Returns how many.
fn take_file(
    values: &Values,
    note: &FileNote,
    base: &Base,
    unusable: &dyn Fn(IndexError) -> OpenError,
) -> Result<u64, OpenError> {
    let path = values.path(note.id);
    let damaged = |offset: u64, detail: String| OpenError::Damaged { file: path.clone(), offset, detail };
    let (file, salt) = values
        .open(note.id)
        .map_err(io_error("open", &path))?
        .ok_or_else(|| damaged(0, "it is missing, and so is the index that would tell its keys".into()))?;
    let mut walk = Walk::new(file, salt, note.extent);
    let mut records = 0;
    loop {
        match walk.step() {
            Step::End => return Ok(records),
            Step::Unreadable { from, to } => {
                let detail = format!(
                    "{} bytes cannot be read, and the index that would tell their keys is damaged as well",
                    to - from
                );
                return Err(damaged(from, detail));
            }
            Step::Record { at, header, key, whole, .. } => {
                records += 1;
                let before = base.get(key).map_err(unusable)?;
                let is_newer = before.is_none_or(|before| {
                    // A compaction leaves two copies for a while: one that can be read is better.
                    before.version < header.version || (before.version == header.version && whole)
                });
                if is_newer {
                    let entry = Entry {
                        file: note.id,
                        // Files are far shorter than 4 GiB.
                        offset: at as u32,
                        kind: header.kind,
                        value_bytes: header.value_bytes,
                        version: header.version,
                    };
                    base.put(key, &entry).map_err(unusable)?;
                }
            }
        }
    }
}

/// Takes the deletions out, and counts what is left.
fn finish(base: &Base) -> Result<(KeySet, Totals), IndexError> {
    let (mut keys, mut totals) = (KeySet::default(), Totals::default());
    let mut last: Option<Key> = None;
    loop {
        let from = last.clone();
        let from = from.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let slice: Vec<_> = base.range(from).take(SLICE_KEYS).collect::<Result<_, _>>()?;
        let is_last = slice.len() < SLICE_KEYS;
        for (key, entry) in slice {
            if entry.kind == Kind::Delete {
                base.delete(&key)?;
            } else {
                keys.add(&key);
                totals.add(&key, &entry);
            }
            last = Some(key);
        }
        if is_last {
            return Ok((keys, totals));
        }
    }
}
