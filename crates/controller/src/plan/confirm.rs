//! Whether all members say the same. Silence is no proof of anything.

use crate::observed::{LayoutSeen, Observed};

/// Why it is not certain that the layout is in effect everywhere, as a sentence; none when every member but these has said that it
/// holds this very layout and has no change to carry out.
pub(super) fn unsettled(observed: &Observed, layout: &LayoutSeen, but: &[u64]) -> Option<String> {
    if layout.change.is_some() {
        return Some("a change of the layout is under way".into());
    }
    for member in layout.members.iter().filter(|member| !but.contains(&member.id)) {
        let name = &member.name;
        let Some((node, pod)) =
            observed.pod_of(member.id).and_then(|at| Some((observed.node(at)?, observed.pods.get(&at)?)))
        else {
            return Some(format!("member {name} does not answer"));
        };
        if pod.deleting {
            return Some(format!("pod {name} is being stopped"));
        }
        if node.epoch != layout.epoch || node.change.is_some() {
            return Some(format!("member {name} has not heard of the newest layout yet"));
        }
    }
    None
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
