//! Durable storage for Quorate: a commit log in front of sled.
//!
//! * A batch is visible once it is in the memtable, and durable once it is in the log and the log is synced. One sync serves
//!   all batches that wait at the moment.
//! * Only durable batches go to sled, later, sorted and each key once.
//! * A checkpoint makes sled durable and drops the log up to there. An opening takes in the log's rest.
//! * A failed sync is the end: the store reports `Failed` and has to be opened anew. A full disk is not.
//!
//! The way of a batch: `store` -> `batch` (bytes) -> `queue` (and memtable) -> `committer` -> `log` -> `background`
//! -> `apply` -> `base` (sled) -> `checkpoint`.

mod apply;
mod background;
mod base;
mod batch;
mod checkpoint;
mod committer;
pub mod conformance;
mod directory;
pub mod disk;
mod error;
mod hooks;
mod key;
mod log;
mod memtable;
mod open;
mod options;
mod queue;
mod rewrite;
mod room;
mod scan;
mod shared;
mod stats;
mod store;

pub use error::OpenError;
pub use hooks::{Applied, Checkpointed, OnDurable, OnFailed, StoreHooks, StoreObserver, Synced};
pub use open::OpenReport;
pub use options::StoreOptions;
pub use stats::{Pressure, StoreStats};
pub use store::SledStore;
