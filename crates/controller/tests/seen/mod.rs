//! What is seen of a cluster, to be changed by a case.

use std::collections::BTreeMap;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use quorate_controller::crd::{QuorateCluster, QuorateClusterStatus};
use quorate_controller::observed::{
    Answer, BucketSeen, ClaimSeen, DEFAULT_BUCKET, LayoutSeen, MemberSeen, Membership, NodeSeen, Observed,
    PodSeen, StatefulSetSeen,
};
use serde_json::json;

/// The resource's UID without its dashes.
const CLUSTER: &str = "00112233445566778899aabbccddeeff";

/// A StatefulSet and claims, and nothing in them yet.
pub(crate) fn bare(replicas: i32) -> Observed {
    let spec = json!({ "replicas": replicas, "image": "quorate:1", "storage": { "size": "1Gi" } });
    let mut cluster = QuorateCluster::new("ex", serde_json::from_value(spec).expect("a spec"));
    cluster.metadata.namespace = Some("ns".into());
    cluster.metadata.uid = Some("00112233-4455-6677-8899-aabbccddeeff".into());
    cluster.metadata.generation = Some(1);
    let claim = |at: i32| ClaimSeen {
        uid: format!("claim-{at}"),
        bound: true,
        deleting: false,
        requested: "1Gi".into(),
        capacity: "1Gi".into(),
    };
    Observed {
        cluster,
        now: Timestamp::from_second(1_000_000).expect("a time"),
        refused_spec: None,
        stateful_set: Some(StatefulSetSeen { replicas, update_revision: "old".into() }),
        pods: BTreeMap::new(),
        claims: (0..replicas).map(|at| (at, claim(at))).collect(),
        layout: None,
        strangers_since: BTreeMap::new(),
        growth_refused: None,
    }
}

/// A cluster that serves: the member in pod `ex-I` has the id I, and all hold the layout of epoch 5.
pub(crate) fn founded(replicas: i32) -> Observed {
    let mut observed = bare(replicas);
    let member = |at: i32| MemberSeen {
        id: u64::from(at.unsigned_abs()),
        name: format!("ex-{at}"),
        zone: String::new(),
        partitions: 10,
    };
    observed.layout = Some(LayoutSeen {
        cluster: CLUSTER.into(),
        epoch: 5,
        partitions: 256,
        n: 3,
        members: (0..replicas).map(member).collect(),
        voters: (0..replicas).map(|at| u64::from(at.unsigned_abs())).collect(),
        buckets: vec![BucketSeen { name: DEFAULT_BUCKET.into(), n: 3, r: 2, w: 2 }],
        change: None,
    });
    for at in 0..replicas {
        let told = node(u64::from(at.unsigned_abs()), Membership::Member, 5);
        observed.pods.insert(at, pod(&observed, at, Some(told)));
    }
    observed
}

/// A pod that has been there for long, with this node in it; none: it does not answer.
pub(crate) fn pod(observed: &Observed, at: i32, node: Option<NodeSeen>) -> PodSeen {
    PodSeen {
        uid: format!("pod-{at}"),
        ready: node.as_ref().is_some_and(|node| node.membership == Membership::Member),
        deleting: false,
        revision: "old".into(),
        created: observed.now - SignedDuration::from_hours(1),
        trouble: None,
        zone: String::new(),
        node: node.map_or(Answer::Silent("no answer".into()), |node| Answer::Told(Box::new(node))),
    }
}

/// A node that holds the layout of this epoch.
pub(crate) fn node(id: u64, membership: Membership, epoch: u64) -> NodeSeen {
    let cluster = if membership == Membership::None { String::new() } else { CLUSTER.into() };
    NodeSeen { id, cluster, epoch, membership, version: "0.1.0".into(), ..Default::default() }
}

/// A condition's status and reason.
pub(crate) fn condition<'a>(status: &'a QuorateClusterStatus, name: &str) -> (&'a str, &'a str) {
    let found = status.conditions.iter().find(|condition| condition.type_ == name);
    found.map(|condition| (condition.status.as_str(), condition.reason.as_str())).expect("a condition")
}
