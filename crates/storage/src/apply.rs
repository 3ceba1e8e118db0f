//! Moves generations of the memtable to sled, in key order, each key once.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::background::Background;
use crate::base::{Base, Scratch};
use crate::hooks::Applied;
use crate::stats::Counters;

impl Background {
    /// Applies all generations that are durable, oldest first.
    pub(crate) fn apply_pending(&mut self) -> Result<(), String> {
        while let Some((end, sequence)) = self.pending.front().copied() {
            let generation = self.shared.tables.read().frozen.front().map(Arc::clone);
            let generation = generation.ok_or("a durable generation is not in the memtable")?;
            if !self.shared.room.has_for_sled(generation.weight_bytes as u64) {
                // The log has it. Sled, once refused a write, would have to be opened anew.
                self.look_again_in(self.shared.room.interval());
                if self.shared.room.check_if_due() {
                    // Submitters that wait for memory are to hear that it will take a while.
                    self.shared.wake_submitters();
                }
                return Ok(());
            }
            let started = Instant::now();
            for (key, value) in &generation.entries {
                self.apply(key, value.as_ref())?;
            }
            self.applied = end;
            self.applied_sequence = sequence;
            self.pending.pop_front();
            // Readers that come now find it all in sled.
            let finished = self.shared.tables.write().frozen.pop_front();
            drop(finished);
            self.shared.release(0, generation.weight_bytes);
            let (ops, keys) = (generation.ops, generation.entries.len());
            Counters::add(&self.shared.counters.applied_ops, ops as u64);
            Counters::add(&self.shared.counters.applied_keys, keys as u64);
            self.shared.hooks.observer.applied(&Applied { ops, keys, took: started.elapsed() });
        }
        Ok(())
    }

    fn apply(&mut self, key: &[u8], value: Option<&Bytes>) -> Result<(), String> {
        apply_change(&self.base, key, value, false, &mut self.scratch)?;
        match &self.rewrite {
            Some(rewrite) if rewrite.has_passed(key) => {
                apply_change(&rewrite.target, key, value, false, &mut self.scratch)
            }
            _ => Ok(()),
        }
    }
}

/// Applies one change; see [`Base::put`] for `leftovers`.
pub(crate) fn apply_change(
    base: &Base,
    key: &[u8],
    value: Option<&Bytes>,
    leftovers: bool,
    scratch: &mut Scratch,
) -> Result<(), String> {
    let applied = match value {
        Some(value) => base.put(key, value, leftovers, scratch),
        None => base.delete(key, leftovers, scratch),
    };
    applied.map_err(|error| format!("writing to sled in {}: {error}", base.directory().display()))
}
