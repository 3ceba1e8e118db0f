//! The owners of every partition: where they are to be, given where they are.
//!
//! An assignment is chosen by what matters most first:
//!
//! 1. **Zones.** The owners of a partition are spread over zones as evenly as the zones' sizes allow; in distinct ones
//!    while there are enough. All members without a label are in one zone.
//! 2. **The fullest node**, by partitions per weight, is as little full as zones allow; so is the fullest of each zone
//!    whose share of the owners is settled by its size alone.
//! 3. **The fewest moves**: as few nodes as possible become owners of a partition that they do not own.
//! 4. **Evenness** of partitions per weight, as far as it costs no further move.
//! 5. **The order** of a partition's owners: who stays keeps its place, and newcomers take those of leavers, so that
//!    nodes are first about as often per weight as far as that costs nothing else.
//!
//! The first three are optimal, not merely good: the second by a closed form, the third by a cheapest flow. So is the
//! fourth, by the sum of load² / weight.
//!
//! | file | what it decides |
//! | --- | --- |
//! | `zones` | how many owners of a partition a zone may have |
//! | `capacity` | how many partitions a node may own |
//! | `greedy` | a first choice, where nobody owns anything yet |
//! | `network` | the flow of which an assignment is a picture, and its arcs |
//! | `search` | what can be reached without an additional move |
//! | `flow` | who owns what, with the fewest moves |
//! | `even` | the most even one of those |
//! | `order` | who stays in which place, who comes to which |
//! | `firsts` | who is first |
//!
//! All is a pure function of its arguments: what else is equal is decided by rendezvous hashing.

mod capacity;
mod even;
mod firsts;
mod flow;
mod greedy;
mod network;
mod order;
mod search;
mod zones;

use std::cmp::Ordering;
use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_64;

use self::network::Network;
use self::zones::Zones;
use crate::id::NodeId;
use crate::layout::Member;

/// Places `n` owners for each of `partitions` partitions on `members`, where nobody owns anything yet: the first
/// layout.
///
/// `members` is as for [`replan`].
pub fn place(members: &[Member], n: usize, partitions: usize) -> Vec<Vec<NodeId>> {
    let n = n.min(members.len());
    let zones = Zones::new(members, n);
    let chosen = greedy::choose(members, &zones, n, partitions);
    // No choice is a move, so the greedy one binds nobody.
    plan(&vec![Vec::new(); partitions], members, n, &zones, chosen, 0)
}

/// Places `n` owners for each partition on `members`, as the [module](self) says, given the lists of its present
/// owners.
///
/// `members` is sorted by id, each with a weight of at least 1, and there are at least `n` (if not, all own
/// everything). Present lists may be of any length, empty too, and may name nodes that are members no longer. A list
/// whose owners and length stay the same is not changed.
pub fn replan(present: &[Vec<NodeId>], members: &[Member], n: usize) -> Vec<Vec<NodeId>> {
    let n = n.min(members.len());
    let zones = Zones::new(members, n);
    let staying = |list: &Vec<NodeId>| {
        let at = |node| members.binary_search_by_key(node, |member| member.node).ok();
        let mut staying: Vec<usize> = list.iter().filter_map(at).collect();
        staying.sort_unstable();
        staying.dedup();
        staying
    };
    let staying = present.iter().map(staying).collect();
    plan(present, members, n, &zones, staying, 1)
}

/// Starts from these owners, by number, each other one costing `price`.
fn plan(
    present: &[Vec<NodeId>],
    members: &[Member],
    n: usize,
    zones: &Zones,
    seed: Vec<Vec<usize>>,
    price: i64,
) -> Vec<Vec<NodeId>> {
    let ceilings = capacity::ceilings(members, zones, n, seed.len());
    let mut network = Network::new(members, zones, &ceilings, n, seed, price);
    flow::settle(&mut network);
    even::even_out(&mut network, members);
    let mut lists = order::arrange(present, &network.owners, members);
    firsts::even_out(present, &mut lists, members, zones);
    let nodes = |list: Vec<usize>| list.into_iter().map(|owner| members[owner].node).collect();
    lists.into_iter().map(nodes).collect()
}

/// How many partitions a node comes to own, and how many it ceases to own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Movement {
    /// That it did not own.
    pub gained: usize,
    /// That it owned.
    pub lost: usize,
}

/// What a plan moves, by node; nodes that neither gain nor lose are not in it. The sum of what is gained is the
/// number of partition replicas to copy.
pub fn moves(present: &[Vec<NodeId>], planned: &[Vec<NodeId>]) -> BTreeMap<NodeId, Movement> {
    let mut moves: BTreeMap<NodeId, Movement> = BTreeMap::new();
    for (present, planned) in present.iter().zip(planned) {
        for node in planned.iter().filter(|node| !present.contains(node)) {
            moves.entry(*node).or_default().gained += 1;
        }
        for node in present.iter().filter(|node| !planned.contains(node)) {
            moves.entry(*node).or_default().lost += 1;
        }
    }
    moves
}

/// Which of two would have less per weight with one more, compared without rounding.
fn by_share(members: &[Member], counts: &[u64], a: usize, b: usize) -> Ordering {
    let left = (counts[a] + 1) * u64::from(members[b].weight);
    let right = (counts[b] + 1) * u64::from(members[a].weight);
    left.cmp(&right)
}

/// A node's place in the order of a partition (rendezvous hashing).
pub(crate) fn tie(partition: usize, node: NodeId) -> u64 {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&node.0.to_le_bytes());
    bytes[8..].copy_from_slice(&(partition as u64).to_le_bytes());
    xxh3_64(&bytes)
}
