//! In which order a partition's owners are listed.

use super::{by_share, tie};
use crate::id::NodeId;
use crate::layout::Member;

/// Lists the owners of every partition in order of preference.
///
/// Who stays keeps its place, and newcomers take the places of those who leave, the last places where there are
/// more; where more leave, the last places fall away. Clients go to the first, so of several newcomers the one that
/// is first least often, per weight, takes the foremost place.
pub(super) fn arrange(present: &[Vec<NodeId>], owners: &[Vec<usize>], members: &[Member]) -> Vec<Vec<usize>> {
    let places: Vec<Vec<Option<usize>>> =
        present.iter().zip(owners).map(|(present, owners)| keep(present, owners, members)).collect();
    let mut firsts = vec![0; members.len()];
    for &first in places.iter().filter_map(|places| places.first()).flatten() {
        firsts[first] += 1;
    }
    let list = |(partition, (places, owners)): (usize, (&Vec<Option<usize>>, &Vec<usize>))| {
        let mut newcomers: Vec<usize> =
            owners.iter().copied().filter(|&owner| !places.contains(&Some(owner))).collect();
        newcomers.sort_by(|&a, &b| {
            by_share(members, &firsts, a, b)
                .then_with(|| tie(partition, members[a].node).cmp(&tie(partition, members[b].node)))
        });
        if let (Some(None), Some(&first)) = (places.first(), newcomers.first()) {
            firsts[first] += 1;
        }
        let mut newcomers = newcomers.into_iter();
        let owner = |place: &Option<usize>| place.or_else(|| newcomers.next());
        places.iter().filter_map(owner).collect()
    };
    places.iter().zip(owners).enumerate().map(list).collect()
}

/// The places of a partition's list, with those who stay in it.
fn keep(present: &[NodeId], owners: &[usize], members: &[Member]) -> Vec<Option<usize>> {
    let mut places: Vec<Option<usize>> = Vec::with_capacity(present.len().max(owners.len()));
    for &node in present {
        let stays = owners.iter().copied().find(|&owner| members[owner].node == node);
        // Who is named twice has the first place.
        places.push(stays.filter(|&owner| !places.contains(&Some(owner))));
    }
    while places.len() > owners.len() {
        let Some(at) = places.iter().rposition(Option::is_none) else { break };
        places.remove(at);
    }
    places.resize(owners.len(), None);
    places
}
