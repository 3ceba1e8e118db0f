//! A first choice of owners, where nobody owns anything yet.

use super::zones::Zones;
use super::{by_share, tie};
use crate::layout::Member;

/// Chooses `n` owners for each partition, a partition at a time: from a zone with the fewest owners of this
/// partition, the node whose load per weight would be least; equal ones in an order that depends on the partition.
///
/// It spreads the partitions that two nodes share over all pairs of nodes, which a flow by itself does not, and ends
/// within a partition or so of even. What it misses, the flow puts right.
pub(super) fn choose(members: &[Member], zones: &Zones, n: usize, partitions: usize) -> Vec<Vec<usize>> {
    let mut loads = vec![0; members.len()];
    let mut in_zone = vec![0; zones.len()];
    let choose_for = |partition: usize| {
        in_zone.fill(0);
        let mut chosen: Vec<usize> = Vec::with_capacity(n);
        for _ in 0..n {
            let best = (0..members.len()).filter(|at| !chosen.contains(at)).min_by(|&a, &b| {
                let by_zone = in_zone[zones.of[a]].cmp(&in_zone[zones.of[b]]);
                by_zone
                    .then_with(|| by_share(members, &loads, a, b))
                    .then_with(|| tie(partition, members[a].node).cmp(&tie(partition, members[b].node)))
            });
            // There are at least n members, so one is always left.
            let Some(best) = best else { break };
            chosen.push(best);
            loads[best] += 1;
            in_zone[zones.of[best]] += 1;
        }
        chosen
    };
    (0..partitions).map(choose_for).collect()
}
