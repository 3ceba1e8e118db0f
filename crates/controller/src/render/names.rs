//! What objects, labels and ports are called. People and dashboards select by these: they do not change.

use std::collections::BTreeMap;

use super::RenderError;
use crate::crd::QuorateCluster;

/// The pods' only container.
pub const CONTAINER: &str = "node";
/// The volume claim template.
pub const CLAIM: &str = "data";
/// Where gRPC clients connect.
pub const GRPC_PORT: i32 = 7700;
/// Where HTTP clients and probes connect.
pub const HTTP_PORT: i32 = 7701;
/// Where other nodes connect.
pub const PEER_PORT: i32 = 7702;
/// The annotation of pods that changes with the nodes' configuration file, so that they are restarted.
pub const SETTINGS_HASH: &str = "quorate.dev/settings-hash";

/// The configuration file, in its ConfigMap and in its directory.
pub(super) const NODE_FILE: &str = "node.toml";

/// The Service that gives pods their names in DNS.
pub fn headless_name(cluster: &str) -> String {
    format!("{cluster}-nodes")
}

/// The pod with this ordinal, from 0.
pub fn pod_name(cluster: &str, ordinal: i32) -> String {
    format!("{cluster}-{ordinal}")
}

/// The ConfigMap with this configuration file. Each content has its own, so that a pod that is not restarted keeps what it began with,
/// however often its container is.
pub(super) fn config_name(cluster: &str, file: &str) -> String {
    format!("{cluster}-{}", super::node_file::hash(file))
}

/// The volume claim of the pod with this ordinal.
pub fn claim_name(cluster: &str, ordinal: i32) -> String {
    format!("{CLAIM}-{cluster}-{ordinal}")
}

/// Where other nodes reach a pod's node, as `host:port`, whatever the cluster's DNS domain is.
pub fn peer_address(cluster: &str, namespace: &str, ordinal: i32) -> String {
    format!("{}.{}.{namespace}.svc:{PEER_PORT}", pod_name(cluster, ordinal), headless_name(cluster))
}

/// The labels that select the pods of a cluster.
pub fn selector(cluster: &str) -> BTreeMap<String, String> {
    [("name", "quorate"), ("instance", cluster), ("component", CONTAINER)]
        .map(|(key, value)| (format!("app.kubernetes.io/{key}"), value.to_owned()))
        .into()
}

/// The same, as a label selector for list requests and the scale subresource.
pub fn selector_text(cluster: &str) -> String {
    let pairs: Vec<String> =
        selector(cluster).into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join(",")
}

/// The labels of every object of a cluster.
pub fn labels(cluster: &str) -> BTreeMap<String, String> {
    let mut labels = selector(cluster);
    labels.insert("app.kubernetes.io/managed-by".into(), "quorate-controller".into());
    labels
}

pub(super) fn name(cluster: &QuorateCluster) -> Result<&str, RenderError> {
    cluster.metadata.name.as_deref().ok_or(RenderError::Incomplete { field: "metadata.name" })
}

pub(super) fn namespace(cluster: &QuorateCluster) -> Result<&str, RenderError> {
    cluster.metadata.namespace.as_deref().ok_or(RenderError::Incomplete { field: "metadata.namespace" })
}
