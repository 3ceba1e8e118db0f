//! Evens out how often each node is first, as far as it costs nothing else.

use std::collections::BTreeSet;

use super::zones::Zones;
use crate::id::NodeId;
use crate::layout::Member;

/// A place in a partition's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    partition: usize,
    at: usize,
}

/// Changes lists of owners so that nodes are first more evenly per weight, with the same loads and as many moves.
///
/// Which of its partitions an owner hands on, and which newcomer comes to which, has mostly been decided by nothing
/// but chance. So a newcomer changes places with another newcomer, or leaves its place to the owner that it replaced
/// and replaces it in another partition, wherever one of two places is a first one and the sum of firsts² / weight
/// becomes less. That is a local search: it ends where no such exchange helps.
pub(super) fn even_out(present: &[Vec<NodeId>], lists: &mut [Vec<usize>], members: &[Member], zones: &Zones) {
    let mut exchange = Exchange::new(present, lists, members, zones);
    let mut helped = true;
    while helped {
        helped = false;
        for at in 0..exchange.newcomers.len() {
            helped |= exchange.improve(at);
        }
    }
}

struct Exchange<'a> {
    members: &'a [Member],
    zones: &'a Zones,
    lists: &'a mut [Vec<usize>],
    /// Per partition which member was in which place before; empty where places do not correspond.
    before: Vec<Vec<Option<usize>>>,
    /// The places of newcomers.
    newcomers: Vec<Place>,
    /// Per node how often it is first.
    firsts: Vec<u64>,
    /// The nodes, first least often per weight to most often.
    by_firsts: BTreeSet<(u128, usize)>,
    /// Per node its partitions.
    held: Vec<Vec<usize>>,
}

impl<'a> Exchange<'a> {
    fn new(
        present: &[Vec<NodeId>],
        lists: &'a mut [Vec<usize>],
        members: &'a [Member],
        zones: &'a Zones,
    ) -> Self {
        let mut firsts = vec![0; members.len()];
        let mut held = vec![Vec::new(); members.len()];
        let mut before = Vec::with_capacity(lists.len());
        let mut newcomers = Vec::new();
        for (partition, (present, list)) in present.iter().zip(lists.iter()).enumerate() {
            for &owner in list {
                held[owner].push(partition);
            }
            if let Some(&first) = list.first() {
                firsts[first] += 1;
            }
            let mut places: Vec<Option<usize>> = present
                .iter()
                .map(|node| members.binary_search_by_key(node, |member| member.node).ok())
                .collect();
            let named_twice =
                places.iter().enumerate().any(|(at, owner)| owner.is_some() && places[..at].contains(owner));
            if named_twice || places.len() > list.len() {
                before.push(Vec::new());
                continue;
            }
            places.resize(list.len(), None);
            let is_new = |&at: &usize| places[at] != Some(list[at]);
            newcomers.extend((0..list.len()).filter(is_new).map(|at| Place { partition, at }));
            before.push(places);
        }
        let mut exchange =
            Self { members, zones, lists, before, newcomers, firsts, by_firsts: BTreeSet::new(), held };
        exchange.by_firsts = (0..members.len()).map(|node| (exchange.frequency(node), node)).collect();
        exchange
    }

    fn owner(&self, place: Place) -> usize {
        self.lists[place.partition][place.at]
    }

    /// Which member was in a place before.
    fn owner_before(&self, place: Place) -> Option<usize> {
        self.before[place.partition].get(place.at).copied().flatten()
    }

    /// Whether a place is a newcomer's.
    fn is_newcomer(&self, place: Place) -> bool {
        !self.before[place.partition].is_empty() && self.owner_before(place) != Some(self.owner(place))
    }

    /// Whether firsts are more even when one node is first once less, and another once more.
    fn helps(&self, less: usize, more: usize) -> bool {
        let weight = |node: usize| u64::from(self.members[node].weight);
        self.firsts[less] > 0
            && (2 * self.firsts[more] + 1) * weight(less) < (2 * self.firsts[less] - 1) * weight(more)
    }

    /// Whether a node can take a place in a partition from its owner.
    fn fits(&self, node: usize, place: Place) -> bool {
        let list = &self.lists[place.partition];
        let (from, to) = (self.zones.of[list[place.at]], self.zones.of[node]);
        let count = |zone| list.iter().filter(|&&owner| self.zones.of[owner] == zone).count();
        let in_bounds = from == to || count(from) > self.zones.least(from) && count(to) < self.zones.most(to);
        in_bounds && !list.contains(&node)
    }

    /// Whether a node would be a newcomer to a partition.
    fn would_be_new(&self, node: usize, partition: usize) -> bool {
        let before = &self.before[partition];
        !before.is_empty() && !before.contains(&Some(node))
    }

    /// Makes one newcomer's place more even, if that can be.
    fn improve(&mut self, at: usize) -> bool {
        let place = self.newcomers[at];
        if let Some(other) = self.elsewhere_instead(place) {
            self.swap(place, other);
            self.newcomers[at] = other;
            return true;
        }
        let other = (place.at == 0).then(|| self.other_newcomer(place)).flatten();
        other.inspect(|&other| self.swap(place, other)).is_some()
    }

    /// Another place of the owner that a newcomer has replaced, in which it could replace it instead.
    fn elsewhere_instead(&self, place: Place) -> Option<Place> {
        let (new, old) = (self.owner(place), self.owner_before(place)?);
        let helps = if place.at == 0 { self.helps(new, old) } else { self.helps(old, new) };
        if !helps || !self.fits(old, place) {
            return None;
        }
        let other = |&partition: &usize| self.place_of(partition, old);
        self.held[old].iter().filter_map(other).find(|&other| {
            (place.at == 0) != (other.at == 0)
                && self.owner_before(other) == Some(old)
                && self.would_be_new(new, other.partition)
                && self.fits(new, other)
        })
    }

    /// The place of another newcomer to change places with: of the one that is first least often.
    fn other_newcomer(&self, place: Place) -> Option<Place> {
        let new = self.owner(place);
        let rarest = self.by_firsts.iter().map(|&(_, node)| node);
        let mut places = rarest.take_while(|&node| self.helps(new, node)).flat_map(|node| {
            self.held[node].iter().filter_map(move |&partition| self.place_of(partition, node))
        });
        places.find(|&other| {
            let node = self.owner(other);
            let could = other.partition == place.partition
                || self.would_be_new(node, place.partition)
                    && self.would_be_new(new, other.partition)
                    && self.fits(node, place)
                    && self.fits(new, other);
            could && other.at != 0 && self.is_newcomer(other)
        })
    }

    fn place_of(&self, partition: usize, node: usize) -> Option<Place> {
        let at = self.lists[partition].iter().position(|&owner| owner == node)?;
        Some(Place { partition, at })
    }

    fn count_first(&mut self, node: usize, change: i64) {
        self.by_firsts.remove(&(self.frequency(node), node));
        self.firsts[node] = self.firsts[node].saturating_add_signed(change);
        self.by_firsts.insert((self.frequency(node), node));
    }

    /// How much more the sum of firsts² / weight is when a node is first once more, in parts so fine that no two
    /// differ by less than one.
    fn frequency(&self, node: usize) -> u128 {
        (u128::from(2 * self.firsts[node] + 1) << u64::BITS) / u128::from(self.members[node].weight)
    }

    fn swap(&mut self, a: Place, b: Place) {
        let (of_a, of_b) = (self.owner(a), self.owner(b));
        for (place, from, to) in [(a, of_a, of_b), (b, of_b, of_a)] {
            self.lists[place.partition][place.at] = to;
            if place.at == 0 {
                self.count_first(from, -1);
                self.count_first(to, 1);
            }
            if a.partition != b.partition {
                self.held[from].retain(|&partition| partition != place.partition);
                self.held[to].push(place.partition);
            }
        }
    }
}
