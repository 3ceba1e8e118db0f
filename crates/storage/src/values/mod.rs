//! Value files: where values are once they have left the log. Append-only files of checksummed records; sled is but their index.
//!
//! * `record`: one record: key, version, value or deletion, with a checksum for the head and another for the value.
//! * `entry`: what the index holds for a key: the place of its newest record.
//! * `file`: reads single records, for callers' reads and scans; always from the file.
//! * `walk`: reads whole files in order, over damage: for compaction and for building the index anew.
//! * `writer`: appends records; `keep`: puts changes into a file and the index.
//! * `ledger`: which files there are, how much of each is live, and which keys.
//!
//! # What holds at every moment
//!
//! * A checkpoint lists the files and how many bytes of each count. All these bytes are durable whole records, and with the records of
//!   the log after the checkpoint they say all that the store holds, **without the index**: the newest version of each key counts.
//!   Versions are numbers of records of the log. So what happens to sled's files costs time, never data.
//! * An opening cuts listed files to what counts and removes those that are not listed. What is lost by that is in the log. Entries
//!   of the index that point there are replaced when the log is taken in, before anybody reads.
//! * A record is never changed. A file goes only when a durable checkpoint no longer lists it, and none omits a file to which an entry
//!   of the durable index points.
//! * A deletion is a record too, as long as a dead record of its key may be in any file (`Ledger::oldest_dead_birth`).
//!
//! # Why not the log's own segments
//!
//! They could be the values' home and save writing each twice. But a generation of the memtable goes to its value file sorted and with
//! each key once, so that scans (the sweep above all) read on instead of jumping, and what is overwritten soon never gets there;
//! the log stays what it was: short, recycled, and simple enough to trust.

pub(crate) mod entry;
pub(crate) mod file;
pub(crate) mod keep;
pub(crate) mod ledger;
pub(crate) mod record;
pub(crate) mod walk;
pub(crate) mod writer;

use std::hash::{BuildHasher, Hasher, RandomState};

/// A number that those who choose what is stored do not know.
pub(crate) fn salt() -> u64 {
    RandomState::new().build_hasher().finish()
}
