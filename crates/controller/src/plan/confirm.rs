//! Whether all members say the same. Silence is no proof of anything.

use std::time::Duration;

use crate::observed::{LayoutSeen, Observed, PodSeen};

/// A pod gets this long to start before its silence is worth a word.
const STARTS_WITHIN: Duration = Duration::from_secs(60);

/// Why it is not certain that a layout is in effect everywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unsettled {
    /// In a sentence.
    pub(super) reason: String,
    /// Whether that passes by itself within moments.
    pub(super) passes: bool,
}

/// Why it is not certain that the layout is in effect everywhere; none when every member but these has said that it holds this very
/// layout and has no change to carry out.
pub(super) fn unsettled(observed: &Observed, layout: &LayoutSeen, but: &[u64]) -> Option<Unsettled> {
    let unsettled = |passes: bool, reason: String| Some(Unsettled { reason, passes });
    if layout.change.is_some() {
        return unsettled(true, "a change of the layout is under way".into());
    }
    for member in layout.members.iter().filter(|member| !but.contains(&member.id)) {
        let name = &member.name;
        let Some((node, pod)) =
            observed.pod_of(member.id).and_then(|at| Some((observed.node(at)?, observed.pods.get(&at)?)))
        else {
            let pod = observed.ordinal(name).and_then(|at| observed.pods.get(&at));
            let starts = pod.is_some_and(|pod| pod.deleting || is_young(observed, pod));
            return unsettled(starts, format!("member {name} does not answer"));
        };
        if pod.deleting {
            return unsettled(true, format!("pod {name} is being stopped"));
        }
        if node.epoch != layout.epoch || node.change.is_some() {
            return unsettled(true, format!("member {name} has not heard of the newest layout yet"));
        }
    }
    None
}

/// Whether a pod may still be starting.
pub(super) fn is_young(observed: &Observed, pod: &PodSeen) -> bool {
    let limit = i64::try_from(STARTS_WITHIN.as_secs()).unwrap_or(i64::MAX);
    observed.now.as_second() - pod.created.as_second() < limit
}

/// Members that can be asked to change the layout: those that hold the newest one, and stay, by ordinal.
pub(super) fn askable(observed: &Observed, layout: &LayoutSeen) -> Vec<(i32, u64)> {
    let mut ask: Vec<(bool, i32, u64)> = observed
        .nodes()
        .filter(|(_, node)| node.epoch == layout.epoch && layout.member(node.id).is_some())
        .map(|(ordinal, node)| (layout.leaves(node.id), ordinal, node.id))
        .collect();
    ask.sort_unstable();
    ask.into_iter().map(|(_, ordinal, id)| (ordinal, id)).collect()
}
