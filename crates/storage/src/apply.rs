//! Moves generations of the memtable to the value files and the index, in key order, each key once.

use std::ops::Bound;
use std::sync::Arc;
use std::time::Instant;

use crate::background::{Background, Trouble};
use crate::hooks::Applied;
use crate::stats::Counters;
use crate::values::keep::{KeepError, New, Run};

impl Background {
    /// Applies all generations that are durable, oldest first.
    pub(crate) fn apply_pending(&mut self) -> Result<(), Trouble> {
        while let Some((end, sequence)) = self.pending.front().copied() {
            let generation = self.shared.tables.read().frozen.front().map(Arc::clone);
            let generation = generation.ok_or("a durable generation is not in the memtable")?;
            if !self.shared.room.has_for_values(generation.weight_bytes as u64) {
                // The log has it. Sled, once refused a write, would have to be opened anew.
                self.wait_for_room();
                return Ok(());
            }
            let started = Instant::now();
            let mut last = self.applied_key.take();
            let after = last.clone();
            let from = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let changes = generation.range(from).map(|(key, value)| match value {
                Some(value) => (key, New::Put(value)),
                None => (key, New::Delete),
            });
            let run =
                Run { base: &self.base, copy: self.rewrite.as_ref(), version: sequence, replayed: false };
            match self.keep.take(&run, changes, &mut last) {
                Ok(()) => {}
                Err(KeepError::NoSpace(error)) => {
                    self.applied_key = last;
                    self.shared.room.values_refused(&error);
                    // Who waits for a checkpoint hears of it.
                    self.shared.chores_changed.notify_all();
                    self.wait_for_room();
                    return Ok(());
                }
                Err(KeepError::Index(error)) => return Err(Trouble::Index(error)),
                Err(KeepError::Failed(detail)) => return Err(Trouble::Final(detail)),
            }
            self.shared.room.values_taken();
            self.applied = end;
            self.applied_sequence = sequence;
            self.pending.pop_front();
            // Readers that come now find it all through the index.
            let finished = self.shared.tables.write().frozen.pop_front();
            drop(finished);
            self.shared.release(0, generation.weight_bytes);
            self.publish();
            let (ops, keys) = (generation.ops, generation.entries.len());
            Counters::add(&self.shared.counters.applied_ops, ops as u64);
            Counters::add(&self.shared.counters.applied_keys, keys as u64);
            self.shared.hooks.observer.applied(&Applied { ops, keys, took: started.elapsed() });
        }
        Ok(())
    }

    fn wait_for_room(&mut self) {
        self.look_again_in(self.shared.room.interval());
        if self.shared.room.check_if_due() {
            // Submitters that wait for memory are to hear that it will take a while.
            self.shared.wake_submitters();
        }
    }
}
