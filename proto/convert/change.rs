//! What is asked of the layout, and how far a change is.

use quorate_protocol::chain::{Moves, Preview};
use quorate_protocol::effect::ChangeError;
use quorate_protocol::id::{Epoch, NodeId};
use quorate_protocol::layout::{Alteration, BucketSizes, MemberSettings, Order, OrderError};
use quorate_protocol::{Progress, Wait};

use super::layout::{
    InvalidLayout, bucket_settings_from_wire, invalid, layout_to_wire, member_from_wire, stage_to_wire,
};
use crate::v1;
use crate::v1::change_layout_error::Code;
use crate::v1::change_layout_request::Order as Wire;
use crate::v1::change_wait::Kind;

/// What is asked; the layout itself checks the bounds.
pub fn order_from_wire(order: Option<Wire>) -> Result<Order, InvalidLayout> {
    Ok(match order.ok_or_else(|| invalid("order", "it is missing"))? {
        Wire::Alter(alteration) => Order::Alter(alteration_from_wire(alteration)?),
        Wire::DeclareLost(lost) => Order::DeclareLost(lost.nodes.into_iter().map(NodeId).collect()),
        Wire::AcceptLoss(_) => Order::AcceptLoss,
        Wire::Pause(_) => Order::Pause,
        Wire::Resume(_) => Order::Resume,
        Wire::Cancel(_) => Order::Cancel,
    })
}

fn alteration_from_wire(alteration: v1::Alteration) -> Result<Alteration, InvalidLayout> {
    let settings = |settings: v1::MemberSettings| MemberSettings {
        node: NodeId(settings.node_id),
        zone: settings.zone,
        weight: settings.weight,
    };
    let create = alteration.create.into_iter().map(bucket_settings_from_wire).collect::<Result<_, _>>()?;
    Ok(Alteration {
        add: alteration.add.into_iter().map(member_from_wire).collect(),
        remove: alteration.remove.into_iter().map(NodeId).collect(),
        lost: alteration.lost.into_iter().map(NodeId).collect(),
        set: alteration.set.into_iter().map(settings).collect(),
        n: alteration.n,
        sizes: alteration.sizes.into_iter().map(bucket_sizes_from_wire).collect(),
        create,
        drop: alteration.drop,
    })
}

/// Other quorums of a bucket.
fn bucket_sizes_from_wire(sizes: v1::BucketSizes) -> BucketSizes {
    let v1::BucketSizes { bucket, n, r, w } = sizes;
    BucketSizes { bucket, n, r, w }
}

/// The epoch that an asker has seen.
pub fn expected_from_wire(epoch: u64) -> Option<Epoch> {
    (epoch > 0).then_some(Epoch(epoch))
}

/// What would follow, as it travels.
pub fn preview_to_wire(preview: &Preview) -> v1::ChangeLayoutResponse {
    let movement = |(node, moves): (&NodeId, &Moves)| v1::Movement {
        node_id: node.0,
        partitions_gained: moves.gained_partitions,
        bytes_gained: moves.gained_bytes,
        partitions_lost: moves.lost_partitions,
        bytes_lost: moves.lost_bytes,
    };
    v1::ChangeLayoutResponse {
        layout: Some(layout_to_wire(&preview.layout)),
        movements: preview.moves.iter().map(movement).collect(),
        silent: preview.silent.iter().map(|node| node.0).collect(),
    }
}

/// Why the layout was not changed, as it travels.
pub fn change_error_to_wire(error: &ChangeError) -> v1::ChangeLayoutError {
    let mut wire = v1::ChangeLayoutError { message: error.to_string(), ..Default::default() };
    let code = match error {
        ChangeError::Order(OrderError::Invalid(invalid)) => {
            wire.field.clone_from(&invalid.field);
            Code::Invalid
        }
        ChangeError::Order(OrderError::UnderWay(began)) => {
            wire.epoch = began.0;
            Code::UnderWay
        }
        ChangeError::Order(OrderError::NothingUnderWay) => Code::NothingUnderWay,
        ChangeError::Order(OrderError::TooLateToCancel) => Code::TooLateToCancel,
        ChangeError::Order(OrderError::Nothing) => Code::Nothing,
        ChangeError::NotBootstrapped => Code::NotBootstrapped,
        ChangeError::NotAMember => Code::NotAMember,
        ChangeError::Starting => Code::Starting,
        ChangeError::ChangedMeanwhile { epoch } => {
            wire.epoch = epoch.0;
            Code::ChangedMeanwhile
        }
        ChangeError::Unreachable(node) => {
            wire.nodes = vec![node.0];
            Code::Unreachable
        }
        ChangeError::Busy => Code::Busy,
        ChangeError::NoMajority { silent, .. } => {
            wire.attempted = true;
            wire.nodes = silent.iter().map(|node| node.0).collect();
            Code::NoMajority
        }
        ChangeError::DiskFull => Code::DiskFull,
    };
    wire.code = code.into();
    wire
}

/// How far a node is with the change under way, as it travels.
pub fn progress_to_wire(progress: &Progress) -> v1::ChangeProgress {
    v1::ChangeProgress {
        began: progress.began.0,
        stage: stage_to_wire(progress.stage).into(),
        paused: progress.paused,
        gathers: progress.gathers,
        caught_up: progress.caught_up,
        leaves: progress.leaves,
        handed_over: progress.handed_over,
        bytes_taken: progress.taken_bytes,
        bytes_pending: progress.pending_bytes,
        partitions_unmeasured: progress.unmeasured,
        bytes_per_s: progress.bytes_per_s,
        drives: progress.drives,
        waits: progress.waits.iter().map(wait_to_wire).collect(),
    }
}

fn wait_to_wire(wait: &Wait) -> v1::ChangeWait {
    let (kind, nodes, partitions) = match wait {
        Wait::Resume => (Kind::Resume, Vec::new(), 0),
        Wait::Reach { nodes, partitions } => (Kind::Reach, nodes.clone(), *partitions),
        Wait::CatchUp { node, partitions } => (Kind::CatchUp, vec![*node], *partitions),
        Wait::HandOver { node, partitions } => (Kind::HandOver, vec![*node], *partitions),
        Wait::Report { node } => (Kind::Report, vec![*node], 0),
        Wait::Deliver { node } => (Kind::Deliver, vec![*node], 0),
        Wait::Votes { nodes } => (Kind::Votes, nodes.clone(), 0),
    };
    v1::ChangeWait { kind: kind.into(), nodes: nodes.into_iter().map(|node| node.0).collect(), partitions }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that meets the unexpected stops there")]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read_whole() {
        let alteration = v1::Alteration {
            add: vec![v1::Member { node_id: 9, peer_address: "a:1".into(), ..Default::default() }],
            remove: vec![1],
            lost: vec![2],
            set: vec![v1::MemberSettings { node_id: 3, zone: Some("z".into()), weight: Some(2) }],
            n: Some(4),
            sizes: vec![v1::BucketSizes { bucket: "carts".into(), r: Some(1), ..Default::default() }],
            create: vec![v1::BucketSettings { name: "new".into(), ..Default::default() }],
            drop: vec!["old".into()],
        };
        let Order::Alter(read) = order_from_wire(Some(Wire::Alter(alteration))).unwrap() else {
            unreachable!("it is an alteration")
        };
        assert_eq!((read.add[0].node, read.add[0].weight, read.n), (NodeId(9), 1, Some(4)));
        assert_eq!((read.remove, read.lost), (vec![NodeId(1)], vec![NodeId(2)]));
        assert_eq!((read.set[0].zone.as_deref(), read.set[0].weight), (Some("z"), Some(2)));
        assert_eq!(
            (read.sizes[0].bucket.as_str(), read.sizes[0].r, read.sizes[0].w),
            ("carts", Some(1), None)
        );
        assert_eq!((read.create[0].name.as_str(), read.drop), ("new", vec!["old".to_owned()]));
        let lost = v1::DeclareLost { nodes: vec![7] };
        assert_eq!(order_from_wire(Some(Wire::DeclareLost(lost))), Ok(Order::DeclareLost(vec![NodeId(7)])));
        assert_eq!(order_from_wire(None).unwrap_err().field, "order");
        assert_eq!((expected_from_wire(0), expected_from_wire(3)), (None, Some(Epoch(3))));
    }

    #[test]
    fn only_a_missing_majority_leaves_it_open_whether_it_happens() {
        let silent = vec![NodeId(2), NodeId(3)];
        let errors = [
            (ChangeError::NoMajority { needed: 2, silent }, Code::NoMajority),
            (ChangeError::ChangedMeanwhile { epoch: Epoch(8) }, Code::ChangedMeanwhile),
            (ChangeError::Order(OrderError::UnderWay(Epoch(7))), Code::UnderWay),
            (ChangeError::Unreachable(NodeId(9)), Code::Unreachable),
            (ChangeError::Busy, Code::Busy),
        ];
        for (error, code) in errors {
            let wire = change_error_to_wire(&error);
            assert_eq!((wire.code(), wire.attempted), (code, code == Code::NoMajority), "{error}");
            assert_eq!(wire.message, error.to_string());
        }
    }
}
