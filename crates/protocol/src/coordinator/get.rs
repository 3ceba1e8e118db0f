//! A read at its coordinator: R replicas, the nearest first; merge, answer, then repair who was stale.
//!
//! The coordinator is one of the R. It sends the digest of what it has, and a replica that has the same says just
//! that: one round trip, and a container crosses the network only where it differs.

use std::sync::Arc;

use super::quorum::Tally;
use super::{Job, Running, Target, delete, read_error, timed_out};
use crate::id::{Epoch, NodeId};
use crate::layout::Layout;
use crate::message::{Fetched, Message, Place, Refusal, Tag};
use crate::node::Node;
use crate::operation::{Failure, Found, OperationError, Outcome, Written};
use crate::time::{Now, Time};
use crate::turn::Turn;
use crate::version::{Container, Context, Digest, Sibling, Union};
use crate::working_set::{Held, Task};

#[derive(Debug)]
enum Purpose {
    Get,
    /// Find out what to delete; the client has seen this much.
    Delete(Context),
}

/// A read under way.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(super) target: Target,
    purpose: Purpose,
    tally: Tally,
    /// What this node held when the read began.
    local: Option<Held>,
    /// The union of all replies, when one differed from the local container.
    merged: Option<Union>,
    /// Who has answered, and what it held.
    replies: Vec<(NodeId, Digest)>,
    asked: Vec<(NodeId, Time)>,
    /// Fallbacks that keep nothing of the key.
    empty: Vec<NodeId>,
}

impl Reading {
    pub(super) fn for_get(target: Target, counting: &[NodeId]) -> Self {
        Self::new(target, counting, Purpose::Get)
    }

    pub(super) fn for_delete(target: Target, counting: &[NodeId], seen: Context) -> Self {
        Self::new(target, counting, Purpose::Delete(seen))
    }

    fn new(target: Target, counting: &[NodeId], purpose: Purpose) -> Self {
        let tally = Tally::of_read(counting, target.quorums.read);
        Self {
            target,
            purpose,
            tally,
            local: None,
            merged: None,
            replies: Vec::new(),
            asked: Vec::new(),
            empty: Vec::new(),
        }
    }

    /// What a delete that reads first has seen so far; none for a read.
    pub(super) fn deletes(&self) -> Option<&Context> {
        match &self.purpose {
            Purpose::Get => None,
            Purpose::Delete(seen) => Some(seen),
        }
    }

    pub(super) fn expired(&self) -> OperationError {
        read_error(timed_out(self.tally.needed(), self.tally.counted()))
    }

    /// Whether the link that went down may have carried a request or its reply.
    pub(super) fn waits_for(&self, peer: NodeId) -> bool {
        self.asked.iter().any(|&(asked, _)| asked == peer) && !self.tally.has(peer)
    }

    /// Whether all that could still answer are too few: some fallbacks have nothing to say of the key.
    fn is_hopeless(&self, is_live: impl Fn(NodeId) -> bool) -> bool {
        let may_answer = |&&(asked, _): &&(NodeId, Time)| {
            !self.tally.has(asked) && !self.empty.contains(&asked) && is_live(asked)
        };
        let waiting = u32::try_from(self.asked.iter().filter(may_answer).count()).unwrap_or(u32::MAX);
        !self.empty.is_empty() && self.tally.counted().saturating_add(waiting) < self.tally.needed()
    }

    fn fetch(&self, tag: Tag, epoch: Epoch, from: NodeId) -> Message {
        let have = self.local.as_ref().map(|held| held.digest);
        let place = if self.tally.counting().contains(&from) { Place::Replica } else { Place::Fallback };
        Message::Fetch { tag, epoch, key: self.target.key.clone(), have, place }
    }
}

impl Node {
    /// The key's container is here: this node's own answer.
    pub(super) fn get_loaded(&mut self, turn: &mut Turn<'_>, tag: Tag, mut running: Running, held: Held) {
        let Job::Get(reading) = &mut running.job else {
            return;
        };
        let keeps = reading.target.place == Place::Fallback && !held.container.is_absent();
        if keeps && let Some(target) = reading.tally.next_target(|_| true) {
            reading.tally.add_stand_in(self.config.node, target);
        }
        reading.tally.count(self.config.node);
        reading.replies.push((self.config.node, held.digest));
        reading.local = Some(held);
        if reading.tally.is_met() {
            self.get_done(turn, running);
            return;
        }
        let missing = reading.tally.needed().saturating_sub(reading.tally.counted()).max(1);
        for _ in 0..missing {
            self.get_ask_fresh(turn, tag, reading);
        }
        running.timer = running.deadline.min(turn.time() + self.links.hedge_delay());
        self.coordinator.put_back(tag, Box::new(running));
    }

    /// Asks the nearest replica that has not been asked, if there is one.
    fn get_ask_fresh(&self, turn: &mut Turn<'_>, tag: Tag, reading: &mut Reading) -> bool {
        let Some(layout) = &self.layout else { return false };
        let me = self.config.node;
        let candidates = reading.tally.counting().iter().copied().filter(|&replica| {
            replica != me
                && self.links.is_live(replica)
                && !reading.asked.iter().any(|asked| asked.0 == replica)
        });
        // The first of equals: owners stand in order of preference.
        let nearest = candidates.min_by_key(|&replica| self.links.distance_us(replica));
        let Some(next) = nearest.or_else(|| self.get_stand_in(layout, reading)) else {
            return false;
        };
        reading.asked.push((next, turn.time()));
        turn.send(next, reading.fetch(tag, layout.epoch, next));
        true
    }

    /// In sloppy mode: the next fallback stands in for a primary that is away or late.
    fn get_stand_in(&self, layout: &Layout, reading: &mut Reading) -> Option<NodeId> {
        if !reading.target.quorums.sloppy {
            return None;
        }
        let me = self.config.node;
        let asked = |holder: NodeId| reading.asked.iter().any(|asked| asked.0 == holder);
        let mut fallbacks = layout.fallbacks(reading.target.key.partition).into_iter();
        let holder =
            fallbacks.find(|&holder| holder != me && self.links.is_live(holder) && !asked(holder))?;
        let away = reading.tally.next_target(|primary| !self.links.is_live(primary));
        let target = away.or_else(|| reading.tally.next_target(|primary| primary != me))?;
        reading.tally.add_stand_in(holder, target);
        Some(holder)
    }

    /// Asks those again who have not answered. Only on a timer: were a refusal answered with this, two
    /// replicas that refuse would double the requests with every round trip.
    fn get_ask_again(&self, turn: &mut Turn<'_>, tag: Tag, reading: &Reading) {
        let Some(layout) = &self.layout else { return };
        for &(replica, _) in &reading.asked {
            if !reading.tally.has(replica) && self.links.is_live(replica) {
                turn.send(replica, reading.fetch(tag, layout.epoch, replica));
            }
        }
    }

    /// Fallbacks that went away stand in no more. Always true: it is one step of several.
    fn give_up_dead(&self, reading: &mut Reading) -> bool {
        let dead: Vec<NodeId> = reading.tally.stand_ins().iter().map(|other| other.holder).collect();
        for holder in dead.into_iter().filter(|&holder| holder != self.config.node) {
            if !self.links.is_live(holder) {
                reading.tally.fail(holder);
            }
        }
        true
    }

    /// A reply is late: another replica is asked as well.
    pub(super) fn get_step(&mut self, turn: &mut Turn<'_>, tag: Tag, mut running: Box<Running>) {
        if let Job::Get(reading) = &mut running.job
            && reading.local.is_some()
            && self.give_up_dead(reading)
            && !self.get_ask_fresh(turn, tag, reading)
        {
            self.get_ask_again(turn, tag, reading);
        }
        // Rarer than the first time, so that a dead cluster is not asked in a storm.
        let waited = self.links.hedge_delay() * 4;
        running.timer = running.deadline.min(turn.time() + waited);
        self.coordinator.put_back(tag, running);
    }

    /// A replica has answered.
    pub(crate) fn on_fetch_reply(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        tag: Tag,
        epoch: Epoch,
        result: Result<Fetched, Refusal>,
    ) {
        let current = self.layout.as_ref().is_some_and(|layout| layout.epoch == epoch);
        let Some(mut running) = self.coordinator.take(tag) else {
            return;
        };
        let Job::Get(reading) = &mut running.job else {
            self.coordinator.put_back(tag, running);
            return;
        };
        let asked = reading.asked.iter().find(|asked| asked.0 == from).map(|asked| asked.1);
        if let (Some(asked), Some(local), false) = (asked, &reading.local, reading.tally.has(from)) {
            if matches!(result, Err(Refusal::NothingKept)) && !reading.empty.contains(&from) {
                reading.empty.push(from);
            }
            let answer = match result {
                Ok(Fetched::Same) => Some(None),
                Ok(Fetched::Container { container, echo }) if self.is_fresh(turn, echo) => {
                    container.decode().ok().map(Some)
                }
                Ok(Fetched::Container { .. }) | Err(_) => None,
            };
            match answer {
                Some(theirs) if current => {
                    self.links.measured(from, turn.time().since(asked));
                    let digest = theirs.as_ref().map_or(local.digest, Container::digest);
                    if let Some(theirs) = theirs {
                        let lww = reading.target.quorums.lww;
                        let begin = || Union::of(Container::clone(&local.container), lww);
                        reading.merged.get_or_insert_with(begin).add(&theirs, turn.now.wall_ms);
                    }
                    reading.replies.push((from, digest));
                    reading.tally.count(from);
                }
                _ => {
                    reading.tally.fail(from);
                    if !self.get_ask_fresh(turn, tag, reading)
                        && reading.is_hopeless(|node| self.links.is_live(node))
                    {
                        self.get_fails(turn, *running);
                        return;
                    }
                }
            }
        }
        if reading.tally.is_met() {
            self.get_done(turn, *running);
        } else {
            self.coordinator.put_back(tag, running);
        }
    }

    /// Nobody is left who could answer: better to say so now than when the time is over.
    fn get_fails(&mut self, turn: &mut Turn<'_>, running: Running) {
        let Job::Get(reading) = &running.job else { return };
        let (needed, reachable) = (reading.tally.needed(), reading.tally.counted());
        self.stats.quorum_shortfalls += 1;
        self.finish(turn, running.source, Err(read_error(Failure::QuorumUnavailable { needed, reachable })));
    }

    /// R replicas have answered.
    fn get_done(&mut self, turn: &mut Turn<'_>, running: Running) {
        let Job::Get(Reading { target, purpose, tally, local: Some(local), merged, replies, .. }) =
            running.job
        else {
            return;
        };
        let merged = match merged {
            None => local,
            Some(union) => {
                let container = union.expired(turn.now.wall_ms);
                Held {
                    encoded: container.encode(),
                    digest: container.digest(),
                    container: Arc::new(container),
                    commit: local.commit,
                }
            }
        };
        let epoch = self.layout.as_ref().map_or(Epoch(0), |layout| layout.epoch);
        let (primaries, fallbacks) = (tally.primaries(), tally.fallbacks());
        match purpose {
            Purpose::Get => {
                let siblings = shown(&merged.container, target.quorums.lww, turn.now.wall_ms);
                self.stats.saw_siblings(siblings.len());
                let context = self.token_of(&target, &merged.container.context);
                let found = Found { siblings, context, primaries, fallbacks, epoch };
                self.finish(turn, running.source, Ok(Outcome::Get(found)));
            }
            Purpose::Delete(mut seen) => {
                let after_read = seen.is_empty();
                seen.join(&merged.container.context);
                if seen.is_empty() {
                    // There is nothing, and never was: nothing to write either.
                    let written =
                        Written { context: self.token_of(&target, &seen), primaries, fallbacks, epoch };
                    self.finish(turn, running.source, Ok(Outcome::Delete(written)));
                } else {
                    let waiting = delete::Waiting::new(target.clone(), seen, after_read);
                    self.start(turn, running.source, running.deadline, Job::Delete(waiting));
                }
            }
        }
        self.repair(turn, &target, running.began, &merged, &replies);
        if target.place == Place::Replica {
            self.expire_swept(turn, &target.key, &merged.container);
        }
    }

    /// After the answer: the owners that answered with less than the union get the union.
    fn repair(
        &mut self,
        turn: &mut Turn<'_>,
        target: &Target,
        began: Now,
        merged: &Held,
        replies: &[(NodeId, Digest)],
    ) {
        let Some(layout) = self.layout.clone() else { return };
        if !self.config.limits.read_repair {
            return;
        }
        for &(replica, digest) in replies {
            if digest == merged.digest || !layout.is_holder(target.key.partition, replica) {
                continue;
            }
            self.stats.read_repairs += 1;
            let container = merged.encoded.clone();
            if replica == self.config.node {
                let echo = self.link_time(began);
                self.with_key(turn, &target.key, Task::Merge { reply: None, container, echo });
            } else if let Some(echo) = self.echoes.known_at(replica, began.link) {
                let (epoch, key) = (layout.epoch, target.key.clone());
                turn.send(replica, Message::Replicate { tag: None, epoch, key, container, echo });
            }
        }
    }
}

/// The siblings that an answer shows: none whose time is over; of one operation and equal value one; in an lww bucket
/// the last written or, when the time of that is over, none.
fn shown(container: &Container, lww: bool, wall_ms: u64) -> Vec<Sibling> {
    let lives = |sibling: &&Sibling| !sibling.is_expired(wall_ms);
    if lww {
        return container.last_written().filter(lives).cloned().into_iter().collect();
    }
    let mut shown: Vec<Sibling> = Vec::with_capacity(container.siblings.len());
    for sibling in container.siblings.iter().filter(lives) {
        let again = |other: &Sibling| other.operation == sibling.operation && other.value == sibling.value;
        if !shown.iter().any(again) {
            shown.push(sibling.clone());
        }
    }
    shown
}
