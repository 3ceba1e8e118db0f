//! Evens out what nodes own, as far as that costs no move.

use std::cmp::Ordering;

use super::network::{Network, Vertex};
use super::search::Search;
use crate::layout::Member;

/// What one partition more, or the last one, means for a node: how much it adds to the sum of load² / weight, and
/// then to the sum of squares of what nodes gain, so that of two equally full nodes the one takes more that got less.
#[derive(Clone, Copy, Debug)]
struct Burden {
    load: i64,
    weight: i64,
    gain: i64,
}

impl Burden {
    fn cmp(self, other: Self) -> Ordering {
        let (left, right) = (2 * self.load - 1, 2 * other.load - 1);
        let by_load =
            (i128::from(left) * i128::from(other.weight)).cmp(&(i128::from(right) * i128::from(self.weight)));
        by_load.then_with(|| self.gain.cmp(&other.gain))
    }
}

/// Evens out the loads of a cheapest flow among all cheapest flows: none has a lesser sum of load² / weight.
///
/// The cheapest flows differ along tight arcs only. Along those a node hands a partition on, directly or by way of
/// others that hand theirs on, to one that it burdens less than it is relieved. The most burdened gives first, to the
/// least burdened that it reaches. A giver that reaches nobody to give to is done, and so is all that it reaches: they
/// reach nobody else, are relieved less than it would be, and who gives later is relieved less too, so nobody gains by
/// entering there. When all are done, no cycle of the network lessens the sum, so it is the least (it is convex).
pub(super) fn even_out(network: &mut Network<'_>, members: &[Member]) {
    let mut before = vec![0_i64; members.len()];
    for &owner in network.present.iter().flatten() {
        before[owner] += 1;
    }
    let burden = |load: usize, node: usize| Burden {
        load: load as i64,
        weight: i64::from(members[node].weight),
        gain: load as i64 - before[node],
    };
    let mut search = Search::default();
    let mut done = Vec::new();
    loop {
        done.resize(network.len(), false);
        let sink = network.sink();
        let last = |node: usize| burden(network.loads[node], node);
        let next = |node: usize| burden(network.loads[node] + 1, node);
        // A cheapest flow can change only where the node is as dear as the sink.
        let is_open = |node: usize| !done[node] && network.is_tight(node, sink, 0);
        let can_take = |node: usize| is_open(node) && network.has_room(node);
        let open = (0..members.len()).filter(|&node| is_open(node) && network.loads[node] > 0);
        // The first of equal ones.
        let Some(giver) = open.min_by(|&a, &b| last(b).cmp(last(a))) else { return };
        let takers = (0..members.len()).filter(|&node| can_take(node));
        let Some(least) = takers.map(next).min_by(|&a, &b| a.cmp(b)) else { return };
        if least.cmp(last(giver)).is_ge() {
            return;
        }
        let target = |vertex| match network.vertex(vertex) {
            Vertex::Node(node) => can_take(node) && next(node).cmp(least).is_eq(),
            _ => false,
        };
        search.run(network, &[giver], |vertex| vertex != sink && !done[vertex], target);
        let reached = search.reached.iter().copied();
        let takers = reached.filter(|&vertex| vertex < members.len() && can_take(vertex));
        let taker = takers.min_by(|&a, &b| next(a).cmp(next(b)));
        match taker {
            Some(taker) if next(taker).cmp(last(giver)).is_lt() => {
                let mut path = vec![sink, taker];
                let mut at = taker;
                while at != giver {
                    at = search.reached_from[at];
                    path.push(at);
                }
                path.push(sink);
                for pair in path.windows(2) {
                    network.push(pair[1], pair[0]);
                }
            }
            _ => {
                for &vertex in &search.reached {
                    done[vertex] = true;
                }
            }
        }
    }
}
