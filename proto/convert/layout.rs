//! The layout and what it is made of.

use std::time::Duration;

use bytes::Bytes;
use quorate_protocol::id::{BucketId, ClusterId, Epoch, NodeId};
use quorate_protocol::layout::{
    Bootstrap, Bucket, BucketSettings, ConflictPolicy, Layout, Member, QuorumMode,
};

use super::kv::{mode_from_wire, mode_to_wire};
use crate::v1;

/// What the default number of partitions is, for who names none.
pub const DEFAULT_PARTITIONS: u32 = 256;
/// The default number of owners, as far as there are members.
pub const DEFAULT_N: u32 = 3;

/// Why a message makes no layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidLayout {
    /// The message's field.
    pub field: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

impl std::fmt::Display for InvalidLayout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.field, self.reason)
    }
}

impl std::error::Error for InvalidLayout {}

fn invalid(field: &'static str, reason: impl Into<String>) -> InvalidLayout {
    InvalidLayout { field, reason: reason.into() }
}

/// 16 bytes, as a cluster's id travels.
pub fn cluster_id_to_wire(cluster: ClusterId) -> Bytes {
    Bytes::copy_from_slice(&cluster.0.to_be_bytes())
}

/// Reads what [`cluster_id_to_wire`] wrote.
pub fn cluster_id_from_wire(bytes: &[u8]) -> Result<ClusterId, InvalidLayout> {
    let bytes: [u8; 16] =
        bytes.try_into().map_err(|_| invalid("cluster_id", format!("{} bytes, and not 16", bytes.len())))?;
    Ok(ClusterId(u128::from_be_bytes(bytes)))
}

/// A conflict policy as it travels.
pub fn conflict_to_wire(conflict: ConflictPolicy) -> v1::ConflictPolicy {
    match conflict {
        ConflictPolicy::Siblings => v1::ConflictPolicy::Siblings,
        ConflictPolicy::LastWriterWins => v1::ConflictPolicy::LastWriterWins,
    }
}

fn conflict_from_wire(conflict: i32) -> Result<ConflictPolicy, InvalidLayout> {
    match v1::ConflictPolicy::try_from(conflict) {
        Ok(v1::ConflictPolicy::Siblings) => Ok(ConflictPolicy::Siblings),
        Ok(v1::ConflictPolicy::LastWriterWins) => Ok(ConflictPolicy::LastWriterWins),
        Err(_) => Err(invalid("buckets.conflict", format!("there is no policy {conflict}"))),
    }
}

fn bucket_mode_from_wire(mode: i32) -> Result<QuorumMode, InvalidLayout> {
    mode_from_wire(mode).ok_or_else(|| invalid("buckets.mode", format!("there is no mode {mode}")))
}

/// A bucket as it travels.
pub fn bucket_to_wire(bucket: &Bucket) -> v1::Bucket {
    v1::Bucket {
        bucket_id: bucket.id.0,
        name: bucket.name.clone(),
        n: bucket.n,
        r: bucket.r,
        w: bucket.w,
        conflict: conflict_to_wire(bucket.conflict).into(),
        mode: mode_to_wire(bucket.mode).into(),
        ttl_ms: bucket.ttl_ms,
    }
}

fn bucket_from_wire(bucket: v1::Bucket) -> Result<Bucket, InvalidLayout> {
    Ok(Bucket {
        id: BucketId(bucket.bucket_id),
        conflict: conflict_from_wire(bucket.conflict)?,
        mode: bucket_mode_from_wire(bucket.mode)?,
        ttl_ms: bucket.ttl_ms,
        name: bucket.name,
        n: bucket.n,
        r: bucket.r,
        w: bucket.w,
    })
}

fn member_to_wire(member: &Member) -> v1::Member {
    v1::Member {
        node_id: member.node.0,
        name: member.name.clone(),
        peer_address: member.peer_address.clone(),
        zone: member.zone.clone(),
        weight: member.weight,
    }
}

fn member_from_wire(member: v1::Member) -> Member {
    Member {
        node: NodeId(member.node_id),
        name: member.name,
        peer_address: member.peer_address,
        zone: member.zone,
        weight: member.weight.max(1),
    }
}

/// A layout as it travels.
pub fn layout_to_wire(layout: &Layout) -> v1::Layout {
    let index_of = |node: &NodeId| {
        let at = layout.members.binary_search_by_key(node, |member| member.node);
        // Owners are members, and there are far fewer than 2^32 of these.
        at.ok().and_then(|at| u32::try_from(at).ok())
    };
    v1::Layout {
        cluster_id: cluster_id_to_wire(layout.cluster),
        epoch: layout.epoch.0,
        n: layout.n,
        members: layout.members.iter().map(member_to_wire).collect(),
        buckets: layout.buckets.iter().map(bucket_to_wire).collect(),
        owners: layout
            .owners
            .iter()
            .map(|owners| v1::Owners { members: owners.iter().filter_map(index_of).collect() })
            .collect(),
    }
}

/// Reads what [`layout_to_wire`] wrote, and refuses what could not be routed by.
pub fn layout_from_wire(layout: v1::Layout) -> Result<Layout, InvalidLayout> {
    let members: Vec<Member> = layout.members.into_iter().map(member_from_wire).collect();
    if !members.is_sorted_by(|a, b| a.node < b.node) {
        return Err(invalid("members", "not sorted by id, or one is there twice"));
    }
    let buckets = layout.buckets.into_iter().map(bucket_from_wire).collect::<Result<Vec<_>, _>>()?;
    if !buckets.is_sorted_by(|a, b| a.name < b.name) {
        return Err(invalid("buckets", "not sorted by name, or one is there twice"));
    }
    if !layout.owners.len().is_power_of_two() {
        return Err(invalid(
            "owners",
            format!("{} partitions, which is no power of two", layout.owners.len()),
        ));
    }
    let owner = |at: u32| {
        let member = usize::try_from(at).ok().and_then(|at| members.get(at));
        member
            .map(|member| member.node)
            .ok_or_else(|| invalid("owners", format!("{at} is no index into members")))
    };
    let owners = layout
        .owners
        .into_iter()
        .map(|owners| owners.members.into_iter().map(owner).collect())
        .collect::<Result<Vec<Vec<NodeId>>, _>>()?;
    Ok(Layout {
        cluster: cluster_id_from_wire(&layout.cluster_id)?,
        epoch: Epoch(layout.epoch),
        n: layout.n,
        members,
        buckets,
        owners,
    })
}

/// What a bootstrap asks for, with what it leaves open filled in; the layout itself checks the bounds.
pub fn bootstrap_from_wire(request: v1::BootstrapRequest) -> Result<Bootstrap, InvalidLayout> {
    let members = u32::try_from(request.members.len()).unwrap_or(u32::MAX);
    let or = |value: u32, default: u32| if value == 0 { default } else { value };
    let n = or(request.n, DEFAULT_N.min(members.max(1)));
    Ok(Bootstrap {
        cluster: cluster_id_from_wire(&request.cluster_id)?,
        partitions: or(request.partitions, DEFAULT_PARTITIONS),
        n,
        r: or(request.r, n / 2 + 1),
        w: or(request.w, n / 2 + 1),
        members: request.members.into_iter().map(member_from_wire).collect(),
        buckets: request
            .buckets
            .into_iter()
            .map(|bucket| {
                Ok(BucketSettings {
                    conflict: conflict_from_wire(bucket.conflict)?,
                    mode: bucket_mode_from_wire(bucket.mode)?,
                    ttl: bucket.ttl_ms.map(Duration::from_millis),
                    name: bucket.name,
                    n: bucket.n,
                    r: bucket.r,
                    w: bucket.w,
                })
            })
            .collect::<Result<_, _>>()?,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that meets the unexpected stops there")]
mod tests {
    use super::*;

    fn request() -> v1::BootstrapRequest {
        let member = |node_id| v1::Member {
            node_id,
            name: format!("node-{node_id}"),
            peer_address: format!("127.0.0.1:{node_id}"),
            zone: String::new(),
            weight: 0,
        };
        v1::BootstrapRequest {
            cluster_id: cluster_id_to_wire(ClusterId(7)),
            partitions: 16,
            members: vec![member(9), member(3), member(5), member(4)],
            buckets: vec![v1::BucketSettings {
                name: "carts".into(),
                n: Some(1),
                conflict: v1::ConflictPolicy::LastWriterWins.into(),
                mode: v1::QuorumMode::Sloppy.into(),
                ttl_ms: Some(3_600_000),
                ..Default::default()
            }],
            ..Default::default()
        }
    }

    #[test]
    fn a_layout_comes_back_as_it_went() {
        let settings = bootstrap_from_wire(request()).unwrap();
        assert_eq!((settings.n, settings.r, settings.w), (3, 2, 2));
        let layout = Layout::first(&settings).unwrap();
        assert_eq!(layout_from_wire(layout_to_wire(&layout)).unwrap(), layout);
        let carts = layout.bucket("carts").unwrap();
        assert_eq!((carts.mode, carts.ttl_ms), (QuorumMode::Sloppy, Some(3_600_000)));
    }

    #[test]
    fn what_cannot_be_routed_by_is_refused() {
        let layout = layout_to_wire(&Layout::first(&bootstrap_from_wire(request()).unwrap()).unwrap());
        let fields = [
            layout_from_wire(v1::Layout { owners: vec![v1::Owners { members: vec![4] }], ..layout.clone() }),
            layout_from_wire(v1::Layout { owners: Vec::new(), ..layout.clone() }),
            layout_from_wire(v1::Layout { cluster_id: Bytes::from_static(b"short"), ..layout.clone() }),
            layout_from_wire(v1::Layout {
                members: layout.members.iter().rev().cloned().collect(),
                ..layout
            }),
        ]
        .map(|result| result.unwrap_err().field);
        assert_eq!(fields, ["owners", "owners", "cluster_id", "members"]);
    }
}
