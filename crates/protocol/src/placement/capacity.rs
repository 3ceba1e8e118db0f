//! How many partitions each node may own at most, so that the fullest one is as little full as it can be.

use super::zones::Zones;
use crate::layout::Member;

/// The most partitions per unit of weight: `partitions / weight`.
#[derive(Clone, Copy, Debug)]
struct Overload {
    partitions: u64,
    weight: u64,
}

impl Overload {
    /// What a node of this weight may own at most: all partitions, if that is less.
    fn ceiling(self, weight: u32, partitions: u64) -> u64 {
        // Both factors fit into 32 bits.
        (self.partitions * u64::from(weight) / self.weight).min(partitions)
    }
}

/// The most that each node may own under the least overload under which every partition can have its `n` owners.
///
/// Partitions are alike as long as nobody looks at who owns them now, so whether loads can be had needs no search. An
/// assignment with these loads, averaged over the partitions, is one fractional choice of owners that obeys every
/// bound of a partition. The other way, every partition making that one fractional choice is a flow with whole loads
/// and whole bounds, and where there is such a flow there is a whole one. Hence ceilings suffice if and only if every
/// zone can carry its least share, and all zones together, each up to its greatest share, carry everything.
///
/// The least overload is that of some node that it binds, so it is a number of partitions over some member's weight.
/// For each weight the least number that suffices is found by bisection, which is seldom asked for: only when the
/// weight has a fraction below the least so far that suffices too.
pub(super) fn ceilings(members: &[Member], zones: &Zones, n: usize, partitions: usize) -> Vec<usize> {
    let (n, partitions) = (n as u64, partitions as u64);
    let suffices = |overload: Overload| {
        let mut carried = 0;
        for zone in 0..zones.len() {
            let ceiling = |&at: &usize| overload.ceiling(members[at].weight, partitions);
            let capacity: u64 = zones.members_of(zone).iter().map(ceiling).sum();
            if capacity < zones.least(zone) as u64 * partitions {
                return false;
            }
            carried += capacity.min(zones.most(zone) as u64 * partitions);
        }
        carried >= n * partitions
    };
    let mut weights: Vec<u32> = members.iter().map(|member| member.weight).collect();
    weights.sort_unstable();
    weights.dedup();
    // Under this one nobody is bound: the lightest node may own everything.
    let lightest = weights.first().copied().unwrap_or(1);
    let mut least = Overload { partitions, weight: u64::from(lightest) };
    for weight in weights.into_iter().map(u64::from) {
        let of = |partitions| Overload { partitions, weight };
        // The greatest fraction of this weight that is less than the least so far.
        let below = (least.partitions * weight).div_ceil(least.weight).saturating_sub(1);
        if !suffices(of(below)) {
            continue;
        }
        let (mut too_few, mut enough) = (0, below);
        while enough - too_few > 1 {
            let middle = too_few + (enough - too_few) / 2;
            if suffices(of(middle)) {
                enough = middle;
            } else {
                too_few = middle;
            }
        }
        least = of(enough);
    }
    // A ceiling is at most the number of partitions, which is a usize.
    let ceiling = |member: &Member| usize::try_from(least.ceiling(member.weight, partitions));
    members.iter().map(|member| ceiling(member).unwrap_or(usize::MAX)).collect()
}
