//! Where things are in the store's one keyspace.
//!
//! ```text
//! d | partition u16 | bucket u64 | user key   an encoded container
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

const PARTITION_PREFIX_BYTES: usize = 1 + 2;
/// What comes before the user's key.
pub const DATA_PREFIX_BYTES: usize = PARTITION_PREFIX_BYTES + 8;

/// Where the container of a user's key is.
pub fn data(partition: PartitionId, bucket: BucketId, key: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(DATA_PREFIX_BYTES + key.len());
    bytes.put_u8(b'd');
    bytes.put_u16(partition.0);
    bytes.put_u64(bucket.0);
    bytes.put_slice(key);
    bytes.freeze()
}

/// What the keys of all of a bucket's containers in a partition start with.
pub fn data_prefix(partition: PartitionId, bucket: BucketId) -> Bytes {
    data(partition, bucket, &[])
}

/// What the keys of all containers in a partition start with.
pub fn partition_prefix(partition: PartitionId) -> Bytes {
    data(partition, BucketId(0), &[]).slice(..PARTITION_PREFIX_BYTES)
}

/// What a key that [`data`] made is about; none for another.
pub fn key_ref(data_key: &Bytes) -> Option<KeyRef> {
    let partition = data_key.strip_prefix(b"d")?.first_chunk()?;
    let bucket = data_key.get(PARTITION_PREFIX_BYTES..)?.first_chunk()?;
    Some(KeyRef {
        partition: PartitionId(u16::from_be_bytes(*partition)),
        bucket: BucketId(u64::from_be_bytes(*bucket)),
        key: user_key(data_key),
    })
}

/// The user's key in a key that [`data`] made.
pub fn user_key(data_key: &Bytes) -> Bytes {
    data_key.slice(DATA_PREFIX_BYTES.min(data_key.len())..)
}
