//! Durable storage for Quorate: a commit log, value files behind it, and sled as their index.
//!
//! * A batch is visible once it is in the memtable, and durable once it is in the log and the log is synced. One sync serves
//!   all batches that wait at the moment.
//! * Only durable batches go to the value files, later, sorted and each key once. Sled then says where.
//! * A checkpoint makes value files and sled durable and drops the log up to there. An opening takes in the log's rest.
//! * A failed sync is the end: the store reports `Failed` and has to be opened anew. A full disk is not.
//! * A byte that changes on the disk loses at most the value that it is in: its key is reported, and healed by who knows better. What
//!   happens to sled's files loses nothing: the index is built anew from the value files (`values` has the design, `rebuild`
//!   and `compact` the rest of it).
//!
//! The way of a batch: `store` -> `batch` (bytes) -> `queue` (and memtable) -> `committer` -> `log` -> `background`
//! -> `apply` -> `values` (files) and `base` (sled) -> `checkpoint`.

mod apply;
mod background;
mod base;
mod batch;
mod checkpoint;
mod checkpoint_file;
mod committer;
mod compact;
pub mod conformance;
mod count;
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
mod rebuild;
mod recover;
mod rewrite;
mod room;
mod scan;
mod shared;
mod stats;
mod store;
mod values;

pub use error::OpenError;
pub use hooks::{Applied, Checkpointed, OnDurable, OnFailed, Rebuilding, StoreHooks, StoreObserver, Synced};
pub use options::StoreOptions;
pub use recover::OpenReport;
pub use stats::{Pressure, StoreStats};
pub use store::SledStore;
