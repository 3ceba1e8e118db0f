//! Asking others what they know of this node, and what follows: taking part, or giving up.
//!
//! On every new link a node asks what the peer has seen of it, and it counts for that peer only when the peer has answered and nothing
//! betrays it. A node that was started again takes part in nothing before all whose links are up have answered, among them another
//! owner of each of its partitions. Until then its batches carry no life, and others take nothing from it but what makes acquaintance.

use std::collections::BTreeMap;

use super::asks::Asks;
use super::lives::Shown;
use super::{Betrayal, Life, Lives};
use crate::effect::{Effect, Notice};
use crate::id::NodeId;
use crate::message::{Message, Stamp};
use crate::node::Node;
use crate::store::Sequence;
use crate::time::{Now, Time};
use crate::turn::Turn;

/// Whether this node may count for anything, and what it knows that others may not.
#[derive(Debug)]
pub(crate) struct Standing {
    past: BTreeMap<u64, Life>,
    sequence: Sequence,
    lives: Lives,
    /// Whether what is known of others is on its way to the next commit.
    rides: bool,
    /// Whether it takes part in nothing yet, and until when at most.
    waits: bool,
    waits_until: Option<Time>,
    /// Whether it takes part although some had not answered in time.
    is_unvouched: bool,
    has_given_up: bool,
    asks: Asks,
}

impl Standing {
    pub(crate) fn new(
        past: BTreeMap<u64, Life>,
        lives: BTreeMap<NodeId, Life>,
        sequence: Sequence,
        waits: bool,
    ) -> Self {
        Self {
            past,
            sequence,
            lives: Lives::recovered(lives),
            rides: false,
            waits,
            waits_until: None,
            is_unvouched: false,
            has_given_up: false,
            asks: Asks::default(),
        }
    }

    /// Whether it takes part in nothing yet.
    pub(crate) fn waits(&self) -> bool {
        self.waits
    }

    /// Whether it began to take part before it had heard enough.
    pub(crate) fn is_unvouched(&self) -> bool {
        self.is_unvouched
    }

    /// Whether it takes part in nothing any more.
    pub(crate) fn has_given_up(&self) -> bool {
        self.has_given_up
    }

    /// When something is due.
    pub(crate) fn next_timer(&self) -> Option<Time> {
        self.waits_until.into_iter().chain(self.asks.next_timer()).min()
    }

    /// Storage has reported how far the directory goes.
    pub(crate) fn reached(&mut self, sequence: Sequence) {
        self.sequence = self.sequence.max(sequence);
    }
}

impl Node {
    /// What a batch for a peer says of its sender: the clocks, and its life where that counts.
    pub fn stamp(&self, now: Now, to: NodeId) -> Stamp {
        let life = (!self.standing.waits && self.links.has_vouched(to)).then_some(Life {
            boot: self.config.boot,
            start: self.config.start,
            sequence: self.standing.sequence,
        });
        Stamp { hlc: self.hlc, clock: self.link_time(now), life }
    }

    /// The process has started.
    pub(crate) fn begin_standing(&mut self, turn: &mut Turn<'_>) {
        if self.standing.waits {
            self.standing.waits_until = Some(turn.time() + self.config.limits.start_wait);
            self.look_at_standing(turn);
        }
    }

    /// A link is up: what does that peer know of this node?
    pub(crate) fn ask_recall(&mut self, turn: &mut Turn<'_>, peer: NodeId) {
        turn.send(peer, Message::Recall);
        self.standing.asks.begin(turn.time(), peer);
    }

    /// A peer wants to know what is known of it.
    pub(crate) fn on_recall(&self, turn: &mut Turn<'_>, from: NodeId) {
        let life = self.standing.lives.of(from);
        let departed = self.layout.as_ref().is_some_and(|layout| layout.departed.contains(&from));
        turn.send(from, Message::Recalled { life, departed });
    }

    /// A peer says what it knows of this node.
    pub(crate) fn on_recalled(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        seen: Option<Life>,
        departed: bool,
    ) {
        if let Err(betrayal) = self.judge(from, seen, departed) {
            self.standing.has_given_up = true;
            turn.effects.push(Effect::GiveUp(betrayal));
            return;
        }
        if self.links.has_vouched(from) {
            return;
        }
        self.noticing_life(turn, from, |links| links.vouched(from));
        if self.standing.waits {
            self.look_at_standing(turn);
        } else {
            turn.send(from, Message::Beat);
        }
    }

    /// Whether what a peer has seen of this node is in its directory.
    fn judge(&self, by: NodeId, seen: Option<Life>, departed: bool) -> Result<(), Betrayal> {
        if departed {
            return Err(Betrayal::Departed { by });
        }
        let Some(seen) = seen else { return Ok(()) };
        if seen.boot == self.config.boot {
            let is_this = seen.start == self.config.start;
            return if is_this { Ok(()) } else { Err(Betrayal::TwoLives { by, seen }) };
        }
        let held = self.standing.past.get(&seen.boot).filter(|held| held.start == seen.start);
        match held {
            Some(held) if held.sequence >= seen.sequence => Ok(()),
            held => Err(Betrayal::RolledBack { by, seen, held: held.map(|held| held.sequence) }),
        }
    }

    /// A batch came. Returns whether it is of the newest life that its sender has shown, and that life may be trusted.
    pub(crate) fn meet(&mut self, turn: &mut Turn<'_>, from: NodeId, stamp: Stamp) -> bool {
        let Some(life) = stamp.life else { return false };
        match self.standing.lives.hear(turn.time(), from, life) {
            Shown::Other(known) => {
                // A copy's, or one that was sent before its sender died: who lives is told, and judges.
                self.stats.stale_lives += 1;
                let departed = self.layout.as_ref().is_some_and(|layout| layout.departed.contains(&from));
                turn.send(from, Message::Recalled { life: Some(known), departed });
                return false;
            }
            Shown::Fits => {}
        }
        let counts = |node| self.layout.as_ref().is_none_or(|layout| !layout.departed.contains(&node));
        if let Some(put) = self.standing.lives.to_write(turn.time(), counts) {
            self.commits.ride(put);
            self.standing.rides = true;
        }
        self.noticing_life(turn, from, |links| links.met(from, life.start));
        true
    }

    /// After each event: what rode with a commit is on its way to the disk.
    pub(crate) fn note_ride(&mut self, now: Time) {
        if self.standing.rides && !self.commits.has_rider() {
            self.standing.rides = false;
            self.standing.lives.written(now);
        }
    }

    /// Timers are due.
    pub(crate) fn wake_standing(&mut self, turn: &mut Turn<'_>) {
        if self.standing.waits_until.is_some_and(|until| until <= turn.time()) {
            self.standing.is_unvouched = true;
            self.take_part(turn);
        }
        let strangers = |peer| self.links.is_stranger(peer);
        for peer in self.standing.asks.take_due(turn.time(), strangers) {
            turn.send(peer, Message::Recall);
        }
    }

    /// Whether this node has heard enough to take part.
    pub(crate) fn look_at_standing(&mut self, turn: &mut Turn<'_>) {
        if self.standing.waits && self.has_heard_enough() {
            self.take_part(turn);
        }
    }

    fn has_heard_enough(&self) -> bool {
        let me = self.config.node;
        let has_vouched = |node: &NodeId| self.links.has_vouched(*node);
        let Some(layout) = &self.layout else {
            // It may have held one, and been put back to what it was before.
            let mut up = self.links.all_up().peekable();
            return up.peek().is_some() && up.all(|node| self.links.has_vouched(node));
        };
        let others: Vec<NodeId> =
            layout.members.iter().map(|member| member.node).filter(|&node| node != me).collect();
        let all_up_have = others.iter().filter(|node| self.links.is_up(**node)).all(&has_vouched);
        let suffices = |holders: &[NodeId]| {
            let mut others = holders.iter().filter(|&&node| node != me).peekable();
            others.peek().is_none() || others.any(has_vouched)
        };
        // One that is only being added knows little.
        let mine = layout.all_partitions().filter(|&partition| layout.is_holder(partition, me));
        all_up_have
            && suffices(&others)
            && mine.into_iter().all(|partition| suffices(layout.owners(partition)))
    }

    fn take_part(&mut self, turn: &mut Turn<'_>) {
        self.standing.waits = false;
        self.standing.waits_until = None;
        self.links.take_part();
        let vouched = !self.standing.is_unvouched;
        turn.effects.push(Effect::Notice(Notice::Standing { vouched }));
        let up: Vec<NodeId> = self.links.all_up().collect();
        for peer in up {
            if self.links.has_vouched(peer) {
                turn.send(peer, Message::Beat);
            }
            if self.links.is_live(peer) {
                self.peer_is_live(turn, peer);
            }
        }
        // What was put off.
        if self.acceptor.vote(self.epoch()).is_some() {
            self.finish_later(turn);
        }
    }
}
