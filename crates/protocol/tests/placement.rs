//! The planner of owners: valid, optimal, and no more movement than that takes.

mod reference;

use std::collections::{BTreeMap, BTreeSet};

use quorate_protocol::id::NodeId;
use quorate_protocol::placement::{moves, place, replan};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use reference::{Cluster, Owners, added};

fn below(rng: &mut ChaCha8Rng, bound: usize) -> usize {
    usize::try_from(rng.next_u64() % bound as u64).expect("it is below a usize")
}

fn equals(nodes: impl IntoIterator<Item = u64>, n: usize) -> Cluster {
    Cluster::new(nodes.into_iter().map(|node| (node, String::new(), 1)), n)
}

fn replanned(present: &Owners, cluster: &Cluster) -> Owners {
    replan(present, &cluster.members, cluster.n)
}

fn placed(cluster: &Cluster, partitions: usize) -> Owners {
    place(&cluster.members, cluster.n, partitions)
}

/// Who stays keeps the order, and the lists of unchanged owners are unchanged.
fn assert_order_is_kept(present: &Owners, planned: &Owners) {
    for (present, planned) in present.iter().zip(planned) {
        let mut seen = BTreeSet::new();
        let kept: Vec<_> =
            present.iter().filter(|node| planned.contains(node) && seen.insert(**node)).collect();
        assert!(planned.iter().filter(|node| kept.contains(node)).eq(kept.iter().copied()));
        if kept.len() == present.len() && present.len() == planned.len() {
            assert_eq!(present, planned);
        }
        if present.len() <= planned.len() {
            for (at, node) in present.iter().enumerate() {
                let named_before = present[..at].contains(node);
                assert!(
                    named_before || !planned.contains(node) || planned[at] == *node,
                    "{present:?} {planned:?}"
                );
            }
        }
    }
}

#[test]
fn nothing_is_better_in_what_can_be_tried_out() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for round in 0..6_000 {
        let (nodes, zones) = (1 + below(&mut rng, 5), 1 + below(&mut rng, 3));
        let n = 1 + below(&mut rng, nodes.min(3));
        let heaviest = 1 + below(&mut rng, 3);
        let mut member = |node| {
            let zone = below(&mut rng, zones);
            let weight = u32::try_from(1 + below(&mut rng, heaviest)).expect("small");
            (node, if zone == 0 { String::new() } else { format!("z{zone}") }, weight)
        };
        let cluster = Cluster::new((1..=nodes as u64).map(&mut member).collect::<Vec<_>>(), n);
        // Lists of any length, of members and of two that are none; some name a node twice.
        let (partitions, longest) = (1 + below(&mut rng, 4), below(&mut rng, 5));
        let mut list = || -> Vec<NodeId> {
            let length = if longest == 4 { n } else { below(&mut rng, longest + 1) };
            (0..length).map(|_| NodeId(1 + below(&mut rng, nodes + 2) as u64)).collect()
        };
        let present: Owners = (0..partitions).map(|_| list()).collect();

        let planned = replanned(&present, &cluster);
        cluster.assert_valid(&planned);
        let best = cluster.best(&present);
        assert_eq!(cluster.score(&present, &planned), best, "{round}: {present:?} {planned:?} {cluster:?}");
        assert!(cluster.keeps_ceilings(&planned));
        assert!(!cluster.fullest_could_be_less_full(&planned));
        assert!(!cluster.could_move_less_or_be_more_even(&present, &planned));
        assert_order_is_kept(&present, &planned);

        let nothing = vec![Vec::new(); partitions];
        let first = placed(&cluster, partitions);
        cluster.assert_valid(&first);
        assert_eq!(cluster.score(&nothing, &first), cluster.best(&nothing), "{round}: {cluster:?}");
    }
}

#[test]
fn the_checks_see_what_is_not_best() {
    let cluster = equals(1..=4, 2);
    let pair = |node| vec![NodeId(node), NodeId(node + 1)];
    let (present, moved): (Owners, Owners) = (vec![pair(1), pair(3)], vec![pair(3), pair(1)]);
    assert!(cluster.fullest_could_be_less_full(&vec![pair(1), pair(1)]));
    assert!(!cluster.fullest_could_be_less_full(&present));
    assert!(cluster.could_move_less_or_be_more_even(&present, &moved));
    assert!(!cluster.could_move_less_or_be_more_even(&present, &present));
    // As many moves as are needed, to a node that has more than another.
    let (present, uneven): (Owners, Owners) =
        (vec![pair(1), pair(1), vec![]], vec![pair(1), pair(1), pair(3)]);
    assert!(!cluster.could_move_less_or_be_more_even(&present, &uneven));
    let (present, uneven) = (vec![pair(2), pair(1), vec![]], vec![pair(2), pair(1), pair(2)]);
    assert!(cluster.could_move_less_or_be_more_even(&present, &uneven));
}

/// One cluster through a number of changes.
struct History {
    rng: ChaCha8Rng,
    nodes: BTreeMap<u64, (String, u32)>,
    n: usize,
    zones: usize,
    largest: usize,
    next: u64,
}

impl History {
    /// A cluster that grows to at most `largest` nodes, and begins with `least` at least.
    fn new(seed: u64, least: usize, largest: usize) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (zones, n) = (1 + below(&mut rng, 5), 1 + below(&mut rng, 5));
        let mut history = Self { rng, nodes: BTreeMap::new(), n, zones, largest, next: 1 };
        let least = least.max(n);
        let nodes = least + below(&mut history.rng, largest - least + 1);
        (0..nodes).for_each(|_| history.join());
        history
    }

    fn zone(&mut self) -> String {
        // Some zones are larger than others.
        let (a, b) = (below(&mut self.rng, self.zones), below(&mut self.rng, self.zones));
        format!("z{}", a.min(b))
    }

    fn weight(&mut self) -> u32 {
        [1, 1, 1, 2, 2, 3, 4, 12][below(&mut self.rng, 8)]
    }

    fn join(&mut self) {
        if self.nodes.len() < self.largest {
            let node = (self.zone(), self.weight());
            // Not in the order of ids.
            self.nodes.insert(self.next * 0x9e37 % 65_537, node);
            self.next += 1;
        }
    }

    fn leave(&mut self) {
        if self.nodes.len() > self.n {
            let at = below(&mut self.rng, self.nodes.len());
            let node = self.nodes.keys().nth(at).copied();
            node.and_then(|node| self.nodes.remove(&node));
        }
    }

    fn change(&mut self) {
        match below(&mut self.rng, 10) {
            0..=2 => self.join(),
            3..=5 => self.leave(),
            6 => self.n = (1 + below(&mut self.rng, 5)).min(self.nodes.len()),
            7 => {
                let zone = self.zone();
                let gone = self.nodes.values().filter(|(other, _)| *other == zone).count();
                if self.nodes.len() - gone >= self.n {
                    self.nodes.retain(|_, (other, _)| *other != zone);
                }
            }
            8 => {
                let (at, weight) = (below(&mut self.rng, self.nodes.len()), self.weight());
                self.nodes.values_mut().skip(at).take(1 + at / 2).for_each(|node| node.1 = weight);
            }
            _ => {
                let (at, zone) = (below(&mut self.rng, self.nodes.len()), self.zone());
                self.nodes.values_mut().skip(at).take(1).for_each(|node| node.0.clone_from(&zone));
            }
        }
    }

    fn cluster(&self) -> Cluster {
        let nodes = self.nodes.iter().map(|(&node, (zone, weight))| (node, zone.clone(), *weight));
        Cluster::new(nodes, self.n)
    }
}

#[test]
fn histories_of_changes_stay_optimal() {
    let histories = std::env::var("QUORATE_PLACEMENT_HISTORIES")
        .map_or(1_000, |text| text.parse().expect("QUORATE_PLACEMENT_HISTORIES is a number"));
    // Each stands for itself, and the large ones take their time.
    let lanes: u64 = 4;
    std::thread::scope(|scope| {
        for lane in 0..lanes {
            scope.spawn(move || (lane..histories).step_by(lanes as usize).for_each(stays_optimal));
        }
    });
}

fn stays_optimal(seed: u64) {
    // A fifth of them large.
    let (least, largest, partitions) = match seed % 10 {
        0 | 5 => (100, 200, 256),
        1 => (1, 40, 64),
        _ => (1, 12, 16),
    };
    let mut history = History::new(seed, least, largest);
    let mut owners = placed(&history.cluster(), partitions);
    for step in 0..8 {
        for _ in 0..1 + below(&mut history.rng, 2) {
            history.change();
        }
        let cluster = history.cluster();
        let planned = replanned(&owners, &cluster);
        cluster.assert_valid(&planned);
        assert!(cluster.keeps_ceilings(&planned), "seed {seed}, step {step}");
        assert!(!cluster.fullest_could_be_less_full(&planned), "seed {seed}, step {step}");
        assert!(!cluster.could_move_less_or_be_more_even(&owners, &planned), "seed {seed}, step {step}");
        assert_order_is_kept(&owners, &planned);
        assert_eq!(replanned(&planned, &cluster), planned, "seed {seed}, step {step}");
        let counted = moves(&owners, &planned);
        assert_eq!(counted.values().map(|of| of.gained).sum::<usize>(), added(&owners, &planned));
        assert_eq!(counted.values().map(|of| of.lost).sum::<usize>(), added(&planned, &owners));
        owners = planned;
    }
}

#[test]
fn who_joins_equals_gets_its_share_and_nothing_else_moves() {
    let ten = placed(&equals(1..=10, 3), 256);
    let eleven = equals(1..=11, 3);
    let planned = replanned(&ten, &eleven);
    // The newcomer gets the others' excess over 70, the least ceiling that makes 768 of eleven.
    let loads = equals(1..=10, 3).loads(&ten);
    let needed: u64 = loads.values().map(|load| load - 70).sum();
    assert_eq!(added(&ten, &planned) as u64, needed);
    assert!(needed as f64 <= 768.0 * 1.05 / 11.0, "{needed}");
    let gains = moves(&ten, &planned);
    assert_eq!(gains[&NodeId(11)].gained as u64, needed);
    assert!(gains.iter().all(|(&node, of)| node == NodeId(11) || of.gained == 0));
}

/// The fullest node of the cluster is in another zone, and stays as full as it is.
#[test]
fn who_joins_the_larger_zone_gets_its_share() {
    let zoned = |nodes: u64| Cluster::new((1..=nodes).map(|node| (node, format!("z{}", node % 3), 1)), 3);
    for nodes in 3..12 {
        let present = placed(&zoned(nodes), 256);
        let planned = replanned(&present, &zoned(nodes + 1));
        // All others of the zone come down to the ceiling, so less than one of each may be lacking.
        let (in_zone, gained) = ((nodes + 1).div_ceil(3), added(&present, &planned) as u64);
        assert!((256 / in_zone + 1 - in_zone..=256 / in_zone).contains(&gained), "{nodes}: {gained}");
    }
}

#[test]
fn what_a_leaver_owned_goes_to_all_others_alike() {
    let ten = placed(&equals(1..=10, 3), 256);
    for leaver in 1..=10 {
        let nine = equals((1..=10).filter(|&node| node != leaver), 3);
        let planned = replanned(&ten, &nine);
        let moved = moves(&ten, &planned);
        assert_eq!(added(&ten, &planned), moved[&NodeId(leaver)].lost);
        let (least, most) = (768 / 9, 768 / 9 + 1);
        assert!(nine.loads(&planned).values().all(|load| (least..=most).contains(load)));
        let even = moved[&NodeId(leaver)].lost as f64 / 9.0;
        for (node, of) in moved.iter().filter(|(node, _)| **node != NodeId(leaver)) {
            assert_eq!(of.lost, 0, "{node}");
            assert!((of.gained as f64 - even).abs() <= 1.0, "{node} gains {}, even is {even}", of.gained);
        }
    }
}

/// Clients go to the first owner.
#[test]
fn nodes_are_first_alike_however_the_cluster_grew_and_shrank() {
    let mut owners = placed(&equals(1..=3, 3), 256);
    for nodes in (4..=16).chain((3..16).rev()) {
        owners = replanned(&owners, &equals(1..=nodes, 3));
        let mut firsts: BTreeMap<NodeId, u64> = BTreeMap::new();
        owners.iter().for_each(|list| *firsts.entry(list[0]).or_default() += 1);
        let most = firsts.values().max().copied().unwrap_or(0);
        assert!(most <= 256_u64.div_ceil(nodes) + 3, "{most} of {nodes} nodes");
    }
}

#[test]
fn equal_questions_have_equal_answers() {
    let mut history = History::new(7, 1, 40);
    let owners = placed(&history.cluster(), 64);
    assert_eq!(owners, placed(&history.cluster(), 64));
    (0..5).for_each(|_| history.change());
    let cluster = history.cluster();
    assert_eq!(replanned(&owners, &cluster), replanned(&owners, &cluster));
    assert_eq!(replanned(&owners, &history.cluster()), replanned(&owners.clone(), &cluster));
}

#[test]
fn what_is_best_already_stays() {
    let first = History::new(3, 1, 40);
    for cluster in [equals(1..=10, 3), equals(1..=3, 3), equals(1..=1, 1), first.cluster()] {
        let owners = placed(&cluster, 256);
        assert_eq!(replanned(&owners, &cluster), owners);
    }
}

#[test]
fn newcomers_take_the_places_of_leavers() {
    let list = |nodes: &[u64]| nodes.iter().copied().map(NodeId).collect::<Vec<_>>();
    let planned = |present: &[u64], nodes: &[u64], n| {
        replanned(&vec![list(present)], &equals(nodes.iter().copied(), n)).remove(0)
    };
    assert_eq!(planned(&[3, 9, 1], &[1, 2, 3], 3), list(&[3, 2, 1]));
    assert_eq!(planned(&[9, 3, 1], &[1, 2, 3], 3), list(&[2, 3, 1]));
    // With more owners the last places are new, with fewer the leavers' places close.
    assert_eq!(planned(&[2, 1], &[1, 2, 3], 3), list(&[2, 1, 3]));
    assert_eq!(planned(&[3, 9, 1], &[1, 3], 2), list(&[3, 1]));
    assert_eq!(planned(&[9, 2, 8, 3], &[1, 2, 3], 3), list(&[1, 2, 3]));
}

#[test]
fn who_owns_nothing_yet_gets_lists() {
    let cluster = History::new(11, 1, 40).cluster();
    let nothing: Owners = vec![Vec::new(); 64];
    let planned = replanned(&nothing, &cluster);
    cluster.assert_valid(&planned);
    assert_eq!(added(&nothing, &planned), 64 * cluster.n);
    assert_eq!(replanned(&Vec::new(), &cluster), Owners::new());
}

#[test]
fn any_weights_can_be_planned() {
    let extremes = [1, 2, 3, 1_000_000_000, u32::MAX - 1, u32::MAX];
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    for round in 0..300 {
        let partitions = [1, 64, 32_768][round % 3];
        let mut cluster = equals(0..5, 3);
        for (at, member) in cluster.members.iter_mut().enumerate() {
            member.zone = if round % 2 == 0 { String::new() } else { format!("z{}", at % 3) };
            member.weight = extremes[below(&mut rng, extremes.len())];
        }
        let placed = placed(&cluster, partitions);
        let whole = |owners: &Vec<NodeId>| owners.iter().collect::<BTreeSet<_>>().len() == 3;
        assert!(placed.iter().all(whole), "round {round}");
        assert!(replanned(&placed, &cluster) == placed, "round {round}: what is planned stays");
    }
}
