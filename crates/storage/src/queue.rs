//! The way in: batches enter the memtable and the queue of the committer.

use std::collections::VecDeque;

use bytes::Bytes;
use quorate_protocol::store::{CommitNumber, StoreError, StoreOp};

use crate::batch;
use crate::shared::Shared;
use crate::stats::Pressure;

/// Batches on their way to the log.
#[derive(Default)]
pub(crate) struct Queue {
    pub(crate) waiting: VecDeque<Waiting>,
    /// The last batch that was submitted.
    pub(crate) submitted: CommitNumber,
    /// The last batch that the committer took out of `waiting`.
    pub(crate) taken: CommitNumber,
    /// The last batches of frozen generations. No record of the log goes beyond one, so that a generation ends with a record.
    pub(crate) generation_ends: VecDeque<CommitNumber>,
    pub(crate) unsynced_bytes: usize,
    pub(crate) unapplied_bytes: usize,
    /// How many submitters wait.
    blocked: usize,
    pub(crate) closed: bool,
}

/// A batch that waits to be written.
pub(crate) struct Waiting {
    pub(crate) bytes: Bytes,
    pub(crate) weight_bytes: usize,
}

impl Shared {
    /// See [`Store::submit`](quorate_protocol::store::Store::submit).
    pub(crate) fn submit(&self, ops: &[StoreOp]) -> Result<CommitNumber, StoreError> {
        let batch = batch::encode(ops)?;
        let weight_bytes = batch.weight_bytes();
        let mut queue = self.queue.lock();
        loop {
            self.check_failed()?;
            if let Some(full) = self.room.refusal() {
                return Err(full);
            }
            let fits = |bytes: usize, max: usize| bytes == 0 || bytes + weight_bytes <= max;
            let fits_unapplied = fits(queue.unapplied_bytes, self.options.unapplied_bytes_max);
            if fits_unapplied && fits(queue.unsynced_bytes, self.options.unsynced_bytes_max) {
                break;
            }
            if !fits_unapplied {
                // What is not frozen would never leave.
                self.freeze(&mut queue);
            }
            queue.blocked += 1;
            self.queue_shrunk.wait(&mut queue);
            queue.blocked -= 1;
        }
        let number = CommitNumber(queue.submitted.0 + 1);
        queue.submitted = number;
        queue.unsynced_bytes += weight_bytes;
        queue.unapplied_bytes += weight_bytes;
        queue.waiting.push_back(Waiting { bytes: batch.bytes, weight_bytes });
        // Within the queue's lock, so that readers see batches in the order of the log.
        let mut tables = self.tables.write();
        tables.active.insert(batch.changes, number, weight_bytes);
        let is_full = tables.active.ops >= self.options.generation_ops
            || tables.active.weight_bytes >= self.options.generation_bytes;
        drop(tables);
        if is_full {
            self.freeze(&mut queue);
        }
        drop(queue);
        self.batches_waiting.notify_one();
        Ok(number)
    }

    /// Freezes the active generation, unless it is empty. The committer hands it on when it is durable.
    pub(crate) fn freeze(&self, queue: &mut Queue) {
        if let Some(end) = self.tables.write().freeze() {
            queue.generation_ends.push_back(end);
            self.batches_waiting.notify_one();
        }
    }

    /// Has submitters that wait look again at whether they may go on.
    pub(crate) fn wake_submitters(&self) {
        drop(self.queue.lock());
        self.queue_shrunk.notify_all();
    }

    /// Takes bytes off the queue's account and lets submitters go on.
    pub(crate) fn release(&self, unsynced_bytes: usize, unapplied_bytes: usize) {
        let mut queue = self.queue.lock();
        queue.unsynced_bytes -= unsynced_bytes;
        queue.unapplied_bytes -= unapplied_bytes;
        if queue.blocked > 0 {
            self.queue_shrunk.notify_all();
        }
    }

    /// See [`SledStore::pressure`](crate::SledStore::pressure).
    pub(crate) fn pressure(&self) -> Pressure {
        let queue = self.queue.lock();
        Pressure {
            unsynced_bytes: queue.unsynced_bytes,
            unsynced_bytes_max: self.options.unsynced_bytes_max,
            unapplied_bytes: queue.unapplied_bytes,
            unapplied_bytes_max: self.options.unapplied_bytes_max,
            full: self.room.is_short(),
        }
    }
}
