//! The Services and the disruption budget.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::names::{GRPC_PORT, HTTP_PORT, PEER_PORT, headless_name, name, selector};
use super::{RenderError, metadata};
use crate::crd::QuorateCluster;

/// Nodes must find each other before they are ready: they become ready by that.
pub(super) fn headless(cluster: &QuorateCluster) -> Result<Service, RenderError> {
    let name = name(cluster)?;
    Ok(Service {
        metadata: metadata(cluster, headless_name(name))?,
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".into()),
            publish_not_ready_addresses: Some(true),
            selector: Some(selector(name)),
            ports: Some(vec![port("grpc", GRPC_PORT), port("http", HTTP_PORT), port("peer", PEER_PORT)]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    })
}

pub(super) fn client(cluster: &QuorateCluster) -> Result<Service, RenderError> {
    let name = name(cluster)?;
    Ok(Service {
        metadata: metadata(cluster, name.to_owned())?,
        spec: Some(ServiceSpec {
            selector: Some(selector(name)),
            ports: Some(vec![port("grpc", GRPC_PORT), port("http", HTTP_PORT)]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    })
}

/// By the container's name of the port, which stays when its number does not.
fn port(name: &str, number: i32) -> ServicePort {
    ServicePort {
        name: Some(name.into()),
        port: number,
        protocol: Some("TCP".into()),
        target_port: Some(IntOrString::String(name.into())),
        ..ServicePort::default()
    }
}

/// As many pods as leave every key its quorums; one where that is none, or nodes could never be drained.
pub(super) fn disruption_budget(cluster: &QuorateCluster) -> Result<PodDisruptionBudget, RenderError> {
    let name = name(cluster)?;
    let wanted = &cluster.spec.replication;
    let spare = wanted.factor - wanted.read_quorum.max(wanted.write_quorum);
    Ok(PodDisruptionBudget {
        metadata: metadata(cluster, name.to_owned())?,
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(spare.max(1))),
            selector: Some(LabelSelector { match_labels: Some(selector(name)), ..LabelSelector::default() }),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    })
}
