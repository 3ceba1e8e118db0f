//! Which leaves of which Merkle trees differ between two owners.

use std::collections::{BTreeMap, BTreeSet};

use super::exchange::Wanted;
use super::{AntiEntropy, Peer};
use crate::id::{Epoch, NodeId, PartitionId};
use crate::merkle::{BRANCHES, LEAVES_PER_BRANCH};
use crate::message::{Compared, Differing, Message, Refusal, Tag};
use crate::node::Node;
use crate::time::Time;
use crate::turn::Turn;

/// The most partitions that one comparison speaks of: 18 KiB.
const PARTITIONS_MAX: usize = 1024;
/// The most partitions whose branches one reply shows: 32 KiB.
const BRANCHED_MAX: usize = 64;

/// A comparison with one owner.
#[derive(Debug)]
pub(super) struct Round {
    /// The question about the roots, until it is answered.
    tag: Option<Tag>,
    began: Time,
    /// The partitions that were asked about.
    asked: Vec<PartitionId>,
    /// Leaves that were asked for, and of which branches.
    leaves: BTreeMap<Tag, (PartitionId, Vec<u8>)>,
}

impl AntiEntropy {
    /// Partitions to compare, those that matter most first: more may differ than one reply shows.
    fn next_to_compare(&mut self, with: NodeId) -> Vec<PartitionId> {
        let urgent = self.urgent.iter().filter(|(_, others)| others.contains_key(&with));
        let mut order: Vec<PartitionId> = urgent.map(|(&partition, _)| partition).collect();
        let Some(peer) = self.peers.get_mut(&with) else { return order };
        let Peer { shared, next, suspects, .. } = peer;
        order.extend(suspects.keys());
        let (end, start) = shared.split_at((*next).min(shared.len()));
        order.extend(start.iter().chain(end));
        *next = (*next + BRANCHED_MAX) % shared.len().max(1);
        let mut seen = BTreeSet::new();
        order.retain(|&partition| seen.insert(partition));
        order
    }
}

impl Node {
    /// Begins a comparison with another owner, unless one is under way.
    pub(super) fn compare(&mut self, turn: &mut Turn<'_>, with: NodeId) {
        let patience = self.patience();
        let now = turn.time();
        let under_way = |round: &Round| now.since(round.began) < patience;
        let Some(peer) = self.anti_entropy.peers.get(&with) else { return };
        if peer.round.as_ref().is_some_and(under_way) {
            return;
        }
        let mut roots = Vec::new();
        for partition in self.anti_entropy.next_to_compare(with) {
            if let Some(tree) = self.trees.complete(partition)
                && roots.len() < PARTITIONS_MAX
            {
                roots.push((partition, tree.root()));
            }
        }
        if roots.is_empty() {
            return;
        }
        let tag = self.fresh_tag();
        let asked = roots.iter().map(|(partition, _)| *partition).collect();
        if let Some(peer) = self.anti_entropy.peers.get_mut(&with) {
            peer.round = Some(Round { tag: Some(tag), began: now, asked, leaves: BTreeMap::new() });
        }
        turn.send(with, Message::Compare { tag, epoch: self.epoch(), roots });
    }

    /// Another owner compares.
    pub(crate) fn on_compare(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        tag: Tag,
        epoch: Epoch,
        roots: &[(PartitionId, u128)],
    ) {
        let result = self.fence_member(turn, from, epoch).map(|()| {
            let mut compared = Compared::default();
            for &(partition, theirs) in roots {
                match self.trees.complete(partition) {
                    None => compared.incomplete.push(partition),
                    Some(tree) if tree.root() != theirs => {
                        let shown = compared.differing.len() < BRANCHED_MAX;
                        let branches = if shown { tree.branches().to_vec() } else { Vec::new() };
                        compared.differing.push(Differing { partition, branches });
                    }
                    Some(_) => {}
                }
            }
            compared
        });
        turn.send(from, Message::CompareReply { tag, epoch: self.epoch(), result });
    }

    /// What another owner says of the roots: goes on with the branches that differ.
    pub(crate) fn on_compare_reply(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        tag: Tag,
        epoch: Epoch,
        result: Result<Compared, Refusal>,
    ) {
        let current = epoch == self.epoch();
        let Some(peer) = self.anti_entropy.peers.get_mut(&from) else { return };
        let Some(mut round) = peer.round.take_if(|round| round.tag == Some(tag)) else { return };
        round.tag = None;
        let Some(compared) = result.ok().filter(|_| current) else { return };
        let began = round.began;
        let mut unequal: BTreeSet<PartitionId> = compared.incomplete.into_iter().collect();
        unequal.extend(compared.differing.iter().map(|differing| differing.partition));
        let mut equal = Vec::new();
        for partition in std::mem::take(&mut round.asked) {
            if !unequal.contains(&partition) {
                peer.suspects.remove(&partition);
                equal.push(partition);
            }
        }
        for partition in equal {
            self.anti_entropy.clean(partition, from, began);
        }
        for Differing { partition, branches: theirs } in compared.differing {
            let Some(tree) = self.trees.complete(partition).filter(|_| theirs.len() == BRANCHES) else {
                continue;
            };
            let pairs = (0_u8..).zip(tree.branches().iter().zip(&theirs));
            let branches: Vec<u8> = pairs.filter(|(_, (a, b))| a != b).map(|(branch, _)| branch).collect();
            if !branches.is_empty() {
                let tag = self.fresh_tag();
                round.leaves.insert(tag, (partition, branches.clone()));
                turn.send(from, Message::Leaves { tag, epoch, partition, branches });
            }
        }
        if let Some(peer) = self.anti_entropy.peers.get_mut(&from)
            && !round.leaves.is_empty()
        {
            peer.round = Some(round);
        }
    }

    /// Another owner wants to see leaves.
    pub(crate) fn on_leaves(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        tag: Tag,
        epoch: Epoch,
        partition: PartitionId,
        branches: &[u8],
    ) {
        let result = self.fence_owner(turn, from, epoch, partition).and_then(|()| {
            let tree = self.trees.complete(partition).ok_or(Refusal::Storage)?;
            let known = branches.iter().filter(|&&branch| usize::from(branch) < BRANCHES);
            Ok(known.flat_map(|&branch| tree.leaves_of(branch)).collect())
        });
        turn.send(from, Message::LeavesReply { tag, epoch: self.epoch(), result });
    }

    /// The leaves that another owner has shown: what differs now and differed before is exchanged.
    pub(crate) fn on_leaves_reply(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        tag: Tag,
        epoch: Epoch,
        result: Result<Vec<u128>, Refusal>,
    ) {
        let current = epoch == self.epoch();
        let Some(peer) = self.anti_entropy.peers.get_mut(&from) else { return };
        let Some(round) = &mut peer.round else { return };
        let Some((partition, branches)) = round.leaves.remove(&tag) else { return };
        let began = round.began;
        if round.leaves.is_empty() {
            peer.round = None;
        }
        let Some(theirs) = result.ok().filter(|_| current) else { return };
        let Some(tree) = self.trees.complete(partition) else { return };
        if theirs.len() != branches.len() * LEAVES_PER_BRANCH {
            return;
        }
        let ours = branches.iter().flat_map(|&branch| {
            let first = usize::from(branch) * LEAVES_PER_BRANCH;
            (u16::try_from(first).unwrap_or(0)..).zip(tree.leaves_of(branch))
        });
        let differing: BTreeSet<u16> =
            ours.zip(theirs).filter(|((_, a), b)| a != b).map(|((leaf, _), _)| leaf).collect();
        self.found(turn, from, partition, differing, began);
    }

    /// These leaves of a partition differ.
    fn found(
        &mut self,
        turn: &mut Turn<'_>,
        with: NodeId,
        partition: PartitionId,
        differing: BTreeSet<u16>,
        began: Time,
    ) {
        let urgent = self.anti_entropy.is_urgent(partition, with);
        let Some(peer) = self.anti_entropy.peers.get_mut(&with) else { return };
        let before = peer.suspects.remove(&partition);
        if differing.is_empty() {
            self.anti_entropy.clean(partition, with, began);
            return;
        }
        let lasting: BTreeSet<u16> = match &before {
            _ if urgent => differing,
            Some((leaves, _)) => differing.intersection(leaves).copied().collect(),
            None => {
                peer.suspects.insert(partition, (differing, began));
                return;
            }
        };
        match before {
            // All that differed then was on its way. What differs now may be, too: it has to stand behind others.
            Some((_, then)) if lasting.is_empty() => self.anti_entropy.clean(partition, with, then),
            _ => self.want_exchange(turn, Wanted { with, partition, leaves: lasting }, urgent),
        }
    }
}
