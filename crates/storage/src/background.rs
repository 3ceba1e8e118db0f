//! The thread that moves durable generations to the value files, makes checkpoints, gives space back and keeps spare segments.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quorate_protocol::store::CommitNumber;

use crate::base::{Base, IndexError};
use crate::checkpoint_file::Checkpoint;
use crate::compact::Compaction;
use crate::key::Key;
use crate::log::segment::{create_spare, spare_path};
use crate::rewrite::Rewrite;
use crate::shared::Shared;
use crate::stats::Counters;
use crate::values::keep::Keep;

/// What ends the store's work.
pub(crate) enum Trouble {
    /// What went wrong, for good.
    Final(String),
    /// The next opening builds the index anew.
    Index(IndexError),
}

impl From<String> for Trouble {
    fn from(detail: String) -> Self {
        Self::Final(detail)
    }
}

impl From<&str> for Trouble {
    fn from(detail: &str) -> Self {
        Self::Final(detail.into())
    }
}

impl From<IndexError> for Trouble {
    fn from(error: IndexError) -> Self {
        Self::Index(error)
    }
}

/// State that only this thread has.
pub(crate) struct Background {
    pub(crate) shared: Arc<Shared>,
    /// What readers find in `Tables::base`.
    pub(crate) base: Arc<Base>,
    pub(crate) keep: Keep,
    /// What the file CHECKPOINT says.
    pub(crate) checkpoint: Checkpoint,
    /// The last batch that the value files have, and the record of the log with which they have all up to there.
    pub(crate) applied: CommitNumber,
    pub(crate) applied_sequence: u64,
    /// The last key applied of a generation that met a full disk.
    pub(crate) applied_key: Option<Key>,
    pub(crate) rewrite: Option<Rewrite>,
    pub(crate) compaction: Option<Compaction>,
    /// When to try again, the disk having had no room.
    pub(crate) checkpoint_again_at: Option<Instant>,
    /// Replaced by rewritten ones, but perhaps still being read.
    pub(crate) retired: Vec<Arc<Base>>,
    pub(crate) next_spare_id: u64,
    /// Durable generations that have not been applied yet.
    pub(crate) pending: VecDeque<(CommitNumber, u64)>,
    /// When to look again without being woken.
    pub(crate) look_again_in: Option<Duration>,
}

impl Background {
    pub(crate) fn new(
        shared: Arc<Shared>,
        keep: Keep,
        checkpoint: Checkpoint,
        applied_sequence: u64,
        next_spare_id: u64,
    ) -> Self {
        let base = Arc::clone(&shared.tables.read().base);
        let background = Self {
            shared,
            base,
            keep,
            checkpoint,
            applied: CommitNumber(0),
            applied_sequence,
            applied_key: None,
            rewrite: None,
            compaction: None,
            checkpoint_again_at: None,
            retired: Vec::new(),
            next_spare_id,
            pending: VecDeque::new(),
            look_again_in: None,
        };
        background.publish();
        background
    }

    /// Works until the store is closed or fails. What is not in the value files by then is in the log.
    pub(crate) fn run(mut self) {
        while self.wait_for_work() {
            match self.work() {
                Ok(()) => {}
                Err(Trouble::Final(detail)) => return self.shared.fail(detail),
                Err(Trouble::Index(error)) => {
                    self.shared.fail_index(&error);
                    return;
                }
            }
        }
    }

    /// Returns whether to go on.
    fn wait_for_work(&mut self) -> bool {
        let mut chores = self.shared.chores.lock();
        while !chores.awake && !chores.closing {
            match self.look_again_in {
                Some(pause) => {
                    if self.shared.chores_changed.wait_for(&mut chores, pause).timed_out() {
                        break;
                    }
                }
                None => self.shared.chores_changed.wait(&mut chores),
            }
        }
        self.look_again_in = None;
        chores.awake = false;
        self.pending.append(&mut chores.durable_generations);
        !chores.closing && self.shared.failure().is_none()
    }

    fn work(&mut self) -> Result<(), Trouble> {
        self.apply_pending()?;
        self.fill_spares();
        self.checkpoint_if_due()?;
        self.count_step()?;
        self.rewrite_step()?;
        self.compaction_step()?;
        self.remove_retired();
        Ok(())
    }

    /// Has the thread come back after this long, if nothing wakes it before.
    pub(crate) fn look_again_in(&mut self, pause: Duration) {
        self.look_again_in = Some(self.look_again_in.map_or(pause, |earlier| earlier.min(pause)));
    }

    /// Tells others how large things are.
    pub(crate) fn publish(&self) {
        let ledger = &self.keep.ledger;
        Counters::set(&self.shared.counters.value_bytes, ledger.bytes());
        Counters::set(&self.shared.counters.live_bytes, ledger.totals.live_bytes);
    }

    /// Spare segments are a matter of speed: one that cannot be made is not missed.
    fn fill_spares(&mut self) {
        let length = self.shared.options.segment_bytes;
        while self.shared.pool.lock().spares.len() < self.shared.options.spare_segments
            && self.shared.room.has(length)
        {
            let path = spare_path(&self.shared.directory.log(), self.next_spare_id);
            self.next_spare_id += 1;
            if create_spare(self.shared.disk.as_ref(), &path, length).is_err() {
                return;
            }
            self.shared.pool.lock().spares.push(path);
        }
    }
}
