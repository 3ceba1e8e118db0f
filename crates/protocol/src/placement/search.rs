//! Breadth first through the arcs on which a flow is as cheap as any.

use std::collections::BTreeMap;

use super::network::{Network, Slot, Vertex};

/// Of a vertex that was not reached.
pub(super) const UNSEEN: usize = usize::MAX;

/// What one search has reached, and how.
///
/// Nearly every node can become an owner of nearly every partition, so following each such arc would cost partitions
/// × nodes. A node is reached once: those still to be reached wait by potential and zone, and whoever reaches a zone
/// takes the ones that its price fits. What remains are the few that are owners already.
#[derive(Debug, Default)]
pub(super) struct Search {
    /// Per vertex how many arcs it is away; [`UNSEEN`] where it was not reached.
    pub(super) levels: Vec<usize>,
    /// Per vertex where it was reached from; a source from itself.
    pub(super) reached_from: Vec<usize>,
    /// All that were reached, nearest first.
    pub(super) reached: Vec<usize>,
    waiting: BTreeMap<(i64, usize), Vec<usize>>,
}

impl Search {
    /// Searches from these vertices. `enter` says of a vertex whether it may be entered, `target` whether it is
    /// looked for: when one is found, nothing farther away is. Says whether one was.
    pub(super) fn run(
        &mut self,
        network: &Network<'_>,
        sources: &[usize],
        enter: impl Fn(usize) -> bool,
        target: impl Fn(usize) -> bool,
    ) -> bool {
        self.levels.clear();
        self.levels.resize(network.len(), UNSEEN);
        self.reached_from.resize(network.len(), UNSEEN);
        self.reached.clear();
        self.waiting.clear();
        for (node, &zone) in network.zones.of.iter().enumerate() {
            self.waiting.entry((network.potentials[node], zone)).or_default().push(node);
        }
        for &source in sources {
            self.reach(source, source, 0);
        }
        let (mut next, mut last) = (0, UNSEEN);
        while let Some(&from) = self.reached.get(next) {
            next += 1;
            if self.levels[from] >= last {
                break;
            }
            let begin = self.reached.len();
            self.expand(network, from, &enter);
            if self.reached[begin..].iter().any(|&vertex| target(vertex)) {
                last = self.levels[from] + 1;
            }
        }
        last != UNSEEN
    }

    fn reach(&mut self, vertex: usize, from: usize, level: usize) {
        if self.levels[vertex] == UNSEEN {
            self.levels[vertex] = level;
            self.reached_from[vertex] = from;
            self.reached.push(vertex);
        }
    }

    /// Reaches all that is one arc away.
    fn expand(&mut self, network: &Network<'_>, from: usize, enter: &impl Fn(usize) -> bool) {
        let level = self.levels[from] + 1;
        let potential = network.potentials[from];
        match network.vertex(from) {
            Vertex::Node(_) | Vertex::Sink => {
                let mut at = 0;
                while let Some((to, cost)) = network.arc(from, &mut at) {
                    if network.is_tight(from, to, cost) && enter(to) {
                        self.reach(to, from, level);
                    }
                    at += 1;
                }
            }
            Vertex::Slot(slot) => {
                let Slot { partition, zone, .. } = network.slots[slot];
                // The first arc is the one to the partition, and all others go to nodes.
                let mut at = 0;
                if let Some((to, cost)) = network.arc(from, &mut at)
                    && at == 0
                    && network.is_tight(from, to, cost)
                    && enter(to)
                {
                    self.reach(to, from, level);
                }
                let owners = &network.owners[partition];
                for &node in network.present[partition].iter().filter(|node| !owners.contains(node)) {
                    if network.zones.of[node] == zone && network.is_tight(from, node, 0) && enter(node) {
                        self.reach(node, from, level);
                    }
                }
                let key = (potential + network.price, zone);
                let Some(mut waiting) = self.waiting.remove(&key) else { return };
                waiting.retain(|&node| {
                    if self.levels[node] != UNSEEN || !enter(node) {
                        return false;
                    }
                    if owners.contains(&node) || network.cost(partition, node) != network.price {
                        return true;
                    }
                    self.reach(node, from, level);
                    false
                });
                if !waiting.is_empty() {
                    self.waiting.insert(key, waiting);
                }
            }
            Vertex::Partition(partition) => {
                // The arcs to nodes come first: those in zones of which the partition has no slot, all at one price.
                let price = potential + network.price;
                let zones = self.waiting.range((price, 0)..=(price, usize::MAX)).map(|(&(_, zone), _)| zone);
                let free: Vec<usize> =
                    zones.filter(|&zone| network.slot_of(partition, zone).is_none()).collect();
                for zone in free {
                    for node in self.waiting.remove(&(price, zone)).unwrap_or_default() {
                        if enter(node) {
                            self.reach(node, from, level);
                        }
                    }
                }
                let mut at = network.zones.members.len();
                while let Some((to, cost)) = network.arc(from, &mut at) {
                    if network.is_tight(from, to, cost) && enter(to) {
                        self.reach(to, from, level);
                    }
                    at += 1;
                }
            }
        }
    }
}
