//! Counts the index after an opening: how much of each value file is live, and whether all keys are there.
//!
//! A little at a time between other work, for a store opens in the time of what was written last, not of all that it holds.

use std::ops::Bound;
use std::time::Instant;

use crate::background::{Background, Trouble};
use crate::base::IndexError;

/// Counted at one go.
const SLICE_KEYS: usize = 2000;
/// The pause after each slice is this many times as long as the slice took.
const PAUSE_FACTOR: u32 = 1;

impl Background {
    /// Counts some keys, if the count is not complete.
    pub(crate) fn count_step(&mut self) -> Result<(), Trouble> {
        let Some(from) = self.keep.ledger.count_from() else {
            return Ok(());
        };
        let started = Instant::now();
        let from = match &from {
            Bound::Excluded(key) => Bound::Excluded(&key[..]),
            _ => Bound::Unbounded,
        };
        let mut keys = 0;
        for entry in self.base.range(from).take(SLICE_KEYS) {
            let (key, entry) = entry?;
            self.keep.ledger.count_next(key, &entry);
            keys += 1;
        }
        if keys == SLICE_KEYS {
            self.look_again_in(started.elapsed() * PAUSE_FACTOR);
            return Ok(());
        }
        let directory = self.base.directory().display();
        self.keep
            .ledger
            .finish_count()
            .map_err(|detail| IndexError::damage(format!("the index in {directory}: {detail}")))?;
        self.publish();
        self.start_rewrite_if_due();
        self.start_compaction_if_due();
        Ok(())
    }
}
