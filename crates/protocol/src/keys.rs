//! Where things are in the store's one keyspace.
//!
//! ```text
//! d | partition u16 | bucket u64 | user key   an encoded container
//! f | partition u16 | bucket u64 | user key   an encoded container that a fallback keeps for owners
//! h | owner u64 | partition u16 | bucket u64 | user key   what to bring to an owner; one byte: 0 own replica, 1 fallback
//! b | partition u16 | bucket u64 | user key   nothing: the container's record was damaged, and is not healed yet
//! c | partition u16                           how far the node is with a change of the partition's owners
//! s | boot u64                                a start: the life's name, and how far the directory went before it
//! m | name                                    what a node knows of itself
//! ```
//! Numbers are big-endian, so that byte order is their order.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::id::{BucketId, NodeId, PartitionId};
use crate::message::{KeyRef, Place};

/// The node's identity.
pub const IDENTITY: &[u8] = b"mnode";
/// What the node knows of the lives of other nodes.
pub const LIVES: &[u8] = b"mlives";
/// The layout that the node holds.
pub const LAYOUT: &[u8] = b"mlayout";
/// What the node has promised as a voter.
pub const BALLOT: &[u8] = b"mballot";

/// What the marks of all holes start with.
pub const HOLES: &[u8] = b"b";
/// What the marks of all changes start with.
pub const MARKS: &[u8] = b"c";
/// What the records of all starts start with.
pub const STARTS: &[u8] = b"s";
/// What all hints start with.
pub const HINTS: &[u8] = b"h";

const PARTITION_PREFIX_BYTES: usize = 1 + 2;
/// What comes before the user's key.
pub const DATA_PREFIX_BYTES: usize = PARTITION_PREFIX_BYTES + 8;
const HINT_PREFIX_BYTES: usize = 1 + 8 + 2 + 8;

/// Where the container of a user's key is.
pub fn data(partition: PartitionId, bucket: BucketId, key: &[u8]) -> Bytes {
    placed(b'd', partition, bucket, key)
}

/// Where a fallback keeps the container of a user's key.
pub fn fallback(partition: PartitionId, bucket: BucketId, key: &[u8]) -> Bytes {
    placed(b'f', partition, bucket, key)
}

/// Where a node has a key in one of its roles.
pub fn record(place: Place, key: &KeyRef) -> Bytes {
    match place {
        Place::Replica => data(key.partition, key.bucket, &key.key),
        Place::Fallback => fallback(key.partition, key.bucket, &key.key),
    }
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

/// Where the mark is that says how far this node is with a change of a partition.
pub fn mark(partition: PartitionId) -> Bytes {
    let mut bytes = BytesMut::with_capacity(PARTITION_PREFIX_BYTES);
    bytes.put_slice(MARKS);
    bytes.put_u16(partition.0);
    bytes.freeze()
}

/// Reads what [`mark`] made; none when it is something else.
pub fn marked(record: &[u8]) -> Option<PartitionId> {
    let bytes = record.strip_prefix(MARKS)?;
    Some(PartitionId(u16::from_be_bytes(bytes.try_into().ok()?)))
}

/// Where the record of a start is.
pub fn start(boot: u64) -> Bytes {
    Bytes::from([STARTS, &boot.to_be_bytes()].concat())
}

/// Reads what [`start`] made; none when it is something else.
pub fn started(record: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(record.strip_prefix(STARTS)?.try_into().ok()?))
}

fn placed(kind: u8, partition: PartitionId, bucket: BucketId, key: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(DATA_PREFIX_BYTES + key.len());
    bytes.put_u8(kind);
    put_key(&mut bytes, partition, bucket, key);
    bytes.freeze()
}

fn put_key(bytes: &mut BytesMut, partition: PartitionId, bucket: BucketId, key: &[u8]) {
    bytes.put_u16(partition.0);
    bytes.put_u64(bucket.0);
    bytes.put_slice(key);
}

/// Where the hint for an owner about a key is.
pub fn hint(owner: NodeId, key: &KeyRef) -> Bytes {
    let mut bytes = BytesMut::with_capacity(HINT_PREFIX_BYTES + key.key.len());
    bytes.put_slice(HINTS);
    bytes.put_u64(owner.0);
    put_key(&mut bytes, key.partition, key.bucket, &key.key);
    bytes.freeze()
}

/// Reads what [`hint`] made; none when it is something else.
pub fn parse_hint(bytes: &Bytes) -> Option<(NodeId, KeyRef)> {
    let mut rest = bytes.clone();
    if rest.len() < HINT_PREFIX_BYTES || rest.get_u8() != HINTS[0] {
        return None;
    }
    let owner = NodeId(rest.get_u64());
    let (partition, bucket) = (PartitionId(rest.get_u16()), BucketId(rest.get_u64()));
    Some((owner, KeyRef { partition, bucket, key: rest }))
}

/// What the keys of all of a bucket's containers in a partition start with.
pub fn data_prefix(partition: PartitionId, bucket: BucketId) -> Bytes {
    data(partition, bucket, &[])
}

/// What the keys of all containers in a partition start with.
pub fn partition_prefix(partition: PartitionId) -> Bytes {
    data(partition, BucketId(0), &[]).slice(..PARTITION_PREFIX_BYTES)
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
