//! What people are told.

pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;

/// What the operator has seen, and how it is with what was asked for.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuorateClusterStatus {
    /// The generation of the spec that all of this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Pods that there are.
    #[serde(default)]
    pub replicas: i32,
    /// Pods that are ready.
    #[serde(default)]
    pub ready_replicas: i32,
    /// Selects the pods, for the scale subresource.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub selector: String,
    /// The epoch of the newest layout that a node has told of; 0 before the cluster is founded.
    #[serde(default)]
    pub epoch: i64,
    /// The cluster's id, 32 hexadecimal digits: made from the resource's UID.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cluster_id: String,
    /// What is becoming of the ring.
    #[serde(default)]
    pub topology: TopologyState,
    /// N, R and W that the nodes enforce; absent before the cluster is founded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_replication: Option<EffectiveReplication>,
    /// The version that the nodes run; several with commas while they are restarted one by one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Members and those that wait to be, by pod name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<MemberStatus>,
    /// `Ready`, `Available`, `Progressing`, `Degraded`, `LayoutStable`, `ScaleDownBlocked`, `StorageReady`, `Paused`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::without_descriptions)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// What is becoming of the ring.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TopologyState {
    /// Nothing: every member owns what it is to own.
    #[default]
    Stable,
    /// Members are added.
    Joining,
    /// A member leaves.
    Leaving,
    /// A member takes the place of a lost one.
    Replacing,
    /// N, R or W become others.
    ChangingN,
}

/// N, R and W that the nodes enforce.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveReplication {
    /// N.
    pub factor: i32,
    /// R.
    pub read_quorum: i32,
    /// W.
    pub write_quorum: i32,
}

/// One member, or a pod that waits to be one.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberStatus {
    /// The pod's name.
    pub name: String,
    /// The node's id, 16 hexadecimal digits; empty while nobody knows it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub node_id: String,
    /// What it is at present.
    #[serde(default)]
    pub state: MemberState,
    /// Partitions that it owns.
    #[serde(default)]
    pub partitions: i32,
    /// Bytes that it has still to take in the change under way.
    #[serde(default)]
    pub pending_bytes: i64,
    /// The UID of the volume claim with which it was last seen as a member.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub claim_uid: String,
}

/// What a member is at present.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemberState {
    /// Its pod runs, and it is to become a member.
    #[default]
    Waiting,
    /// It gathers its share.
    Joining,
    /// It serves its part.
    Active,
    /// It hands over what it holds.
    Leaving,
    /// It is a member, and does not answer.
    Absent,
    /// It is declared lost for good.
    Lost,
}
