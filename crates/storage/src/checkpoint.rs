//! Checkpoints: make sled durable, say so, drop the log that is no longer needed.

use std::sync::Arc;
use std::time::Instant;

use quorate_protocol::store::StoreError;

use crate::background::Background;
use crate::directory::Checkpoint;
use crate::disk::is_no_space;
use crate::hooks::Checkpointed;
use crate::log::segment::{ClosedSegment, spare_path};
use crate::stats::Counters;

impl Background {
    /// Makes a checkpoint if one was asked for, the log is long, or space is short.
    pub(crate) fn checkpoint_if_due(&mut self) -> Result<(), String> {
        let wanted = {
            let chores = self.shared.chores.lock();
            let wanted = chores.checkpoints_wanted;
            (wanted > chores.checkpoints_done && chores.checkpoint_target <= self.applied).then_some(wanted)
        };
        let droppable_bytes: u64 = self.droppable().iter().map(|segment| segment.bytes).sum();
        let is_due = droppable_bytes >= self.shared.options.checkpoint_log_bytes
            || (droppable_bytes > 0 && self.shared.room.is_short())
            || self.rewrite.as_ref().is_some_and(|rewrite| rewrite.is_complete());
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
        Ok(())
    }

    /// Returns why it was not made, if the disk has no room for it; nothing is lost then.
    fn make_checkpoint(&mut self) -> Result<Option<StoreError>, String> {
        let started = Instant::now();
        let shared = Arc::clone(&self.shared);
        let disk = shared.disk.as_ref();
        let rewrite = self.rewrite.take_if(|rewrite| rewrite.is_complete());
        let (base, base_id) = match &rewrite {
            Some(rewrite) => (&rewrite.target, rewrite.target_id),
            None => (self.base.as_ref(), self.checkpoint.base_id),
        };
        base.sync(disk, self.applied_sequence)?;
        let checkpoint = Checkpoint {
            base_id,
            sequence: self.applied_sequence,
            live_bytes: base.live_bytes(),
            fresh_percent: rewrite
                .as_ref()
                .map_or(self.checkpoint.fresh_percent, |rewrite| rewrite.fresh_percent()),
        };
        match shared.directory.write_checkpoint(disk, checkpoint) {
            Ok(()) => self.checkpoint = checkpoint,
            Err(error) if is_no_space(&error) => {
                self.rewrite = rewrite.or(self.rewrite.take());
                self.look_again_in(shared.room.interval());
                return Ok(Some(StoreError::Full { detail: format!("no room for a checkpoint: {error}") }));
            }
            Err(error) => {
                return Err(format!("write CHECKPOINT in {}: {error}", shared.directory.root().display()));
            }
        }
        let rewritten = rewrite.is_some();
        if let Some(rewrite) = rewrite {
            self.swap_base(rewrite);
        }
        let dropped_bytes = self.drop_segments()?;
        Counters::add(&shared.counters.checkpoints, 1);
        shared.hooks.observer.checkpointed(&Checkpointed {
            dropped_bytes,
            rewritten,
            took: started.elapsed(),
        });
        Ok(None)
    }

    /// Segments of which sled has everything.
    fn droppable(&self) -> Vec<ClosedSegment> {
        let pool = self.shared.pool.lock();
        pool.closed
            .iter()
            .take_while(|segment| segment.last_sequence <= self.applied_sequence)
            .cloned()
            .collect()
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
            let keep = has_full_length && shared.pool.lock().spares.len() < shared.options.spare_segments;
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
