//! Which member is in which zone, and how many owners of one partition a zone may have.

use std::collections::BTreeMap;

use crate::layout::Member;

/// The zones of some members, by number, and their bounds.
#[derive(Debug)]
pub(super) struct Zones {
    /// The zone of each member.
    pub(super) of: Vec<usize>,
    /// The members, zone after zone.
    pub(super) members: Vec<usize>,
    /// Where each zone begins in `members`, and after the last one its length.
    starts: Vec<usize>,
    /// The fewest and the most owners that one partition may have in each zone.
    bounds: Vec<(usize, usize)>,
}

impl Zones {
    /// The zones of these members, with bounds for `n` owners.
    ///
    /// With k the least number for which k owners from each zone, or all where a zone has fewer, make n, a zone has
    /// k - 1 or k owners of every partition, or all its members where those are fewer. So zones are distinct while
    /// there are enough of them (k is 1), and as even as their sizes allow when there are not.
    pub(super) fn new(members: &[Member], n: usize) -> Self {
        let mut by_label: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (at, member) in members.iter().enumerate() {
            by_label.entry(&member.zone).or_default().push(at);
        }
        let mut zones = Self {
            of: vec![0; members.len()],
            members: Vec::with_capacity(members.len()),
            starts: vec![0],
            bounds: Vec::new(),
        };
        let most = |k: usize| by_label.values().map(|zone| zone.len().min(k)).sum::<usize>();
        let k = (0..=n).find(|&k| most(k) >= n).unwrap_or(n);
        for (number, zone) in by_label.values().enumerate() {
            for &at in zone {
                zones.of[at] = number;
            }
            zones.members.extend_from_slice(zone);
            zones.starts.push(zones.members.len());
            zones.bounds.push((zone.len().min(k.saturating_sub(1)), zone.len().min(k)));
        }
        zones
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.bounds.len()
    }

    /// Where a zone's members begin in `members`, and where the next zone's do.
    pub(super) fn range(&self, zone: usize) -> (usize, usize) {
        (self.starts[zone], self.starts[zone + 1])
    }

    /// The members in a zone, by id.
    pub(super) fn members_of(&self, zone: usize) -> &[usize] {
        &self.members[self.starts[zone]..self.starts[zone + 1]]
    }

    /// The fewest owners of one partition in a zone.
    pub(super) fn least(&self, zone: usize) -> usize {
        self.bounds[zone].0
    }

    /// The most owners of one partition in a zone.
    pub(super) fn most(&self, zone: usize) -> usize {
        self.bounds[zone].1
    }
}
