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

use kube::CustomResourceExt as _;

/// The definition of the resource, as YAML for `kubectl apply`.
///
/// # Errors
/// When it cannot be written as YAML.
pub fn yaml() -> Result<String, serde_yaml::Error> {
    serde_yaml::to_string(&QuorateCluster::crd())
}
