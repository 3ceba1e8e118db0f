//! What Kubernetes is to hold for one cluster: a pure function of the resource, so that the same input always gives the same bytes.
//!
//! | file | what it is |
//! | --- | --- |
//! | `names` | what objects, labels and ports are called |
//! | `node_file` | the nodes' configuration file and its hash |
//! | `environment` | what a node learns from its environment |
//! | `pod` | the pods |
//! | `workload` | the StatefulSet around them, and its volumes |
//! | `network` | the Services and the disruption budget |

mod environment;
mod error;
mod names;
mod network;
mod node_file;
mod pod;
mod workload;

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::ObjectMeta;
use kube::{Resource as _, ResourceExt as _};

use crate::crd::QuorateCluster;

pub use error::RenderError;
pub use names::{
    CLAIM, CONTAINER, GRPC_PORT, HTTP_PORT, PEER_PORT, SETTINGS_HASH, claim_name, headless_name, labels,
    peer_address, pod_name, selector, selector_text,
};

/// The objects of one cluster, ready for server-side apply: each with its name, namespace, labels and owner.
#[derive(Clone, Debug, PartialEq)]
pub struct Objects {
    /// The nodes' configuration file, under a name of its own for each content. Pods of an older revision need the ones before.
    pub config_map: ConfigMap,
    /// Gives pods their names in DNS, ready or not.
    pub headless_service: Service,
    /// Where clients connect: the ready pods.
    pub service: Service,
    /// The pods and their volumes.
    pub stateful_set: StatefulSet,
    /// How many pods may be evicted at once; absent when it is not wanted.
    pub disruption_budget: Option<PodDisruptionBudget>,
    /// Whom the pods act as: nobody with rights.
    pub service_account: ServiceAccount,
}

/// Everything for `cluster`, with so many pods: while nodes join or leave they differ from `spec.replicas`.
///
/// `claim_size` is `spec.volumeClaimTemplates[0].spec.resources.requests.storage` of the StatefulSet that there is; `None`
/// when there is none. Kubernetes refuses another one, so that grown volumes are a matter of each claim, not of the template.
///
/// # Errors
/// When the resource lacks what the API server gives every stored object, or asks for what the operator itself decides.
pub fn objects(
    cluster: &QuorateCluster,
    pods: i32,
    claim_size: Option<&Quantity>,
) -> Result<Objects, RenderError> {
    let file = node_file::render(&cluster.spec.settings)?;
    let config_map = ConfigMap {
        metadata: metadata(cluster, names::config_name(&cluster.name_any(), &file))?,
        data: Some(BTreeMap::from([(names::NODE_FILE.to_owned(), file.clone())])),
        immutable: Some(true),
        ..ConfigMap::default()
    };
    let service_account = ServiceAccount {
        metadata: metadata(cluster, cluster.name_any())?,
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    };
    Ok(Objects {
        config_map,
        headless_service: network::headless(cluster)?,
        service: network::client(cluster)?,
        stateful_set: workload::stateful_set(cluster, pods, claim_size, &file)?,
        disruption_budget: cluster
            .spec
            .pdb
            .enabled
            .then(|| network::disruption_budget(cluster))
            .transpose()?,
        service_account,
    })
}

/// The metadata of an object of the cluster: it goes when the cluster goes.
fn metadata(cluster: &QuorateCluster, name: String) -> Result<ObjectMeta, RenderError> {
    let cluster_name =
        cluster.metadata.name.as_deref().ok_or(RenderError::Incomplete { field: "metadata.name" })?;
    Ok(ObjectMeta {
        name: Some(name),
        namespace: Some(names::namespace(cluster)?.to_owned()),
        labels: Some(labels(cluster_name)),
        owner_references: Some(vec![
            cluster.controller_owner_ref(&()).ok_or(RenderError::Incomplete { field: "metadata.uid" })?,
        ]),
        ..ObjectMeta::default()
    })
}
