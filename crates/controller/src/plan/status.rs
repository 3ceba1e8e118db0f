//! What people are told. It is the same, byte for byte, while nothing changes.

use std::collections::{BTreeMap, BTreeSet};

use super::conditions::{AVAILABLE, DEGRADED, PROGRESSING, SCALE_DOWN_BLOCKED};
use super::confirm::is_young;
use super::verdicts::conditions;
use super::{Action, Pace, Step};
use crate::crd::{EffectiveReplication, MemberState, MemberStatus, QuorateClusterStatus, TopologyState};
use crate::observed::{LayoutSeen, Observed};
use crate::render::selector_text;

pub(super) fn status(observed: &Observed, step: &Step) -> QuorateClusterStatus {
    let before = observed.cluster.status.clone().unwrap_or_default();
    let layout = observed.layout.as_ref();
    let mut status = QuorateClusterStatus {
        observed_generation: observed.cluster.metadata.generation,
        replicas: count(observed.pods.len()),
        ready_replicas: count(observed.pods.values().filter(|pod| pod.ready && !pod.deleting).count()),
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

/// How soon to look again. What Kubernetes tells of by itself, such as a pod that begins to run, need not be looked for.
pub(super) fn pace(observed: &Observed, step: &Step, status: &QuorateClusterStatus) -> Pace {
    let starting = observed.pods.values().any(|pod| pod.deleting || !pod.ready && is_young(observed, pod));
    let acts = step.actions.iter().any(|action| !matches!(action, Action::Apply { .. }));
    let changes = observed.layout.as_ref().is_some_and(|layout| layout.change.is_some());
    if starting || acts || changes {
        return Pace::Busy;
    }
    let is = |name: &str, value: &str| {
        status.conditions.iter().any(|condition| condition.type_ == name && condition.status == value)
    };
    let waits = is(PROGRESSING, "True") || is(DEGRADED, "True") || is(SCALE_DOWN_BLOCKED, "True");
    // Before it is founded, all that can come is that pods begin to run.
    if status.epoch > 0 && (waits || !is(AVAILABLE, "True")) { Pace::Uneasy } else { Pace::Quiet }
}

/// As the resource has numbers.
pub(super) fn count(count: usize) -> i32 {
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

/// How many members do not answer, for the metric of this name.
pub fn members_absent(status: &QuorateClusterStatus) -> i64 {
    let absent = |member: &&MemberStatus| matches!(member.state, MemberState::Absent | MemberState::Lost);
    i64::try_from(status.members.iter().filter(absent).count()).unwrap_or(i64::MAX)
}
