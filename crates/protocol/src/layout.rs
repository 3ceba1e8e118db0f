//! Who owns what: members, buckets and the owners of every partition, under one epoch.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128};

use crate::id::{BucketId, ClusterId, Epoch, NodeId, PartitionId};
use crate::limits::{TTL_MAX, ttl_ms};
use crate::placement;
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

/// What a client asks of a bucket at bootstrap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketSettings {
    /// See [`Bucket`].
    pub name: String,
    /// See [`Bucket`]; the cluster's when absent.
    pub n: Option<u32>,
    /// See [`Bucket`]; the cluster's when absent.
    pub r: Option<u32>,
    /// See [`Bucket`]; the cluster's when absent.
    pub w: Option<u32>,
    /// See [`Bucket`].
    pub conflict: ConflictPolicy,
    /// See [`Bucket`].
    pub mode: QuorumMode,
    /// See [`Bucket`]: 1 ms to [`TTL_MAX`].
    pub ttl: Option<Duration>,
}

/// All that the first layout is a function of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bootstrap {
    /// The cluster to found.
    pub cluster: ClusterId,
    /// A power of two, 1 to [`PARTITIONS_MAX`]; fixed for good.
    pub partitions: u32,
    /// Owners of every partition.
    pub n: u32,
    /// The default bucket's read quorum, and that of buckets that name none.
    pub r: u32,
    /// The default bucket's write quorum, and that of buckets that name none.
    pub w: u32,
    /// The first members, in any order.
    pub members: Vec<Member>,
    /// Buckets beside the default one, or the default one with other properties.
    pub buckets: Vec<BucketSettings>,
}

/// Why settings make no layout: the field, and what is wrong with it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{field}: {reason}")]
pub struct InvalidSettings {
    /// Which setting.
    pub field: String,
    /// The bound that it breaks.
    pub reason: String,
}

/// Who owns what, at one epoch. Immutable; agreed by all who hold its epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// Whose it is.
    pub cluster: ClusterId,
    /// Its place in the succession.
    pub epoch: Epoch,
    /// Owners of every partition.
    pub n: u32,
    /// Sorted by id.
    pub members: Vec<Member>,
    /// Sorted by name.
    pub buckets: Vec<Bucket>,
    /// For each partition its owners in order of preference, `n` of them.
    pub owners: Vec<Vec<NodeId>>,
}

impl Layout {
    /// The first layout: a pure function of the settings, so that asking twice is harmless.
    pub fn first(settings: &Bootstrap) -> Result<Self, InvalidSettings> {
        check_members(&settings.members)?;
        let nodes = settings.members.len();
        let (n, r, w) = (settings.n, settings.r, settings.w);
        if !settings.partitions.is_power_of_two() || settings.partitions > PARTITIONS_MAX {
            return Err(invalid(
                "partitions",
                format!("{} is not a power of two from 1 to {PARTITIONS_MAX}", settings.partitions),
            ));
        }
        if n == 0 || n as usize > nodes {
            return Err(invalid("n", format!("{n} is not from 1 to {nodes}, the number of members")));
        }
        let default = BucketSettings {
            name: DEFAULT_BUCKET.into(),
            n: None,
            r: None,
            w: None,
            conflict: ConflictPolicy::Siblings,
            mode: QuorumMode::Strict,
            ttl: None,
        };
        check_quorums("", n, n, r, w)?;
        let mut buckets = BTreeMap::new();
        for asked in &settings.buckets {
            let bucket = make_bucket(settings, asked)?;
            if buckets.insert(asked.name.clone(), bucket).is_some() {
                return Err(invalid("buckets", format!("{:?} is named twice", asked.name)));
            }
        }
        if !buckets.contains_key(DEFAULT_BUCKET) {
            buckets.insert(default.name.clone(), make_bucket(settings, &default)?);
        }
        let mut members = settings.members.clone();
        members.sort_by_key(|member| member.node);
        let owners = placement::place(&members, n as usize, settings.partitions as usize);
        Ok(Self {
            cluster: settings.cluster,
            epoch: Epoch(1),
            n,
            members,
            buckets: buckets.into_values().collect(),
            owners,
        })
    }

    /// How many partitions there are: a power of two.
    pub fn partitions(&self) -> usize {
        self.owners.len()
    }

    /// The partition of a key.
    pub fn partition_of(&self, bucket: BucketId, key: &[u8]) -> PartitionId {
        partition_of(self.owners.len(), bucket, key)
    }

    /// A partition's owners in order of preference; none for a partition that does not exist.
    pub fn owners(&self, partition: PartitionId) -> &[NodeId] {
        self.owners.get(usize::from(partition.0)).map_or(&[], Vec::as_slice)
    }

    /// Whether a node owns a partition.
    pub fn is_owner(&self, partition: PartitionId, node: NodeId) -> bool {
        self.owners(partition).contains(&node)
    }

    /// Who stands in for owners of a partition that cannot be reached: the next members in the partition's order, at
    /// most twice as many as there are owners, in order of preference.
    pub fn fallbacks(&self, partition: PartitionId) -> Vec<NodeId> {
        let owners = self.owners(partition);
        let mut others: Vec<NodeId> =
            self.members.iter().map(|member| member.node).filter(|node| !owners.contains(node)).collect();
        others.sort_by_key(|&node| placement::tie(usize::from(partition.0), node));
        others.truncate(2 * owners.len());
        others
    }

    /// Whether a node is among a partition's fallbacks.
    pub fn is_fallback(&self, partition: PartitionId, node: NodeId) -> bool {
        !self.is_owner(partition, node) && self.fallbacks(partition).contains(&node)
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

fn invalid(field: &str, reason: String) -> InvalidSettings {
    InvalidSettings { field: field.into(), reason }
}

fn check_members(members: &[Member]) -> Result<(), InvalidSettings> {
    if members.is_empty() {
        return Err(invalid("members", "there must be at least one".into()));
    }
    let mut seen = BTreeMap::new();
    for member in members {
        if member.weight == 0 {
            return Err(invalid(
                "members.weight",
                format!("that of {} is 0, and the least is 1", member.name),
            ));
        }
        if member.peer_address.is_empty() {
            return Err(invalid("members.peer_address", format!("that of {} is empty", member.name)));
        }
        if let Some(other) = seen.insert(member.node, &member.name) {
            return Err(invalid(
                "members.node",
                format!("{other} and {} have the same id {}", member.name, member.node),
            ));
        }
    }
    Ok(())
}

fn check_quorums(prefix: &str, n: u32, n_max: u32, r: u32, w: u32) -> Result<(), InvalidSettings> {
    for (field, value, max, of) in [("n", n, n_max, "the cluster's n"), ("r", r, n, "n"), ("w", w, n, "n")] {
        if value == 0 || value > max {
            return Err(invalid(
                &format!("{prefix}{field}"),
                format!("{value} is not from 1 to {max}, {of}"),
            ));
        }
    }
    Ok(())
}

fn make_bucket(settings: &Bootstrap, asked: &BucketSettings) -> Result<Bucket, InvalidSettings> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if asked.name.is_empty() || asked.name.len() > BUCKET_NAME_BYTES || !asked.name.bytes().all(allowed) {
        let reason =
            format!("{:?} is not 1 to {BUCKET_NAME_BYTES} characters of a-z A-Z 0-9 . _ -", asked.name);
        return Err(invalid("buckets.name", reason));
    }
    let n = asked.n.unwrap_or(settings.n);
    let (r, w) = (asked.r.unwrap_or(settings.r.min(n)), asked.w.unwrap_or(settings.w.min(n)));
    check_quorums("buckets.", n, settings.n, r, w)?;
    // Random to anyone who does not know the cluster's id, and the same on every node that bootstraps.
    let mut seed = settings.cluster.0.to_le_bytes().to_vec();
    seed.extend_from_slice(asked.name.as_bytes());
    let id = BucketId(xxh3_64_with_seed(&seed, 0));
    let ttl_ms = match asked.ttl {
        Some(ttl) => Some(ttl_ms(ttl, TTL_MAX).map_err(|reason| invalid("buckets.ttl", reason))?),
        None => None,
    };
    let (name, conflict, mode) = (asked.name.clone(), asked.conflict, asked.mode);
    Ok(Bucket { id, name, n, r, w, conflict, mode, ttl_ms })
}
