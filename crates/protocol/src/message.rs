//! What nodes say to each other.

use bytes::Bytes;

use crate::id::{BucketId, Epoch, PartitionId};
use crate::operation::{OperationResult, Timed};
use crate::version::{Digest, EncodedContainer};

/// Pairs a reply with its request. Starts at random in every life of a process, so that a reply meant for an
/// earlier life matches nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub u64);

/// Which key: enough to check the ownership without the layout's hash being trusted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyRef {
    /// The partition that the sender's layout puts the key in.
    pub partition: PartitionId,
    /// The keyspace.
    pub bucket: BucketId,
    /// The user's key.
    pub key: Bytes,
}

/// Why a replica did not do what it was asked. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The sender's epoch is not the receiver's, which is this.
    Epoch(Epoch),
    /// The receiver does not own the partition.
    NotOwner,
    /// Too much is under way at the receiver.
    Overloaded,
    /// The receiver's storage could not give or take the container.
    Storage,
    /// The receiver's record of the key was damaged, and is not healed yet: the key counts in no quorum there. A container that came
    /// with the request is merged all the same.
    Hole,
}

/// A replica's part of a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// It holds exactly what the asker said that it has.
    Same,
    /// It holds this (the empty container when it holds nothing).
    Container(EncodedContainer),
}

/// One key in a page of a replica's scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScannedKey {
    /// The user's key.
    pub key: Bytes,
    /// Of the container.
    pub digest: Digest,
    /// Whether it has a sibling.
    pub live: bool,
    /// Whether the replica cannot say, for its record is damaged: digest and `live` mean nothing then.
    pub doubtful: bool,
}

/// A page of a replica's scan, in key order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// The keys, tombstones included.
    pub keys: Vec<ScannedKey>,
    /// Whether more follow.
    pub more: bool,
}

/// What a node says to another. Every request to a replica carries the sender's epoch, and the two sides must be equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Merge this container. Acknowledged, when tagged, once the covering state is durable.
    Replicate {
        /// Absent: no acknowledgement is wanted (a read repair).
        tag: Option<Tag>,
        /// The sender's.
        epoch: Epoch,
        /// Whose container it is.
        key: KeyRef,
        /// The merged container, never a bare value.
        container: EncodedContainer,
    },
    /// The state that covers the replicated one is durable here.
    ReplicateReply {
        /// The request's.
        tag: Tag,
        /// The replica's when it sent this.
        epoch: Epoch,
        /// Durable, or refused.
        result: Result<(), Refusal>,
    },
    /// Send the container of a key, unless it is the same as mine.
    Fetch {
        /// For the reply.
        tag: Tag,
        /// The sender's.
        epoch: Epoch,
        /// Which key.
        key: KeyRef,
        /// The digest of what the sender holds.
        have: Option<Digest>,
    },
    /// The answer to a fetch.
    FetchReply {
        /// The request's.
        tag: Tag,
        /// The replica's when it sent this.
        epoch: Epoch,
        /// What it holds, or why it does not say.
        result: Result<Fetched, Refusal>,
    },
    /// List the keys that you hold of a bucket in a partition.
    Scan {
        /// For the reply.
        tag: Tag,
        /// The sender's.
        epoch: Epoch,
        /// Which partition.
        partition: PartitionId,
        /// Which keyspace.
        bucket: BucketId,
        /// Keys greater than this one.
        after: Option<Bytes>,
        /// At most this many.
        limit: u32,
    },
    /// The answer to a scan.
    ScanReply {
        /// The request's.
        tag: Tag,
        /// The replica's when it sent this.
        epoch: Epoch,
        /// What it holds, or why it does not say.
        result: Result<Scanned, Refusal>,
    },
    /// Coordinate this operation for me: you are a primary, I am not.
    Forward {
        /// For the reply.
        tag: Tag,
        /// What to do, and the time that is left for it.
        timed: Timed,
    },
    /// How a forwarded operation ended.
    ForwardReply {
        /// The request's.
        tag: Tag,
        /// The answer for the client.
        result: OperationResult,
    },
    /// Send me your layout; mine is older.
    LayoutRequest,
    /// A layout, encoded (see [`Layout::encode`](crate::layout::Layout::encode)).
    LayoutOffer(Bytes),
    /// I have lost my record of this key: count no acknowledgement of mine for it any more, and send what you hold.
    Heal {
        /// For the reply.
        tag: Tag,
        /// The sender's.
        epoch: Epoch,
        /// Which key.
        key: KeyRef,
    },
    /// The answer to a [`Heal`](Self::Heal).
    HealReply {
        /// The request's.
        tag: Tag,
        /// The owner's when it sent this.
        epoch: Epoch,
        /// What it holds (the empty container when it holds nothing), or why it does not say.
        result: Result<EncodedContainer, Refusal>,
    },
}
