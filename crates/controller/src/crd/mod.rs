//! The resource `QuorateCluster`: what people ask for ([`QuorateClusterSpec`]) and what they are told ([`QuorateClusterStatus`]).

mod schema;
#[expect(unreachable_pub, reason = "what the derive macro makes is not reachable")]
mod spec;
#[expect(unreachable_pub, reason = "what the derive macro makes is not reachable")]
mod status;

pub use spec::{
    AllowedSetting, Operation, PodDisruptionBudgetSpec, PodTemplate, QuorateCluster, QuorateClusterSpec,
    Replication, Retention, RetentionPolicy, Storage, Topology,
};
pub use status::{
    Condition, EffectiveReplication, MemberState, MemberStatus, QuorateClusterStatus, TopologyState,
};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;

/// The definition of the resource.
pub fn definition() -> CustomResourceDefinition {
    QuorateCluster::crd()
}

/// The definition of the resource as YAML, for `kubectl apply`.
///
/// # Errors
/// When it cannot be written as YAML.
pub fn yaml() -> Result<String, serde_yaml::Error> {
    definition_yaml(&definition())
}

/// Any definition as YAML that `kubectl` reads as it was meant.
///
/// # Errors
/// When it cannot be written as YAML.
pub fn definition_yaml(definition: &CustomResourceDefinition) -> Result<String, serde_yaml::Error> {
    Ok(serde_yaml::to_string(definition)?.lines().map(|line| quoted(line) + "\n").collect())
}

/// The column `N` is a boolean to kubectl, which reads YAML 1.1, and a text to the YAML 1.2 that is written here.
fn quoted(line: &str) -> String {
    match line.rsplit_once(": ") {
        Some((key, word @ ("N" | "n" | "Y" | "y"))) => format!("{key}: \"{word}\""),
        _ => line.to_owned(),
    }
}
