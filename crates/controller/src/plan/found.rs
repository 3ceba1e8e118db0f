//! Whether the cluster can be founded, and as what.

use quorate_proto::v1;

use super::{Action, Step};
use crate::observed::{LayoutSeen, Membership, Observed};
use crate::render::peer_address;

/// What the node in this pod is to be as a member.
pub(super) fn member(observed: &Observed, ordinal: i32, id: u64) -> v1::Member {
    let metadata = &observed.cluster.metadata;
    let (name, namespace) =
        (metadata.name.as_deref().unwrap_or_default(), metadata.namespace.as_deref().unwrap_or_default());
    let zone = observed.pods.get(&ordinal).map(|pod| pod.zone.clone()).unwrap_or_default();
    v1::Member {
        node_id: id,
        name: observed.pod_name(ordinal),
        peer_address: peer_address(name, namespace, ordinal),
        zone,
        weight: 1,
    }
}

/// Founds the cluster when all nodes are there, and none belongs to a cluster. Once it has been founded, it never is again: nodes
/// that know of nothing are then nodes that have lost all they had.
pub(super) fn found(observed: &Observed) -> Option<Step> {
    let spec = &observed.cluster.spec;
    let status = observed.cluster.status.as_ref();
    if status.is_some_and(|status| status.epoch > 0) {
        let message = "no node that knows of the cluster answers; it waits for them";
        return Some(Step::stuck("NoMemberAnswers", message.into()));
    }
    if let Some((ordinal, _)) = observed.nodes().find(|(_, node)| node.membership != Membership::None) {
        let message =
            format!("{} belongs to a cluster, and has not told its layout yet", observed.pod_name(ordinal));
        return Some(Step::stuck("NoMemberAnswers", message));
    }
    let mut members = Vec::new();
    for ordinal in 0..spec.replicas {
        let stranger = observed.strangers().find(|&(at, _)| at == ordinal);
        let deleting = observed.pods.get(&ordinal).is_none_or(|pod| pod.deleting);
        match stranger {
            Some((_, node)) if !deleting => members.push(member(observed, ordinal, node.id)),
            _ => {
                let message = format!("waits for the node in pod {}", observed.pod_name(ordinal));
                return Some(Step::wait("Founding", message));
            }
        }
    }
    members.sort_by_key(|member| member.node_id);
    let request = v1::BootstrapRequest {
        cluster_id: cluster_id(observed)?.to_vec().into(),
        partitions: spec.partitions.unsigned_abs(),
        n: spec.replication.factor.unsigned_abs(),
        r: spec.replication.read_quorum.unsigned_abs(),
        w: spec.replication.write_quorum.unsigned_abs(),
        members,
        buckets: Vec::new(),
    };
    let pods = (0..spec.replicas).collect();
    let message = format!("founds the cluster of {} nodes", spec.replicas);
    Some(Step::act(Action::Found { pods, request }, "Founding", message))
}

/// That the cluster was founded with another number of partitions than is asked for, if so: the resource was made again on volumes
/// that were kept. Nothing changes that number.
pub(super) fn other_partitions(observed: &Observed, layout: &LayoutSeen) -> Option<String> {
    let asked = observed.cluster.spec.partitions;
    (layout.partitions != asked.unsigned_abs()).then(|| {
        format!(
            "the volumes hold a cluster of {} partitions; spec.partitions says {asked}, and cannot be changed: delete the resource, which keeps the volumes, and make it again with what they hold",
            layout.partitions
        )
    })
}

/// The resource's UID, whose 32 hexadecimal digits name no other cluster.
pub(super) fn cluster_id(observed: &Observed) -> Option<[u8; 16]> {
    let uid: String = observed.cluster.metadata.uid.as_ref()?.chars().filter(|&c| c != '-').collect();
    (uid.len() == 32).then_some(())?;
    u128::from_str_radix(&uid, 16).ok().map(u128::to_be_bytes)
}
