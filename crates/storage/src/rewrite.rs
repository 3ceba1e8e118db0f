//! Gives back the space that sled never does: copies the index into a fresh sled and puts that in the old one's place.
//!
//! The thread that applies generations also copies, a slice at a time in key order, so nothing happens in between. A
//! change to a key that was copied already goes to both; to one that was not, only to the old, to be copied with the rest.

use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::background::{Background, Trouble};
use crate::base::{Base, IndexError};
use crate::key::Key;
use crate::stats::Counters;

/// Copied at one go, so that generations and checkpoints need not wait long.
const SLICE_ENTRIES: usize = 1000;
const FRESH_PERCENT_MAX: u64 = 1000;
/// The pause after each slice is this many times as long as the slice took: space is not urgent.
const PAUSE_FACTOR: u32 = 1;

/// A rewrite under way.
pub(crate) struct Rewrite {
    pub(crate) target: Base,
    pub(crate) target_id: u64,
    progress: Progress,
}

enum Progress {
    /// All keys up to this one are copied.
    CopiedTo(Option<Key>),
    Complete,
}

impl Rewrite {
    /// Whether changes of this key must go to the copy as well.
    pub(crate) fn has_passed(&self, key: &[u8]) -> bool {
        match &self.progress {
            Progress::CopiedTo(last) => last.as_ref().is_some_and(|last| *key <= **last),
            Progress::Complete => true,
        }
    }

    /// The size of the fresh files in percent of the entries' bytes, within reason: next to nothing takes a file of some size, too.
    pub(crate) fn fresh_percent(&self, index_bytes: u64) -> u64 {
        let percent = self.target.disk_bytes().saturating_mul(100) / index_bytes.max(1);
        percent.clamp(100, FRESH_PERCENT_MAX)
    }

    pub(crate) fn is_complete(&self) -> bool {
        matches!(self.progress, Progress::Complete)
    }

    /// Copies some entries.
    fn copy_slice(&mut self, source: &Base) -> Result<(), IndexError> {
        let Progress::CopiedTo(last) = &mut self.progress else {
            return Ok(());
        };
        let from = last.clone();
        let from = from.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut entries = 0;
        for entry in source.range(from).take(SLICE_ENTRIES) {
            let (key, entry) = entry?;
            self.target.put(&key, &entry)?;
            entries += 1;
            *last = Some(key);
        }
        if entries < SLICE_ENTRIES {
            self.progress = Progress::Complete;
        }
        Ok(())
    }
}

impl Background {
    /// Begins a rewrite if sled's files are several times as large as what they hold. One that cannot begin is
    /// put off to the next checkpoint.
    pub(crate) fn start_rewrite_if_due(&mut self) {
        let options = &self.shared.options;
        let (disk_bytes, index_bytes) = (self.base.disk_bytes(), self.keep.ledger.totals.index_bytes);
        let fresh_bytes = index_bytes.saturating_mul(self.checkpoint.fresh_percent) / 100;
        let is_due = disk_bytes >= options.rewrite_min_bytes
            && disk_bytes > options.rewrite_factor.saturating_mul(fresh_bytes);
        let needed_bytes = fresh_bytes.saturating_mul(2);
        // Not beside a compaction, which changes entries everywhere.
        if self.rewrite.is_some()
            || self.compaction.is_some()
            || !is_due
            || !self.shared.room.has(needed_bytes)
        {
            return;
        }
        let target_id = self.checkpoint.base_id + 1;
        let directory = self.shared.directory.base(target_id);
        let disk = self.shared.disk.as_ref();
        if disk.list(&directory).is_ok() && disk.remove_dir(&directory).is_err() {
            return;
        }
        if let Ok(target) = Base::open(disk, &directory, options.cache_bytes) {
            self.rewrite = Some(Rewrite { target, target_id, progress: Progress::CopiedTo(None) });
            self.look_again_in(Duration::ZERO);
        }
    }

    /// Copies a slice, if a rewrite is under way.
    pub(crate) fn rewrite_step(&mut self) -> Result<(), Trouble> {
        let Some(rewrite) = self.rewrite.as_mut() else {
            return Ok(());
        };
        let started = Instant::now();
        rewrite.copy_slice(&self.base)?;
        let pause = if rewrite.is_complete() { Duration::ZERO } else { started.elapsed() * PAUSE_FACTOR };
        self.look_again_in(pause);
        Ok(())
    }

    /// Lets readers find the rewritten files in place of the old ones.
    pub(crate) fn swap_base(&mut self, rewrite: Rewrite) {
        let target = Arc::new(rewrite.target);
        self.shared.tables.write().base = Arc::clone(&target);
        self.retired.push(std::mem::replace(&mut self.base, target));
        Counters::add(&self.shared.counters.rewrites, 1);
        self.look_again_in(Duration::ZERO);
    }

    /// Removes replaced files that nobody reads any more. What cannot be removed is at the next opening.
    pub(crate) fn remove_retired(&mut self) {
        for base in std::mem::take(&mut self.retired) {
            match Arc::try_unwrap(base) {
                Ok(base) => {
                    let directory = base.directory().to_path_buf();
                    drop(base);
                    let _ = self.shared.disk.remove_dir(&directory);
                }
                Err(base) => {
                    self.retired.push(base);
                    self.look_again_in(self.shared.room.interval());
                }
            }
        }
    }
}
