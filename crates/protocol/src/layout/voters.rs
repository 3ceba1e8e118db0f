//! Who chooses the next layout.

use std::collections::BTreeMap;

use super::Member;
use crate::id::NodeId;

/// More voters than this make a decision slower and no safer.
pub const VOTERS_MAX: usize = 7;

/// The voters among these members, sorted: all of them up to [`VOTERS_MAX`], else as many, spread over zones.
pub(super) fn voters(members: &[Member]) -> Vec<NodeId> {
    let mut zones: BTreeMap<&str, Vec<NodeId>> = BTreeMap::new();
    for member in members {
        zones.entry(member.zone.as_str()).or_default().push(member.node);
    }
    let largest = zones.values().map(Vec::len).max().unwrap_or(0);
    let in_turns = (0..largest).flat_map(|turn| zones.values().filter_map(move |zone| zone.get(turn)));
    let mut chosen: Vec<NodeId> = in_turns.copied().take(VOTERS_MAX).collect();
    chosen.sort_unstable();
    chosen
}
