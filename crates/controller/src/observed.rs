//! What there is: plain data, read by `reconcile` and judged by [`plan`](crate::plan).
//!
//! Pods and claims are found by ordinal because Kubernetes names them so. A node is known by its id only: neither the pod's name nor
//! its ordinal nor its address says who it is.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;

use crate::crd::QuorateCluster;

/// Everything that a plan is a function of.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The resource: what is asked for, and the status that was told last.
    pub cluster: QuorateCluster,
    /// When all of this was read.
    pub now: Timestamp,
    /// Why the spec cannot be rendered, if so.
    pub refused_spec: Option<String>,
    /// The StatefulSet; absent before it is made.
    pub stateful_set: Option<StatefulSetSeen>,
    /// The pods, by ordinal.
    pub pods: BTreeMap<i32, PodSeen>,
    /// The volume claims, by ordinal, those without a pod included.
    pub claims: BTreeMap<i32, ClaimSeen>,
    /// The newest layout that a node has told; absent when no node that is a member answers.
    pub layout: Option<LayoutSeen>,
    /// Since when the controller has seen nodes that are not in the layout, by their ids.
    pub strangers_since: BTreeMap<u64, Timestamp>,
    /// Why claims could not grow the last time, if they could not.
    pub growth_refused: Option<String>,
}

/// A StatefulSet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatefulSetSeen {
    /// Pods that it is to have.
    pub replicas: i32,
    /// The revision of its template; empty while its controller has not looked at the newest template.
    pub update_revision: String,
}

/// A pod, and the node in it.
#[derive(Clone, Debug, PartialEq)]
pub struct PodSeen {
    /// Of this pod: the next one of the same name has another.
    pub uid: String,
    /// Whether it passes its readiness probe.
    pub ready: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Which revision of the template it was made from.
    pub revision: String,
    /// When it was made.
    pub created: Timestamp,
    /// Why it does not run, if that does not pass by itself, such as `ErrImagePull`; with the runtime's message.
    pub trouble: Option<Trouble>,
    /// The failure zone of the Kubernetes node that it is on; empty where zones do not matter or none is known.
    pub zone: String,
    /// What the node in it says.
    pub node: Answer,
}

/// Why a pod does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// In one word, as Kubernetes says it.
    pub reason: String,
    /// For people.
    pub message: String,
}

/// A node's answer, or why there is none.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// It has told how it is.
    Told(Box<NodeSeen>),
    /// It does not answer, and why.
    Silent(String),
}

impl Answer {
    /// What the node has told.
    pub fn node(&self) -> Option<&NodeSeen> {
        match self {
            Self::Told(node) => Some(node),
            Self::Silent(_) => None,
        }
    }
}

/// What a node is to its cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Membership {
    /// It belongs to none yet.
    #[default]
    None,
    /// It is a member.
    Member,
    /// It was a member, and its id is never used again.
    Left,
}

/// How a node is, as it says itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeSeen {
    /// Its id.
    pub id: u64,
    /// The cluster that it belongs or belonged to, as 32 hexadecimal digits; empty where there is none.
    pub cluster: String,
    /// The epoch of the layout that it holds; 0 without one.
    pub epoch: u64,
    /// What it is to its cluster.
    pub membership: Membership,
    /// Its release.
    pub version: String,
    /// Its part of the change under way, if one is.
    pub change: Option<ProgressSeen>,
    /// Keys that it keeps for others, counted for each of those.
    pub hints: u64,
    /// Partitions of which it cannot reach enough owners for the default bucket's quorums.
    pub partitions_unavailable: u32,
    /// Partitions of which it cannot reach all owners.
    pub partitions_under_replicated: u32,
    /// Why its store takes no writes; empty when it does.
    pub storage_refusal: String,
}

/// A node's part of a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProgressSeen {
    /// The epoch that began the change.
    pub began: u64,
    /// What it has still to take, in bytes, about.
    pub pending_bytes: u64,
    /// Whether it has partitions of which too few old owners are left: it waits until what only lost ones held is given up.
    pub lacks_owners: bool,
}

/// A volume claim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimSeen {
    /// Of this claim: the next one of the same name has another.
    pub uid: String,
    /// Whether it has a volume.
    pub bound: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// The size asked for, as a Kubernetes quantity.
    pub requested: String,
    /// The size that the volume has, as a Kubernetes quantity; empty before it is bound.
    pub capacity: String,
}

/// Who owns how much, and what is becoming of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LayoutSeen {
    /// The cluster's id, 32 hexadecimal digits.
    pub cluster: String,
    /// Which layout: each has a higher one.
    pub epoch: u64,
    /// Into how many partitions keys are spread, for good.
    pub partitions: u32,
    /// Owners of every partition.
    pub n: u32,
    /// Those that are members now.
    pub members: Vec<MemberSeen>,
    /// Who chooses the next layout.
    pub voters: Vec<u64>,
    /// The buckets' quorums.
    pub buckets: Vec<BucketSeen>,
    /// The change under way, if one is.
    pub change: Option<ChangeSeen>,
}

/// A member of a layout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberSeen {
    /// Its node's id.
    pub id: u64,
    /// The name of the pod that it was added in.
    pub name: String,
    /// Its failure zone.
    pub zone: String,
    /// Partitions of which it is an owner.
    pub partitions: u32,
}

/// A bucket's quorums.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BucketSeen {
    /// Its name.
    pub name: String,
    /// Owners that count.
    pub n: u32,
    /// A read's quorum.
    pub r: u32,
    /// A write's quorum.
    pub w: u32,
}

/// A change of the layout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangeSeen {
    /// The epoch that began it.
    pub began: u64,
    /// Whether it stands still until somebody resumes it.
    pub paused: bool,
    /// Members that it adds.
    pub added: Vec<u64>,
    /// The members afterwards.
    pub members: Vec<u64>,
    /// Members declared lost for good.
    pub lost: Vec<u64>,
    /// Whether it changes N, R or W.
    pub sizes: bool,
}

/// The default bucket's name: its quorums are what the spec speaks of.
pub const DEFAULT_BUCKET: &str = "default";

impl LayoutSeen {
    /// The member of this id.
    pub fn member(&self, id: u64) -> Option<&MemberSeen> {
        self.members.iter().find(|member| member.id == id)
    }

    /// The bucket that the spec speaks of.
    pub fn default_bucket(&self) -> Option<&BucketSeen> {
        self.buckets.iter().find(|bucket| bucket.name == DEFAULT_BUCKET)
    }

    /// Whether the change under way ends this member's part.
    pub fn leaves(&self, id: u64) -> bool {
        self.change.as_ref().is_some_and(|change| !change.members.contains(&id))
    }

    /// Whether this member was declared lost in the change under way.
    pub fn is_lost(&self, id: u64) -> bool {
        self.change.as_ref().is_some_and(|change| change.lost.contains(&id))
    }
}

impl Observed {
    /// The pod of this ordinal, as Kubernetes names it.
    pub fn pod_name(&self, ordinal: i32) -> String {
        let name = self.cluster.metadata.name.as_deref().unwrap_or_default();
        format!("{name}-{ordinal}")
    }

    /// The ordinal in the name of a pod of this cluster.
    pub fn ordinal(&self, pod: &str) -> Option<i32> {
        ordinal(pod, self.cluster.metadata.name.as_deref()?)
    }

    /// What the node in this pod has told.
    pub fn node(&self, ordinal: i32) -> Option<&NodeSeen> {
        self.pods.get(&ordinal)?.node.node()
    }

    /// All nodes that answer, with the ordinals of their pods.
    pub fn nodes(&self) -> impl Iterator<Item = (i32, &NodeSeen)> {
        self.pods.iter().filter_map(|(&ordinal, pod)| Some((ordinal, pod.node.node()?)))
    }

    /// The pod in which the node of this id answers.
    pub fn pod_of(&self, id: u64) -> Option<i32> {
        self.nodes().find(|(_, node)| node.id == id).map(|(ordinal, _)| ordinal)
    }

    /// Nodes that answer and may become members: they belong to no cluster, and no layout names them.
    pub fn strangers(&self) -> impl Iterator<Item = (i32, &NodeSeen)> {
        let is_member = |id: u64| self.layout.as_ref().is_some_and(|layout| layout.member(id).is_some());
        self.nodes().filter(move |(_, node)| {
            node.membership == Membership::None && node.epoch == 0 && !is_member(node.id)
        })
    }
}

/// The ordinal in `NAME-3`; none unless it is written as Kubernetes does.
pub fn ordinal(pod: &str, cluster: &str) -> Option<i32> {
    let digits = pod.strip_prefix(cluster)?.strip_prefix('-')?;
    let ordinal: i32 = digits.parse().ok()?;
    (ordinal >= 0 && ordinal.to_string() == digits).then_some(ordinal)
}
