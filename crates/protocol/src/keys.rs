//! Where things are in the store's one keyspace.
//!
//! ```text
//! d | partition u16 | bucket u64 | user key   an encoded container
//! b | partition u16 | bucket u64 | user key   nothing: the container's record was damaged, and is not healed yet
//! m | name                                    what a node knows of itself
//! ```
//! Numbers are big-endian, so that byte order is their order.

use bytes::{BufMut, Bytes, BytesMut};

use crate::id::{BucketId, PartitionId};
use crate::message::KeyRef;

/// The node's identity.
pub const IDENTITY: &[u8] = b"mnode";
/// The layout that the node holds.
pub const LAYOUT: &[u8] = b"mlayout";

/// What the marks of all holes start with.
pub const HOLES: &[u8] = b"b";

const DATA_PREFIX_BYTES: usize = 1 + 2 + 8;

/// Where the container of a user's key is.
pub fn data(partition: PartitionId, bucket: BucketId, key: &[u8]) -> Bytes {
    placed(b'd', partition, bucket, key)
}

/// Where the mark is that says that a key is a hole (see `holes`).
pub fn hole(key: &KeyRef) -> Bytes {
    placed(HOLES[0], key.partition, key.bucket, &key.key)
}

/// Which key a record of [`data`] or a mark of [`hole`] belongs to; none for other records.
pub fn key_of(record: &Bytes) -> Option<KeyRef> {
    let (&kind, rest) = record.split_first()?;
    let (partition, rest) = rest.split_first_chunk()?;
    let (bucket, _) = rest.split_first_chunk()?;
    (kind == b'd' || kind == HOLES[0]).then(|| KeyRef {
        partition: PartitionId(u16::from_be_bytes(*partition)),
        bucket: BucketId(u64::from_be_bytes(*bucket)),
        key: user_key(record),
    })
}

fn placed(kind: u8, partition: PartitionId, bucket: BucketId, key: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(DATA_PREFIX_BYTES + key.len());
    bytes.put_u8(kind);
    bytes.put_u16(partition.0);
    bytes.put_u64(bucket.0);
    bytes.put_slice(key);
    bytes.freeze()
}

/// What the keys of all of a bucket's containers in a partition start with.
pub fn data_prefix(partition: PartitionId, bucket: BucketId) -> Bytes {
    data(partition, bucket, &[])
}

/// The user's key in a key that [`data`] made.
pub fn user_key(data_key: &Bytes) -> Bytes {
    data_key.slice(DATA_PREFIX_BYTES.min(data_key.len())..)
}
