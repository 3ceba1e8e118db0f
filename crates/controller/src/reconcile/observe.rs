//! Reads Kubernetes and asks the nodes.

use std::collections::BTreeMap;

use futures::future::join_all;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::jiff::SignedDuration;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};

use super::memory::Memory;
use super::{ReconcileError, now, pods};
use crate::crd::QuorateCluster;
use crate::nodes;
use crate::observed::{
    Answer, LayoutSeen, Membership, NodeSeen, Observed, PodSeen, StatefulSetSeen, ordinal,
};
use crate::render;

/// A claim that was refused to grow is asked again after this time.
const GROW_AGAIN: SignedDuration = SignedDuration::from_mins(10);

/// What doing something needs, beside what is judged.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Where the nodes answer, by the ordinals of their pods.
    pub(super) hosts: BTreeMap<i32, String>,
    /// The StatefulSet as it is.
    pub(super) stateful_set: Option<StatefulSet>,
}

impl Seen {
    /// The size in the StatefulSet's claim template, which cannot be changed.
    pub(super) fn claim_size(&self) -> Option<&Quantity> {
        let templates = self.stateful_set.as_ref()?.spec.as_ref()?.volume_claim_templates.as_ref()?;
        let claim = templates.first()?.spec.as_ref()?;
        claim.resources.as_ref()?.requests.as_ref()?.get("storage")
    }
}

pub(super) async fn observe(
    client: &Client,
    cluster: QuorateCluster,
    memory: &mut Memory,
) -> Result<(Seen, Observed), ReconcileError> {
    let (name, namespace) = (cluster.name_any(), cluster.namespace().unwrap_or_default());
    let sets: Api<StatefulSet> = Api::namespaced(client.clone(), &namespace);
    let stateful_set = sets.get_opt(&name).await.map_err(ReconcileError::of("read the StatefulSet"))?;
    let selected = ListParams::default().labels(&render::selector_text(&name));
    let list: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let list = list.list(&selected).await.map_err(ReconcileError::of("list the pods"))?;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &namespace);
    let claims = claims.list(&selected).await.map_err(ReconcileError::of("list the claims"))?;
    let now = now();

    let listed: BTreeMap<i32, Pod> =
        list.items.into_iter().filter_map(|pod| Some((ordinal(&pod.name_any(), &name)?, pod))).collect();
    let zones = zones(client, &cluster, listed.values()).await;
    let asked = listed.iter().map(|(&at, pod)| {
        let (name, peer) = (pod.name_any(), render::peer_address(&name, &namespace, at));
        async move {
            match pods::address(pod) {
                Some(host) => nodes::status(host, &name, &peer).await,
                None => Answer::Silent("its pod does not run".into()),
            }
        }
    });
    let answers = join_all(asked).await;
    let mut hosts = BTreeMap::new();
    let mut seen = BTreeMap::new();
    for ((at, pod), answer) in listed.iter().zip(answers) {
        if let Answer::Silent(why) = &answer {
            tracing::debug!(pod = pod.name_any(), why, "a node does not answer");
        } else if let Some(host) = pods::address(pod) {
            hosts.insert(*at, host.to_owned());
        }
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref());
        let zone = node.and_then(|node| zones.get(node).cloned()).unwrap_or_default();
        seen.insert(*at, pods::pod_seen(pod, zone, answer, now));
    }
    let of_claim = |claim: &PersistentVolumeClaim| {
        let at = ordinal(claim.name_any().strip_prefix(render::CLAIM)?.strip_prefix('-')?, &name)?;
        Some((at, pods::claim_seen(claim)))
    };
    let claims = claims.items.iter().filter_map(of_claim).collect();
    let layout = newest_layout(&cluster, &seen, &hosts, memory).await;
    if memory.growth_refused.as_ref().is_some_and(|(since, _)| now.duration_since(*since) > GROW_AGAIN) {
        memory.growth_refused = None;
    }
    let mut observed = Observed {
        refused_spec: refused(&cluster, stateful_set.as_ref()),
        stateful_set: stateful_set.as_ref().map(stateful_set_seen),
        cluster,
        now,
        pods: seen,
        claims,
        layout,
        strangers_since: BTreeMap::new(),
        growth_refused: memory.growth_refused.clone().map(|(_, why)| why),
    };
    remember_strangers(&mut observed, memory);
    Ok((Seen { hosts, stateful_set }, observed))
}

fn stateful_set_seen(set: &StatefulSet) -> StatefulSetSeen {
    let status = set.status.as_ref();
    let current = status.and_then(|status| status.observed_generation) == set.metadata.generation;
    let revision = status.and_then(|status| status.update_revision.clone());
    StatefulSetSeen {
        replicas: set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1),
        update_revision: revision.filter(|_| current).unwrap_or_default(),
    }
}

/// Why the resource cannot be made so at all.
fn refused(cluster: &QuorateCluster, set: Option<&StatefulSet>) -> Option<String> {
    if let Err(error) = render::objects(cluster, cluster.spec.replicas, None) {
        return Some(error.to_string());
    }
    let owners = set?.metadata.owner_references.iter().flatten();
    let owner = owners.into_iter().find(|owner| owner.controller == Some(true))?;
    (Some(&owner.uid) != cluster.metadata.uid.as_ref()).then(|| {
        format!(
            "StatefulSet {} belongs to {} {} with UID {} already",
            cluster.name_any(),
            owner.kind,
            owner.name,
            owner.uid
        )
    })
}

/// The failure zones of the Kubernetes nodes that these pods are on, by name; none where zones do not matter.
async fn zones(
    client: &Client,
    cluster: &QuorateCluster,
    listed: impl Iterator<Item = &Pod>,
) -> BTreeMap<String, String> {
    let mut zones = BTreeMap::new();
    let Some(key) = &cluster.spec.topology.zone_key else { return zones };
    let api: Api<Node> = Api::all(client.clone());
    for pod in listed {
        let Some(node) = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()) else { continue };
        if zones.contains_key(&node) {
            continue;
        }
        match api.get_metadata_opt(&node).await {
            Ok(found) => {
                let zone = found.and_then(|found| found.metadata.labels?.get(key).cloned());
                zones.insert(node, zone.unwrap_or_default());
            }
            Err(error) => tracing::warn!(node, %error, "the zone of a Kubernetes node cannot be read"),
        }
    }
    zones
}

/// The newest layout that a node of the cluster holds. A node that belongs to another cluster is not asked.
async fn newest_layout(
    cluster: &QuorateCluster,
    pods: &BTreeMap<i32, PodSeen>,
    hosts: &BTreeMap<i32, String>,
    memory: &mut Memory,
) -> Option<LayoutSeen> {
    let founded: Vec<(i32, &NodeSeen)> = pods
        .iter()
        .filter_map(|(&at, pod)| Some((at, pod.node.node()?)))
        .filter(|(_, node)| node.membership != Membership::None)
        .collect();
    let cluster_id = cluster_id(cluster, &founded)?;
    let founded: Vec<(i32, &NodeSeen)> =
        founded.into_iter().filter(|(_, node)| node.cluster == cluster_id).collect();
    let newest = founded.iter().map(|(_, node)| node.epoch).max()?;
    if memory.layout.as_ref().is_some_and(|held| held.cluster == cluster_id && held.epoch >= newest) {
        return memory.layout.clone();
    }
    for (at, _) in founded.iter().filter(|(_, node)| node.epoch == newest) {
        let Some(host) = hosts.get(at) else { continue };
        match nodes::layout(host).await {
            Ok(layout) if layout.cluster == cluster_id && layout.epoch >= newest => {
                memory.layout = Some(layout.clone());
                return Some(layout);
            }
            Ok(_) => {}
            Err(why) => tracing::debug!(host, why, "a node does not show its layout"),
        }
    }
    None
}

/// The cluster that the resource stands for: that which was told before, or that which its volumes belong to, if it is one: who makes
/// a resource anew whose volumes were kept wants what is in them.
fn cluster_id(cluster: &QuorateCluster, founded: &[(i32, &NodeSeen)]) -> Option<String> {
    let told = cluster.status.as_ref().map(|status| status.cluster_id.clone()).filter(|id| !id.is_empty());
    told.or_else(|| {
        let (_, first) = founded.first()?;
        founded.iter().all(|(_, node)| node.cluster == first.cluster).then(|| first.cluster.clone())
    })
}

/// Keeps since when each stranger is seen. One that does not answer for a while is still the same one.
fn remember_strangers(observed: &mut Observed, memory: &mut Memory) {
    let strangers: Vec<u64> = observed.strangers().map(|(_, node)| node.id).collect();
    let answering: Vec<u64> = observed.nodes().map(|(_, node)| node.id).collect();
    memory.strangers_since.retain(|id, _| strangers.contains(id) || !answering.contains(id));
    for id in strangers {
        memory.strangers_since.entry(id).or_insert(observed.now);
    }
    observed.strangers_since.clone_from(&memory.strangers_since);
}
