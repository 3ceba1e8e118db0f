//! What people ask for.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, EnvVar, LocalObjectReference, ResourceRequirements, Toleration, TopologySpreadConstraint,
};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;
use super::status::QuorateClusterStatus;

/// A Quorate cluster: data nodes on a StatefulSet's volumes.
///
/// The rules hold for everyone who writes the resource, `kubectl scale` included: the API server has them from the schema.
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
    ),
    doc = "A Quorate cluster: data nodes on a StatefulSet's volumes.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status",
        description = "Whether all that was asked for is so"
    ),
    printcolumn(
        name = "Desired",
        type_ = "integer",
        json_path = ".spec.replicas",
        description = "Data nodes asked for"
    ),
    printcolumn(
        name = "N",
        type_ = "integer",
        json_path = ".status.effectiveReplication.factor",
        description = "Owners of every key that the nodes enforce"
    ),
    printcolumn(
        name = "R",
        type_ = "integer",
        json_path = ".status.effectiveReplication.readQuorum",
        description = "Owners that must answer a read"
    ),
    printcolumn(
        name = "W",
        type_ = "integer",
        json_path = ".status.effectiveReplication.writeQuorum",
        description = "Owners that must acknowledge a write"
    ),
    printcolumn(
        name = "Epoch",
        type_ = "integer",
        json_path = ".status.epoch",
        description = "The newest layout's epoch"
    ),
    printcolumn(
        name = "Available",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Available')].status",
        description = "Whether every partition reaches its quorums"
    ),
    printcolumn(
        name = "Version",
        type_ = "string",
        json_path = ".status.version",
        description = "What the nodes run"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 40").message("metadata.name: at most 40 characters"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')").message(
        "metadata.name: lower-case letters, digits and '-', a letter first: Services are called like it"
    ),
    validation = Rule::new(
        "self.spec.replication.factor == oldSelf.spec.replication.factor \
         || self.spec.replicas == oldSelf.spec.replicas"
    )
    .field_path(".spec.replication.factor")
    .message("replication.factor and replicas change one after the other, not together"),
    validation = Rule::new(
        "self.spec.replication.factor == oldSelf.spec.replication.factor \
         || !has(oldSelf.status) || !has(oldSelf.status.topology) || oldSelf.status.topology == 'Stable'"
    )
    .field_path(".spec.replication.factor")
    .message("replication.factor changes only while the layout is stable: wait for status.topology Stable"),
    validation = Rule::new(
        "self.spec.replication.factor == oldSelf.spec.replication.factor \
         || !has(oldSelf.status) || !has(oldSelf.status.effectiveReplication) \
         || (self.spec.replication.factor - oldSelf.status.effectiveReplication.factor <= 1 \
             && oldSelf.status.effectiveReplication.factor - self.spec.replication.factor <= 1)"
    )
    .field_path(".spec.replication.factor")
    .message("replication.factor moves by one from what is in effect: wait for status.effectiveReplication")
)]
#[x_kube(
    validation = Rule::new("self.replicas >= self.replication.factor")
        .field_path(".replicas")
        .message("replicas must be replication.factor or more: every key needs as many owners")
)]
#[serde(rename_all = "camelCase")]
pub struct QuorateClusterSpec {
    /// Data nodes; as many as `replication.factor` or more.
    #[schemars(range(min = 1, max = 1000))]
    pub replicas: i32,
    /// Owners of every key, and how many must answer.
    #[serde(default)]
    pub replication: Replication,
    /// Slices of the hash space, a power of two. Fixed for good.
    #[serde(default = "partitions")]
    #[schemars(range(min = 1, max = 32768))]
    #[x_kube(
        validation = Rule::new(
            "self in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768]"
        )
        .message("partitions must be a power of two from 1 to 32768"),
        validation = Rule::new("self == oldSelf").message("partitions are fixed for good")
    )]
    pub partitions: i32,
    /// The image of the data nodes; it has `quorate-node` and `quorate`.
    #[schemars(length(min = 1, max = 1024))]
    pub image: String,
    /// When the image is pulled: `Always`, `IfNotPresent` or `Never`; Kubernetes' default otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    #[x_kube(
        validation = Rule::new("self in ['Always', 'IfNotPresent', 'Never']")
            .message("imagePullPolicy must be Always, IfNotPresent or Never")
    )]
    pub image_pull_policy: Option<String>,
    /// Each node's volume.
    pub storage: Storage,
    /// Where nodes are.
    #[serde(default)]
    pub topology: Topology,
    /// What each node may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::without_descriptions)]
    pub resources: Option<ResourceRequirements>,
    /// What else the pods have.
    #[serde(default)]
    pub pod_template: PodTemplate,
    /// The pod disruption budget.
    #[serde(default)]
    pub pdb: PodDisruptionBudgetSpec,
    /// Settings of the nodes, by their names in the configuration file, such as `transfer_bytes_per_s`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub settings: BTreeMap<String, AllowedSetting>,
    /// What the operator is to do at present.
    #[serde(default)]
    pub operation: Operation,
}

/// The value of a node's setting: a number, a text or a boolean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AllowedSetting {
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number.
    Number(i64),
    /// Text.
    Text(String),
    /// Anything else. The schema lets little of that pass and rendering refuses the rest, but all of it can be read: one bad
    /// resource must not keep the operator from seeing the others.
    Other(serde_json::Value),
}

/// Owners of every key, and how many must answer: N, R and W.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("self.readQuorum <= self.factor && self.writeQuorum <= self.factor")
        .message("readQuorum and writeQuorum must be replication.factor or less"),
    validation = Rule::new("self.readQuorum + self.writeQuorum > self.factor || self.allowStaleReads")
        .message(
            "readQuorum + writeQuorum must be more than replication.factor, or reads can miss acknowledged \
             writes: say allowStaleReads: true if that is meant"
        )
)]
#[serde(rename_all = "camelCase")]
pub struct Replication {
    /// N: owners of every key. It moves by one, only while the layout is stable, and never together with `replicas`.
    #[schemars(range(min = 1, max = 15))]
    #[x_kube(
        validation = Rule::new("self - oldSelf <= 1 && oldSelf - self <= 1")
            .message("replication.factor moves by one at a time")
    )]
    pub factor: i32,
    /// R: owners that must answer a read.
    #[schemars(range(min = 1, max = 15))]
    pub read_quorum: i32,
    /// W: owners that must acknowledge a write durably.
    #[schemars(range(min = 1, max = 15))]
    pub write_quorum: i32,
    /// Whether R + W may be N or less, so that reads can miss acknowledged writes.
    #[serde(default)]
    pub allow_stale_reads: bool,
}

/// Each node's volume.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new(
        "has(self.storageClassName) == has(oldSelf.storageClassName) \
         && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)"
    )
    .message("storageClassName is fixed for good")
)]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// How large, such as `10Gi`. It only grows.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(
        validation = Rule::new("isQuantity(self) && quantity(self).isGreaterThan(quantity('0'))")
            .message("storage.size must be a quantity above zero, such as 10Gi"),
        validation = Rule::new("!isQuantity(self) || quantity(self).compareTo(quantity(oldSelf)) >= 0")
            .message("storage.size only grows")
    )]
    pub size: String,
    /// The storage class; the cluster's default otherwise. Fixed for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub storage_class_name: Option<String>,
    /// What becomes of volumes that are not needed any more.
    #[serde(default)]
    pub retention: Retention,
}

/// What becomes of volumes that are not needed any more.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
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
#[serde(rename_all = "camelCase")]
pub struct Topology {
    /// The label of Kubernetes nodes that says their failure zone, such as `topology.kubernetes.io/zone`: owners of a key are in
    /// different zones while there are enough. Absent: zones do not matter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 317))]
    pub zone_key: Option<String>,
}

/// What else the pods have.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodTemplate {
    /// Labels beside the operator's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Environment variables of the node's container, such as `QUORATE_LOG`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::without_descriptions)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub env: Vec<EnvVar>,
    /// Arguments of the node beside the operator's own, such as `--unsafe-fault-injection`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Which Kubernetes nodes may run the pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Which taints the pods tolerate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::without_descriptions)]
    pub tolerations: Vec<Toleration>,
    /// Where the pods would rather be; by default apart from each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::without_descriptions)]
    pub affinity: Option<Affinity>,
    /// How the pods spread; a constraint without a `labelSelector` speaks of the cluster's pods.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::without_descriptions)]
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,
    /// The pods' priority class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<String>,
    /// Secrets with which the image is pulled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::without_descriptions)]
    pub image_pull_secrets: Vec<LocalObjectReference>,
    /// How long a pod has to stop, in seconds; 60 otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86400))]
    pub termination_grace_period_seconds: Option<i64>,
}

/// The pod disruption budget.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodDisruptionBudgetSpec {
    /// Whether there is one: as many pods may be evicted at once as leave every key its quorums.
    #[serde(default = "yes")]
    pub enabled: bool,
}

/// What the operator is to do at present.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
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
