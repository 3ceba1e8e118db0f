//! Where things are in the store's one keyspace.
//!
//! ```text
//! d | partition u16 | bucket u64 | user key   an encoded container
//! m | name                                    what a node knows of itself
//! ```
//! Numbers are big-endian, so that byte order is their order.

use bytes::{BufMut, Bytes, BytesMut};

use crate::id::{BucketId, PartitionId};

/// The node's identity.
pub const IDENTITY: &[u8] = b"mnode";
/// The layout that the node holds.
pub const LAYOUT: &[u8] = b"mlayout";

const DATA_PREFIX_BYTES: usize = 1 + 2 + 8;

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

/// The user's key in a key that [`data`] made.
pub fn user_key(data_key: &Bytes) -> Bytes {
    data_key.slice(DATA_PREFIX_BYTES.min(data_key.len())..)
}

/// The bucket in a key that [`data`] made.
pub fn bucket_of(data_key: &[u8]) -> Option<BucketId> {
    let bytes = data_key.get(3..DATA_PREFIX_BYTES)?;
    Some(BucketId(u64::from_be_bytes(bytes.try_into().ok()?)))
}
