//! The StatefulSet's controller, pods and claims.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use quorate_controller::observed::{
    Answer, ClaimSeen, Membership, NodeSeen, PodSeen, StatefulSetSeen, Trouble,
};

use super::{NodeId, World};

/// A pod of this image never runs.
pub(crate) const BAD_IMAGE: &str = "quorate:bad";
/// Ticks from a pod to a node that answers.
const START_TICKS: u32 = 3;

pub(crate) struct Set {
    pub(crate) replicas: i32,
    pub(crate) revision: String,
}

impl Set {
    pub(crate) fn seen(&self) -> StatefulSetSeen {
        StatefulSetSeen { replicas: self.replicas, update_revision: self.revision.clone() }
    }
}

pub(crate) struct Pod {
    pub(crate) uid: String,
    pub(crate) revision: String,
    pub(crate) created: Timestamp,
    /// Ticks until its node answers.
    pub(crate) starts: u32,
    /// Ticks until it is gone.
    pub(crate) stops: Option<u32>,
    /// Ticks for which it does not answer, though it runs.
    pub(crate) silent: u32,
    /// The node in it.
    pub(crate) node: NodeId,
}

impl Pod {
    pub(crate) fn runs(&self) -> bool {
        self.starts == 0 && self.stops.is_none() && self.silent == 0 && self.revision != BAD_IMAGE
    }
}

#[derive(Clone)]
pub(crate) struct Claim {
    pub(crate) uid: String,
    pub(crate) size: String,
    /// Whose data is on it.
    pub(crate) node: Option<NodeId>,
}

impl Claim {
    pub(crate) fn seen(&self) -> ClaimSeen {
        ClaimSeen {
            uid: self.uid.clone(),
            bound: true,
            deleting: false,
            requested: self.size.clone(),
            capacity: self.size.clone(),
        }
    }
}

impl World {
    /// The pods whose nodes run, by their nodes.
    pub(crate) fn running(&self) -> BTreeMap<NodeId, i32> {
        self.pods.iter().filter(|(_, pod)| pod.runs()).map(|(&at, pod)| (pod.node, at)).collect()
    }

    pub(super) fn apply(&mut self, replicas: i32) -> bool {
        let revision = self.cluster.spec.image.clone();
        let same =
            self.set.as_ref().is_some_and(|set| (set.replicas, &set.revision) == (replicas, &revision));
        if !same {
            self.log.push(format!("apply {replicas} pods of {revision}"));
            self.set = Some(Set { replicas, revision });
        }
        !same
    }

    pub(crate) fn delete_pod(&mut self, at: i32, uid: Option<&String>) {
        if let Some(pod) = self.pods.get_mut(&at)
            && uid.is_none_or(|uid| pod.uid == *uid)
            && pod.stops.is_none()
        {
            pod.stops = Some(2);
        }
    }

    /// A volume and the pod on it are gone.
    pub(crate) fn lose_volume(&mut self, at: i32) {
        self.pods.remove(&at);
        self.claims.remove(&at);
    }

    /// A volume that its node does not trust any more: the pod is started on it anew, as another node.
    pub(crate) fn distrust(&mut self, at: i32) {
        self.pods.remove(&at);
        if let Some(claim) = self.claims.get_mut(&at) {
            claim.node = None;
        }
    }

    pub(super) fn is_moving(&self) -> bool {
        self.pods.values().any(|pod| pod.starts > 0 || pod.stops.is_some() || pod.silent > 0)
            || self.quorate.is_moving()
            || self.set.as_ref().is_none_or(|set| i32::try_from(self.pods.len()) != Ok(set.replicas))
    }

    pub(super) fn kubernetes_goes_on(&mut self) {
        self.pods.retain(|_, pod| pod.stops != Some(0));
        for pod in self.pods.values_mut() {
            pod.starts = pod.starts.saturating_sub(1);
            pod.silent = pod.silent.saturating_sub(1);
            pod.stops = pod.stops.map(|ticks| ticks.saturating_sub(1));
        }
        let Some((replicas, revision)) = self.set.as_ref().map(|set| (set.replicas, set.revision.clone()))
        else {
            return;
        };
        let beyond: Vec<i32> = self.pods.keys().copied().filter(|&at| at >= replicas).collect();
        for at in beyond {
            self.delete_pod(at, None);
        }
        for at in 0..replicas {
            if self.pods.contains_key(&at) {
                continue;
            }
            let uid = self.unique();
            let size = self.cluster.spec.storage.size.clone();
            let claim =
                self.claims.entry(at).or_insert(Claim { uid: format!("claim-{uid}"), size, node: None });
            let kept = claim.node.filter(|&node| !self.quorate.has_left(node));
            let node = kept.unwrap_or(1000 + uid);
            claim.node = Some(node);
            let (created, revision) = (self.now, revision.clone());
            let uid = format!("pod-{uid}");
            self.pods.insert(
                at,
                Pod { uid, revision, created, starts: START_TICKS, stops: None, silent: 0, node },
            );
        }
    }

    pub(super) fn seen_pods(&self) -> BTreeMap<i32, PodSeen> {
        let up = self.running();
        let seen = |(&at, pod): (&i32, &Pod)| {
            let node = if pod.runs() { Some(self.quorate.node_seen(pod.node, &up)) } else { None };
            let ready =
                |node: &NodeSeen| node.membership == Membership::Member && node.partitions_unavailable == 0;
            let bad = pod.revision == BAD_IMAGE;
            let trouble = bad.then(|| Trouble { reason: "ErrImageNeverPull".into(), message: String::new() });
            let seen = PodSeen {
                uid: pod.uid.clone(),
                ready: node.as_ref().is_some_and(ready),
                deleting: pod.stops.is_some(),
                revision: pod.revision.clone(),
                created: pod.created,
                trouble,
                zone: String::new(),
                node: node.map_or(Answer::Silent("down".into()), |node| Answer::Told(Box::new(node))),
            };
            (at, seen)
        };
        self.pods.iter().map(seen).collect()
    }
}
