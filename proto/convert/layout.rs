//! The layout and what it is made of.

use std::time::Duration;

use bytes::Bytes;
use quorate_protocol::id::{BucketId, ClusterId, Epoch, NodeId};
use quorate_protocol::layout::{
    Bootstrap, Bucket, BucketSettings, Change, ConflictPolicy, Layout, Member, QuorumMode, QuorumSizes, Side,
    Stage,
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

pub(super) fn invalid(field: &'static str, reason: impl Into<String>) -> InvalidLayout {
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

pub(super) fn member_from_wire(member: v1::Member) -> Member {
    Member {
        node: NodeId(member.node_id),
        name: member.name,
        peer_address: member.peer_address,
        zone: member.zone,
        weight: member.weight.max(1),
    }
}

/// A stage as it travels.
pub fn stage_to_wire(stage: Stage) -> v1::ChangeStage {
    match stage {
        Stage::Gather => v1::ChangeStage::Gather,
        Stage::HandOver => v1::ChangeStage::HandOver,
    }
}

fn nodes_to_wire<'a>(nodes: impl IntoIterator<Item = &'a NodeId>) -> Vec<u64> {
    nodes.into_iter().map(|node| node.0).collect()
}

fn nodes_from_wire<T: FromIterator<NodeId>>(nodes: Vec<u64>) -> T {
    nodes.into_iter().map(NodeId).collect()
}

fn owners_to_wire(layout: &Layout, side: Side) -> Vec<v1::Owners> {
    let index_of = |node: &NodeId| {
        let at = layout.members.binary_search_by_key(node, |member| member.node);
        // Owners are members, and there are far fewer than 2^32 of these.
        at.ok().and_then(|at| u32::try_from(at).ok())
    };
    let of = |partition| layout.owners_of(partition, side).iter().filter_map(index_of).collect();
    layout.all_partitions().map(|partition| v1::Owners { members: of(partition) }).collect()
}

fn owners_from_wire(
    members: &[Member],
    field: &'static str,
    owners: Vec<v1::Owners>,
) -> Result<Vec<Vec<NodeId>>, InvalidLayout> {
    let owner = |at: u32| {
        let member = usize::try_from(at).ok().and_then(|at| members.get(at));
        member
            .map(|member| member.node)
            .ok_or_else(|| invalid(field, format!("{at} is no index into members")))
    };
    owners.into_iter().map(|owners| owners.members.into_iter().map(owner).collect()).collect()
}

fn change_to_wire(layout: &Layout, change: &Change) -> v1::Change {
    let other = match change.stage {
        Stage::Gather => Side::New,
        Stage::HandOver => Side::Old,
    };
    let sizes = |(bucket, sizes): (&BucketId, &QuorumSizes)| v1::SizesAfter {
        bucket_id: bucket.0,
        n: sizes.n,
        r: sizes.r,
        w: sizes.w,
    };
    v1::Change {
        began: change.began.0,
        stage: stage_to_wire(change.stage).into(),
        paused: change.paused,
        accepts_loss: change.accepts_loss,
        n: change.n,
        other_owners: owners_to_wire(layout, other),
        members: change.members.iter().map(member_to_wire).collect(),
        added: nodes_to_wire(&change.added),
        sizes: change.sizes.iter().map(sizes).collect(),
        lost: nodes_to_wire(&change.lost),
    }
}

/// The change, with the owners of its other side in the place of the new ones.
fn change_from_wire(members: &[Member], change: v1::Change) -> Result<Change, InvalidLayout> {
    let stage = match change.stage() {
        v1::ChangeStage::Gather => Stage::Gather,
        v1::ChangeStage::HandOver => Stage::HandOver,
        v1::ChangeStage::Unspecified => {
            return Err(invalid("change.stage", "it is missing, or there is none such"));
        }
    };
    let after: Vec<Member> = change.members.into_iter().map(member_from_wire).collect();
    if !after.is_sorted_by(|a, b| a.node < b.node) {
        return Err(invalid("change.members", "not sorted by id, or one is there twice"));
    }
    let sizes = |sizes: v1::SizesAfter| {
        (BucketId(sizes.bucket_id), QuorumSizes { n: sizes.n, r: sizes.r, w: sizes.w })
    };
    Ok(Change {
        began: Epoch(change.began),
        stage,
        paused: change.paused,
        accepts_loss: change.accepts_loss,
        n: change.n,
        owners: owners_from_wire(members, "change.other_owners", change.other_owners)?,
        members: after,
        added: nodes_from_wire(change.added),
        sizes: change.sizes.into_iter().map(sizes).collect(),
        lost: nodes_from_wire(change.lost),
    })
}

/// A layout as it travels.
pub fn layout_to_wire(layout: &Layout) -> v1::Layout {
    v1::Layout {
        cluster_id: cluster_id_to_wire(layout.cluster),
        epoch: layout.epoch.0,
        n: layout.n,
        members: layout.members.iter().map(member_to_wire).collect(),
        buckets: layout.buckets.iter().map(bucket_to_wire).collect(),
        owners: owners_to_wire(layout, layout.reading_side()),
        voters: nodes_to_wire(&layout.voters),
        departed: nodes_to_wire(&layout.departed),
        change: layout.change.as_deref().map(|change| change_to_wire(layout, change)),
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
    let mut owners = owners_from_wire(&members, "owners", layout.owners)?;
    let mut change = layout.change.map(|change| change_from_wire(&members, change)).transpose()?;
    if let Some(change) = &mut change {
        if change.owners.len() != owners.len() {
            let reason = format!("{} partitions, and not {}", change.owners.len(), owners.len());
            return Err(invalid("change.other_owners", reason));
        }
        if change.stage == Stage::HandOver {
            std::mem::swap(&mut owners, &mut change.owners);
        }
    }
    Ok(Layout {
        cluster: cluster_id_from_wire(&layout.cluster_id)?,
        epoch: Epoch(layout.epoch),
        n: layout.n,
        members,
        voters: nodes_from_wire(layout.voters),
        departed: nodes_from_wire(layout.departed),
        buckets,
        owners,
        change: change.map(Box::new),
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
        buckets: request.buckets.into_iter().map(bucket_settings_from_wire).collect::<Result<_, _>>()?,
    })
}

pub(super) fn bucket_settings_from_wire(bucket: v1::BucketSettings) -> Result<BucketSettings, InvalidLayout> {
    Ok(BucketSettings {
        conflict: conflict_from_wire(bucket.conflict)?,
        mode: bucket_mode_from_wire(bucket.mode)?,
        ttl: bucket.ttl_ms.map(Duration::from_millis),
        name: bucket.name,
        n: bucket.n,
        r: bucket.r,
        w: bucket.w,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that meets the unexpected stops there")]
mod tests {
    use quorate_protocol::layout::{Alteration, BucketSizes, Order};

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
    fn a_change_comes_back_as_it_went_in_each_stage() {
        let layout = Layout::first(&bootstrap_from_wire(request()).unwrap()).unwrap();
        let new = v1::Member { node_id: 6, peer_address: "127.0.0.1:6".into(), ..Default::default() };
        let sizes = BucketSizes { w: Some(3), ..BucketSizes::default() };
        let alteration = Alteration {
            add: vec![member_from_wire(new)],
            lost: vec![NodeId(4)],
            sizes: vec![sizes],
            ..Alteration::default()
        };
        let begun = layout.ordered(&Order::Alter(alteration)).unwrap();
        let paused = begun.ordered(&Order::Pause).unwrap().ordered(&Order::AcceptLoss).unwrap();
        let handing_over = paused.advanced().unwrap();
        let after = handing_over.advanced().unwrap();
        assert!(after.is_stable() && !after.departed.is_empty());
        for layout in [&begun, &paused, &handing_over, &after] {
            let wire = layout_to_wire(layout);
            for (partition, owners) in layout.all_partitions().zip(&wire.owners) {
                let routed: Vec<u64> =
                    owners.members.iter().map(|&at| wire.members[at as usize].node_id).collect();
                assert_eq!(
                    routed,
                    nodes_to_wire(layout.owners(partition)),
                    "who only reads these goes right"
                );
            }
            assert_eq!(layout_from_wire(wire).unwrap(), *layout);
        }
    }

    #[test]
    fn what_cannot_be_routed_by_is_refused() {
        let layout = layout_to_wire(&Layout::first(&bootstrap_from_wire(request()).unwrap()).unwrap());
        let fields = [
            layout_from_wire(v1::Layout { owners: vec![v1::Owners { members: vec![4] }], ..layout.clone() }),
            layout_from_wire(v1::Layout { owners: Vec::new(), ..layout.clone() }),
            layout_from_wire(v1::Layout { cluster_id: Bytes::from_static(b"short"), ..layout.clone() }),
            layout_from_wire(v1::Layout { change: Some(v1::Change::default()), ..layout.clone() }),
            layout_from_wire(v1::Layout {
                change: Some(v1::Change { stage: v1::ChangeStage::Gather.into(), ..Default::default() }),
                ..layout.clone()
            }),
            layout_from_wire(v1::Layout {
                members: layout.members.iter().rev().cloned().collect(),
                ..layout
            }),
        ]
        .map(|result| result.unwrap_err().field);
        let expected = ["owners", "owners", "cluster_id", "change.stage", "change.other_owners", "members"];
        assert_eq!(fields, expected);
    }
}
