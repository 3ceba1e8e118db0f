//! The assignment as a flow, and what can be changed in it.
//!
//! Every partition sends `n` units through its zones to nodes, and every node passes on to the sink as many as it has
//! partitions:
//!
//! ```text
//! partition --[least, most of the zone]--> slot --[0, 1] at a price--> node --[0, ceiling]--> sink
//! ```
//!
//! A slot is a partition's share of a zone. A unit from a slot to a node is free where the node owns the partition
//! already, and costs the price of a move where it does not, so a cheapest flow is an assignment with the fewest
//! moves.
//!
//! The flow starts as the present assignment, every quantity put within its bounds: units are then missing at some
//! vertices (a node that sheds one, a partition that lacks one) and left over at others. All that flows is free, so
//! nothing can be saved by sending it another way round, and carrying the excess where it is missing along cheapest
//! paths keeps that so.
//!
//! Of partitions × zones only those slots exist through which something flows or flowed. For the others, which only
//! zones have of which a partition needs no owner, the partition itself stands: their one way in is a free one from
//! it.

use super::tie;
use super::zones::Zones;
use crate::id::NodeId;
use crate::layout::Member;

/// What a vertex's number stands for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Vertex {
    Node(usize),
    Partition(usize),
    Sink,
    Slot(usize),
}

/// A partition's share of a zone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) partition: usize,
    pub(super) zone: usize,
    /// How many units the partition sends here.
    flow: usize,
}

/// The flow, its prices and its potentials. Vertices are numbered: nodes, partitions, the sink, slots.
#[derive(Debug)]
pub(super) struct Network<'a> {
    pub(super) zones: &'a Zones,
    ceilings: &'a [usize],
    /// What a node costs that is not among a partition's present owners.
    pub(super) price: i64,
    /// Per partition the nodes that cost nothing.
    pub(super) present: Vec<Vec<usize>>,
    /// Per partition the nodes that it sends a unit to.
    pub(super) owners: Vec<Vec<usize>>,
    /// Per node the slots that it gets a unit from.
    held: Vec<Vec<usize>>,
    /// Per node the units that it sends to the sink.
    pub(super) loads: Vec<usize>,
    pub(super) slots: Vec<Slot>,
    slots_of: Vec<Vec<usize>>,
    /// Where each partition begins to look for a node.
    scatter: Vec<usize>,
    /// Per vertex what comes in beyond what goes out.
    pub(super) excess: Vec<i64>,
    /// Per vertex a number such that no arc costs less than its ends differ.
    pub(super) potentials: Vec<i64>,
}

impl<'a> Network<'a> {
    /// The flow of these owners, each once per partition. All are free, and another costs `price`.
    pub(super) fn new(
        members: &[Member],
        zones: &'a Zones,
        ceilings: &'a [usize],
        n: usize,
        present: Vec<Vec<usize>>,
        price: i64,
    ) -> Self {
        let (nodes, partitions) = (members.len(), present.len());
        let mut network = Self {
            zones,
            ceilings,
            price,
            owners: present.clone(),
            held: vec![Vec::new(); nodes],
            loads: Vec::new(),
            slots: Vec::new(),
            slots_of: vec![Vec::new(); partitions],
            scatter: (0..partitions).map(|partition| tie(partition, NodeId(0)) as u32 as usize).collect(),
            excess: vec![0; nodes + partitions + 1],
            potentials: vec![0; nodes + partitions + 1],
            present,
        };
        for partition in 0..partitions {
            network.open(partition, n);
        }
        for (node, held) in network.held.iter_mut().enumerate() {
            // What one node gives up or hands on first should not be what its neighbours do.
            held.sort_by_cached_key(|&slot| tie(network.slots[slot].partition, members[node].node));
            let load = held.len().min(ceilings[node]);
            network.loads.push(load);
            network.excess[node] = held.len() as i64 - load as i64;
        }
        let sink = network.sink();
        network.excess[sink] = network.loads.iter().sum::<usize>() as i64 - (n * partitions) as i64;
        network
    }

    /// Makes the slots of a partition that something flows through or must flow through.
    fn open(&mut self, partition: usize, n: usize) {
        let mut counts: Vec<(usize, usize)> = Vec::new();
        for &owner in &self.owners[partition] {
            let zone = self.zones.of[owner];
            match counts.iter_mut().find(|(other, _)| *other == zone) {
                Some((_, count)) => *count += 1,
                None => counts.push((zone, 1)),
            }
        }
        for zone in (0..self.zones.len()).filter(|&zone| self.zones.least(zone) > 0) {
            if !counts.iter().any(|(other, _)| *other == zone) {
                counts.push((zone, 0));
            }
        }
        let mut sent = 0;
        for (zone, count) in counts {
            let flow = count.clamp(self.zones.least(zone), self.zones.most(zone));
            let slot = self.add_slot(Slot { partition, zone, flow }, 0);
            let at = self.slot(slot);
            self.excess[at] = flow as i64 - count as i64;
            sent += flow;
        }
        for at in 0..self.owners[partition].len() {
            let owner = self.owners[partition][at];
            if let Some(slot) = self.slot_of(partition, self.zones.of[owner]) {
                self.held[owner].push(slot);
            }
        }
        let at = self.partition(partition);
        self.excess[at] = n as i64 - sent as i64;
    }

    fn add_slot(&mut self, slot: Slot, potential: i64) -> usize {
        self.slots_of[slot.partition].push(self.slots.len());
        self.slots.push(slot);
        self.excess.push(0);
        self.potentials.push(potential);
        self.slots.len() - 1
    }

    /// How many vertices there are.
    pub(super) fn len(&self) -> usize {
        self.excess.len()
    }

    /// What a number stands for.
    pub(super) fn vertex(&self, number: usize) -> Vertex {
        let (nodes, partitions) = (self.held.len(), self.owners.len());
        match number {
            _ if number < nodes => Vertex::Node(number),
            _ if number < nodes + partitions => Vertex::Partition(number - nodes),
            _ if number == nodes + partitions => Vertex::Sink,
            _ => Vertex::Slot(number - nodes - partitions - 1),
        }
    }

    /// The number of the sink.
    pub(super) fn sink(&self) -> usize {
        self.held.len() + self.owners.len()
    }

    /// The number of a slot.
    pub(super) fn slot(&self, slot: usize) -> usize {
        self.sink() + 1 + slot
    }

    /// The number of a partition.
    pub(super) fn partition(&self, partition: usize) -> usize {
        self.held.len() + partition
    }

    /// A partition's slot in a zone, if there is one.
    pub(super) fn slot_of(&self, partition: usize, zone: usize) -> Option<usize> {
        self.slots_of[partition].iter().copied().find(|&slot| self.slots[slot].zone == zone)
    }

    /// Whether a node can take another unit without any shedding one.
    pub(super) fn has_room(&self, node: usize) -> bool {
        self.loads[node] < self.ceilings[node]
    }

    /// What it costs that a partition has this owner.
    pub(super) fn cost(&self, partition: usize, node: usize) -> i64 {
        if self.price == 0 || self.present[partition].contains(&node) { 0 } else { self.price }
    }

    /// Whether an arc costs no more than its ends differ, so that a flow along it is as cheap as any.
    pub(super) fn is_tight(&self, from: usize, to: usize, cost: i64) -> bool {
        cost + self.potentials[from] == self.potentials[to]
    }

    /// The first arc out of a vertex, from number `at` on, that can take a unit, and what a unit costs on it. Leaves
    /// `at` on it.
    pub(super) fn arc(&self, from: usize, at: &mut usize) -> Option<(usize, i64)> {
        match self.vertex(from) {
            Vertex::Node(node) => {
                if *at == 0 {
                    if self.has_room(node) {
                        return Some((self.sink(), 0));
                    }
                    *at = 1;
                }
                let &slot = self.held[node].get(*at - 1)?;
                Some((self.slot(slot), -self.cost(self.slots[slot].partition, node)))
            }
            Vertex::Sink => {
                *at += self.loads.get(*at..)?.iter().position(|&load| load > 0)?;
                Some((*at, 0))
            }
            Vertex::Slot(slot) => {
                let Slot { partition, zone, flow } = self.slots[slot];
                if *at == 0 {
                    if flow > self.zones.least(zone) {
                        return Some((self.partition(partition), 0));
                    }
                    *at = 1;
                }
                let nodes = self.zones.members_of(zone);
                let node = |at: usize| nodes[(at - 1 + self.scatter[partition]) % nodes.len()];
                *at = (*at..=nodes.len()).find(|&at| !self.owners[partition].contains(&node(at)))?;
                Some((node(*at), self.cost(partition, node(*at))))
            }
            Vertex::Partition(partition) => {
                let nodes = &self.zones.members;
                while *at < nodes.len() {
                    let place = (*at + self.scatter[partition]) % nodes.len();
                    let zone = self.zones.of[nodes[place]];
                    if self.slot_of(partition, zone).is_none() {
                        return Some((nodes[place], self.price));
                    }
                    *at = nodes.len().min(*at + self.zones.range(zone).1 - place);
                }
                let slots = self.slots_of[partition].get(*at - nodes.len()..)?;
                let has_room = |&slot: &usize| self.slots[slot].flow < self.zones.most(self.slots[slot].zone);
                let skipped = slots.iter().position(has_room)?;
                *at += skipped;
                Some((self.slot(slots[skipped]), 0))
            }
        }
    }

    /// Sends a unit along an arc that [`arc`](Self::arc) has given.
    pub(super) fn push(&mut self, from: usize, to: usize) {
        match (self.vertex(from), self.vertex(to)) {
            (Vertex::Node(node), Vertex::Sink) => self.loads[node] += 1,
            (Vertex::Sink, Vertex::Node(node)) => self.loads[node] -= 1,
            (Vertex::Partition(_), Vertex::Slot(slot)) => self.slots[slot].flow += 1,
            (Vertex::Slot(slot), Vertex::Partition(_)) => self.slots[slot].flow -= 1,
            (Vertex::Slot(slot), Vertex::Node(node)) => self.own(slot, node),
            (Vertex::Node(node), Vertex::Slot(slot)) => {
                let partition = self.slots[slot].partition;
                self.owners[partition].retain(|&owner| owner != node);
                if let Some(at) = self.held[node].iter().position(|&held| held == slot) {
                    self.held[node].swap_remove(at);
                }
            }
            (Vertex::Partition(partition), Vertex::Node(node)) => {
                let slot = Slot { partition, zone: self.zones.of[node], flow: 1 };
                let slot = self.add_slot(slot, self.potentials[from]);
                self.own(slot, node);
            }
            (from, to) => debug_assert!(false, "no arc goes from {from:?} to {to:?}"),
        }
    }

    fn own(&mut self, slot: usize, node: usize) {
        self.owners[self.slots[slot].partition].push(node);
        self.held[node].push(slot);
    }
}
