//! The store as its users see it.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use quorate_protocol::store::{CommitNumber, ScanPage, Sequence, Store, StoreError, StoreOp};

use crate::disk::{Disk, SystemDisk};
use crate::error::OpenError;
use crate::hooks::StoreHooks;
use crate::open::{Opened, open};
use crate::options::StoreOptions;
use crate::recover::OpenReport;
use crate::shared::Shared;
use crate::stats::{Counters, Pressure, StoreStats};

/// A [`Store`] in a directory: a commit log that makes batches durable, and value files with an index, which take them in later.
///
/// All methods may be called from any thread. `submit`, `durable`, `pressure` and reads of recent keys never wait for a disk (but
/// see [`submit`](Store::submit)); reads of other keys are reads of a file. Dropping the
/// store makes durable what was submitted and waits for that.
pub struct SledStore {
    shared: Arc<Shared>,
    report: OpenReport,
    committer: Option<JoinHandle<()>>,
    background: Option<JoinHandle<()>>,
}

impl SledStore {
    /// Opens the store in a directory, or makes an empty one there if the directory is empty or absent. Takes in what the
    /// log holds beyond the last checkpoint, so it may take seconds.
    pub fn open(path: impl AsRef<Path>, options: StoreOptions, hooks: StoreHooks) -> Result<Self, OpenError> {
        Self::open_on(Arc::new(SystemDisk), path, options, hooks)
    }

    /// As [`open`](Self::open), on a file system of the caller's.
    pub fn open_on(
        disk: Arc<dyn Disk>,
        path: impl AsRef<Path>,
        options: StoreOptions,
        hooks: StoreHooks,
    ) -> Result<Self, OpenError> {
        let Opened { shared, committer, background, report } = open(path.as_ref(), options, hooks, disk)?;
        Ok(Self { shared, report, committer: Some(committer), background: Some(background) })
    }

    /// What the opening found and did.
    pub fn open_report(&self) -> &OpenReport {
        &self.report
    }

    /// Alters a byte in the middle of the stored value of a key, in its file, as failing hardware does, for tests of what is made of it.
    /// What waits in the log is taken in first, so that nothing takes the damaged value's place. Returns whether the key is there.
    pub fn damage(&self, key: &[u8]) -> Result<bool, StoreError> {
        self.checkpoint()?;
        let base = Arc::clone(&self.shared.tables.read().base);
        let Some(entry) = base.get(key).map_err(|error| self.shared.fail_index(&error))? else {
            return Ok(false);
        };
        let middle = entry.record_bytes(key) - u64::from(entry.value_bytes).div_ceil(2).max(1);
        let at = u64::from(entry.offset) + middle;
        let altered = self.shared.disk.open(&self.shared.values.path(entry.file)).and_then(|file| {
            let mut byte = [0];
            file.read_at(&mut byte, at)?;
            file.write_at(&[byte[0] ^ 0x10], at)
        });
        let failed = |error| StoreError::Failed { detail: format!("damaging a value: {error}") };
        altered.map(|written| written == 1).map_err(failed)
    }

    /// How near `submit` is to blocking. Cheap.
    pub fn pressure(&self) -> Pressure {
        self.shared.pressure()
    }

    /// Why the store failed, if it did.
    pub fn failure(&self) -> Option<StoreError> {
        self.shared.failure().cloned()
    }

    /// Figures, for metrics.
    pub fn stats(&self) -> StoreStats {
        let counters = &self.shared.counters;
        let closed_bytes: u64 = self.shared.pool.lock().closed.iter().map(|segment| segment.bytes).sum();
        let base = Arc::clone(&self.shared.tables.read().base);
        let index_bytes = base.disk_bytes();
        StoreStats {
            batches: Counters::get(&counters.batches),
            syncs: Counters::get(&counters.syncs),
            synced_bytes: Counters::get(&counters.synced_bytes),
            applied_ops: Counters::get(&counters.applied_ops),
            applied_keys: Counters::get(&counters.applied_keys),
            checkpoints: Counters::get(&counters.checkpoints),
            rewrites: Counters::get(&counters.rewrites),
            log_bytes: closed_bytes + Counters::get(&counters.current_segment_bytes),
            log_file_bytes: self.shared.log_file_bytes(),
            compactions: Counters::get(&counters.compactions),
            base_bytes: Counters::get(&counters.value_bytes) + index_bytes,
            index_bytes,
            live_bytes: Counters::get(&counters.live_bytes),
            pressure: self.shared.pressure(),
        }
    }
}

impl Store for SledStore {
    /// Refuses with `Full` while space is short, so that what was accepted can be kept. Blocks while more waits in memory
    /// than the options allow: look at [`pressure`](SledStore::pressure) to refuse work before that.
    fn submit(&self, batch: &[StoreOp]) -> Result<CommitNumber, StoreError> {
        self.shared.submit(batch)
    }

    fn durable(&self) -> CommitNumber {
        self.shared.durable()
    }

    /// The number of the newest durable record of the log, which are counted over all openings.
    fn sequence(&self) -> Sequence {
        self.shared.sequence()
    }

    fn wait_durable(&self, number: CommitNumber) -> Result<(), StoreError> {
        self.shared.wait_durable(number)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.shared.get(key)
    }

    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        entries_max: usize,
        bytes_max: usize,
    ) -> Result<ScanPage, StoreError> {
        self.shared.scan(prefix, after, entries_max, bytes_max)
    }

    /// Waits until everything submitted so far is durable in the value files. Not needed in operation: the store makes
    /// checkpoints by itself.
    fn checkpoint(&self) -> Result<(), StoreError> {
        self.shared.checkpoint()
    }
}

impl Drop for SledStore {
    fn drop(&mut self) {
        self.shared.queue.lock().closed = true;
        self.shared.wake_all();
        join(self.committer.take());
        self.shared.chores.lock().closing = true;
        self.shared.wake_background();
        join(self.background.take());
    }
}

/// Waits for a thread to end; not for itself, should a hook hold the last reference to the store.
fn join(thread: Option<JoinHandle<()>>) {
    if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id()) {
        // A panic has been reported as a failure already.
        let _ = thread.join();
    }
}
