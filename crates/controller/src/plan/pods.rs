//! How many pods there are to be, and which one is restarted.

use super::confirm::{Unsettled, unsettled};
use super::{Action, Step};
use crate::crd::{MemberState, QuorateClusterStatus};
use crate::observed::{Answer, LayoutSeen, Membership, Observed, PodSeen};

/// How many pods the StatefulSet is to have.
#[derive(Debug, PartialEq)]
pub(super) struct Wanted {
    pub(super) count: i32,
    /// While the StatefulSet becomes larger or smaller, nothing else is due.
    pub(super) step: Option<Step>,
    /// What it waits for when nothing else is due.
    pub(super) otherwise: Option<Step>,
    /// Why there are more than asked for.
    pub(super) blocked: Option<(&'static str, String)>,
}

impl Wanted {
    fn of(count: i32) -> Self {
        Self { count, step: None, otherwise: None, blocked: None }
    }
}

/// As many as are asked for and as there are members; of those beyond, one fewer at a time, when it is certain that its node holds
/// nothing that is needed. A cluster that is silent keeps what it has.
pub(super) fn wanted(observed: &Observed) -> Wanted {
    let spec = &observed.cluster.spec;
    let asked = spec.replicas.max(spec.replication.factor);
    let least = asked.max(members_end(observed));
    let Some(current) = observed.stateful_set.as_ref().map(|set| set.replicas) else {
        let step = Step::wait("CreatingPods", format!("creates {least} pods"));
        return Wanted { step: Some(step), ..Wanted::of(least) };
    };
    if current < least {
        let step = Step::wait("CreatingPods", format!("goes from {current} to {least} pods"));
        return Wanted { step: Some(step), ..Wanted::of(least) };
    }
    if current == least {
        return Wanted::of(least);
    }
    let last = current - 1;
    match why_not_without(observed, last) {
        None => {
            let message = format!("takes away pod {}: its node owns nothing", observed.pod_name(last));
            Wanted { step: Some(Step::wait("ScalingDown", message)), ..Wanted::of(last) }
        }
        Some(Unsettled { passes: true, reason }) => {
            let message = format!("waits to take away pod {}: {reason}", observed.pod_name(last));
            let otherwise = Some(Step::wait("ScalingDown", message));
            Wanted { otherwise, ..Wanted::of(current) }
        }
        Some(Unsettled { reason, .. }) => {
            let message = format!("pod {} stays for now: {reason}", observed.pod_name(last));
            Wanted { blocked: Some(("Unconfirmed", message)), ..Wanted::of(current) }
        }
    }
}

/// One more than the highest ordinal of a member: of the layout's, or while nobody tells it, of those that were told last.
fn members_end(observed: &Observed) -> i32 {
    let ordinals: Vec<i32> = match &observed.layout {
        Some(layout) => layout.members.iter().filter_map(|member| observed.ordinal(&member.name)).collect(),
        None => told(observed.cluster.status.as_ref()).filter_map(|name| observed.ordinal(name)).collect(),
    };
    ordinals.into_iter().max().map_or(0, |highest| highest + 1)
}

fn told(status: Option<&QuorateClusterStatus>) -> impl Iterator<Item = &str> {
    let members = status.into_iter().flat_map(|status| &status.members);
    members.filter(|member| member.state != MemberState::Waiting).map(|member| member.name.as_str())
}

/// Why the last pod cannot be taken away; none when its node owns nothing, holds nothing for others, and all members say so.
fn why_not_without(observed: &Observed, ordinal: i32) -> Option<Unsettled> {
    let unsettled_for = |passes: bool, reason: &str| Some(Unsettled { reason: reason.into(), passes });
    let leaver = observed.node(ordinal);
    let Some(layout) = &observed.layout else {
        let founded = observed.cluster.status.as_ref().is_some_and(|status| status.epoch > 0)
            || observed.nodes().any(|(_, node)| node.membership != Membership::None);
        let waits = leaver.is_some_and(|node| node.membership == Membership::None);
        if founded || !waits {
            return unsettled_for(false, "no member has confirmed that its node owns nothing");
        }
        return None;
    };
    let reason = unsettled(observed, layout, &[]);
    if reason.is_some() {
        return reason;
    }
    match leaver.map(|node| (node.membership, node.hints)) {
        Some((Membership::Member, _)) => unsettled_for(true, "its node does not know yet that it has left"),
        Some((Membership::Left, hints)) if hints > 0 => {
            unsettled_for(false, "its node still brings what it keeps for others")
        }
        _ => None,
    }
}

/// Whether every pod there is to be is there and of the newest revision, so that nothing needs what only older ones had.
pub fn all_are_newest(observed: &Observed) -> bool {
    let Some(set) = &observed.stateful_set else { return false };
    let newest = |pod: &PodSeen| !set.update_revision.is_empty() && pod.revision == set.update_revision;
    (0..set.replicas).all(|ordinal| observed.pods.contains_key(&ordinal))
        && observed.pods.values().all(newest)
}

/// Restarts a pod of an older revision that does not run: this is how a bad template recovers when it is corrected, whatever else is
/// under way. Not while a pod of the newest revision does not run either: what has only crashed would not come back.
pub(super) fn mend(observed: &Observed) -> Option<Step> {
    let newest = observed.stateful_set.as_ref().map(|set| set.update_revision.as_str());
    if observed.pods.values().any(|pod| Some(pod.revision.as_str()) == newest && pod.trouble.is_some()) {
        return None;
    }
    let founded =
        observed.layout.is_some() || observed.cluster.status.as_ref().is_some_and(|status| status.epoch > 0);
    outdated(observed)
        .find(|&(ordinal, pod)| {
            let alone = || observed.pods.iter().all(|(&other, pod)| other == ordinal || pod.ready);
            match &pod.node {
                Answer::Silent(_) => !pod.ready && (pod.trouble.is_some() || !founded || alone()),
                // It owns nothing yet.
                Answer::Told(node) => !founded && node.membership == Membership::None,
            }
        })
        .map(|(ordinal, pod)| {
            restart(observed, ordinal, pod, "it does not run, and there is a newer template")
        })
}

/// Restarts the next pod of an older revision, when every other one is ready and nothing is missing anywhere.
pub(super) fn roll(observed: &Observed, layout: &LayoutSeen) -> Option<Step> {
    if observed.stateful_set.as_ref().is_some_and(|set| set.update_revision.is_empty()) {
        return Some(Step::wait("Rolling", "waits until Kubernetes has taken the newest template".into()));
    }
    let Some((ordinal, pod)) = outdated(observed).next() else { return stopping(observed) };
    let name = observed.pod_name(ordinal);
    match why_not_now(observed, layout, ordinal, pod) {
        None => Some(restart(observed, ordinal, pod, "there is a newer template")),
        Some(reason) => Some(Step::wait("Rolling", format!("waits to restart pod {name}: {reason}"))),
    }
}

/// The last of the older revision may still be stopping, and look ready while it drains.
fn stopping(observed: &Observed) -> Option<Step> {
    let newest = observed.stateful_set.as_ref().map(|set| set.update_revision.as_str())?;
    let mut stopping = observed.pods.iter().filter(|(_, pod)| pod.deleting && pod.revision != newest);
    let (&ordinal, _) = stopping.next()?;
    Some(Step::wait("Rolling", format!("waits for pod {} to stop", observed.pod_name(ordinal))))
}

fn restart(observed: &Observed, ordinal: i32, pod: &PodSeen, why: &str) -> Step {
    let message = format!("restarts pod {}: {why}", observed.pod_name(ordinal));
    let action = Action::DeletePod { ordinal, uid: pod.uid.clone(), why: why.into() };
    Step::act(action, "Rolling", message)
}

/// Pods of an older revision: those first that are not ready, then the highest ordinals.
fn outdated(observed: &Observed) -> impl Iterator<Item = (i32, &PodSeen)> {
    let newest = observed.stateful_set.as_ref().map(|set| set.update_revision.as_str()).unwrap_or_default();
    let mut outdated: Vec<(i32, &PodSeen)> = observed
        .pods
        .iter()
        .filter(|(_, pod)| !newest.is_empty() && !pod.revision.is_empty())
        .filter(|(_, pod)| pod.revision != newest && !pod.deleting)
        .map(|(&ordinal, pod)| (ordinal, pod))
        .collect();
    outdated.sort_by_key(|&(ordinal, pod)| (pod.ready, -ordinal));
    outdated.into_iter()
}

fn why_not_now(observed: &Observed, layout: &LayoutSeen, ordinal: i32, pod: &PodSeen) -> Option<String> {
    let replicas = observed.stateful_set.as_ref().map_or(0, |set| set.replicas);
    // Those that are on their way out are waited for, too.
    let beyond = observed.pods.keys().copied().filter(|&other| other >= replicas);
    for other in (0..replicas).chain(beyond).filter(|&other| other != ordinal) {
        if !observed.pods.get(&other).is_some_and(|pod| pod.ready && !pod.deleting) {
            return Some(format!("pod {} is not ready", observed.pod_name(other)));
        }
    }
    // The pod itself may be what is missing.
    let own = observed.node(ordinal).map(|node| node.id);
    let but: Vec<u64> = if pod.ready { Vec::new() } else { own.into_iter().collect() };
    let named =
        layout.members.iter().filter(|member| !pod.ready && member.name == observed.pod_name(ordinal));
    let but: Vec<u64> = named.map(|member| member.id).chain(but).collect();
    if let Some(unsettled) = unsettled(observed, layout, &but) {
        return Some(unsettled.reason);
    }
    if !pod.ready {
        return None;
    }
    for (at, node) in observed.nodes() {
        let name = observed.pod_name(at);
        if node.hints > 0 {
            return Some(format!("{name} still brings what others missed"));
        }
        if node.partitions_unavailable > 0 || node.partitions_under_replicated > 0 {
            return Some(format!("{name} does not reach all owners"));
        }
    }
    // Every partition has all its owners, and keeps its quorums without one of them; where `w` is N, or there is one owner only, one
    // pod at a time is the best there is, as the disruption budget has it.
    None
}
