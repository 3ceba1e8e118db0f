//! What can be set when a store is opened.

use crate::base::CACHE_BYTES_MIN;
use crate::error::OpenError;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Sizes and limits of a store. Sizes of batches are those of their keys and values plus a constant per operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// Length of a segment file of the commit log, written out with zeros before use so that a sync of the log has
    /// only data to write. Default 32 MiB.
    pub segment_bytes: u64,
    /// Segment files made ready for use, besides the one in use. Finished ones that a checkpoint covers are kept for use as well, as
    /// many as the log may take until the next checkpoint, unless space is short. Default 2.
    pub spare_segments: usize,
    /// A record of the log takes waiting batches up to this many bytes (and always at least one batch).
    /// Default 8 MiB.
    pub record_bytes_max: usize,
    /// The part of the memtable that takes writes is frozen, to be moved to sled, at this many bytes. Default 64 MiB.
    pub generation_bytes: usize,
    /// ... or at this many operations, whichever comes first. The larger, the cheaper is an operation in sled,
    /// for it is coalesced and sorted with more others. Default 400,000.
    pub generation_ops: usize,
    /// Bytes of batches that may wait for the disk before `submit` blocks. Default 64 MiB.
    pub unsynced_bytes_max: usize,
    /// Bytes of batches that may wait in memory for their move to sled before `submit` blocks. At least twice
    /// `generation_bytes`. Default 256 MiB.
    pub unapplied_bytes_max: usize,
    /// A checkpoint is made whenever the log has grown by this much since the last. Bounds the log's space and the
    /// time of an opening. Default 256 MiB.
    pub checkpoint_log_bytes: u64,
    /// Memory for sled's cache of the index. While sled is being rewritten, up to twice as much. At least
    /// [`CACHE_BYTES_MIN`](Self::CACHE_BYTES_MIN). Default 256 MiB.
    pub cache_bytes: u64,
    /// Batches are refused with `Full` while the file system has less free space than this. The value files need room to take what
    /// the log has accepted already: keep it above `unapplied_bytes_max`. Default 512 MiB.
    pub free_reserve_bytes: u64,
    /// Shortest time between two looks at the free space. Default 250 ms.
    pub room_check_interval_ms: u64,
    /// A value file takes no more records once it has this many bytes. Files half of which is dead are compacted, and with all keys
    /// deleted two at most are left. Default 16 MiB.
    pub value_file_bytes: u64,
    /// Sled never gives space back. When its files, the index, hold more than `rewrite_factor` times what they would hold when
    /// fresh, and at least this much, they are rewritten in the background. Default 16 MiB: eight of sled's segments.
    pub rewrite_min_bytes: u64,
    /// See `rewrite_min_bytes`. Default 4.
    pub rewrite_factor: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 32 * MIB,
            spare_segments: 2,
            record_bytes_max: 8 << 20,
            generation_bytes: 64 << 20,
            generation_ops: 400_000,
            unsynced_bytes_max: 64 << 20,
            unapplied_bytes_max: 256 << 20,
            checkpoint_log_bytes: 256 * MIB,
            cache_bytes: 256 * MIB,
            free_reserve_bytes: 512 * MIB,
            room_check_interval_ms: 250,
            value_file_bytes: 16 * MIB,
            rewrite_min_bytes: 16 * MIB,
            rewrite_factor: 4,
        }
    }
}

impl StoreOptions {
    /// The least that sled's cache may be.
    pub const CACHE_BYTES_MIN: u64 = CACHE_BYTES_MIN;

    /// Everything small, for tests and simulations with real files: several segments, generations and checkpoints within
    /// a few hundred kilobytes, and no reserve of free space.
    pub fn tiny() -> Self {
        Self {
            segment_bytes: 64 * KIB,
            spare_segments: 1,
            record_bytes_max: 16 << 10,
            generation_bytes: 32 << 10,
            generation_ops: 500,
            unsynced_bytes_max: 1 << 20,
            unapplied_bytes_max: 1 << 20,
            checkpoint_log_bytes: 256 * KIB,
            cache_bytes: 8 * MIB,
            free_reserve_bytes: 0,
            room_check_interval_ms: 1,
            value_file_bytes: 64 * KIB,
            rewrite_min_bytes: 64 * MIB,
            rewrite_factor: 4,
        }
    }

    pub(crate) fn check(&self) -> Result<(), OpenError> {
        let wrong = |detail: &str| Err(OpenError::Options { detail: detail.into() });
        if self.segment_bytes < 4 * KIB || self.segment_bytes > 1024 * MIB {
            return wrong("segment_bytes must be between 4 KiB and 1 GiB");
        }
        if self.record_bytes_max == 0 || self.generation_bytes == 0 || self.generation_ops == 0 {
            return wrong("record_bytes_max, generation_bytes and generation_ops must not be zero");
        }
        if self.unsynced_bytes_max == 0 || self.unapplied_bytes_max < 2 * self.generation_bytes {
            return wrong(
                "unapplied_bytes_max must be at least twice generation_bytes, unsynced_bytes_max above zero",
            );
        }
        if self.value_file_bytes < 4 * KIB || self.value_file_bytes > 1024 * MIB {
            return wrong("value_file_bytes must be between 4 KiB and 1 GiB");
        }
        if self.cache_bytes < Self::CACHE_BYTES_MIN {
            return wrong("cache_bytes must be at least 1 MiB");
        }
        if self.rewrite_factor < 2 {
            return wrong("rewrite_factor must be at least 2");
        }
        Ok(())
    }
}
