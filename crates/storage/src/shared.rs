//! What a store's callers and its two threads share.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex, RwLock};
use quorate_protocol::store::{CommitNumber, Sequence, StoreError};

use crate::base::IndexError;
use crate::directory::Directory;
use crate::disk::Disk;
use crate::hooks::StoreHooks;
use crate::log::segment;
use crate::log::writer::SegmentPool;
use crate::memtable::Tables;
use crate::options::StoreOptions;
use crate::queue::Queue;
use crate::room::Room;
use crate::stats::Counters;
use crate::values::file::{Found, Values};

/// Locks are taken in the order `queue`, `tables`; the others are taken alone.
pub(crate) struct Shared {
    pub(crate) options: StoreOptions,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) directory: Directory,
    pub(crate) hooks: StoreHooks,
    pub(crate) counters: Counters,
    pub(crate) room: Room,
    pub(crate) pool: Arc<Mutex<SegmentPool>>,
    pub(crate) tables: RwLock<Tables>,
    pub(crate) values: Arc<Values>,
    pub(crate) queue: Mutex<Queue>,
    /// The committer waits on it for batches.
    pub(crate) batches_waiting: Condvar,
    /// Submitters wait on it for the queue to shrink.
    pub(crate) queue_shrunk: Condvar,
    durable: AtomicU64,
    /// The number of the newest durable record of the log.
    sequence: AtomicU64,
    waiters: Mutex<()>,
    durable_advanced: Condvar,
    pub(crate) chores: Mutex<Chores>,
    /// The background thread waits on it for something to do, and callers of `checkpoint` for that to be done.
    pub(crate) chores_changed: Condvar,
    failure: OnceLock<StoreError>,
}

/// What the background thread is to do.
#[derive(Default)]
pub(crate) struct Chores {
    /// Generations whose batches are all durable, with the record of the log that they end with. Oldest first.
    pub(crate) durable_generations: VecDeque<(CommitNumber, u64)>,
    /// Something may have changed since it last looked.
    pub(crate) awake: bool,
    pub(crate) closing: bool,
    /// Checkpoints asked for and answered, counted, and the batch up to which the last one asked for has to reach.
    pub(crate) checkpoints_wanted: u64,
    pub(crate) checkpoints_done: u64,
    pub(crate) checkpoint_target: CommitNumber,
    /// Why the last checkpoint could not be made, for want of space.
    pub(crate) checkpoint_refused: Option<StoreError>,
}

/// The parts that an opening has made.
pub(crate) struct Parts {
    pub(crate) options: StoreOptions,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) directory: Directory,
    pub(crate) hooks: StoreHooks,
    pub(crate) room: Room,
    pub(crate) pool: Arc<Mutex<SegmentPool>>,
    pub(crate) tables: Tables,
    pub(crate) values: Arc<Values>,
    /// The number of the last record of the log.
    pub(crate) sequence: u64,
}

impl Shared {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { options, disk, directory, hooks, room, pool, tables, values, sequence } = parts;
        Self {
            options,
            disk,
            directory,
            hooks,
            counters: Counters::default(),
            room,
            pool,
            tables: RwLock::new(tables),
            values,
            queue: Mutex::default(),
            batches_waiting: Condvar::new(),
            queue_shrunk: Condvar::new(),
            durable: AtomicU64::new(0),
            sequence: AtomicU64::new(sequence),
            waiters: Mutex::default(),
            durable_advanced: Condvar::new(),
            chores: Mutex::default(),
            chores_changed: Condvar::new(),
            failure: OnceLock::new(),
        }
    }

    pub(crate) fn durable(&self) -> CommitNumber {
        CommitNumber(self.durable.load(Ordering::Acquire))
    }

    /// See [`Store::sequence`](quorate_protocol::store::Store::sequence).
    pub(crate) fn sequence(&self) -> Sequence {
        Sequence(self.sequence.load(Ordering::Acquire))
    }

    /// Reports all batches up to this one durable, by the log's records up to this one.
    pub(crate) fn advance_durable(&self, number: CommitNumber, sequence: u64) {
        self.sequence.store(sequence, Ordering::Release);
        {
            let _waiters = self.waiters.lock();
            self.durable.store(number.0, Ordering::Release);
            self.durable_advanced.notify_all();
        }
        (self.hooks.on_durable)(number);
    }

    /// See [`Store::wait_durable`](quorate_protocol::store::Store::wait_durable).
    pub(crate) fn wait_durable(&self, number: CommitNumber) -> Result<(), StoreError> {
        let mut waiters = self.waiters.lock();
        while self.durable() < number {
            self.check_failed()?;
            self.durable_advanced.wait(&mut waiters);
        }
        Ok(())
    }

    /// See [`Store::get`](quorate_protocol::store::Store::get).
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let mut without_file = None;
        loop {
            let base = {
                let tables = self.tables.read();
                if let Some(found) = tables.find(key) {
                    return Ok(found);
                }
                Arc::clone(&tables.base)
            };
            let Some(entry) = base.get(key).map_err(|error| self.fail_index(&error))? else {
                return Ok(None);
            };
            let detail = match self.values.read(key, &entry) {
                Found::Value(value) => return Ok(Some(value)),
                // It may have moved to another file since the index was asked.
                Found::NoFile if without_file != Some(entry) => {
                    without_file = Some(entry);
                    continue;
                }
                Found::NoFile => format!("{} is missing", self.values.path(entry.file).display()),
                Found::Damaged(detail) => detail,
                Found::Unopened(detail) => return Err(self.fail_reading(detail)),
            };
            return Err(StoreError::Corrupt { key: Bytes::copy_from_slice(key), detail });
        }
    }

    /// See [`Store::checkpoint`](quorate_protocol::store::Store::checkpoint).
    pub(crate) fn checkpoint(&self) -> Result<(), StoreError> {
        let target = {
            let mut queue = self.queue.lock();
            self.freeze(&mut queue);
            queue.submitted
        };
        let mut chores = self.chores.lock();
        chores.checkpoints_wanted += 1;
        chores.checkpoint_target = chores.checkpoint_target.max(target);
        chores.awake = true;
        let ticket = chores.checkpoints_wanted;
        self.chores_changed.notify_all();
        while chores.checkpoints_done < ticket {
            self.check_failed()?;
            let is_stuck = || self.durable() < target || self.room.refuses_values();
            if let Some(full) = self.room.refusal().filter(|_| is_stuck()) {
                return Err(full);
            }
            self.chores_changed.wait(&mut chores);
        }
        chores.checkpoint_refused.clone().map_or(Ok(()), Err)
    }

    /// What the log's files take, those that are ready for use included. One that gets another name at this moment may be missed.
    pub(crate) fn log_file_bytes(&self) -> u64 {
        let listed = segment::list(self.disk.as_ref(), &self.directory.log());
        let (segments, spares) = listed.unwrap_or_default();
        let length = |path: &Path| self.disk.open(path).and_then(|file| file.len_bytes()).unwrap_or(0);
        segments.iter().chain(&spares).map(|(_, path)| length(path)).sum()
    }

    /// Has the background thread look for work.
    pub(crate) fn wake_background(&self) {
        self.chores.lock().awake = true;
        self.chores_changed.notify_all();
    }

    pub(crate) fn failure(&self) -> Option<&StoreError> {
        self.failure.get()
    }

    pub(crate) fn check_failed(&self) -> Result<(), StoreError> {
        self.failure.get().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// Ends all trust in the store. The first reason given counts.
    pub(crate) fn fail(&self, detail: String) {
        let error = StoreError::Failed { detail };
        if self.failure.set(error.clone()).is_ok() {
            (self.hooks.on_failed)(&error);
        }
        self.wake_all();
    }

    /// Ends all trust in the store for the sake of its index, which the next opening builds anew if it is damaged. Returns what callers
    /// are to hear.
    pub(crate) fn fail_index(&self, error: &IndexError) -> StoreError {
        if !error.is_damage {
            return self.fail_reading(error.detail.clone());
        }
        if self.failure.get().is_none() {
            // If this cannot be written, the next start will meet the damage by itself.
            let _ = self.directory.ask_for_rebuild(self.disk.as_ref(), &error.detail);
        }
        self.fail_reading(format!("{}; the next start builds it anew from the value files", error.detail))
    }

    /// As [`fail`](Self::fail), for who has to answer.
    pub(crate) fn fail_reading(&self, detail: String) -> StoreError {
        self.fail(detail.clone());
        self.failure.get().cloned().unwrap_or(StoreError::Failed { detail })
    }

    /// Wakes whoever waits, to look at what has changed. Each lock is taken, so that nobody between a look and
    /// the wait for a change is missed.
    pub(crate) fn wake_all(&self) {
        drop(self.queue.lock());
        self.batches_waiting.notify_all();
        self.wake_submitters();
        drop(self.waiters.lock());
        self.durable_advanced.notify_all();
        self.wake_background();
    }
}
