//! What an assignment of owners must be, said a second time and slowly: by rules, by trying everything, and by
//! looking for a better one in the whole residual graph.
#![expect(unreachable_pub, reason = "its one user is the test above it")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use quorate_protocol::id::NodeId;
use quorate_protocol::layout::Member;

pub type Owners = Vec<Vec<NodeId>>;

/// A multiple of every weight that the tests use: 1 to 6, 8, 12.
const COMMON: u64 = 120;

/// A cluster, as the planner is told of it.
#[derive(Clone, Debug)]
pub struct Cluster {
    pub members: Vec<Member>,
    pub n: usize,
}

/// What is least: load / weight of the fullest node, new pairs, the sum of load² / weight; the first and the last in
/// parts of [`COMMON`].
pub type Score = (u64, usize, u64);

impl Cluster {
    pub fn new(nodes: impl IntoIterator<Item = (u64, String, u32)>, n: usize) -> Self {
        let member = |(node, zone, weight)| {
            assert_eq!(COMMON % u64::from(weight), 0);
            Member { node: NodeId(node), name: String::new(), peer_address: "p".into(), zone, weight }
        };
        let mut members: Vec<Member> = nodes.into_iter().map(member).collect();
        members.sort_by_key(|member| member.node);
        Self { members, n }
    }

    fn weight(&self, node: NodeId) -> u64 {
        self.members.iter().find(|member| member.node == node).map_or(1, |member| member.weight.into())
    }

    /// The fewest and the most owners of a partition in each zone.
    fn bounds(&self) -> BTreeMap<&str, (usize, usize)> {
        let mut sizes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in &self.members {
            *sizes.entry(&member.zone).or_default() += 1;
        }
        let mut k = 1;
        while sizes.values().map(|&size| size.min(k)).sum::<usize>() < self.n {
            k += 1;
        }
        sizes.into_iter().map(|(zone, size)| (zone, (size.min(k - 1), size.min(k)))).collect()
    }

    fn in_zones(&self, owners: &[NodeId]) -> BTreeMap<&str, usize> {
        let mut counts: BTreeMap<&str, usize> = self.bounds().keys().map(|&zone| (zone, 0)).collect();
        for member in self.members.iter().filter(|member| owners.contains(&member.node)) {
            *counts.entry(&member.zone).or_default() += 1;
        }
        counts
    }

    /// Whether these may own a partition together.
    fn allows(&self, owners: &[NodeId]) -> bool {
        let known = owners.iter().all(|&owner| self.members.iter().any(|member| member.node == owner));
        let distinct: BTreeSet<_> = owners.iter().collect();
        let counts = self.in_zones(owners);
        let in_bounds =
            self.bounds().iter().all(|(zone, &(least, most))| (least..=most).contains(&counts[zone]));
        known && distinct.len() == owners.len() && owners.len() == self.n && in_bounds
    }

    pub fn assert_valid(&self, planned: &Owners) {
        for owners in planned {
            assert!(self.allows(owners), "{owners:?} of {self:?}");
        }
    }

    pub fn loads(&self, planned: &Owners) -> BTreeMap<NodeId, u64> {
        let mut loads: BTreeMap<NodeId, u64> = self.members.iter().map(|member| (member.node, 0)).collect();
        for owner in planned.iter().flatten() {
            *loads.entry(*owner).or_default() += 1;
        }
        loads
    }

    pub fn score(&self, present: &Owners, planned: &Owners) -> Score {
        let loads = self.loads(planned);
        let fullest = loads.iter().map(|(&node, load)| load * COMMON / self.weight(node)).max().unwrap_or(0);
        let squares = loads.iter().map(|(&node, load)| load * load * COMMON / self.weight(node)).sum();
        (fullest, added(present, planned), squares)
    }

    /// The most that each node may own of so many partitions, by trying every overload in turn.
    pub fn ceilings(&self, partitions: usize) -> Vec<u64> {
        let partitions = partitions as u64;
        let bounds = self.bounds();
        let ceiling =
            |member: &Member, overload: u64| (overload * u64::from(member.weight) / COMMON).min(partitions);
        let capacity = |zone: &str, overload| {
            let members = self.members.iter().filter(|member| member.zone == zone);
            members.map(|member| ceiling(member, overload)).sum::<u64>()
        };
        let share = |zone: &str, overload| {
            let (least, most) = bounds[zone];
            capacity(zone, overload).clamp(least as u64 * partitions, most as u64 * partitions)
        };
        let all = self.n as u64 * partitions;
        let overloads = 0..=partitions * COMMON;
        let common = overloads
            .clone()
            .find(|&overload| bounds.keys().map(|zone| share(zone, overload)).sum::<u64>() >= all)
            .expect("nobody is bound by the last");
        let of = |zone: &str| {
            if share(zone, common) == capacity(zone, common) {
                return common;
            }
            let carries = |&overload: &u64| capacity(zone, overload) >= share(zone, common);
            overloads.clone().find(carries).expect("nobody is bound by the last")
        };
        let by_zone: BTreeMap<&str, u64> = bounds.keys().map(|&zone| (zone, of(zone))).collect();
        self.members.iter().map(|member| ceiling(member, by_zone[member.zone.as_str()])).collect()
    }

    /// Whether nobody has more than it may.
    pub fn keeps_ceilings(&self, planned: &Owners) -> bool {
        let loads = self.loads(planned);
        self.ceilings(planned.len()).into_iter().zip(loads.values()).all(|(ceiling, &load)| load <= ceiling)
    }

    /// The least moves and squares of all assignments under the ceilings, and the least that the fullest node can
    /// have: every choice of every partition, by the loads that it leads to.
    pub fn best(&self, present: &Owners) -> Score {
        let nodes: Vec<NodeId> = self.members.iter().map(|member| member.node).collect();
        let subsets = (0_u32..1 << nodes.len())
            .map(|set| (0..nodes.len()).filter(|at| set >> at & 1 == 1).collect::<Vec<usize>>());
        let allowed: Vec<Vec<usize>> =
            subsets.filter(|set| self.allows(&set.iter().map(|&at| nodes[at]).collect::<Vec<_>>())).collect();
        let mut fewest: BTreeMap<Vec<u64>, usize> = BTreeMap::from([(vec![0; nodes.len()], 0)]);
        for list in present {
            let mut next: BTreeMap<Vec<u64>, usize> = BTreeMap::new();
            for (loads, moves) in &fewest {
                for set in &allowed {
                    let mut loads = loads.clone();
                    set.iter().for_each(|&at| loads[at] += 1);
                    let moves = moves + set.iter().filter(|&&at| !list.contains(&nodes[at])).count();
                    let known = next.entry(loads).or_insert(moves);
                    *known = moves.min(*known);
                }
            }
            fewest = next;
        }
        let score = |(loads, moves): (Vec<u64>, usize)| {
            let parts = || loads.iter().zip(&nodes).map(|(load, &node)| (load, COMMON / self.weight(node)));
            let fullest = parts().map(|(load, part)| load * part).max().unwrap_or(0);
            (fullest, moves, parts().map(|(load, part)| load * load * part).sum())
        };
        let ceilings = self.ceilings(present.len());
        let under = |loads: &[u64]| loads.iter().zip(&ceilings).all(|(load, ceiling)| load <= ceiling);
        let scores = || fewest.iter().map(|(loads, &moves)| score((loads.clone(), moves)));
        let fullest = scores().map(|(fullest, ..)| fullest).min().expect("there is an assignment");
        let allowed = fewest.iter().filter(|(loads, _)| under(loads));
        let scores = allowed.map(|(loads, &moves)| score((loads.clone(), moves)));
        let (moves, squares) =
            scores.map(|(_, moves, squares)| (moves, squares)).min().expect("ceilings suffice");
        (fullest, moves, squares)
    }

    /// Whether the fullest nodes could be less full: all of them, each by handing something on along a path of owners
    /// that ends at a node which stays below what is now the fullest.
    pub fn fullest_could_be_less_full(&self, planned: &Owners) -> bool {
        let mut residual = Residual::new(self, planned);
        let share = |load: u64, node: usize| load * COMMON / u64::from(self.members[node].weight);
        let loads =
            |residual: &Residual<'_>| self.loads(&residual.owners).into_values().collect::<Vec<u64>>();
        let start = loads(&residual);
        let fullest = (0..start.len()).map(|node| share(start[node], node)).max().unwrap_or(0);
        loop {
            let loads = loads(&residual);
            let Some(from) = (0..loads.len()).find(|&node| share(loads[node], node) == fullest) else {
                return true;
            };
            let Some(path) = residual.path(from, |to| share(loads[to] + 1, to) < fullest) else {
                return false;
            };
            residual.push(&path);
        }
    }

    /// Whether another assignment keeps the ceilings and has fewer moves, or as many moves and a lesser sum of
    /// load² / weight: whether there is a cycle of negative cost in the residual graph (Klein), by Bellman and Ford.
    pub fn could_move_less_or_be_more_even(&self, present: &Owners, planned: &Owners) -> bool {
        let residual = Residual::new(self, planned);
        let loads: Vec<u64> = self.loads(planned).into_values().collect();
        let part = |node: usize| COMMON / u64::from(self.members[node].weight);
        let ceilings = self.ceilings(planned.len());
        // More than evenness can make of any cycle.
        let a_move = 1_i64 << 40;
        let mut arcs: Vec<(usize, usize, i64)> = Vec::new();
        for (from, to) in residual.arcs() {
            let new = |partition: usize, node: usize| !present[partition].contains(&self.members[node].node);
            let cost = match (residual.vertex(from), residual.vertex(to)) {
                (Vertex::Slot(partition), Vertex::Node(node)) => a_move * i64::from(new(partition, node)),
                (Vertex::Node(node), Vertex::Slot(partition)) => -a_move * i64::from(new(partition, node)),
                _ => 0,
            };
            arcs.push((from, to, cost));
        }
        let sink = residual.len();
        let odd = |twice: u64, node: usize| i64::try_from(twice * part(node)).expect("small");
        for (node, &load) in loads.iter().enumerate() {
            if load < ceilings[node] {
                arcs.push((node, sink, odd(2 * load + 1, node)));
            }
            if load > 0 {
                arcs.push((sink, node, -odd(2 * load - 1, node)));
            }
        }
        let mut distances = vec![0_i64; sink + 1];
        for _ in 0..=sink + 1 {
            let mut changed = false;
            for &(from, to, cost) in &arcs {
                if distances[from] + cost < distances[to] {
                    distances[to] = distances[from] + cost;
                    changed = true;
                }
            }
            if !changed {
                return false;
            }
        }
        true
    }
}

/// How many pairs of partition and owner are new.
pub fn added(present: &Owners, planned: &Owners) -> usize {
    let new = |(present, planned): (&Vec<NodeId>, &Vec<NodeId>)| {
        planned.iter().filter(|node| !present.contains(node)).count()
    };
    present.iter().zip(planned).map(new).sum()
}

#[derive(Clone, Copy)]
enum Vertex {
    Node(usize),
    Partition,
    Slot(usize),
}

/// Every arc along which a valid assignment can be changed into another one.
struct Residual<'a> {
    cluster: &'a Cluster,
    owners: Owners,
    zones: Vec<(usize, usize)>,
    zone_of: Vec<usize>,
}

impl<'a> Residual<'a> {
    fn new(cluster: &'a Cluster, owners: &Owners) -> Self {
        let bounds = cluster.bounds();
        let zone =
            |member: &Member| bounds.keys().position(|&zone| zone == member.zone).expect("it is there");
        Self {
            cluster,
            owners: owners.clone(),
            zone_of: cluster.members.iter().map(zone).collect(),
            zones: bounds.into_values().collect(),
        }
    }

    fn len(&self) -> usize {
        self.cluster.members.len() + self.owners.len() * (1 + self.zones.len())
    }

    fn vertex(&self, number: usize) -> Vertex {
        let Some(number) = number.checked_sub(self.cluster.members.len()) else {
            return Vertex::Node(number);
        };
        let (partition, at) = (number / (1 + self.zones.len()), number % (1 + self.zones.len()));
        if at == 0 { Vertex::Partition } else { Vertex::Slot(partition) }
    }

    fn arcs(&self) -> Vec<(usize, usize)> {
        let members = &self.cluster.members;
        let mut arcs = Vec::new();
        for (partition, owners) in self.owners.iter().enumerate() {
            let own = members.len() + partition * (1 + self.zones.len());
            for (zone, (&(least, most), count)) in
                self.zones.iter().zip(self.cluster.in_zones(owners).into_values()).enumerate()
            {
                if count < most {
                    arcs.push((own, own + 1 + zone));
                }
                if count > least {
                    arcs.push((own + 1 + zone, own));
                }
            }
            for (node, member) in members.iter().enumerate() {
                let slot = own + 1 + self.zone_of[node];
                arcs.push(if owners.contains(&member.node) { (node, slot) } else { (slot, node) });
            }
        }
        arcs
    }

    /// A shortest path from a node to one that is looked for.
    fn path(&self, from: usize, target: impl Fn(usize) -> bool) -> Option<Vec<usize>> {
        let mut out: Vec<Vec<usize>> = vec![Vec::new(); self.len()];
        for (from, to) in self.arcs() {
            out[from].push(to);
        }
        let mut reached_from = vec![usize::MAX; self.len()];
        reached_from[from] = from;
        let mut queue = VecDeque::from([from]);
        while let Some(at) = queue.pop_front() {
            if at < self.cluster.members.len() && target(at) {
                let mut path = vec![at];
                while let Some(&at) = path.last().filter(|&&at| at != from) {
                    path.push(reached_from[at]);
                }
                path.reverse();
                return Some(path);
            }
            for &to in &out[at] {
                if reached_from[to] == usize::MAX {
                    reached_from[to] = at;
                    queue.push_back(to);
                }
            }
        }
        None
    }

    fn push(&mut self, path: &[usize]) {
        for pair in path.windows(2) {
            match (self.vertex(pair[0]), self.vertex(pair[1])) {
                (Vertex::Slot(partition), Vertex::Node(node)) => {
                    self.owners[partition].push(self.cluster.members[node].node);
                }
                (Vertex::Node(node), Vertex::Slot(partition)) => {
                    let node = self.cluster.members[node].node;
                    self.owners[partition].retain(|&owner| owner != node);
                }
                _ => {}
            }
        }
    }
}
