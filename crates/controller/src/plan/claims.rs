//! Which claims grow, and which are not needed any more.

use super::confirm::unsettled;
use super::quantity::bytes;
use super::{Action, Step};
use crate::crd::RetentionPolicy;
use crate::observed::{ClaimSeen, LayoutSeen, Observed};
use crate::render::claim_name;

/// Claims that ask for less than the spec does.
pub(super) fn grow(observed: &Observed) -> Vec<Action> {
    if observed.growth_refused.is_some() {
        return Vec::new();
    }
    let size = &observed.cluster.spec.storage.size;
    small(observed)
        .map(|(ordinal, claim)| Action::GrowClaim { ordinal, uid: claim.uid.clone(), size: size.clone() })
        .collect()
}

/// Claims of pods that ask for less than the spec does.
fn small(observed: &Observed) -> impl Iterator<Item = (i32, &ClaimSeen)> {
    let size = bytes(&observed.cluster.spec.storage.size);
    let needed = observed.claims.iter().filter(|(ordinal, _)| observed.pods.contains_key(ordinal));
    needed
        .filter(move |(_, claim)| {
            let requested = bytes(&claim.requested);
            claim.bound && !claim.deleting && requested.is_some() && requested < size
        })
        .map(|(&ordinal, claim)| (ordinal, claim))
}

/// Claims that wait for their volumes to be as large as they ask for, or for volumes at all; a sentence, if there are any.
pub(super) fn not_ready(observed: &Observed) -> Option<(&'static str, String)> {
    let name =
        |ordinal: i32| claim_name(observed.cluster.metadata.name.as_deref().unwrap_or_default(), ordinal);
    if let Some(reason) = observed.growth_refused.as_ref().filter(|_| small(observed).next().is_some()) {
        return Some(("GrowthRefused", reason.clone()));
    }
    let needed = observed.claims.iter().filter(|(ordinal, _)| observed.pods.contains_key(ordinal));
    for (&ordinal, claim) in needed {
        if claim.deleting {
            return Some(("ClaimDeleted", format!("claim {} is being deleted", name(ordinal))));
        }
        if !claim.bound {
            return Some(("Unbound", format!("claim {} has no volume yet", name(ordinal))));
        }
        if bytes(&claim.capacity) < bytes(&observed.cluster.spec.storage.size) {
            let message = format!(
                "the volume of claim {} has {} of {}",
                name(ordinal),
                claim.capacity,
                observed.cluster.spec.storage.size
            );
            return Some(("Growing", message));
        }
    }
    None
}

/// A claim whose member has left: its pod is gone, no member has its name, and all members have said so.
pub(super) fn delete(observed: &Observed, layout: &LayoutSeen) -> Option<Step> {
    let spec = &observed.cluster.spec;
    if spec.storage.retention.when_scaled != RetentionPolicy::Delete {
        return None;
    }
    let replicas = observed.stateful_set.as_ref()?.replicas.max(spec.replicas);
    let (&ordinal, claim) = observed.claims.iter().rfind(|&(&ordinal, claim)| {
        let name = observed.pod_name(ordinal);
        ordinal >= replicas
            && !claim.deleting
            && !observed.pods.contains_key(&ordinal)
            && layout.members.iter().all(|member| member.name != name)
    })?;
    if unsettled(observed, layout, &[]).is_some() {
        return None;
    }
    let name = claim_name(observed.cluster.metadata.name.as_deref()?, ordinal);
    let action = Action::DeleteClaim { ordinal, uid: claim.uid.clone() };
    Some(Step::act(action, "DeletingVolumes", format!("deletes claim {name}: its node has left")))
}
