//! Which change of the layout is due. One at a time: whatever is under way is waited for first.

use quorate_proto::v1;
use quorate_proto::v1::change_layout_request::Order;

use super::confirm::{askable, is_young, unsettled};
use super::lost::{Displaced, displaced};
use super::{Action, Change, Step, found};
use crate::observed::{ChangeSeen, LayoutSeen, Membership, Observed};

/// Nothing is done but to have the change under way stand still.
pub(super) fn paused(observed: &Observed) -> Step {
    let still = || Step::stuck("Paused", "spec.operation.paused is set: the operator only watches".into());
    let Some(layout) = &observed.layout else { return still() };
    match &layout.change {
        Some(change) if !change.paused => {
            ask(observed, layout, Order::Pause(v1::Pause {}), Change::Pause).unwrap_or_else(still)
        }
        _ => still(),
    }
}

/// What there is to do for the change under way.
pub(super) fn under_way(observed: &Observed, layout: &LayoutSeen, change: &ChangeSeen) -> Step {
    let gone: Vec<Displaced> = displaced(observed, layout)
        .into_iter()
        .filter(|displaced| displaced.gone && !change.lost.contains(&displaced.id))
        .collect();
    if !gone.is_empty() {
        let nodes = gone.iter().map(|displaced| displaced.id).collect();
        let order = Order::DeclareLost(v1::DeclareLost { nodes });
        let declared = ask(observed, layout, order, Change::DeclareLost(names(observed, &gone)));
        return declared.unwrap_or_else(nobody);
    }
    if change.paused {
        return ask(observed, layout, Order::Resume(v1::Resume {}), Change::Resume).unwrap_or_else(nobody);
    }
    let (reason, what) = doing(observed, layout, change);
    Step::wait(reason, what)
}

/// What a change is, in a word and a sentence.
fn doing(observed: &Observed, layout: &LayoutSeen, change: &ChangeSeen) -> (&'static str, String) {
    let name = |id: u64| {
        let name = layout.member(id).map(|member| member.name.clone());
        name.or_else(|| observed.pod_of(id).map(|at| observed.pod_name(at)))
            .unwrap_or_else(|| format!("{id:016x}"))
    };
    let list = |ids: &[u64]| {
        let mut names: Vec<String> = ids.iter().map(|&id| name(id)).collect();
        names.sort();
        names.dedup();
        names.join(", ")
    };
    let leaving: Vec<u64> =
        layout.members.iter().map(|member| member.id).filter(|id| !change.members.contains(id)).collect();
    let one = change.added.len() == 1;
    match () {
        () if !change.added.is_empty() && !leaving.is_empty() => {
            let verb = if one { "takes" } else { "take" };
            ("Replacing", format!("{} {verb} over from {}", list(&change.added), list(&leaving)))
        }
        () if !change.added.is_empty() => {
            let verb = if one { "gathers its" } else { "gather their" };
            ("ScalingUp", format!("{} {verb} share", list(&change.added)))
        }
        () if !leaving.is_empty() => {
            let verb =
                if leaving.len() == 1 { "hands over what it holds" } else { "hand over what they hold" };
            ("ScalingDown", format!("{} {verb}", list(&leaving)))
        }
        () if change.sizes => ("ChangingReplication", "owners gather what they are to hold".into()),
        () => ("Rebalancing", "owners gather what they are to hold".into()),
    }
}

/// What is due while no change is under way: places of lost members are filled first, members are added before more owners are
/// asked for, and removed after fewer are.
pub(super) fn due(observed: &Observed, layout: &LayoutSeen) -> Option<Step> {
    replace(observed, layout)
        .or_else(|| add(observed, layout))
        .or_else(|| replication(observed, layout))
        .or_else(|| remove(observed, layout))
        .or_else(|| zones(observed, layout))
}

/// New nodes in the places of members that are gone for good; in one change, for it could not gather from any of them.
fn replace(observed: &Observed, layout: &LayoutSeen) -> Option<Step> {
    let (gone, doubted): (Vec<Displaced>, Vec<Displaced>) =
        displaced(observed, layout).into_iter().partition(|displaced| displaced.gone);
    if gone.is_empty() {
        let names = names(observed, &doubted);
        let (nodes, other, they) = match names.len() {
            1 => ("node", "is another one than the member of this name, whose volume", "it is"),
            _ => ("nodes", "are other ones than the members of these names, whose volumes", "they are"),
        };
        let message = format!(
            "the {nodes} in {} {other} may come back; after {} s {they} replaced",
            names.join(", "),
            super::GRACE.as_secs()
        );
        return (!names.is_empty()).then(|| Step::wait("MembersDisplaced", message));
    }
    // One that is not asked for any more needs nobody in its place, while enough are left.
    let spare = |left: usize| left as i64 >= i64::from(least_members(observed, layout));
    let stays = |displaced: &&Displaced| {
        displaced.ordinal < observed.cluster.spec.replicas || !spare(layout.members.len() - gone.len())
    };
    let add: Vec<v1::Member> = gone
        .iter()
        .filter(stays)
        .map(|displaced| found::member(observed, displaced.ordinal, displaced.stranger))
        .collect();
    let lost = gone.iter().map(|displaced| displaced.id).collect();
    let alteration = v1::Alteration { add, lost, ..Default::default() };
    alter(observed, layout, alteration, Change::Replace(names(observed, &gone)))
}

/// All new nodes become members in one change, when all of them are there.
fn add(observed: &Observed, layout: &LayoutSeen) -> Option<Step> {
    let is_member = |name: &str| layout.members.iter().any(|member| member.name == name);
    let missing: Vec<i32> = (0..observed.cluster.spec.replicas)
        .filter(|&ordinal| !is_member(&observed.pod_name(ordinal)))
        .collect();
    if missing.is_empty() {
        return None;
    }
    let mut add = Vec::new();
    for &ordinal in &missing {
        let name = observed.pod_name(ordinal);
        let pod = observed.pods.get(&ordinal).filter(|pod| !pod.deleting);
        let waits =
            |why: &str| Some(Step::wait("ScalingUp", format!("waits for the node in pod {name}{why}")));
        let (Some(pod), Some(node)) = (pod, observed.node(ordinal)) else {
            return waits("");
        };
        match node.membership {
            Membership::None => add.push(found::member(observed, ordinal, node.id)),
            Membership::Left => {
                let why = "its node has left the cluster, and comes back as another one";
                let action = Action::DeletePod { ordinal, uid: pod.uid.clone(), why: why.into() };
                return Some(Step::act(action, "ScalingUp", format!("restarts pod {name}: {why}")));
            }
            Membership::Member => {
                return waits(", which belongs to another cluster, or was a member by another name");
            }
        }
    }
    if let Some(unsettled) = unsettled(observed, layout, &[]) {
        let message = format!("waits to add members: {}", unsettled.reason);
        return Some(Step::wait("ScalingUp", message));
    }
    let names = missing.iter().map(|&ordinal| observed.pod_name(ordinal)).collect();
    alter(observed, layout, v1::Alteration { add, ..Default::default() }, Change::Add(names))
}

/// N by one at a time; R and W as asked for as soon as they fit.
fn replication(observed: &Observed, layout: &LayoutSeen) -> Option<Step> {
    let asked = &observed.cluster.spec.replication;
    let now = layout.default_bucket()?;
    let asked_n = asked.factor.unsigned_abs();
    let n = match asked_n.cmp(&layout.n) {
        std::cmp::Ordering::Less => layout.n - 1,
        std::cmp::Ordering::Equal => layout.n,
        std::cmp::Ordering::Greater => layout.n + 1,
    };
    let fits = |quorum: i32| quorum.unsigned_abs().clamp(1, n.max(1));
    let (r, w) = (fits(asked.read_quorum), fits(asked.write_quorum));
    if (n, n, r, w) == (layout.n, now.n, now.r, now.w) {
        return None;
    }
    if layout.members.len() < n as usize {
        let message = format!("N {n} needs as many members, and there are {}", layout.members.len());
        return Some(Step::stuck("TooFewMembers", message));
    }
    if let Some(unsettled) = unsettled(observed, layout, &[]) {
        let message = format!("waits to change N, R and W: {}", unsettled.reason);
        return Some(Step::wait("ChangingReplication", message));
    }
    let default = v1::BucketSizes { bucket: String::new(), n: Some(n), r: Some(r), w: Some(w) };
    // The other buckets keep their own, as long as there are as many owners.
    let others = layout.buckets.iter().filter(|bucket| bucket.name != now.name && bucket.n > n);
    let others = others.map(|bucket| v1::BucketSizes {
        bucket: bucket.name.clone(),
        n: Some(n),
        r: Some(bucket.r.min(n)),
        w: Some(bucket.w.min(n)),
    });
    let sizes = std::iter::once(default).chain(others).collect();
    let n_changes = (n != layout.n).then_some(n);
    let alteration = v1::Alteration { n: n_changes, sizes, ..Default::default() };
    alter(observed, layout, alteration, Change::Replication { n, r, w })
}

/// One leaver at a time, the highest ordinal first.
fn remove(observed: &Observed, layout: &LayoutSeen) -> Option<Step> {
    let spec = &observed.cluster.spec;
    let leavers = layout.members.iter().filter_map(|member| Some((observed.ordinal(&member.name)?, member)));
    let (_, leaver) = leavers
        .filter(|&(ordinal, _)| ordinal >= spec.replicas)
        .max_by_key(|&(at, leaver)| (at, leaver.id))?;
    let name = &leaver.name;
    let least = least_members(observed, layout);
    if layout.members.len() as i64 <= i64::from(least) {
        let message = format!("{name} stays: N is {least}, and there would be fewer members");
        return Some(Step::blocked("TooFewMembers", message));
    }
    let pod = observed.ordinal(name).and_then(|at| observed.pods.get(&at));
    if observed.pod_of(leaver.id).is_none() && pod.is_some_and(|pod| pod.deleting || is_young(observed, pod))
    {
        return Some(Step::wait("ScalingDown", format!("waits to remove {name}: its pod starts")));
    }
    if observed.pod_of(leaver.id).is_none() {
        let message = format!(
            "{name} does not answer, and has to hand over what it holds; if its volume is gone for good, delete its claim and its pod"
        );
        return Some(Step::blocked("LeaverSilent", message));
    }
    if let Some(unsettled) = unsettled(observed, layout, &[]) {
        let message = format!("waits to remove {name}: {}", unsettled.reason);
        return Some(match unsettled.passes {
            true => Step::wait("ScalingDown", message),
            false => Step::blocked("Unconfirmed", message),
        });
    }
    let alteration = v1::Alteration { remove: vec![leaver.id], ..Default::default() };
    alter(observed, layout, alteration, Change::Remove(name.clone()))
}

/// Members where their pods are now.
fn zones(observed: &Observed, layout: &LayoutSeen) -> Option<Step> {
    observed.cluster.spec.topology.zone_key.as_ref()?;
    let mut names = Vec::new();
    let mut set = Vec::new();
    for member in &layout.members {
        let zone = observed.pod_of(member.id).and_then(|at| observed.pods.get(&at)).map(|pod| &pod.zone);
        if let Some(zone) = zone.filter(|zone| !zone.is_empty() && **zone != member.zone) {
            names.push(member.name.clone());
            set.push(v1::MemberSettings { node_id: member.id, zone: Some(zone.clone()), weight: None });
        }
    }
    if set.is_empty() {
        return None;
    }
    if let Some(unsettled) = unsettled(observed, layout, &[]) {
        let message = format!("waits to tell of other zones: {}", unsettled.reason);
        return Some(Step::wait("ChangingZones", message));
    }
    names.sort();
    alter(observed, layout, v1::Alteration { set, ..Default::default() }, Change::Zones(names))
}

/// There are never fewer members than owners of a key, now or as asked for.
fn least_members(observed: &Observed, layout: &LayoutSeen) -> u32 {
    layout.n.max(observed.cluster.spec.replication.factor.unsigned_abs())
}

fn names(observed: &Observed, displaced: &[Displaced]) -> Vec<String> {
    displaced.iter().map(|displaced| observed.pod_name(displaced.ordinal)).collect()
}

fn alter(
    observed: &Observed,
    layout: &LayoutSeen,
    alteration: v1::Alteration,
    change: Change,
) -> Option<Step> {
    ask(observed, layout, Order::Alter(alteration), change).or_else(|| Some(nobody()))
}

fn ask(observed: &Observed, layout: &LayoutSeen, order: Order, change: Change) -> Option<Step> {
    let ask = askable(observed, layout);
    let (reason, message) = (change.reason(), change.in_words());
    let action = Action::ChangeLayout { ask, expected_epoch: layout.epoch, order, change };
    match &action {
        Action::ChangeLayout { ask, .. } if ask.is_empty() => None,
        _ => Some(Step::act(action, reason, message)),
    }
}

fn nobody() -> Step {
    Step::stuck("NoMemberAnswers", "no member that holds the newest layout answers".into())
}
