//! The owners of every partition: in distinct zones while zones suffice, then evenly by weight.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_64;

use crate::id::NodeId;
use crate::layout::Member;

/// Places `n` owners for each of `partitions` partitions on `members`, which has at least `n` and is sorted by id.
///
/// Greedy, a partition at a time: a zone without an owner of this partition first, then the node whose load per
/// weight would be least; equal ones in an order that depends on the partition, so that neighbours in one partition are
/// not neighbours in all. Loads end within one partition of even wherever zones do not forbid it. The owner that
/// is first least often, per weight, comes first: clients go there.
pub fn place(members: &[Member], n: usize, partitions: usize) -> Vec<Vec<NodeId>> {
    let mut loads = vec![0_u64; members.len()];
    let mut firsts = vec![0_u64; members.len()];
    (0..partitions)
        .map(|partition| {
            let mut chosen: Vec<usize> = Vec::with_capacity(n);
            let mut in_zone: BTreeMap<&str, u32> = BTreeMap::new();
            for _ in 0..n {
                let best = (0..members.len()).filter(|at| !chosen.contains(at)).min_by(|&a, &b| {
                    let zone = |at: usize| in_zone.get(members[at].zone.as_str()).copied().unwrap_or(0);
                    let by_zone = zone(a).cmp(&zone(b));
                    by_zone
                        .then_with(|| by_load(members, &loads, a, b))
                        .then_with(|| tie(partition, members[a].node).cmp(&tie(partition, members[b].node)))
                });
                // There are at least n members, so one is always left.
                let Some(best) = best else { break };
                chosen.push(best);
                loads[best] += 1;
                *in_zone.entry(members[best].zone.as_str()).or_default() += 1;
            }
            chosen.sort_by(|&a, &b| {
                by_load(members, &firsts, a, b)
                    .then_with(|| tie(partition, members[a].node).cmp(&tie(partition, members[b].node)))
            });
            if let Some(&first) = chosen.first() {
                firsts[first] += 1;
            }
            chosen.into_iter().map(|at| members[at].node).collect()
        })
        .collect()
}

/// Which of two would have less load per weight with one partition more, compared without rounding.
fn by_load(members: &[Member], loads: &[u64], a: usize, b: usize) -> Ordering {
    let left = (loads[a] + 1) * u64::from(members[b].weight);
    let right = (loads[b] + 1) * u64::from(members[a].weight);
    left.cmp(&right)
}

/// A node's place in the order of a partition (rendezvous hashing).
pub(crate) fn tie(partition: usize, node: NodeId) -> u64 {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&node.0.to_le_bytes());
    bytes[8..].copy_from_slice(&(partition as u64).to_le_bytes());
    xxh3_64(&bytes)
}

/// PLACEHOLDER until the planner is merged.
pub fn replan(present: &[Vec<NodeId>], members: &[Member], n: usize) -> Vec<Vec<NodeId>> {
    let fresh = place(members, n, present.len());
    let is_member = |node: &NodeId| members.iter().any(|member| member.node == *node);
    present
        .iter()
        .zip(fresh)
        .map(|(now, fresh)| {
            let mut kept: Vec<NodeId> = now.iter().copied().filter(is_member).take(n).collect();
            let more: Vec<NodeId> = fresh.into_iter().filter(|node| !kept.contains(node)).collect();
            kept.extend(more);
            kept.truncate(n);
            kept
        })
        .collect()
}
