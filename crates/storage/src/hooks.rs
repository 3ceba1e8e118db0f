//! How a store tells its owner what happens in its threads.

use std::time::Duration;

use quorate_protocol::store::{CommitNumber, StoreError};

/// Called with the highest durable number after each sync, by the committer thread: must be quick and must not submit.
pub type OnDurable = Box<dyn Fn(CommitNumber) + Send + Sync>;

/// Called once, when the store fails, by the thread that noticed: lets the owner end the process.
pub type OnFailed = Box<dyn Fn(&StoreError) + Send + Sync>;

/// What a store calls.
pub struct StoreHooks {
    /// See [`OnDurable`].
    pub on_durable: OnDurable,
    /// See [`OnFailed`].
    pub on_failed: OnFailed,
    /// See [`StoreObserver`].
    pub observer: Box<dyn StoreObserver>,
}

impl Default for StoreHooks {
    /// Hooks that do nothing.
    fn default() -> Self {
        Self { on_durable: Box::new(|_| {}), on_failed: Box::new(|_| {}), observer: Box::new(Unobserved) }
    }
}

/// Hears of each piece of work that the store's threads have done, to keep histograms of it. Called by those threads: must
/// be quick.
pub trait StoreObserver: Send + Sync {
    /// A group of batches became durable.
    fn synced(&self, _group: &Synced) {}
    /// A generation of the memtable was moved to the value files.
    fn applied(&self, _generation: &Applied) {}
    /// A checkpoint was made.
    fn checkpointed(&self, _checkpoint: &Checkpointed) {}
    /// The opening builds the index anew. Called at the beginning, and after each value file.
    fn rebuilding(&self, _progress: &Rebuilding<'_>) {}
}

/// Observes nothing.
struct Unobserved;

impl StoreObserver for Unobserved {}

/// A group of batches that one sync made durable.
#[derive(Clone, Copy, Debug)]
pub struct Synced {
    /// How many batches.
    pub batches: usize,
    /// Their bytes in the log.
    pub bytes: usize,
    /// How long the write and the sync took.
    pub took: Duration,
}

/// A generation that was moved to the value files.
#[derive(Clone, Copy, Debug)]
pub struct Applied {
    /// Operations submitted.
    pub ops: usize,
    /// Distinct keys among them, each of which was written once.
    pub keys: usize,
    /// How long that took.
    pub took: Duration,
}

/// A checkpoint.
#[derive(Clone, Copy, Debug)]
pub struct Checkpointed {
    /// Bytes of log that it made superfluous.
    pub dropped_bytes: u64,
    /// Whether it put rewritten sled files in the place of the old ones.
    pub rewritten: bool,
    /// How long it took.
    pub took: Duration,
}

/// How far the building of the index has come.
#[derive(Clone, Copy, Debug)]
pub struct Rebuilding<'a> {
    /// Why it is built anew.
    pub reason: &'a str,
    /// Value files to read.
    pub files: usize,
    /// Those that have been read.
    pub files_done: usize,
    /// Records in them.
    pub records: u64,
}
