//! Which members are gone for good: their volumes were lost, or cannot be trusted any more.
//!
//! That a node does not answer proves nothing. A member is gone when the pod that it lived in runs *another* node: at once when the
//! pod's volume is another one, too, and after a grace time when the volume is the same, for somebody may put back what it held.

use std::time::Duration;

use crate::observed::{LayoutSeen, Observed};

/// For how long a node that is not in the layout waits in the pod of a member whose volume is still the same.
pub const GRACE: Duration = Duration::from_secs(300);

/// A member whose pod runs another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Displaced {
    /// The member.
    pub(super) id: u64,
    /// Its pod.
    pub(super) ordinal: i32,
    /// The node that runs there now, and may become a member.
    pub(super) stranger: u64,
    /// Whether it is certain that the member does not come back.
    pub(super) gone: bool,
}

pub(super) fn displaced(observed: &Observed, layout: &LayoutSeen) -> Vec<Displaced> {
    let mut displaced: Vec<Displaced> = layout
        .members
        .iter()
        .filter(|member| observed.pod_of(member.id).is_none())
        .filter_map(|member| {
            let ordinal = observed.ordinal(&member.name)?;
            let (_, stranger) = observed.strangers().find(|&(at, _)| at == ordinal)?;
            let gone = has_another_claim(observed, member.id, ordinal) || has_waited(observed, stranger.id);
            Some(Displaced { id: member.id, ordinal, stranger: stranger.id, gone })
        })
        .collect();
    displaced.sort_by_key(|displaced| (displaced.ordinal, displaced.id));
    displaced
}

/// Whether the pod's claim is another one than that with which the member was last seen.
fn has_another_claim(observed: &Observed, id: u64, ordinal: i32) -> bool {
    let id = format!("{id:016x}");
    let told = observed.cluster.status.iter().flat_map(|status| &status.members);
    let Some(before) = told.filter(|member| member.node_id == id).map(|member| &member.claim_uid).next()
    else {
        return false;
    };
    let now = observed.claims.get(&ordinal).map(|claim| &claim.uid);
    !before.is_empty() && now.is_some_and(|now| now != before)
}

fn has_waited(observed: &Observed, stranger: u64) -> bool {
    observed.strangers_since.get(&stranger).is_some_and(|&since| {
        let waited = observed.now.duration_since(since);
        waited.unsigned_abs() >= GRACE && waited.is_positive()
    })
}
