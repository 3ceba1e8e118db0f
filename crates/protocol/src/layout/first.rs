//! The first layout, and what settings must be like.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::voters::voters;
use super::{
    BUCKET_NAME_BYTES, Bucket, ConflictPolicy, DEFAULT_BUCKET, Layout, Member, PARTITIONS_MAX, QuorumMode,
    QuorumSizes, REPLICAS_MAX,
};
use crate::id::{BucketId, ClusterId, Epoch};
use crate::limits::{TTL_MAX, ttl_ms};
use crate::placement;

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

impl Layout {
    /// The first layout: a pure function of the settings, so that asking twice is harmless.
    pub fn first(settings: &Bootstrap) -> Result<Self, InvalidSettings> {
        check_members(&settings.members)?;
        let (n, r, w) = (settings.n, settings.r, settings.w);
        if !settings.partitions.is_power_of_two() || settings.partitions > PARTITIONS_MAX {
            return Err(invalid(
                "partitions",
                format!("{} is not a power of two from 1 to {PARTITIONS_MAX}", settings.partitions),
            ));
        }
        check_replicas(n, settings.members.len())?;
        let default = BucketSettings {
            name: DEFAULT_BUCKET.into(),
            n: None,
            r: None,
            w: None,
            conflict: ConflictPolicy::Siblings,
            mode: QuorumMode::Strict,
            ttl: None,
        };
        check_quorums("", n, QuorumSizes { n, r, w })?;
        let defaults = Defaults { cluster: settings.cluster, n, r, w, epoch: Epoch(1) };
        let mut buckets = BTreeMap::new();
        for asked in &settings.buckets {
            let bucket = make_bucket(&defaults, asked)?;
            if buckets.insert(asked.name.clone(), bucket).is_some() {
                return Err(invalid("buckets", format!("{:?} is named twice", asked.name)));
            }
        }
        if !buckets.contains_key(DEFAULT_BUCKET) {
            buckets.insert(default.name.clone(), make_bucket(&defaults, &default)?);
        }
        let mut members = settings.members.clone();
        members.sort_by_key(|member| member.node);
        let owners = placement::place(&members, n as usize, settings.partitions as usize);
        Ok(Self {
            cluster: settings.cluster,
            epoch: Epoch(1),
            n,
            voters: voters(&members),
            departed: BTreeSet::new(),
            members,
            buckets: buckets.into_values().collect(),
            owners,
            change: None,
        })
    }
}

pub(super) fn invalid(field: &str, reason: String) -> InvalidSettings {
    InvalidSettings { field: field.into(), reason }
}

pub(super) fn check_members(members: &[Member]) -> Result<(), InvalidSettings> {
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

/// Every partition needs so many members, and a tally so many bits.
pub(super) fn check_replicas(n: u32, members: usize) -> Result<(), InvalidSettings> {
    if n == 0 || n as usize > members {
        return Err(invalid("n", format!("{n} is not from 1 to {members}, the number of members")));
    }
    if n as usize > REPLICAS_MAX {
        return Err(invalid("n", format!("{n} is not from 1 to {REPLICAS_MAX}")));
    }
    Ok(())
}

pub(super) fn check_quorums(prefix: &str, n_max: u32, sizes: QuorumSizes) -> Result<(), InvalidSettings> {
    let QuorumSizes { n, r, w } = sizes;
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

/// What a bucket gets that its settings leave open, and what it must fit.
pub(super) struct Defaults {
    pub(super) cluster: ClusterId,
    /// The cluster's owners of every partition.
    pub(super) n: u32,
    pub(super) r: u32,
    pub(super) w: u32,
    /// The epoch that creates it: a name that is used again is another bucket.
    pub(super) epoch: Epoch,
}

pub(super) fn make_bucket(defaults: &Defaults, asked: &BucketSettings) -> Result<Bucket, InvalidSettings> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if asked.name.is_empty() || asked.name.len() > BUCKET_NAME_BYTES || !asked.name.bytes().all(allowed) {
        let reason =
            format!("{:?} is not 1 to {BUCKET_NAME_BYTES} characters of a-z A-Z 0-9 . _ -", asked.name);
        return Err(invalid("buckets.name", reason));
    }
    let n = asked.n.unwrap_or(defaults.n);
    let (r, w) = (asked.r.unwrap_or(defaults.r.min(n)), asked.w.unwrap_or(defaults.w.min(n)));
    let sizes = QuorumSizes { n, r, w };
    check_quorums("buckets.", defaults.n, sizes)?;
    let ttl_ms = match asked.ttl {
        Some(ttl) => Some(ttl_ms(ttl, TTL_MAX).map_err(|reason| invalid("buckets.ttl", reason))?),
        None => None,
    };
    let id = bucket_id(defaults.cluster, &asked.name, defaults.epoch);
    let (name, conflict, mode) = (asked.name.clone(), asked.conflict, asked.mode);
    Ok(Bucket { id, name, n, r, w, conflict, mode, ttl_ms })
}

/// Random to anyone who does not know the cluster's id, and the same on every node that makes this layout.
fn bucket_id(cluster: ClusterId, name: &str, epoch: Epoch) -> BucketId {
    let mut seed = cluster.0.to_le_bytes().to_vec();
    seed.extend_from_slice(&epoch.0.to_le_bytes());
    seed.extend_from_slice(name.as_bytes());
    BucketId(xxh3_64_with_seed(&seed, 0))
}
