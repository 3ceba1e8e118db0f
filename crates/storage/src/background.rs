//! The thread that moves durable generations to sled, makes checkpoints and keeps spare segments.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use quorate_protocol::store::CommitNumber;

use crate::base::{Base, Scratch};
use crate::directory::Checkpoint;
use crate::log::segment::{create_spare, spare_path};
use crate::rewrite::Rewrite;
use crate::shared::Shared;

/// State that only this thread has. Errors of its methods say what went wrong, for good: the store fails.
pub(crate) struct Background {
    pub(crate) shared: Arc<Shared>,
    /// What readers find in `Tables::base`.
    pub(crate) base: Arc<Base>,
    /// What the file CHECKPOINT says.
    pub(crate) checkpoint: Checkpoint,
    /// The last batch that sled has, and the record of the log with which it has all up to there.
    pub(crate) applied: CommitNumber,
    pub(crate) applied_sequence: u64,
    pub(crate) rewrite: Option<Rewrite>,
    /// Replaced by rewritten ones, but perhaps still being read.
    pub(crate) retired: Vec<Arc<Base>>,
    pub(crate) scratch: Scratch,
    pub(crate) next_spare_id: u64,
    /// Durable generations that sled has not got yet.
    pub(crate) pending: VecDeque<(CommitNumber, u64)>,
    /// When to look again without being woken.
    pub(crate) look_again_in: Option<Duration>,
}

impl Background {
    pub(crate) fn new(
        shared: Arc<Shared>,
        checkpoint: Checkpoint,
        applied_sequence: u64,
        next_spare_id: u64,
    ) -> Self {
        let base = Arc::clone(&shared.tables.read().base);
        Self {
            shared,
            base,
            checkpoint,
            applied: CommitNumber(0),
            applied_sequence,
            rewrite: None,
            retired: Vec::new(),
            scratch: Scratch::default(),
            next_spare_id,
            pending: VecDeque::new(),
            look_again_in: None,
        }
    }

    /// Works until the store is closed or fails. What is not in sled by then is in the log.
    pub(crate) fn run(mut self) {
        while self.wait_for_work() {
            if let Err(detail) = self.work() {
                self.shared.fail(detail);
                return;
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

    fn work(&mut self) -> Result<(), String> {
        self.apply_pending()?;
        self.fill_spares();
        self.checkpoint_if_due()?;
        self.rewrite_step()?;
        self.remove_retired();
        Ok(())
    }

    /// Has the thread come back after this long, if nothing wakes it before.
    pub(crate) fn look_again_in(&mut self, pause: Duration) {
        self.look_again_in = Some(self.look_again_in.map_or(pause, |earlier| earlier.min(pause)));
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
