//! Who owns what: members, buckets and the owners of every partition, under one epoch.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `first` | the first layout, and what settings must be like |
//! | `sides` | which owners count for what, in a change too |
//! | `change` | a change under way |
//! | `order` | what can be asked of a layout, and the layout that follows |
//! | `needs` | how many owners must have done something before a change goes on |
//! | `voters` | who chooses the next layout |

mod change;
mod first;
mod needs;
mod order;
mod sides;
mod voters;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128};

pub use change::{Change, Stage};
pub use first::{Bootstrap, BucketSettings, InvalidSettings};
pub use needs::Needs;
pub use order::{Alteration, BucketSizes, MemberSettings, Order, OrderError};
pub use sides::Side;
pub use voters::{FORCED_EPOCHS, VOTERS_MAX};

use crate::id::{BucketId, ClusterId, Epoch, NodeId, PartitionId};
use crate::version::DecodeError;

/// The bucket that is meant when none is named; every cluster has it.
pub const DEFAULT_BUCKET: &str = "default";
/// The most partitions that a layout can have.
pub const PARTITIONS_MAX: u32 = 1 << 15;
/// The most owners that a partition can have.
pub const REPLICAS_MAX: usize = 15;
/// The longest name of a bucket, in bytes.
pub const BUCKET_NAME_BYTES: usize = 64;

/// A node that belongs to the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its identity.
    pub node: NodeId,
    /// A label for people; need not be unique.
    pub name: String,
    /// Where it was reached by peers when the layout was made (`host:port`): a first guess, for addresses change.
    pub peer_address: String,
    /// Its failure zone; owners of a partition are in different zones while there are enough. May be empty.
    pub zone: String,
    /// Its share of the data, relative to the other members'. At least 1.
    pub weight: u32,
}

/// What becomes of concurrent writes in a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ConflictPolicy {
    /// All are kept and shown until a later write has seen them.
    #[default]
    Siblings,
    /// The last by hybrid clock is shown.
    LastWriterWins,
}

/// Who may stand in for an owner that cannot be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum QuorumMode {
    /// Nobody: only owners count, so with r + w > n every read sees every write acknowledged before it began.
    #[default]
    Strict,
    /// The next members in the partition's order (Dynamo, section 4.6): writes go on while owners are away, and
    /// reads promise convergence, not freshness.
    Sloppy,
}

/// A keyspace with its own properties.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// Its identity, part of every key's hash.
    pub id: BucketId,
    /// Its label: 1 to [`BUCKET_NAME_BYTES`] of `a-z A-Z 0-9 . _ -`.
    pub name: String,
    /// How many of a partition's owners count towards quorums.
    pub n: u32,
    /// How many of them must answer a read.
    pub r: u32,
    /// How many of them must acknowledge a write.
    pub w: u32,
    /// What becomes of concurrent writes.
    pub conflict: ConflictPolicy,
    /// Who may stand in for an owner that cannot be reached, where a request does not say.
    pub mode: QuorumMode,
    /// How long values are shown whose put does not say, in milliseconds; none: until they are replaced.
    pub ttl_ms: Option<u64>,
}

/// How many owners count towards quorums in a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuorumSizes {
    /// The first so many owners count.
    pub n: u32,
    /// So many of them must answer a read.
    pub r: u32,
    /// So many of them must acknowledge a write.
    pub w: u32,
}

impl QuorumSizes {
    /// Whether every read quorum meets every write quorum.
    pub fn is_strict(self) -> bool {
        self.r + self.w > self.n
    }
}

impl Bucket {
    /// Its sizes in a stable layout; see [`Layout::sizes`] for a change.
    pub fn sizes(&self) -> QuorumSizes {
        QuorumSizes { n: self.n, r: self.r, w: self.w }
    }
}

/// Who owns what, at one epoch. Immutable; agreed by all who hold its epoch.
///
/// While a [`change`](Self::change) is under way the old owner lists are here and the new ones there, side by side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// Whose it is.
    pub cluster: ClusterId,
    /// Its place in the succession.
    pub epoch: Epoch,
    /// Owners of every partition.
    pub n: u32,
    /// Sorted by id; those that a change adds or that leave with it included.
    pub members: Vec<Member>,
    /// Who chooses the successor, sorted.
    pub voters: Vec<NodeId>,
    /// Who was a member once: an id is never used again.
    pub departed: BTreeSet<NodeId>,
    /// Sorted by name.
    pub buckets: Vec<Bucket>,
    /// For each partition its owners in order of preference, `n` of them.
    pub owners: Vec<Vec<NodeId>>,
    /// What is becoming of it.
    pub change: Option<Box<Change>>,
}

impl Layout {
    /// How many partitions there are: a power of two.
    pub fn partitions(&self) -> usize {
        self.owners.len()
    }

    /// All partitions, in order.
    pub fn all_partitions(&self) -> impl Iterator<Item = PartitionId> + use<> {
        (0..u16::try_from(self.owners.len()).unwrap_or(u16::MAX)).map(PartitionId)
    }

    /// The partition of a key.
    pub fn partition_of(&self, bucket: BucketId, key: &[u8]) -> PartitionId {
        partition_of(self.owners.len(), bucket, key)
    }

    /// The bucket of this name; the empty name means the default one.
    pub fn bucket(&self, name: &str) -> Option<&Bucket> {
        let name = if name.is_empty() { DEFAULT_BUCKET } else { name };
        self.buckets
            .binary_search_by(|bucket| bucket.name.as_str().cmp(name))
            .ok()
            .map(|at| &self.buckets[at])
    }

    /// The bucket of this id.
    pub fn bucket_by_id(&self, id: BucketId) -> Option<&Bucket> {
        self.buckets.iter().find(|bucket| bucket.id == id)
    }

    /// The member of this id.
    pub fn member(&self, node: NodeId) -> Option<&Member> {
        self.members.binary_search_by_key(&node, |member| member.node).ok().map(|at| &self.members[at])
    }

    /// As it is persisted and sent to peers.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("plain data serializes into a growing vector")
    }

    /// Reads what [`encode`](Self::encode) wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        postcard::from_bytes(bytes).map_err(|error| DecodeError(error.to_string()))
    }

    /// A hash of the whole layout: two nodes with equal epochs and different digests do not belong together.
    pub fn digest(&self) -> u128 {
        xxh3_128(&self.encode())
    }
}

/// The partition of a key among `partitions` (a power of two), by the upper bits of its hash. Clients use it to
/// find the owner themselves.
pub fn partition_of(partitions: usize, bucket: BucketId, key: &[u8]) -> PartitionId {
    let bits = partitions.trailing_zeros();
    let hash = xxh3_64_with_seed(key, bucket.0);
    let slice = hash.checked_shr(u64::BITS - bits).unwrap_or(0);
    PartitionId(u16::try_from(slice).unwrap_or(u16::MAX))
}
