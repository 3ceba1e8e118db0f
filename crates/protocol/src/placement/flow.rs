//! Carries what is in excess where it is missing, as cheaply as can be.

use super::network::Network;
use super::search::{Search, UNSEEN};

/// Makes a flow of a network of which nothing can be sent more cheaply, and keeps that so: the primal-dual method.
///
/// A path along tight arcs is a cheapest one. Units go along such paths alone, so no arc comes to cost less than its
/// ends differ. All shortest ones of a search go at once (Dinic). When tight arcs lead nowhere, the potential of all
/// that was not reached rises by one: prices are whole, and no arc that leads there was tight, so none becomes too
/// cheap, and what is missing comes nearer. The ceilings can be met, so there is a path.
pub(super) fn settle(network: &mut Network<'_>) {
    let mut search = Search::default();
    let mut next_arc = Vec::new();
    loop {
        let sources: Vec<usize> = (0..network.len()).filter(|&vertex| network.excess[vertex] > 0).collect();
        if sources.is_empty() {
            return;
        }
        if search.run(network, &sources, |_| true, |vertex| network.excess[vertex] < 0) {
            next_arc.clear();
            next_arc.resize(network.len(), 0);
            for &source in &sources {
                while network.excess[source] > 0 && send(network, &mut search.levels, &mut next_arc, source) {
                }
            }
        } else {
            for (potential, &level) in network.potentials.iter_mut().zip(&search.levels) {
                *potential += i64::from(level == UNSEEN);
            }
        }
    }
}

/// Sends a unit from here to where one is missing, along tight arcs, each leading one level on. No arc is looked at
/// again that is used up or leads nowhere.
fn send(
    network: &mut Network<'_>,
    levels: &mut Vec<usize>,
    next_arc: &mut Vec<usize>,
    source: usize,
) -> bool {
    let mut path = vec![source];
    while let Some(&from) = path.last() {
        if network.excess[from] < 0 {
            network.excess[source] -= 1;
            network.excess[from] += 1;
            for pair in path.windows(2) {
                network.push(pair[0], pair[1]);
            }
            // The slots that came to be are behind us: nothing leads to them.
            levels.resize(network.len(), UNSEEN);
            next_arc.resize(network.len(), 0);
            return true;
        }
        let mut at = next_arc[from];
        let leads_on = loop {
            match network.arc(from, &mut at) {
                Some((to, cost)) if levels[to] == levels[from] + 1 && network.is_tight(from, to, cost) => {
                    break Some(to);
                }
                Some(_) => at += 1,
                None => break None,
            }
        };
        next_arc[from] = at;
        if let Some(to) = leads_on {
            path.push(to);
        } else {
            levels[from] = UNSEEN;
            path.pop();
        }
    }
    false
}
