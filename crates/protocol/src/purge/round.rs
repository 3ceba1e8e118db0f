//! One round of asking everybody about keys of one partition.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::id::{ActorId, Epoch, NodeId, PartitionId};
use crate::message::{KeyDigest, Message, Refusal, Tag, Vote};
use crate::node::Node;
use crate::time::Time;
use crate::turn::Turn;

/// Keys of one round.
const KEYS: usize = 500;
/// Rounds under way at once.
const ROUNDS: usize = 4;
/// Looked for work no more often than this.
const STEP_MIN: Duration = Duration::from_millis(50);

/// A round under way.
#[derive(Debug)]
pub(super) struct Round {
    partition: PartitionId,
    epoch: Epoch,
    keys: Vec<KeyDigest>,
    actors: Vec<ActorId>,
    /// When the first was asked, by the link clock.
    began: Time,
    /// Who has not answered.
    missing: BTreeSet<NodeId>,
    /// Which keys nobody has denied.
    confirmed: Vec<bool>,
    /// Which of the actors somebody writes under.
    writing: BTreeSet<ActorId>,
}

impl Node {
    /// Asks about the partitions of which this node is the first owner.
    pub(crate) fn purge_step(&mut self, turn: &mut Turn<'_>) {
        if self.purge.wake.is_some_and(|wake| wake > turn.time()) {
            return;
        }
        let bound = self.config.limits.message_age;
        self.purge.wake = Some(turn.time() + (bound / 4).max(STEP_MIN));
        let commits = &self.commits;
        self.purge.candidates.mature(turn.now.link, |number| commits.is_durable(number));
        self.hints.mature(turn.now.link, |number| commits.is_durable(number));
        let now = turn.now.link;
        self.purge.rounds.retain(|_, round| now.since(round.began) <= bound);
        let Some(layout) = self.layout.clone().filter(|layout| layout.is_stable()) else { return };
        let me = self.config.node;
        let others = || layout.members.iter().map(|member| member.node).filter(|&node| node != me);
        if !self.writable || !others().all(|node| self.links.is_live(node)) {
            return;
        }
        for partition in self.purge.candidates.partitions() {
            let busy = self.purge.rounds.values().any(|round| round.partition == partition);
            if self.purge.rounds.len() >= ROUNDS || busy || layout.owners(partition).first() != Some(&me) {
                continue;
            }
            // What could not be forgotten, all actors being in use, is not asked about again and again.
            let old =
                self.purge.candidates.of(partition).filter(|(_, found)| {
                    self.is_long_ago(turn, found.since) && !found.asked_within(now, bound)
                });
            let chosen: Vec<_> = old.take(KEYS).collect();
            if chosen.is_empty() {
                continue;
            }
            let actors: BTreeSet<ActorId> =
                chosen.iter().flat_map(|(_, found)| found.actors.clone()).collect();
            let keys: Vec<KeyDigest> = chosen
                .into_iter()
                .map(|(key, found)| KeyDigest { key: key.clone(), digest: found.digest })
                .collect();
            self.begin_round(turn, partition, keys, actors.into_iter().collect(), others().collect());
        }
    }

    fn begin_round(
        &mut self,
        turn: &mut Turn<'_>,
        partition: PartitionId,
        keys: Vec<KeyDigest>,
        actors: Vec<ActorId>,
        others: BTreeSet<NodeId>,
    ) {
        let (tag, epoch) = (self.coordinator.new_tag(), self.epoch());
        for &member in &others {
            let (keys, actors) = (keys.clone(), actors.clone());
            turn.send(member, Message::PurgeAsk { tag, epoch, partition, keys, actors });
        }
        for KeyDigest { key, .. } in &keys {
            self.purge.candidates.asked(key, turn.now.link);
        }
        let own = self.vote(turn, partition, &keys, &actors);
        let confirmed = vec![true; keys.len()];
        let (began, missing, writing) = (turn.now.link, others, BTreeSet::new());
        let round = Round { partition, epoch, keys, actors, began, missing, confirmed, writing };
        self.purge.rounds.insert(tag, round);
        self.count_vote(turn, None, tag, epoch, &own);
    }

    /// A member has answered.
    pub(crate) fn on_purge_vote(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        tag: Tag,
        epoch: Epoch,
        result: Result<Vote, Refusal>,
    ) {
        match result {
            Ok(vote) => self.count_vote(turn, Some(from), tag, epoch, &vote),
            Err(_) => {
                self.purge.rounds.remove(&tag);
            }
        }
    }

    fn count_vote(&mut self, turn: &mut Turn<'_>, from: Option<NodeId>, tag: Tag, epoch: Epoch, vote: &Vote) {
        let current = self.epoch();
        let Some(round) = self.purge.rounds.get_mut(&tag) else { return };
        if round.epoch != epoch || current != epoch || vote.confirmed.len() != round.keys.len() {
            self.purge.rounds.remove(&tag);
            return;
        }
        if from.is_some_and(|from| !round.missing.remove(&from)) {
            return;
        }
        for (all, one) in round.confirmed.iter_mut().zip(&vote.confirmed) {
            *all &= one;
        }
        round.writing.extend(&vote.mine);
        if round.missing.is_empty()
            && let Some(round) = self.purge.rounds.remove(&tag)
        {
            self.finish_round(turn, round);
        }
    }

    fn finish_round(&mut self, turn: &mut Turn<'_>, round: Round) {
        // All answers lie between the first question and now.
        let in_time = turn.now.link.since(round.began) <= self.config.limits.message_age;
        let Round { partition, epoch, keys, actors, began, confirmed, writing, .. } = round;
        let retired: Vec<ActorId> = actors.into_iter().filter(|actor| !writing.contains(actor)).collect();
        let shrinks = |asked: &KeyDigest| {
            self.purge.candidates.get(&asked.key).is_some_and(|candidate| candidate.shrinks(&retired))
        };
        let confirmed =
            keys.into_iter().zip(confirmed).filter(|(_, confirmed)| *confirmed).map(|(key, _)| key);
        let keys: Vec<KeyDigest> = confirmed.filter(shrinks).collect();
        // There may be more.
        self.purge.wake = Some(turn.time() + STEP_MIN);
        let Some(layout) = self.layout.clone().filter(|_| in_time && !keys.is_empty()) else { return };
        for &owner in layout.owners(partition) {
            if owner == self.config.node {
                continue;
            }
            if let Some(echo) = self.echoes.known_at(owner, began) {
                let (keys, retired) = (keys.clone(), retired.clone());
                turn.send(owner, Message::Forget { epoch, keys, retired, echo });
            }
        }
        let echo = self.link_time(crate::time::Now { link: began, ..turn.now });
        self.on_forget(turn, self.config.node, epoch, keys, &retired, echo);
    }
}
