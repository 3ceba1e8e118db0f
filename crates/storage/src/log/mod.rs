//! The commit log: segment files of checksummed records, each holding a group of batches.

pub(crate) mod record;
pub(crate) mod replay;
pub(crate) mod segment;
pub(crate) mod writer;
