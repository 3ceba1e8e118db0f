//! The StatefulSet around the pods, and its volumes.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{
    StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec, StatefulSetUpdateStrategy,
};
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::ObjectMeta;

use super::names::{CLAIM, headless_name, name, selector};
use super::{RenderError, metadata, pod};
use crate::crd::{QuorateCluster, RetentionPolicy};

/// The pods start together, and only the controller deletes one, for a restart or an update.
pub(super) fn stateful_set(
    cluster: &QuorateCluster,
    pods: i32,
    claim_size: Option<&Quantity>,
    node_file: &str,
) -> Result<StatefulSet, RenderError> {
    let name = name(cluster)?;
    let when_deleted = match cluster.spec.storage.retention.when_deleted {
        RetentionPolicy::Retain => "Retain",
        RetentionPolicy::Delete => "Delete",
    };
    Ok(StatefulSet {
        metadata: metadata(cluster, name.to_owned())?,
        spec: Some(StatefulSetSpec {
            replicas: Some(pods),
            service_name: Some(headless_name(name)),
            selector: LabelSelector { match_labels: Some(selector(name)), ..LabelSelector::default() },
            pod_management_policy: Some("Parallel".into()),
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("OnDelete".into()),
                rolling_update: None,
            }),
            // Only who has seen the hand-over confirmed may delete the volume of a node that has left: the controller.
            persistent_volume_claim_retention_policy: Some(StatefulSetPersistentVolumeClaimRetentionPolicy {
                when_deleted: Some(when_deleted.into()),
                when_scaled: Some("Retain".into()),
            }),
            template: pod::template(cluster, node_file)?,
            volume_claim_templates: Some(vec![claim(cluster, claim_size)]),
            ..StatefulSetSpec::default()
        }),
        ..StatefulSet::default()
    })
}

/// Kubernetes refuses every change of it: it has nothing that could change but the size, which stays what it is.
fn claim(cluster: &QuorateCluster, size: Option<&Quantity>) -> PersistentVolumeClaim {
    let storage = &cluster.spec.storage;
    let size = size.cloned().unwrap_or_else(|| Quantity(storage.size.clone()));
    PersistentVolumeClaim {
        metadata: ObjectMeta { name: Some(CLAIM.into()), ..ObjectMeta::default() },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".into()]),
            storage_class_name: storage.storage_class_name.clone(),
            resources: Some(VolumeResourceRequirements {
                requests: Some(BTreeMap::from([("storage".to_owned(), size)])),
                ..VolumeResourceRequirements::default()
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    }
}
