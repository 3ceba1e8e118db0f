//! Hints are brought to their owners: a few at a time, each until the owner has it durably.
//!
//! In a stable layout a hint goes to its target. When the target owns the key's partition no more, and in every change of the
//! layout, what a fallback keeps goes to every owner of both sides, and stays until all of them have acknowledged this version
//! of it under one epoch.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use super::Hints;
use crate::id::NodeId;
use crate::message::{KeyRef, Message, Place, Tag};
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
    /// Whose hint it is.
    owner: NodeId,
    /// Who gets it.
    to: NodeId,
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
        let idle = |(key, mark): (&KeyRef, &super::Mark)| (mark.flying == 0).then(|| key.clone());
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
            mark.flying = mark.flying.saturating_sub(1);
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
        let live = self.hints.marks.keys().any(|&owner| self.links.is_live(owner)) || !self.goes_to_targets();
        if live || !self.hints.flights.is_empty() || self.hints.reload.is_some() {
            self.hints_wanted(turn);
        } else if let Some(&since) = self.hints.away.values().min() {
            let due = (since + self.config.limits.hint_age).max(turn.time() + STEP);
            self.hints.wake = (self.hints.count() > 0).then_some(due + STEP);
        }
    }

    /// Whether every hint goes to its target only.
    fn goes_to_targets(&self) -> bool {
        !self.hints.astray && self.layout.as_ref().is_some_and(|layout| layout.is_stable())
    }

    /// Who is to have what a hint is about. Nobody, when it has lost its meaning.
    pub(super) fn recipients(&self, owner: NodeId, key: &KeyRef, place: Place) -> Vec<NodeId> {
        let Some(layout) = &self.layout else { return Vec::new() };
        let holds = layout.is_holder(key.partition, owner);
        match place {
            // A shortcut for an owner, from another: what it is about is in that one's replica.
            Place::Replica if holds && layout.is_holder(key.partition, self.config.node) => vec![owner],
            Place::Replica => Vec::new(),
            Place::Fallback if holds && layout.is_stable() => vec![owner],
            Place::Fallback => {
                let holders = layout.holders(key.partition).into_iter();
                holders.filter(|&holder| !layout.is_lost(holder)).collect()
            }
        }
    }

    fn hints_send(&mut self, turn: &mut Turn<'_>, owner: NodeId) {
        if self.hints.budget.0 == 0 || (self.goes_to_targets() && !self.links.is_live(owner)) {
            return;
        }
        let me = self.config.node;
        let flying = self.hints.flying.get(&owner).copied().unwrap_or(0);
        for key in self.hints.next_for(owner, WINDOW.saturating_sub(flying)) {
            let Some(mark) = self.hints.get(owner, &key).cloned() else { continue };
            for to in self.recipients(owner, &key, mark.place) {
                if mark.heard.contains(&to) || (to != me && !self.links.is_live(to)) {
                    continue;
                }
                let tag = self.coordinator.new_tag();
                let (version, began) = (mark.version, turn.now);
                self.hints.flights.insert(tag, Flight { owner, to, key: key.clone(), version, began });
                *self.hints.flying.entry(owner).or_default() += 1;
                if let Some(mark) = self.hints.marks.get_mut(&owner).and_then(|marks| marks.get_mut(&key)) {
                    mark.flying += 1;
                }
                self.with_record(turn, mark.place, &key, Task::Deliver(tag));
            }
        }
    }

    /// The container of a hint is here: on its way with it.
    pub(crate) fn deliver_loaded(&mut self, turn: &mut Turn<'_>, key: &KeyRef, held: &Held, tag: Tag) {
        let Some(flight) = self.hints.flights.get(&tag).cloned() else { return };
        let Flight { owner, to, .. } = flight;
        if held.container.is_absent() {
            // Purged everywhere by now, or lost here.
            self.hints.land(tag);
            self.drop_hint(turn, owner, key);
            return;
        }
        let container = held.encoded.clone();
        if to == self.config.node {
            // It has become an owner itself since.
            let echo = self.link_time(flight.began);
            let reply = Some((to, tag));
            self.with_key(turn, key, Task::Merge { reply, container, echo });
            return;
        }
        let echo = self.echoes.known_at(to, flight.began.link).filter(|_| self.links.is_live(to));
        let (Some(layout), Some(echo)) = (&self.layout, echo) else {
            self.hints.land(tag);
            return;
        };
        let epoch = layout.epoch;
        self.hints.budget.0 = self.hints.budget.0.saturating_sub(container.0.len() as u64 + 64);
        turn.send(to, Message::Replicate { tag: Some(tag), epoch, key: key.clone(), container, echo });
    }

    /// The container of a hint cannot be had now.
    pub(crate) fn deliver_failed(&mut self, tag: Tag) {
        self.hints.land(tag);
    }

    /// A replica has answered, and it is not an operation's write: a hint has arrived, or was refused.
    pub(crate) fn hint_answered(&mut self, turn: &mut Turn<'_>, from: NodeId, tag: Tag, done: bool) {
        if self.hints.flights.get(&tag).is_none_or(|flight| flight.to != from) {
            return;
        }
        let Some(Flight { owner, to, key, version, .. }) = self.hints.land(tag) else { return };
        if done {
            self.stats.hints_delivered += 1;
            self.hint_heard(turn, owner, to, &key, version);
            self.hints_send(turn, owner);
        }
    }

    /// Somebody has durably what a hint of this version is about: it goes when all have who are to.
    pub(super) fn hint_heard(
        &mut self,
        turn: &mut Turn<'_>,
        owner: NodeId,
        from: NodeId,
        key: &KeyRef,
        version: u64,
    ) {
        let Some(place) =
            self.hints.get(owner, key).filter(|mark| mark.version == version).map(|mark| mark.place)
        else {
            return;
        };
        let wanted = self.recipients(owner, key, place);
        let Some(mark) = self.hints.marks.get_mut(&owner).and_then(|marks| marks.get_mut(key)) else {
            return;
        };
        if !mark.heard.contains(&from) {
            mark.heard.push(from);
        }
        if wanted.iter().all(|to| mark.heard.contains(to)) {
            self.drop_hint(turn, owner, key);
        }
    }

    /// Another epoch: who is to have what may be others, and what they have acknowledged before does not count.
    pub(crate) fn hints_adopted(&mut self, turn: &mut Turn<'_>) {
        self.hints.flights.clear();
        self.hints.flying.clear();
        for mark in self.hints.marks.values_mut().flat_map(BTreeMap::values_mut) {
            mark.flying = 0;
            mark.heard.clear();
        }
        if self.hints.loaded.is_some() {
            self.hints_resolved(turn);
        }
    }

    /// Drops the hints that mean nothing in this layout, and looks whether the others go to their targets.
    pub(super) fn hints_resolved(&mut self, turn: &mut Turn<'_>) {
        let Some(layout) = self.layout.clone() else { return };
        let all =
            self.hints.marks.iter().flat_map(|(&owner, marks)| marks.iter().map(move |mark| (owner, mark)));
        let mut meaningless = Vec::new();
        let mut astray = false;
        for (owner, (key, mark)) in all {
            let dropped = layout.bucket_by_id(key.bucket).is_none();
            if dropped || self.recipients(owner, key, mark.place).is_empty() {
                meaningless.push((owner, key.clone()));
            }
            astray |= mark.place == Place::Fallback && !layout.is_holder(key.partition, owner);
        }
        self.hints.astray = astray;
        for (owner, key) in meaningless {
            self.drop_hint(turn, owner, &key);
        }
        self.hints_wanted(turn);
    }

    /// Whether this node certainly keeps nothing for others as a fallback.
    pub(crate) fn keeps_no_data(&self) -> bool {
        let kept = |mark: &super::Mark| mark.place == Place::Fallback;
        self.hints.loaded.is_some() && !self.hints.marks.values().flat_map(BTreeMap::values).any(kept)
    }
}
