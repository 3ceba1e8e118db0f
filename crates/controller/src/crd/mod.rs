//! The resource `QuorateCluster`: what people ask for ([`QuorateClusterSpec`]) and what they are told ([`QuorateClusterStatus`]).

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
