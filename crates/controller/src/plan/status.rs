//! What people are told. It is the same, byte for byte, while nothing changes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::conditions::{
    AVAILABLE, DEGRADED, LAYOUT_STABLE, PAUSED, PROGRESSING, READY, SCALE_DOWN_BLOCKED, STORAGE_READY,
    Verdict,
};
use super::lost::displaced;
use super::{Pace, Step, claims};
use crate::crd::{
    Condition, EffectiveReplication, MemberState, MemberStatus, QuorateClusterStatus, TopologyState,
};
use crate::observed::{LayoutSeen, Membership, Observed, PodSeen};
use crate::render::selector_text;

/// A pod gets this long to start before its silence is worth a word.
const STARTS_WITHIN: Duration = Duration::from_secs(60);

pub(super) fn status(observed: &Observed, step: &Step) -> QuorateClusterStatus {
    let before = observed.cluster.status.clone().unwrap_or_default();
    let layout = observed.layout.as_ref();
    let mut status = QuorateClusterStatus {
        observed_generation: observed.cluster.metadata.generation,
        replicas: count(observed.pods.len()),
        ready_replicas: count(observed.pods.values().filter(|pod| pod.ready).count()),
        selector: selector_text(observed.cluster.metadata.name.as_deref().unwrap_or_default()),
        epoch: layout.map_or(before.epoch, |layout| i64::try_from(layout.epoch).unwrap_or(i64::MAX)),
        cluster_id: layout.map_or(before.cluster_id.clone(), |layout| layout.cluster.clone()),
        topology: layout.map_or(before.topology, topology),
        effective_replication: layout.map_or(before.effective_replication.clone(), effective),
        version: version(observed).unwrap_or(before.version.clone()),
        members: members(observed, &before),
        conditions: Vec::new(),
    };
    status.conditions = conditions(observed, step, &status, &before.conditions);
    status
}

/// How soon to look again.
pub(super) fn pace(observed: &Observed, step: &Step, status: &QuorateClusterStatus) -> Pace {
    let starting = observed.pods.values().any(|pod| !pod.ready && is_young(observed, pod));
    if starting || step.doing.as_ref().is_some_and(|doing| doing.goes_on) {
        return Pace::Busy;
    }
    let is = |name: &str, value: &str| {
        status.conditions.iter().any(|condition| condition.type_ == name && condition.status == value)
    };
    if is(DEGRADED, "True") || !is(AVAILABLE, "True") || is(SCALE_DOWN_BLOCKED, "True") {
        return Pace::Uneasy;
    }
    Pace::Quiet
}

fn count(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn topology(layout: &LayoutSeen) -> TopologyState {
    let Some(change) = &layout.change else { return TopologyState::Stable };
    let leaves = layout.members.iter().any(|member| !change.members.contains(&member.id));
    match (!change.added.is_empty(), leaves, change.sizes) {
        (true, true, _) => TopologyState::Replacing,
        (true, false, _) => TopologyState::Joining,
        (false, true, _) => TopologyState::Leaving,
        (false, false, true) => TopologyState::ChangingN,
        // Shares move because members are in other zones.
        (false, false, false) => TopologyState::Joining,
    }
}

fn effective(layout: &LayoutSeen) -> Option<EffectiveReplication> {
    let bucket = layout.default_bucket()?;
    let number = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
    Some(EffectiveReplication {
        factor: number(bucket.n),
        read_quorum: number(bucket.r),
        write_quorum: number(bucket.w),
    })
}

fn version(observed: &Observed) -> Option<String> {
    let versions: BTreeSet<&str> = observed.nodes().map(|(_, node)| node.version.as_str()).collect();
    let versions: Vec<&str> = versions.into_iter().collect();
    (!versions.is_empty()).then(|| versions.join(","))
}

/// Members and nodes that wait to be, by ordinal. While nobody tells the layout, those that were told last.
fn members(observed: &Observed, before: &QuorateClusterStatus) -> Vec<MemberStatus> {
    let told: BTreeMap<&str, &MemberStatus> =
        before.members.iter().map(|member| (member.node_id.as_str(), member)).collect();
    let mut members: Vec<MemberStatus> = match &observed.layout {
        Some(layout) => layout
            .members
            .iter()
            .map(|member| {
                let id = format!("{:016x}", member.id);
                let at = observed.pod_of(member.id);
                let node = at.and_then(|at| observed.node(at));
                let claim = at.and_then(|at| observed.claims.get(&at)).map(|claim| claim.uid.clone());
                let pending = node.and_then(|node| node.change).filter(|_| layout.change.is_some());
                let pending =
                    pending.map_or(0, |progress| i64::try_from(progress.pending_bytes).unwrap_or(i64::MAX));
                MemberStatus {
                    name: member.name.clone(),
                    state: state(layout, member.id, node.is_some()),
                    partitions: i32::try_from(member.partitions).unwrap_or(i32::MAX),
                    pending_bytes: pending,
                    claim_uid: claim
                        .or_else(|| told.get(id.as_str()).map(|before| before.claim_uid.clone()))
                        .unwrap_or_default(),
                    node_id: id,
                }
            })
            .collect(),
        None => before
            .members
            .iter()
            .filter(|member| member.state != MemberState::Waiting)
            .map(|member| MemberStatus { state: MemberState::Absent, pending_bytes: 0, ..member.clone() })
            .collect(),
    };
    members.extend(observed.strangers().map(|(ordinal, node)| MemberStatus {
        name: observed.pod_name(ordinal),
        node_id: format!("{:016x}", node.id),
        state: MemberState::Waiting,
        ..Default::default()
    }));
    members.sort_by_cached_key(|member| {
        (observed.ordinal(&member.name).unwrap_or(i32::MAX), member.name.clone(), member.node_id.clone())
    });
    members
}

fn state(layout: &LayoutSeen, id: u64, answers: bool) -> MemberState {
    let added = layout.change.as_ref().is_some_and(|change| change.added.contains(&id));
    match () {
        () if layout.is_lost(id) => MemberState::Lost,
        () if !answers => MemberState::Absent,
        () if layout.leaves(id) => MemberState::Leaving,
        () if added => MemberState::Joining,
        () => MemberState::Active,
    }
}

fn conditions(
    observed: &Observed,
    step: &Step,
    status: &QuorateClusterStatus,
    before: &[Condition],
) -> Vec<Condition> {
    let available = available(observed, status);
    let degraded = degraded(observed);
    let progressing = progressing(step);
    let storage = storage(observed);
    let ready = ready(observed, status, &available, &progressing);
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
) -> Verdict {
    if !available.is(true) {
        return Verdict::no("NotAvailable", available.message.clone());
    }
    if progressing.reason != "Done" && progressing.reason != "Paused" {
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
        None => Verdict::no("Done", "all is as it was asked for"),
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
    if let Some(displaced) = displaced(observed, layout).first() {
        let message =
            format!("the node in {} is another one than before", observed.pod_name(displaced.ordinal));
        return Verdict::yes("MemberLost", message);
    }
    let absent: Vec<&str> = layout
        .members
        .iter()
        .filter(|member| observed.pod_of(member.id).is_none() && !layout.is_lost(member.id))
        .filter(|member| {
            let pod = observed.ordinal(&member.name).and_then(|at| observed.pods.get(&at));
            pod.is_none_or(|pod| !pod.deleting && !is_young(observed, pod))
        })
        .map(|member| member.name.as_str())
        .collect();
    if !absent.is_empty() {
        return Verdict::yes("MembersAbsent", format!("{} do not answer", absent.join(", ")));
    }
    Verdict::no("AsExpected", "")
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

fn is_young(observed: &Observed, pod: &PodSeen) -> bool {
    let limit = i64::try_from(STARTS_WITHIN.as_secs()).unwrap_or(i64::MAX);
    observed.now.as_second() - pod.created.as_second() < limit
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

/// How many members do not answer, for the metric of this name.
pub fn members_absent(status: &QuorateClusterStatus) -> i64 {
    let absent = |member: &&MemberStatus| matches!(member.state, MemberState::Absent | MemberState::Lost);
    i64::try_from(status.members.iter().filter(absent).count()).unwrap_or(i64::MAX)
}
