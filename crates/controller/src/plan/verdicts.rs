//! What each condition says.

use super::conditions::{
    AVAILABLE, DEGRADED, LAYOUT_STABLE, PAUSED, PROGRESSING, READY, SCALE_DOWN_BLOCKED, STORAGE_READY,
    Verdict,
};
use super::confirm::is_young;
use super::found::other_partitions;
use super::lost::displaced;
use super::status::count;
use super::{Step, claims};
use crate::crd::{Condition, MemberState, QuorateClusterStatus};
use crate::observed::{LayoutSeen, MemberSeen, Membership, NodeSeen, Observed};

/// Why nothing is under way when nothing is to be done.
pub(super) const DONE: &str = "Done";

const PARTITIONS_DIFFER: &str = "PartitionsDiffer";

/// All conditions, always in this order.
pub(super) fn conditions(
    observed: &Observed,
    step: &Step,
    status: &QuorateClusterStatus,
    before: &[Condition],
) -> Vec<Condition> {
    let available = available(observed, status);
    let degraded = degraded(observed);
    let progressing = progressing(step);
    let storage = storage(observed);
    let ready = ready(observed, status, &available, &progressing, &storage);
    let blocked = match &step.blocked {
        Some((reason, message)) => Verdict::yes(reason, message.clone()),
        None => Verdict::no("NotBlocked", ""),
    };
    let paused = if observed.cluster.spec.operation.paused {
        Verdict::yes("Asked", "the operator only watches: spec.operation.paused is set")
    } else {
        Verdict::no("NotAsked", "")
    };
    let generation = observed.cluster.metadata.generation;
    [
        (READY, ready),
        (AVAILABLE, available),
        (PROGRESSING, progressing),
        (DEGRADED, degraded),
        (LAYOUT_STABLE, layout_stable(observed)),
        (SCALE_DOWN_BLOCKED, blocked),
        (STORAGE_READY, storage),
        (PAUSED, paused),
    ]
    .map(|(name, verdict)| verdict.condition(name, before, generation, observed.now))
    .to_vec()
}

fn ready(
    observed: &Observed,
    status: &QuorateClusterStatus,
    available: &Verdict,
    progressing: &Verdict,
    storage: &Verdict,
) -> Verdict {
    if !available.is(true) {
        return Verdict::no("NotAvailable", available.message.clone());
    }
    if progressing.reason != DONE && progressing.reason != "Paused" {
        return Verdict::no(progressing.reason, progressing.message.clone());
    }
    let asked = observed.cluster.spec.replicas;
    let active = status.members.iter().filter(|member| member.state == MemberState::Active).count();
    if count(active) != asked || status.ready_replicas != asked || status.members.len() != active {
        let message = format!(
            "{active} of {asked} members serve, and {} of their pods are ready",
            status.ready_replicas
        );
        return Verdict::no("MembersNotReady", message);
    }
    if let Some(message) = observed.layout.as_ref().and_then(|layout| other_partitions(observed, layout)) {
        return Verdict::no(PARTITIONS_DIFFER, message);
    }
    if !storage.is(true) {
        return Verdict::no(storage.reason, storage.message.clone());
    }
    Verdict::yes("AllServe", format!("all {asked} members serve their part"))
}

/// From the nodes that clients reach: one that reaches all it needs is enough, for any of them answers for the whole.
fn available(observed: &Observed, status: &QuorateClusterStatus) -> Verdict {
    if status.epoch == 0 {
        return Verdict::no("NotFounded", "the cluster has not been founded yet");
    }
    let ready: Vec<i32> = observed.pods.iter().filter(|(_, pod)| pod.ready).map(|(&at, _)| at).collect();
    if ready.is_empty() {
        return Verdict::no("NoPodReady", "no pod is ready");
    }
    let members = observed
        .nodes()
        .filter(|(at, node)| ready.contains(at) && node.membership == Membership::Member)
        .map(|(_, node)| node.partitions_unavailable);
    match members.min() {
        None => Verdict::unknown(
            "NoMemberAnswers",
            "pods are ready, and none of their nodes answers the operator",
        ),
        Some(0) => Verdict::yes("QuorumsReached", "every partition reaches R and W"),
        Some(_) => Verdict::no("QuorumsMissed", "some partitions do not reach R or W"),
    }
}

fn progressing(step: &Step) -> Verdict {
    match &step.doing {
        None => Verdict::no(DONE, "all is as it was asked for"),
        Some(doing) if doing.goes_on => Verdict::yes(doing.reason, doing.message.clone()),
        Some(doing) => Verdict::no(doing.reason, doing.message.clone()),
    }
}

/// The first of what is wrong, the most telling first.
fn degraded(observed: &Observed) -> Verdict {
    if let Some(reason) = &observed.refused_spec {
        return Verdict::yes("InvalidSpec", reason.clone());
    }
    for (&ordinal, pod) in &observed.pods {
        if let Some(trouble) = &pod.trouble {
            let said =
                if trouble.message.is_empty() { String::new() } else { format!(": {}", trouble.message) };
            let message =
                format!("pod {} does not run: {}{said}", observed.pod_name(ordinal), trouble.reason);
            return Verdict::yes("PodDoesNotRun", message);
        }
    }
    for (ordinal, node) in observed.nodes() {
        if !node.storage_refusal.is_empty() {
            let message = format!("{} takes no writes: {}", observed.pod_name(ordinal), node.storage_refusal);
            return Verdict::yes("StorageRefuses", message);
        }
    }
    let Some(layout) = &observed.layout else { return without_layout(observed) };
    for (ordinal, node) in observed.nodes() {
        if !node.cluster.is_empty() && node.cluster != layout.cluster {
            let message = format!("the volume of {} belongs to another cluster", observed.pod_name(ordinal));
            return Verdict::yes("ForeignVolume", message);
        }
    }
    if let Some((reason, message)) = waits_for_people(observed, layout) {
        return Verdict::yes(reason, message);
    }
    let displaced = displaced(observed, layout);
    let names: Vec<String> = displaced.iter().map(|member| observed.pod_name(member.ordinal)).collect();
    if !names.is_empty() {
        let message = match names.as_slice() {
            [name] => format!("the node in {name} is another one than before"),
            names => format!("the nodes in {} are others than before", names.join(", ")),
        };
        return Verdict::yes("MemberLost", message);
    }
    let absent: Vec<&str> = layout
        .members
        .iter()
        .filter(|member| !layout.is_lost(member.id) && is_absent(observed, member))
        .map(|member| member.name.as_str())
        .collect();
    if !absent.is_empty() {
        let verb = if absent.len() == 1 { "does" } else { "do" };
        return Verdict::yes("MembersAbsent", format!("{} {verb} not answer", absent.join(", ")));
    }
    // It does not pass, so it must not hide what else is wrong.
    if let Some(message) = other_partitions(observed, layout) {
        return Verdict::yes(PARTITIONS_DIFFER, message);
    }
    Verdict::no("AsExpected", "")
}

/// What no waiting brings about, if those that are silent are gone for good: people have to say so.
fn waits_for_people(observed: &Observed, layout: &LayoutSeen) -> Option<(&'static str, String)> {
    let waits = |began: u64| {
        let lacking = |node: &NodeSeen| node.change.is_some_and(|own| own.began == began && own.lacks_owners);
        observed.nodes().any(|(_, node)| lacking(node))
    };
    if let Some(change) = layout.change.as_ref().filter(|change| waits(change.began)) {
        let message = format!(
            "the change of epoch {} waits for more owners of some partitions than are left, and does not go on by itself: \
             `quorate layout accept-loss --yes` in a pod gives up what only lost members held; \
             see docs/OPERATIONS.md, \"The majority of the voters is lost, on Kubernetes\"",
            change.began
        );
        return Some(("LossToBeAccepted", message));
    }
    let silent: Vec<&MemberSeen> = layout
        .members
        .iter()
        .filter(|member| layout.voters.contains(&member.id) && is_absent(observed, member))
        .collect();
    if silent.is_empty() || (layout.voters.len() - silent.len()) * 2 > layout.voters.len() {
        return None;
    }
    let names: Vec<&str> = silent.iter().map(|member| member.name.as_str()).collect();
    let message = format!(
        "the layout cannot be changed, for the majority of the voters does not answer: of {} these are missing: {}. If they are gone \
         for good, `quorate directory force-lost` is needed; see docs/OPERATIONS.md, \"The majority of the voters is lost, on Kubernetes\"",
        layout.voters.len(),
        names.join(", ")
    );
    Some(("VotersMissing", message))
}

/// Whether a member does not answer, and is not about to.
fn is_absent(observed: &Observed, member: &MemberSeen) -> bool {
    let pod = observed.ordinal(&member.name).and_then(|at| observed.pods.get(&at));
    observed.pod_of(member.id).is_none()
        && pod.is_none_or(|pod| !pod.deleting && (!is_young(observed, pod) || pod.node.node().is_some()))
}

fn without_layout(observed: &Observed) -> Verdict {
    let founded = observed.cluster.status.as_ref().is_some_and(|status| status.epoch > 0);
    let strangers = observed.strangers().count();
    if founded && strangers > 0 && strangers == observed.pods.len() {
        let message = "no node knows of the cluster: all volumes were lost. The operator does not found it anew, so that volumes can \
                       be brought back; to begin with an empty one, delete the resource and create it again";
        return Verdict::yes("AllMembersLost", message);
    }
    if founded && observed.pods.values().all(|pod| !pod.deleting && !is_young(observed, pod)) {
        return Verdict::yes("MembersAbsent", "no member answers");
    }
    Verdict::no("AsExpected", "")
}

fn layout_stable(observed: &Observed) -> Verdict {
    match &observed.layout {
        None => Verdict::unknown("NotKnown", "no member tells the layout"),
        Some(layout) if layout.change.is_none() => {
            Verdict::yes("NoChange", format!("the layout of epoch {} is in effect", layout.epoch))
        }
        Some(layout) => {
            let paused = layout.change.as_ref().is_some_and(|change| change.paused);
            let words = if paused { ", and stands still" } else { "" };
            let began = layout.change.as_ref().map_or(0, |change| change.began);
            Verdict::no("Changing", format!("the change of epoch {began} is under way{words}"))
        }
    }
}

fn storage(observed: &Observed) -> Verdict {
    match claims::not_ready(observed) {
        Some((reason, message)) => Verdict::no(reason, message),
        None if observed.claims.is_empty() => Verdict::no("NoVolumes", "there are no volumes yet"),
        None => Verdict::yes("Bound", "every claim has its volume"),
    }
}
