//! What an opening makes good: value files are cut to what counts, the log's rest is taken in, and the index is built anew if it, or
//! what is made of it meanwhile, shows damage.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::base::{Base, IndexError};
use crate::batch::{Logged, OP_OVERHEAD_BYTES};
use crate::checkpoint_file::Checkpoint;
use crate::directory::Directory;
use crate::disk::Disk;
use crate::error::{OpenError, io_error};
use crate::hooks::StoreObserver;
use crate::key::Key;
use crate::log::replay::{Replayed, replay};
use crate::options::StoreOptions;
use crate::rebuild::rebuild;
use crate::values::file::Values;
use crate::values::keep::{Keep, KeepError, New, Run};
use crate::values::ledger::{FileNote, Ledger};
use crate::values::writer::{Active, FileWriter};

/// What an opening found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// Records of the log that the value files did not have for certain, taken in again.
    pub replayed_records: u64,
    /// Their bytes.
    pub replayed_bytes: u64,
    /// Bytes of an unfinished record that were cut off the log's end.
    pub torn_bytes: u64,
    /// Values in the log that cannot be read: their keys are damaged records.
    pub lost_values: u64,
    /// Value files that are missing or shorter than they were: reads of what was in them report damaged records.
    pub cut_files: u64,
    /// Why the index was built anew, if it was.
    pub rebuilt: Option<String>,
    /// How long the opening took.
    pub took: Duration,
}

/// A store that is whole again.
pub(crate) struct Recovered {
    pub(crate) base: Base,
    pub(crate) keep: Keep,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) replayed: Replayed,
    pub(crate) report: OpenReport,
}

/// Why an attempt did not succeed.
enum Failure {
    Index(IndexError),
    Open(OpenError),
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

pub(crate) fn recover(
    disk: Arc<dyn Disk>,
    directory: &Directory,
    mut checkpoint: Checkpoint,
    options: &StoreOptions,
    observer: &dyn StoreObserver,
) -> Result<Recovered, OpenError> {
    let mut report = OpenReport::default();
    let mut distrust = directory.rebuild_reason(disk.as_ref()).map(IndexError::damage);
    loop {
        let values = Arc::new(Values::new(Arc::clone(&disk), directory.values()));
        let whole_active = trim(&values, &checkpoint, &mut report)?;
        if let Some(reason) = distrust.take() {
            if report.rebuilt.is_some() {
                let directory = directory.base(checkpoint.base_id);
                return Err(OpenError::Base { directory, detail: reason.detail });
            }
            checkpoint = rebuild(directory, &values, &checkpoint, options, observer, &reason)?;
            report.rebuilt = Some(reason.detail);
        }
        let active = checkpoint
            .files
            .iter()
            .find(|note| Some(note.id) == whole_active && note.extent < options.value_file_bytes)
            .map(|note| {
                // What the log brings again may get lower versions than it had the first time.
                let birth = note.birth.min(checkpoint.sequence);
                FileWriter::reopen(&values, FileNote { birth, ..*note })
            })
            .transpose()
            .map_err(io_error("open a value file in", values.directory()))?;
        let keep = Keep {
            values,
            active: Active::new(active, options.value_file_bytes),
            ledger: Ledger::new(&checkpoint.files, checkpoint.next_file, checkpoint.totals, checkpoint.keys),
        };
        match attempt(disk.as_ref(), directory, &checkpoint, options, keep) {
            Ok((base, keep, replayed)) => {
                report.replayed_records = replayed.records;
                report.replayed_bytes = replayed.bytes;
                report.torn_bytes += replayed.torn_bytes;
                report.lost_values = replayed.lost_values;
                return Ok(Recovered { base, keep, checkpoint, replayed, report });
            }
            Err(Failure::Index(reason)) if reason.is_damage => distrust = Some(reason),
            Err(Failure::Index(reason)) => {
                let directory = directory.base(checkpoint.base_id);
                return Err(OpenError::Base { directory, detail: reason.detail });
            }
            Err(Failure::Open(error)) => return Err(error),
        }
    }
}

/// Opens the index and takes in the log.
fn attempt(
    disk: &dyn Disk,
    directory: &Directory,
    checkpoint: &Checkpoint,
    options: &StoreOptions,
    keep: Keep,
) -> Result<(Base, Keep, Replayed), Failure> {
    let path = directory.base(checkpoint.base_id);
    let base = Base::open(disk, &path, options.cache_bytes).map_err(Failure::Index)?;
    let mark = base.mark().map_err(Failure::Index)?;
    if mark < checkpoint.sequence {
        // Sled reads nothing beyond what it finds damaged, and says nothing of it.
        let sequence = checkpoint.sequence;
        return Err(Failure::Index(IndexError::damage(format!(
            "the index in {} has lost writes: it reaches to record {mark}, the checkpoint to {sequence}",
            path.display()
        ))));
    }
    let mut intake = Intake { base: &base, keep, options, entries: BTreeMap::new(), weight_bytes: 0 };
    let replayed = replay(disk, &directory.log(), checkpoint.sequence, |sequence, changes| {
        intake.take(sequence, changes)
    })?;
    intake.finish(replayed.last_sequence)?;
    let mut keep = intake.keep;
    if replayed.records > 0 {
        keep.ledger.expect_nothing();
    }
    Ok((base, keep, replayed))
}

/// Cuts listed files to what counts of them and removes the others. Returns the file to go on with, if it is whole.
fn trim(values: &Values, checkpoint: &Checkpoint, report: &mut OpenReport) -> Result<Option<u32>, OpenError> {
    let (disk, directory) = (values.disk(), values.directory());
    let listed: BTreeSet<_> = checkpoint.files.iter().map(|note| values.path(note.id)).collect();
    for name in disk.list(directory).map_err(io_error("list", directory))? {
        let path = directory.join(name);
        if !listed.contains(&path) {
            disk.remove(&path).map_err(io_error("remove", &path))?;
        }
    }
    report.cut_files = 0;
    let mut whole_active = None;
    for note in &checkpoint.files {
        values.add(note.id, note.salt);
        let path = values.path(note.id);
        let length = match disk.open(&path) {
            Ok(file) => cut(file.as_ref(), note.extent).map_err(io_error("cut", &path))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
            Err(error) => return Err(io_error("open", &path)(error)),
        };
        if length < note.extent {
            report.cut_files += 1;
        } else if Some(note.id) == checkpoint.active {
            whole_active = Some(note.id);
        }
    }
    Ok(whole_active)
}

fn cut(file: &dyn crate::disk::DiskFile, extent: u64) -> std::io::Result<u64> {
    let length = file.len_bytes()?;
    if length > extent {
        file.set_len(extent)?;
    }
    Ok(length)
}

/// Takes the log's changes in, sorted and coalesced as in operation.
struct Intake<'a> {
    base: &'a Base,
    keep: Keep,
    options: &'a StoreOptions,
    entries: BTreeMap<Key, Logged>,
    weight_bytes: usize,
}

impl Intake<'_> {
    fn take(&mut self, sequence: u64, changes: Vec<(Key, Logged)>) -> Result<(), Failure> {
        for (key, change) in changes {
            let value_bytes = match &change {
                Logged::Put(value) => value.len(),
                Logged::Delete | Logged::Lost => 0,
            };
            self.weight_bytes += key.len() + value_bytes + OP_OVERHEAD_BYTES;
            self.entries.insert(key, change);
        }
        let is_full = self.entries.len() >= self.options.generation_ops
            || self.weight_bytes >= self.options.generation_bytes;
        if is_full { self.finish(sequence) } else { Ok(()) }
    }

    /// Takes in what has gathered up to this record of the log.
    fn finish(&mut self, sequence: u64) -> Result<(), Failure> {
        let entries = std::mem::take(&mut self.entries);
        let changes = entries.iter().map(|(key, change)| match change {
            Logged::Put(value) => (key, New::Put(value)),
            Logged::Delete => (key, New::Delete),
            Logged::Lost => (key, New::Lost),
        });
        let run = Run { base: self.base, copy: None, version: sequence, replayed: true };
        let taken = self.keep.take(&run, changes, &mut None);
        self.weight_bytes = 0;
        let directory: &Path = self.keep.values.directory();
        taken.map_err(|error| match error {
            KeepError::Index(error) => Failure::Index(error),
            KeepError::NoSpace(source) => io_error("write a value file in", directory)(source).into(),
            KeepError::Failed(detail) => {
                io_error("write value files in", directory)(std::io::Error::other(detail)).into()
            }
        })
    }
}
