//! Checkpoints: make value files and index durable, say so, drop what is no longer needed of log and value files.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use quorate_protocol::store::StoreError;

use crate::background::{Background, Trouble};
use crate::checkpoint_file::Checkpoint;
use crate::disk::is_no_space;
use crate::hooks::Checkpointed;
use crate::log::segment::{ClosedSegment, spare_path};
use crate::stats::Counters;

impl Background {
    /// Makes a checkpoint if one was asked for, the log is long, or space is short.
    pub(crate) fn checkpoint_if_due(&mut self) -> Result<(), Trouble> {
        let wanted = {
            let chores = self.shared.chores.lock();
            let wanted = chores.checkpoints_wanted;
            (wanted > chores.checkpoints_done && chores.checkpoint_target <= self.applied).then_some(wanted)
        };
        let droppable_bytes: u64 = self.droppable().iter().map(|segment| segment.bytes).sum();
        let is_due = droppable_bytes >= self.shared.options.checkpoint_log_bytes
            || (droppable_bytes > 0 && self.shared.room.is_short())
            || self.rewrite.as_ref().is_some_and(|rewrite| rewrite.is_complete())
            || self.compaction.as_ref().is_some_and(|compaction| compaction.finished().is_some());
        if self.checkpoint_again_at.is_some_and(|at| wanted.is_none() && Instant::now() < at) {
            self.look_again_in(self.shared.room.interval());
            return Ok(());
        }
        if wanted.is_none() && !is_due {
            return Ok(());
        }
        let refused = self.make_checkpoint()?;
        if let Some(wanted) = wanted {
            let mut chores = self.shared.chores.lock();
            chores.checkpoints_done = wanted;
            chores.checkpoint_refused = refused;
            self.shared.chores_changed.notify_all();
        }
        self.start_rewrite_if_due();
        self.start_compaction_if_due();
        Ok(())
    }

    /// Returns why it was not made, if the disk has no room for it; nothing is lost then.
    fn make_checkpoint(&mut self) -> Result<Option<StoreError>, Trouble> {
        let started = Instant::now();
        let shared = Arc::clone(&self.shared);
        let disk = shared.disk.as_ref();
        self.keep.active.sync(&self.keep.values)?;
        let rewrite = self.rewrite.take_if(|rewrite| rewrite.is_complete());
        let (base, base_id) = match &rewrite {
            Some(rewrite) => (&rewrite.target, rewrite.target_id),
            None => (self.base.as_ref(), self.checkpoint.base_id),
        };
        base.flush(self.applied_sequence)?;
        base.sync(disk)?;
        let index_bytes = self.keep.ledger.totals.index_bytes;
        let mut dropped_files = self.dead_files();
        dropped_files.extend(self.compaction.iter().filter_map(|compaction| compaction.finished()).flatten());
        let ledger = &self.keep.ledger;
        let checkpoint = Checkpoint {
            serial: self.checkpoint.serial + 1,
            base_id,
            sequence: self.applied_sequence,
            fresh_percent: rewrite
                .as_ref()
                .map_or(self.checkpoint.fresh_percent, |rewrite| rewrite.fresh_percent(index_bytes)),
            totals: ledger.totals,
            keys: ledger.keys(),
            next_file: ledger.next_id,
            active: self.keep.active.id(),
            files: ledger.notes(&dropped_files),
        };
        // Whatever comes of it, one of the two files may have this number.
        self.checkpoint.serial = checkpoint.serial;
        self.checkpoint_again_at = None;
        match shared.directory.write_checkpoint(disk, &checkpoint) {
            Ok(()) => self.checkpoint = checkpoint,
            Err(error) if is_no_space(&error) => {
                self.rewrite = rewrite.or(self.rewrite.take());
                self.checkpoint_again_at = Some(Instant::now() + shared.room.interval());
                self.look_again_in(shared.room.interval());
                return Ok(Some(StoreError::Full { detail: format!("no room for a checkpoint: {error}") }));
            }
            Err(error) => {
                let root = shared.directory.root().display();
                return Err(Trouble::Final(format!("write CHECKPOINT in {root}: {error}")));
            }
        }
        let rewritten = rewrite.is_some();
        if let Some(rewrite) = rewrite {
            self.swap_base(rewrite);
        }
        self.drop_files(&dropped_files);
        self.finish_compaction();
        let dropped_bytes = self.drop_segments()?;
        self.publish();
        Counters::add(&shared.counters.checkpoints, 1);
        shared.hooks.observer.checkpointed(&Checkpointed {
            dropped_bytes,
            rewritten,
            took: started.elapsed(),
        });
        Ok(None)
    }

    /// Removes value files that no checkpoint lists any more. What cannot be removed is at the next opening.
    fn drop_files(&mut self, ids: &BTreeSet<u32>) {
        for id in ids {
            self.keep.ledger.files.remove(id);
            self.keep.values.forget(*id);
            let _ = self.shared.disk.remove(&self.keep.values.path(*id));
        }
    }

    /// Segments of which the value files have everything.
    fn droppable(&self) -> Vec<ClosedSegment> {
        let pool = self.shared.pool.lock();
        pool.closed
            .iter()
            .take_while(|segment| segment.last_sequence <= self.applied_sequence)
            .cloned()
            .collect()
    }

    /// A log that has been long enough for a checkpoint will be so again, and takes fewer writes in segments that are there.
    fn spares_to_keep(&self) -> usize {
        let options = &self.shared.options;
        let between_checkpoints = usize::try_from(options.checkpoint_log_bytes / options.segment_bytes);
        match self.shared.room.is_short() {
            true => options.spare_segments,
            false => options.spare_segments.saturating_add(between_checkpoints.unwrap_or(0)),
        }
    }

    /// Removes what the checkpoint covers, oldest first, or keeps it for new segments. Returns the bytes of its records.
    fn drop_segments(&mut self) -> Result<u64, String> {
        let shared = Arc::clone(&self.shared);
        let disk = shared.disk.as_ref();
        let log = shared.directory.log();
        let mut bytes = 0;
        for segment in self.droppable() {
            let has_full_length = disk
                .open(&segment.path)
                .and_then(|file| file.len_bytes())
                .is_ok_and(|length| length == shared.options.segment_bytes);
            let keep = has_full_length && shared.pool.lock().spares.len() < self.spares_to_keep();
            let spare = spare_path(&log, self.next_spare_id);
            let dropped = if keep { disk.rename(&segment.path, &spare) } else { disk.remove(&segment.path) };
            dropped.map_err(|error| format!("drop {}: {error}", segment.path.display()))?;
            bytes += segment.bytes;
            let mut pool = shared.pool.lock();
            pool.closed.retain(|closed| closed.id != segment.id);
            if keep {
                self.next_spare_id += 1;
                pool.spares.push(spare);
            }
        }
        if bytes > 0 {
            disk.sync_dir(&log).map_err(|error| format!("sync {}: {error}", log.display()))?;
        }
        Ok(bytes)
    }
}
