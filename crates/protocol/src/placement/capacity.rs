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
        // The least overload may be that of a heavy node: its partitions are many times those that there are.
        let owned = u128::from(self.partitions) * u128::from(weight) / u128::from(self.weight);
        u64::try_from(owned).map_or(partitions, |owned| owned.min(partitions))
    }
}

/// The most that each node may own: what it owns at most under the least overload under which every partition can have
/// its `n` owners, and in a zone whose share does not depend on that, under the least that carries the zone's share.
///
/// Partitions are alike as long as nobody looks at who owns them now, so whether loads can be had needs no search. An
/// assignment with these loads, averaged over the partitions, is one fractional choice of owners that obeys every
/// bound of a partition. The other way, every partition making that one fractional choice is a flow with whole loads
/// and whole bounds, and where there is such a flow there is a whole one. Hence ceilings suffice if and only if every
/// zone can carry its least share, and all zones together, each up to its greatest share, carry everything.
///
/// A zone that cannot carry its least share under the common overload needs a greater one, and one that carries its
/// greatest share under it can do with a lesser one. Were all bound by the fullest node of the cluster alone, a small
/// zone would leave the others as uneven as they are, and who joins a large one would get nothing.
pub(super) fn ceilings(members: &[Member], zones: &Zones, n: usize, partitions: usize) -> Vec<usize> {
    let (n, partitions) = (n as u64, partitions as u64);
    let capacity = |zone: usize, overload: Overload| -> u64 {
        let ceiling = |&at: &usize| overload.ceiling(members[at].weight, partitions);
        zones.members_of(zone).iter().map(ceiling).sum()
    };
    let bounds = |zone: usize| (zones.least(zone) as u64 * partitions, zones.most(zone) as u64 * partitions);
    let everyone: Vec<usize> = (0..members.len()).collect();
    let common = least(members, &everyone, partitions, |overload| {
        let carried = |zone: usize| {
            let (least, most) = bounds(zone);
            capacity(zone, overload).clamp(least, most)
        };
        (0..zones.len()).map(carried).sum::<u64>() >= n * partitions
    });
    let of_zone = |zone: usize| {
        let (fewest, most) = bounds(zone);
        let carried = capacity(zone, common);
        if (fewest..=most).contains(&carried) {
            return common;
        }
        let share = carried.clamp(fewest, most);
        least(members, zones.members_of(zone), partitions, |overload| capacity(zone, overload) >= share)
    };
    let overloads: Vec<Overload> = (0..zones.len()).map(of_zone).collect();
    let ceiling = |(member, &zone): (&Member, &usize)| {
        // A ceiling is at most the number of partitions, which is a usize.
        usize::try_from(overloads[zone].ceiling(member.weight, partitions)).unwrap_or(usize::MAX)
    };
    members.iter().zip(&zones.of).map(ceiling).collect()
}

/// The least overload that suffices for these members; that under which each may own everything does.
///
/// It is that of some node that it binds, so it is a number of partitions over some member's weight. For each weight
/// the least number that suffices is found by bisection, which is seldom asked for: only when the weight has a
/// fraction below the least so far that suffices too.
fn least(members: &[Member], of: &[usize], partitions: u64, suffices: impl Fn(Overload) -> bool) -> Overload {
    let mut weights: Vec<u32> = of.iter().map(|&at| members[at].weight).collect();
    weights.sort_unstable();
    weights.dedup();
    // Under this one nobody is bound: the lightest node may own everything.
    let lightest = weights.first().copied().unwrap_or(1);
    let mut least = Overload { partitions, weight: u64::from(lightest) };
    for weight in weights.into_iter().map(u64::from) {
        let of = |partitions| Overload { partitions, weight };
        // The greatest fraction of this weight that is less than the least so far.
        let equal = (u128::from(least.partitions) * u128::from(weight)).div_ceil(u128::from(least.weight));
        // At most all partitions times how many times heavier than the lightest this node is, 47 bits.
        let below = u64::try_from(equal).unwrap_or(u64::MAX).saturating_sub(1);
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
    least
}
