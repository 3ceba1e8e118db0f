//! The seam to durable storage: one ordered keyspace of bytes, written in atomic batches.
//!
//! The core itself never calls a store: it emits [`Effect`](crate::Effect)s and hears of completions as
//! [`Event`](crate::Event)s. The trait is what the shells (a real node, the simulator) drive for it, and what
//! the conformance suite in `quorate-storage` checks.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreOp {
    /// Sets the key to the value.
    Put {
        /// The whole key, prefix included (see [`keys`](crate::keys)).
        key: Bytes,
        /// The value; any length.
        value: Bytes,
    },
    /// Removes the key; removing an absent key is not an error.
    Delete {
        /// The whole key.
        key: Bytes,
    },
}

impl StoreOp {
    /// The key that this changes.
    pub fn key(&self) -> &Bytes {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }
}

/// The place of a batch in the order in which a store was handed its batches: 1, 2, 3, ... from each opening.
/// 0 stands before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitNumber(pub u64);

/// How far the whole history of a directory's store goes: rises with what becomes durable, in every opening from where the one before
/// ended, and never restarts. A copy of the directory that was taken earlier shows less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Sequence(pub u64);

/// Why a store could not do what it was asked.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StoreError {
    /// The stored bytes of this key fail their checksum or cannot be read back whole. Other keys are unaffected.
    #[error("the record of key {} is damaged: {detail}", key.escape_ascii())]
    Corrupt {
        /// The whole key.
        key: Bytes,
        /// What is wrong with it.
        detail: String,
    },
    /// No room for more: nothing of the refused batch was kept. Reads go on; writes may succeed later.
    #[error("the disk is full: {detail}")]
    Full {
        /// Bytes free and the reserve that is kept, in words.
        detail: String,
    },
    /// The store can no longer keep its promises and must be opened anew. What was reported durable is durable.
    #[error("storage failed: {detail}")]
    Failed {
        /// The operation, the file and the system's error, in words.
        detail: String,
    },
}

/// A page of a scan, in key order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScanPage {
    /// Whole keys and their values.
    pub entries: Vec<(Bytes, Bytes)>,
    /// Whole keys, in order, whose records are there and cannot be read back: what [`Store::get`] calls
    /// [`StoreError::Corrupt`]. They lie between the entries, and count towards the page's entries.
    pub damaged: Vec<Bytes>,
    /// Whether more keys with this prefix follow the [last one](Self::last).
    pub more: bool,
}

impl ScanPage {
    /// The last key that this page tells of, readable or not: where a scan goes on.
    pub fn last(&self) -> Option<&Bytes> {
        self.entries.last().map(|(key, _)| key).max(self.damaged.last())
    }
}

/// Durable storage of one ordered keyspace.
///
/// Reads see every submitted batch at once, durable or not. Batches become durable in the order of their
/// numbers, each as a whole: after a crash exactly the batches up to some number exist, and that number is at least the one
/// last reported durable.
pub trait Store {
    /// Takes a batch: visible to reads when this returns, durable once [`durable`](Self::durable) has reached
    /// the returned number. When a batch names a key twice, the later operation holds.
    fn submit(&self, batch: &[StoreOp]) -> Result<CommitNumber, StoreError>;

    /// The highest number up to which every batch is durable.
    fn durable(&self) -> CommitNumber;

    /// How far the history of this directory goes that is durable: at least as far as any batch that was reported durable.
    fn sequence(&self) -> Sequence;

    /// Waits until the batch of this number is durable.
    fn wait_durable(&self, number: CommitNumber) -> Result<(), StoreError>;

    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// Entries whose keys start with `prefix` and are greater than `after`, in key order: at most `entries_max` of
    /// them, and no more once their keys and values exceed `bytes_max` (at least one, if there is one). A damaged
    /// record does not end the scan: the page names its key.
    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        entries_max: usize,
        bytes_max: usize,
    ) -> Result<ScanPage, StoreError>;

    /// Moves what is durable in the log to its final place and drops the log's finished part. Only a matter of
    /// space and of the time that the next opening takes.
    fn checkpoint(&self) -> Result<(), StoreError>;
}
