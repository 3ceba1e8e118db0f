//! The pods. **Every change here restarts every database there is when its operator is updated:** a golden test guards it.

use k8s_openapi::api::core::v1::{
    Affinity, Capabilities, ConfigMapVolumeSource, Container, ContainerPort, EmptyDirVolumeSource,
    ExecAction, HTTPGetAction, Lifecycle, LifecycleHandler, PodAffinityTerm, PodAntiAffinity,
    PodSecurityContext, PodSpec, PodTemplateSpec, Probe, SeccompProfile, SecurityContext,
    TopologySpreadConstraint, Volume, VolumeMount, WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::ObjectMeta;

use super::names::{
    CLAIM, CONTAINER, GRPC_PORT, HTTP_PORT, NODE_FILE, PEER_PORT, SETTINGS_HASH, config_name, labels, name,
    selector,
};
use super::{RenderError, environment, node_file};
use crate::crd::{PodTemplate, QuorateCluster};

/// Where the volume is.
pub(super) const DATA_DIRECTORY: &str = "/var/lib/quorate";
/// Where the configuration file is.
const CONFIG_DIRECTORY: &str = "/etc/quorate";
/// The image's user and group.
const NON_ROOT: i64 = 65532;
/// How long a pod has to stop, unless the resource says so itself: to drain, and to make a last checkpoint.
const GRACE_S: i64 = 60;

pub(super) fn template(cluster: &QuorateCluster, file: &str) -> Result<PodTemplateSpec, RenderError> {
    let name = name(cluster)?;
    let asked = &cluster.spec.pod_template;
    let mut labels = labels(name);
    if let Some(taken) = asked.labels.keys().find(|key| labels.contains_key(*key)) {
        return Err(RenderError::Reserved { field: "labels", name: taken.clone() });
    }
    labels.extend(asked.labels.clone());
    if asked.annotations.contains_key(SETTINGS_HASH) {
        return Err(RenderError::Reserved { field: "annotations", name: SETTINGS_HASH.into() });
    }
    let mut annotations = asked.annotations.clone();
    annotations.insert(SETTINGS_HASH.into(), node_file::hash(file));
    Ok(PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(pod(cluster, name, file)?),
    })
}

fn pod(cluster: &QuorateCluster, name: &str, file: &str) -> Result<PodSpec, RenderError> {
    let asked = &cluster.spec.pod_template;
    Ok(PodSpec {
        service_account_name: Some(name.into()),
        automount_service_account_token: Some(false),
        // A Service that is called quorate would otherwise put variables beside the node's own.
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(asked.termination_grace_period_seconds.unwrap_or(GRACE_S)),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(NON_ROOT),
            run_as_group: Some(NON_ROOT),
            fs_group: Some(NON_ROOT),
            fs_group_change_policy: Some("OnRootMismatch".into()),
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".into(), localhost_profile: None }),
            ..PodSecurityContext::default()
        }),
        containers: vec![container(cluster)?],
        volumes: Some(vec![
            Volume {
                name: "config".into(),
                config_map: Some(ConfigMapVolumeSource {
                    name: config_name(name, file),
                    ..ConfigMapVolumeSource::default()
                }),
                ..Volume::default()
            },
            Volume {
                name: "tmp".into(),
                empty_dir: Some(EmptyDirVolumeSource::default()),
                ..Volume::default()
            },
        ]),
        affinity: Some(asked.affinity.clone().unwrap_or_else(|| apart(cluster, name))),
        node_selector: given(&asked.node_selector, asked.node_selector.is_empty()),
        tolerations: given(&asked.tolerations, asked.tolerations.is_empty()),
        topology_spread_constraints: spread(asked, name),
        image_pull_secrets: given(&asked.image_pull_secrets, asked.image_pull_secrets.is_empty()),
        priority_class_name: asked.priority_class_name.clone(),
        ..PodSpec::default()
    })
}

fn container(cluster: &QuorateCluster) -> Result<Container, RenderError> {
    let PodTemplate { args, .. } = &cluster.spec.pod_template;
    Ok(Container {
        name: CONTAINER.into(),
        image: Some(cluster.spec.image.clone()),
        image_pull_policy: cluster.spec.image_pull_policy.clone(),
        command: Some(
            ["quorate-node", "--config", &format!("{CONFIG_DIRECTORY}/{NODE_FILE}")]
                .map(str::to_owned)
                .into(),
        ),
        args: given(args, args.is_empty()),
        env: Some(environment::variables(cluster)?),
        ports: Some(vec![port("grpc", GRPC_PORT), port("http", HTTP_PORT), port("peer", PEER_PORT)]),
        resources: cluster.spec.resources.clone(),
        // What it says last is why it does not start.
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        // A node that reads a large store back may take minutes before it says anything.
        startup_probe: Some(Probe {
            period_seconds: Some(2),
            failure_threshold: Some(450),
            ..probe("/healthz")
        }),
        liveness_probe: Some(Probe {
            period_seconds: Some(10),
            timeout_seconds: Some(5),
            failure_threshold: Some(6),
            ..probe("/healthz")
        }),
        readiness_probe: Some(Probe {
            period_seconds: Some(2),
            timeout_seconds: Some(2),
            failure_threshold: Some(2),
            ..probe("/readyz")
        }),
        lifecycle: Some(Lifecycle {
            pre_stop: Some(LifecycleHandler {
                exec: Some(ExecAction { command: Some(["quorate-node", "drain"].map(str::to_owned).into()) }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities { add: None, drop: Some(vec!["ALL".into()]) }),
            ..SecurityContext::default()
        }),
        volume_mounts: Some(vec![
            mount(CLAIM, DATA_DIRECTORY, None),
            mount("config", CONFIG_DIRECTORY, Some(true)),
            mount("tmp", "/tmp", None),
        ]),
        ..Container::default()
    })
}

/// Apart from each other, if that can be: on different nodes, and before that in different zones when zones matter.
fn apart(cluster: &QuorateCluster, name: &str) -> Affinity {
    let term = |weight: i32, key: &str| WeightedPodAffinityTerm {
        weight,
        pod_affinity_term: PodAffinityTerm {
            topology_key: key.into(),
            label_selector: Some(LabelSelector {
                match_labels: Some(selector(name)),
                ..LabelSelector::default()
            }),
            ..PodAffinityTerm::default()
        },
    };
    let zone = cluster.spec.topology.zone_key.as_deref().map(|key| term(100, key));
    let host = term(50, "kubernetes.io/hostname");
    Affinity {
        pod_anti_affinity: Some(PodAntiAffinity {
            preferred_during_scheduling_ignored_during_execution: Some(
                zone.into_iter().chain([host]).collect(),
            ),
            ..PodAntiAffinity::default()
        }),
        ..Affinity::default()
    }
}

/// A constraint that says of which pods it speaks says so; any other speaks of the cluster's, not of none.
fn spread(asked: &PodTemplate, name: &str) -> Option<Vec<TopologySpreadConstraint>> {
    let mut constraints = asked.topology_spread_constraints.clone();
    for constraint in &mut constraints {
        constraint.label_selector.get_or_insert_with(|| LabelSelector {
            match_labels: Some(selector(name)),
            ..LabelSelector::default()
        });
    }
    given(&constraints, constraints.is_empty())
}

/// What is empty is left out: server-side apply would own it.
fn given<T: Clone>(what: &T, empty: bool) -> Option<T> {
    (!empty).then(|| what.clone())
}

fn port(name: &str, number: i32) -> ContainerPort {
    ContainerPort {
        name: Some(name.into()),
        container_port: number,
        protocol: Some("TCP".into()),
        ..ContainerPort::default()
    }
}

fn probe(path: &str) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.into()),
            port: IntOrString::String("http".into()),
            ..HTTPGetAction::default()
        }),
        ..Probe::default()
    }
}

fn mount(name: &str, path: &str, read_only: Option<bool>) -> VolumeMount {
    VolumeMount { name: name.into(), mount_path: path.into(), read_only, ..VolumeMount::default() }
}
