//! What people ask for.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, EnvVar, LocalObjectReference, ResourceRequirements, Toleration, TopologySpreadConstraint,
};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::status::QuorateClusterStatus;

/// A Quorate cluster: data nodes on a StatefulSet's volumes.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "quorate.dev",
    version = "v1alpha1",
    kind = "QuorateCluster",
    plural = "quorateclusters",
    shortname = "qc",
    namespaced,
    derive = "PartialEq",
    status = "QuorateClusterStatus",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    )
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QuorateClusterSpec {
    /// Data nodes.
    pub replicas: i32,
    /// Owners of every key, and how many must answer.
    #[serde(default)]
    pub replication: Replication,
    /// Slices of the hash space, a power of two. Fixed for good.
    #[serde(default = "partitions")]
    pub partitions: i32,
    /// The image of the data nodes; it has `quorate-node` and `quorate`.
    pub image: String,
    /// When the image is pulled: `Always`, `IfNotPresent` or `Never`; Kubernetes' default otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<String>,
    /// Each node's volume.
    pub storage: Storage,
    /// Where nodes are.
    #[serde(default)]
    pub topology: Topology,
    /// What each node may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// What else the pods have.
    #[serde(default)]
    pub pod_template: PodTemplate,
    /// The pod disruption budget.
    #[serde(default)]
    pub pdb: PodDisruptionBudgetSpec,
    /// Settings of the nodes, by their names in the configuration file, such as `transfer_bytes_per_s`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, AllowedSetting>,
    /// What the operator is to do at present.
    #[serde(default)]
    pub operation: Operation,
}

/// The value of a node's setting: a number, a text or a boolean.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AllowedSetting {
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number.
    Number(i64),
    /// Text.
    Text(String),
}

/// Owners of every key, and how many must answer: N, R and W.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Replication {
    /// N: owners of every key.
    pub factor: i32,
    /// R: owners that must answer a read.
    pub read_quorum: i32,
    /// W: owners that must acknowledge a write durably.
    pub write_quorum: i32,
    /// Whether R + W may be N or less, so that reads can miss acknowledged writes.
    #[serde(default)]
    pub allow_stale_reads: bool,
}

/// Each node's volume.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Storage {
    /// How large, such as `10Gi`. It only grows.
    pub size: String,
    /// The storage class; the cluster's default otherwise. Fixed for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class_name: Option<String>,
    /// What becomes of volumes that are not needed any more.
    #[serde(default)]
    pub retention: Retention,
}

/// What becomes of volumes that are not needed any more.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Retention {
    /// When the resource is deleted.
    #[serde(default)]
    pub when_deleted: RetentionPolicy,
    /// When a node has left, and all that it held is elsewhere.
    #[serde(default)]
    pub when_scaled: RetentionPolicy,
}

/// Whether a volume is kept.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RetentionPolicy {
    /// It is kept.
    #[default]
    Retain,
    /// It is deleted.
    Delete,
}

/// Where nodes are.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Topology {
    /// The label of Kubernetes nodes that says their failure zone, such as `topology.kubernetes.io/zone`: owners of a key are in
    /// different zones while there are enough. Absent: zones do not matter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone_key: Option<String>,
}

/// What else the pods have.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PodTemplate {
    /// Labels beside the operator's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Environment variables of the node's container, such as `QUORATE_LOG`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    /// Arguments of the node beside the operator's own, such as `--unsafe-fault-injection`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Which Kubernetes nodes may run the pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Which taints the pods tolerate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
    /// Where the pods would rather be; by default apart from each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// How the pods spread.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,
    /// The pods' priority class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<String>,
    /// Secrets with which the image is pulled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<LocalObjectReference>,
    /// How long a pod has to stop, in seconds; 60 otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub termination_grace_period_seconds: Option<i64>,
}

/// The pod disruption budget.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PodDisruptionBudgetSpec {
    /// Whether there is one: as many pods may be evicted at once as leave every key its quorums.
    #[serde(default = "yes")]
    pub enabled: bool,
}

/// What the operator is to do at present.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Operation {
    /// The operator changes nothing: it only watches, and a change of the layout that is under way is paused.
    #[serde(default)]
    pub paused: bool,
}

impl Default for Replication {
    fn default() -> Self {
        Self { factor: 3, read_quorum: 2, write_quorum: 2, allow_stale_reads: false }
    }
}

impl Default for PodDisruptionBudgetSpec {
    fn default() -> Self {
        Self { enabled: true }
    }
}

fn partitions() -> i32 {
    256
}

fn yes() -> bool {
    true
}
