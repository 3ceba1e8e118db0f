//! Hints are brought to their owners: a few at a time, each until the owner has it durably.

use std::ops::Bound;
use std::time::Duration;

use super::Hints;
use crate::id::NodeId;
use crate::message::{KeyRef, Message, Tag};
use crate::node::Node;
use crate::time::{Now, Time};
use crate::turn::Turn;
use crate::working_set::{Held, Task};

/// Hints on their way to one owner at once.
const WINDOW: usize = 64;
/// A delivery that is not acknowledged after this time is given up, and tried again later.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often to look when there is something to bring.
const STEP: Duration = Duration::from_millis(100);

/// A hint on its way.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    owner: NodeId,
    key: KeyRef,
    version: u64,
    /// When its delivery began, before its container was read.
    began: Now,
}

impl Hints {
    /// The next hints for an owner that are not on their way, in the order of keys, round and round.
    fn next_for(&mut self, owner: NodeId, room: usize) -> Vec<KeyRef> {
        let Some(marks) = self.marks.get(&owner) else { return Vec::new() };
        let from = self.cursors.get(&owner).map_or(Bound::Unbounded, Bound::Excluded);
        let rest = marks.range((from, Bound::Unbounded));
        let idle = |(key, mark): (&KeyRef, &super::Mark)| (!mark.flying).then(|| key.clone());
        let found: Vec<KeyRef> = rest.filter_map(idle).take(room).collect();
        match found.last() {
            Some(last) => self.cursors.insert(owner, last.clone()),
            None => self.cursors.remove(&owner),
        };
        found
    }

    fn land(&mut self, tag: Tag) -> Option<Flight> {
        let flight = self.flights.remove(&tag)?;
        if let Some(count) = self.flying.get_mut(&flight.owner) {
            *count = count.saturating_sub(1);
        }
        if let Some(mark) = self.marks.get_mut(&flight.owner).and_then(|marks| marks.get_mut(&flight.key)) {
            mark.flying = false;
        }
        Some(flight)
    }

    /// Fills the budget up; at most a second's worth is saved.
    fn refill(&mut self, now: Time, bytes_per_s: u64) {
        let passed = now.since(self.budget.1).as_micros();
        let more = u64::try_from(passed * u128::from(bytes_per_s) / 1_000_000).unwrap_or(u64::MAX);
        if more > 0 {
            self.budget = (self.budget.0.saturating_add(more).min(bytes_per_s), now);
        }
    }
}

impl Node {
    /// There is something to bring, perhaps: look soon.
    pub(crate) fn hints_wanted(&mut self, turn: &Turn<'_>) {
        let due = turn.time() + STEP;
        self.hints.wake = Some(self.hints.wake.map_or(due, |wake| wake.min(due)));
    }

    /// An owner went away.
    pub(crate) fn hints_owner_down(&mut self, turn: &Turn<'_>, owner: NodeId) {
        self.hints.away.entry(owner).or_insert(turn.time());
    }

    /// An owner is back.
    pub(crate) fn hints_owner_live(&mut self, turn: &Turn<'_>, owner: NodeId) {
        self.hints.away.remove(&owner);
        for partition in self.hints.forgotten.remove(&owner).unwrap_or_default() {
            self.anti_entropy.hurry(turn.time(), partition);
        }
        if self.hints.of(owner) > 0 {
            self.hints_wanted(turn);
        }
    }

    /// Brings more hints to those owners that can be reached.
    pub(crate) fn hints_step(&mut self, turn: &mut Turn<'_>) {
        if self.hints.wake.is_none_or(|wake| wake > turn.time()) {
            return;
        }
        self.hints.wake = None;
        self.reload_hints(turn);
        self.forget_old_hints(turn);
        self.hints.refill(turn.time(), self.config.limits.hint_bytes_per_s);
        let now = turn.time();
        let late = |flight: &Flight| now.since(flight.began.mono) >= PATIENCE;
        let flights = self.hints.flights.iter();
        let lost: Vec<Tag> = flights.filter(|(_, flight)| late(flight)).map(|(&tag, _)| tag).collect();
        for tag in lost {
            self.hints.land(tag);
        }
        if self.hints.loaded.is_some() {
            let owners: Vec<NodeId> = self.hints.marks.keys().copied().collect();
            for owner in owners {
                self.hints_send(turn, owner);
            }
        }
        // Nothing to do while those are away whom it is for, but to forget them one day.
        let live = self.hints.marks.keys().any(|&owner| self.links.is_live(owner));
        if live || !self.hints.flights.is_empty() || self.hints.reload.is_some() {
            self.hints_wanted(turn);
        } else if let Some(&since) = self.hints.away.values().min() {
            let due = (since + self.config.limits.hint_age).max(turn.time() + STEP);
            self.hints.wake = (self.hints.count() > 0).then_some(due + STEP);
        }
    }

    fn hints_send(&mut self, turn: &mut Turn<'_>, owner: NodeId) {
        if !self.links.is_live(owner) || self.hints.budget.0 == 0 {
            return;
        }
        let flying = self.hints.flying.get(&owner).copied().unwrap_or(0);
        for key in self.hints.next_for(owner, WINDOW.saturating_sub(flying)) {
            let Some(mark) = self.hints.marks.get_mut(&owner).and_then(|marks| marks.get_mut(&key)) else {
                continue;
            };
            mark.flying = true;
            let (place, version) = (mark.place, mark.version);
            let tag = self.coordinator.new_tag();
            let flight = Flight { owner, key: key.clone(), version, began: turn.now };
            self.hints.flights.insert(tag, flight);
            *self.hints.flying.entry(owner).or_default() += 1;
            self.with_record(turn, place, &key, Task::Deliver(tag));
        }
    }

    /// The container of a hint is here: on its way with it.
    pub(crate) fn deliver_loaded(&mut self, turn: &mut Turn<'_>, key: &KeyRef, held: &Held, tag: Tag) {
        let Some(flight) = self.hints.flights.get(&tag).cloned() else { return };
        let owner = flight.owner;
        if held.container.is_absent() {
            // Purged everywhere by now, or lost here.
            self.hints.land(tag);
            self.drop_hint(turn, owner, key);
            return;
        }
        let echo = self.echoes.known_at(owner, flight.began.link).filter(|_| self.links.is_live(owner));
        let (Some(layout), Some(echo)) = (&self.layout, echo) else {
            self.hints.land(tag);
            return;
        };
        let (epoch, container) = (layout.epoch, held.encoded.clone());
        self.hints.budget.0 = self.hints.budget.0.saturating_sub(container.0.len() as u64 + 64);
        turn.send(owner, Message::Replicate { tag: Some(tag), epoch, key: key.clone(), container, echo });
    }

    /// The container of a hint cannot be had now.
    pub(crate) fn deliver_failed(&mut self, tag: Tag) {
        self.hints.land(tag);
    }

    /// A replica has answered, and it is not an operation's write: a hint has arrived, or was refused.
    pub(crate) fn hint_answered(&mut self, turn: &mut Turn<'_>, from: NodeId, tag: Tag, done: bool) {
        if self.hints.flights.get(&tag).is_none_or(|flight| flight.owner != from) {
            return;
        }
        let Some(Flight { owner, key, version, .. }) = self.hints.land(tag) else { return };
        if done {
            self.stats.hints_delivered += 1;
            self.missed_no_more(turn, owner, &key, version);
            self.hints_send(turn, owner);
        }
    }
}
