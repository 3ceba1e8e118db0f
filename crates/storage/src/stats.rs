//! Figures about a store.

use std::sync::atomic::{AtomicU64, Ordering};

/// A store's figures at one moment. Counters run from the opening.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Batches made durable.
    pub batches: u64,
    /// Syncs of the log, each of which made a group of batches durable.
    pub syncs: u64,
    /// Bytes of batches made durable.
    pub synced_bytes: u64,
    /// Operations moved to the value files, replaced ones included.
    pub applied_ops: u64,
    /// Records that these came to.
    pub applied_keys: u64,
    /// Checkpoints made.
    pub checkpoints: u64,
    /// Rewrites of sled's files finished.
    pub rewrites: u64,
    /// Compactions of value files finished.
    pub compactions: u64,
    /// Bytes of records that the log holds.
    pub log_bytes: u64,
    /// What the log's files take: more than their records, for space is kept ready for use. Looked up when the figures are.
    pub log_file_bytes: u64,
    /// Bytes of the value files and of sled's.
    pub base_bytes: u64,
    /// Those of sled's files, the index, alone.
    pub index_bytes: u64,
    /// Bytes of the keys and values in the value files. Approximate after a crash, until the index has been counted.
    pub live_bytes: u64,
    /// See [`Pressure`].
    pub pressure: Pressure,
}

/// How near the store is to making `submit` wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    /// Bytes that wait for the log's disk.
    pub unsynced_bytes: usize,
    /// The limit from which `submit` blocks.
    pub unsynced_bytes_max: usize,
    /// Bytes in memory that wait for their move to the value files; the unsynced ones included.
    pub unapplied_bytes: usize,
    /// The limit from which `submit` blocks.
    pub unapplied_bytes_max: usize,
    /// Whether `submit` refuses batches with `Full`.
    pub full: bool,
}

impl Pressure {
    /// 0.0 at rest, 1.0 when `submit` is about to block. Refuse requests well before.
    pub fn fraction(&self) -> f64 {
        let share = |bytes: usize, max: usize| bytes as f64 / max.max(1) as f64;
        share(self.unsynced_bytes, self.unsynced_bytes_max)
            .max(share(self.unapplied_bytes, self.unapplied_bytes_max))
    }
}

/// Counters that the store's threads keep.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) batches: AtomicU64,
    pub(crate) syncs: AtomicU64,
    pub(crate) synced_bytes: AtomicU64,
    pub(crate) applied_ops: AtomicU64,
    pub(crate) applied_keys: AtomicU64,
    pub(crate) checkpoints: AtomicU64,
    pub(crate) rewrites: AtomicU64,
    pub(crate) compactions: AtomicU64,
    /// Bytes of value files, and of the live keys and values in them.
    pub(crate) value_bytes: AtomicU64,
    pub(crate) live_bytes: AtomicU64,
    /// Bytes of records in the segment that takes them.
    pub(crate) current_segment_bytes: AtomicU64,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Ordering::Relaxed);
    }

    pub(crate) fn set(counter: &AtomicU64, value: u64) {
        counter.store(value, Ordering::Relaxed);
    }

    pub(crate) fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use quorate_protocol::store::{Store as _, StoreOp};

    use crate::{SledStore, StoreHooks, StoreOptions};

    #[test]
    fn space_that_is_kept_ready_for_the_log_is_told() {
        let directory = tempfile::tempdir().expect("there is room");
        let options = StoreOptions::tiny();
        let segment_bytes = options.segment_bytes;
        let store = SledStore::open(directory.path(), options, StoreHooks::default()).expect("it opens");
        let put = StoreOp::Put { key: Bytes::from_static(b"k"), value: Bytes::from_static(b"v") };
        let number = store.submit(&[put]).expect("there is room");
        store.wait_durable(number).expect("it is kept");
        // The segment that takes records, and one that will; the thread that makes it needs a moment.
        let made = (0..10_000).any(|_| {
            std::thread::sleep(Duration::from_millis(1));
            store.stats().log_file_bytes == 2 * segment_bytes
        });
        let stats = store.stats();
        assert!(made && stats.log_bytes < 1_000, "{stats:?}");
    }
}
