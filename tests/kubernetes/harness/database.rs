//! The `QuorateCluster`: what is asked of it, and how it is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use quorate_controller::crd::{MemberState, QuorateCluster, QuorateClusterStatus};
use serde_json::{Value, json};

use super::commands::{Input, run};
use super::{Test, until};

/// What the cluster is called.
pub(crate) const NAME: &str = "db";
/// For anything that must come true on a machine that does several such things at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(240);
const PODS: &str = "app.kubernetes.io/instance=db,app.kubernetes.io/component=node";

impl Test {
    /// What people would write, small. `settings` are those of the nodes.
    pub(crate) fn manifest(&self, replicas: i32, settings: Value) -> Value {
        let mut all = json!({ "exchange_interval_ms": 500, "free_reserve_bytes": 0, "start_wait_s": 10 });
        if let (Some(all), Value::Object(settings)) = (all.as_object_mut(), settings) {
            all.extend(settings);
        }
        json!({
            "apiVersion": "quorate.dev/v1alpha1",
            "kind": "QuorateCluster",
            "metadata": { "name": NAME },
            "spec": {
                "replicas": replicas,
                "replication": { "factor": 3, "readQuorum": 2, "writeQuorum": 2 },
                "partitions": 32,
                "image": self.image,
                "imagePullPolicy": "Never",
                "storage": { "size": "1Gi" },
                "settings": all,
            },
        })
    }

    /// `kubectl apply`.
    pub(crate) async fn apply(&self, manifest: &Value) -> Result<String, String> {
        run(self.kubectl().args(["apply", "-f", "-"]), Input::Json(manifest)).await
    }

    /// Makes it, and waits until it is all that was asked for.
    pub(crate) async fn create(&self, manifest: &Value) {
        self.apply(manifest).await.expect("the resource is taken");
        self.settled().await;
    }

    /// `kubectl scale`.
    pub(crate) async fn scale(&self, replicas: i32) -> Result<String, String> {
        let replicas = format!("--replicas={replicas}");
        run(self.kubectl().args(["scale", "qc/db", &replicas]), Input::Nothing).await
    }

    /// Merges this into the spec.
    pub(crate) async fn patch(&self, spec: Value) {
        let clusters: Api<QuorateCluster> = Api::namespaced(self.client.clone(), &self.namespace);
        let patch = Patch::Merge(json!({ "spec": spec }));
        clusters.patch(NAME, &PatchParams::default(), &patch).await.expect("the patch is taken");
    }

    pub(crate) async fn cluster(&self) -> Result<QuorateCluster, String> {
        let clusters: Api<QuorateCluster> = Api::namespaced(self.client.clone(), &self.namespace);
        clusters.get(NAME).await.map_err(|error| error.to_string())
    }

    /// What people are told; nothing in it before there is anything to tell.
    pub(crate) async fn status(&self) -> QuorateClusterStatus {
        self.cluster().await.ok().and_then(|cluster| cluster.status).unwrap_or_default()
    }

    /// Waits until everything is as it was asked for, and returns what people are told then.
    pub(crate) async fn settled(&self) -> QuorateClusterStatus {
        self.settled_within(PATIENCE).await
    }

    pub(crate) async fn settled_within(&self, limit: Duration) -> QuorateClusterStatus {
        until("everything is as it was asked for", limit, async || {
            let cluster = self.cluster().await?;
            is_settled(&cluster).map(|()| cluster.status.unwrap_or_default())
        })
        .await
    }

    pub(crate) async fn pods(&self) -> Vec<Pod> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let found = pods.list(&ListParams::default().labels(PODS)).await.expect("pods are listed");
        found.items
    }

    /// By name.
    pub(crate) async fn pod_uids(&self) -> BTreeMap<String, String> {
        let named = |pod: Pod| Some((pod.metadata.name?, pod.metadata.uid?));
        self.pods().await.into_iter().filter_map(named).collect()
    }

    /// By name.
    pub(crate) async fn claim_uids(&self) -> BTreeMap<String, String> {
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &self.namespace);
        let found = claims.list(&ListParams::default()).await.expect("claims are listed");
        let named = |claim: PersistentVolumeClaim| Some((claim.metadata.name?, claim.metadata.uid?));
        found.items.into_iter().filter_map(named).collect()
    }

    /// That the StatefulSet is to have.
    pub(crate) async fn stateful_set_replicas(&self) -> i32 {
        let sets: Api<StatefulSet> = Api::namespaced(self.client.clone(), &self.namespace);
        let set = sets.get(NAME).await.ok();
        set.and_then(|set| set.spec).and_then(|spec| spec.replicas).unwrap_or_default()
    }

    /// With this time to stop, in seconds; without, as much as the pod asks for. 0: Kubernetes forgets it at once, and its process may
    /// still run while the next one starts on the same volume.
    pub(crate) async fn delete_pod(&self, name: &str, grace_s: Option<u32>) {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let how = DeleteParams { grace_period_seconds: grace_s, ..DeleteParams::default() };
        match pods.delete(name, &how).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            Err(error) => panic!("{name}: {error}"),
        }
    }

    /// How often the operator said that it did each thing.
    pub(crate) async fn events(&self) -> BTreeMap<String, i32> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        let mut counts = BTreeMap::new();
        for event in events.list(&ListParams::default()).await.expect("events are listed") {
            if event.regarding.and_then(|about| about.kind).as_deref() == Some("QuorateCluster") {
                let times = event.series.map_or(1, |series| series.count);
                *counts.entry(event.reason.unwrap_or_default()).or_insert(0) += times;
            }
        }
        counts
    }
}

/// The status and the message of a condition.
pub(crate) fn condition(status: &QuorateClusterStatus, name: &str) -> (String, String) {
    let found = status.conditions.iter().find(|condition| condition.type_ == name);
    found.map_or_else(Default::default, |condition| {
        (condition.status.clone(), format!("{}: {}", condition.reason, condition.message))
    })
}

/// By name of the pod.
pub(crate) fn node_ids(status: &QuorateClusterStatus) -> BTreeMap<String, String> {
    status.members.iter().map(|member| (member.name.clone(), member.node_id.clone())).collect()
}

pub(crate) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut ready = conditions.filter(|condition| condition.type_ == "Ready");
    pod.metadata.deletion_timestamp.is_none() && ready.any(|condition| condition.status == "True")
}

/// What is missing.
fn is_settled(cluster: &QuorateCluster) -> Result<(), String> {
    let status = cluster.status.as_ref().ok_or("there is no status")?;
    if status.observed_generation != cluster.metadata.generation {
        return Err(format!("generation {:?} is seen", status.observed_generation));
    }
    for (name, wanted) in [
        ("Ready", "True"),
        ("Available", "True"),
        ("LayoutStable", "True"),
        ("Degraded", "False"),
        ("Progressing", "False"),
    ] {
        let (is, why) = condition(status, name);
        if is != wanted {
            return Err(format!("{name} is {is:?}: {why}"));
        }
    }
    let spec = &cluster.spec;
    let active: BTreeSet<&str> = status
        .members
        .iter()
        .filter(|member| member.state == MemberState::Active)
        .map(|member| member.node_id.as_str())
        .collect();
    let effective = status.effective_replication.clone().unwrap_or_default();
    let as_asked = status.replicas == spec.replicas
        && status.ready_replicas == spec.replicas
        && active.len() == spec.replicas as usize
        && status.members.len() == active.len()
        && effective.factor == spec.replication.factor
        && effective.read_quorum == spec.replication.read_quorum
        && effective.write_quorum == spec.replication.write_quorum;
    if as_asked { Ok(()) } else { Err(format!("{status:?}")) }
}
