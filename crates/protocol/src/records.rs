//! The records of keys: read when a task needs them, replaced when a container changes.

use std::sync::Arc;

use bytes::Bytes;

use crate::effect::{Effect, Notice};
use crate::event::ReadToken;
use crate::keys;
use crate::message::{KeyRef, Place, Refusal};
use crate::node::Node;
use crate::store::{CommitNumber, StoreError, StoreOp};
use crate::turn::Turn;
use crate::version::{Container, EncodedContainer};
use crate::working_set::{Held, Lookup, Task, WorkingSet};

impl Node {
    /// Does a task on the newest container of a key that this node owns, now or when the store has given it.
    pub(crate) fn with_key(&mut self, turn: &mut Turn<'_>, key: &KeyRef, task: Task) {
        self.with_record(turn, Place::Replica, key, task);
    }

    /// Does a task on the newest container of a key, now or when the store has given it.
    pub(crate) fn with_record(&mut self, turn: &mut Turn<'_>, place: Place, key: &KeyRef, task: Task) {
        match self.set_of(place).ask(key, task) {
            Lookup::Now(held, task) => self.run(turn, place, key, held, task),
            Lookup::Read(token) => {
                let key = keys::record(place, key);
                turn.effects.push(Effect::Read { token, key });
            }
            Lookup::Queued => {}
        }
    }

    fn set_of(&mut self, place: Place) -> &mut WorkingSet {
        match place {
            Place::Replica => &mut self.working,
            Place::Fallback => &mut self.fallback,
        }
    }

    fn run(&mut self, turn: &mut Turn<'_>, place: Place, key: &KeyRef, held: Held, task: Task) {
        let hole = place == Place::Replica && self.holes.has(key);
        match task {
            Task::Coordinate(tag) if hole => self.coordinate_elsewhere(turn, tag),
            Task::Coordinate(tag) => self.coordinate(turn, tag, held),
            Task::Merge { reply, container, echo } => {
                self.merge_loaded(turn, key, &held, reply, container, echo);
            }
            Task::Hint { from, tag, target, container, echo } => {
                self.hint_loaded(turn, key, &held, from, tag, target, container, echo);
            }
            Task::Deliver(tag) => self.deliver_loaded(turn, key, &held, tag),
            // It is no tombstone, whatever it looks like.
            Task::Forget { .. } | Task::Consider if hole => {}
            Task::Forget { digest, retired, echo } => {
                self.forget_loaded(turn, key, &held, digest, &retired, echo);
            }
            Task::Consider => self.consider_loaded(key, &held),
            Task::Expire => self.expire_loaded(turn, key, &held),
            Task::Offer(offer) => self.offer_loaded(turn, key, &held, &offer),
            Task::MergeBack { from, container, echo } => {
                self.merge_back(turn, key, held, from, container, echo);
            }
            Task::Fetch { from, tag, .. } if hole => self.reply_fetched(turn, from, tag, Err(Refusal::Hole)),
            Task::Fetch { from, tag, have, began } => {
                self.fetch_loaded(turn, key, &held, (from, tag), have, (place, began));
            }
            Task::Heal { from, tag, began } => self.heal_loaded(turn, key, &held, from, tag, began),
            Task::Healing { from, tag, healing } => {
                self.healing_loaded(turn, key, &held, (from, tag), healing);
            }
            Task::Discard => self.discard_loaded(turn, key),
            // It could be read.
            Task::Verify => {}
            Task::Pulled { tag, container, echo } => {
                self.pulled_loaded(turn, key, &held, tag, container, echo);
            }
        }
    }

    pub(crate) fn on_read_done(
        &mut self,
        turn: &mut Turn<'_>,
        token: ReadToken,
        result: Result<Option<Bytes>, StoreError>,
    ) {
        let place = WorkingSet::place_of(token);
        let Some(key) = self.set_of(place).read_key(token) else {
            return;
        };
        let held = match result {
            Ok(None) => Held::absent(CommitNumber(0)),
            Ok(Some(bytes)) => {
                let encoded = EncodedContainer(bytes);
                match encoded.decode() {
                    Ok(container) => {
                        let (digest, container) = (container.digest(), Arc::new(container));
                        Held { container, encoded, digest, commit: CommitNumber(0) }
                    }
                    Err(error) => self.lose_record(turn, place, &key, error.to_string()),
                }
            }
            Err(StoreError::Corrupt { detail, .. }) => self.lose_record(turn, place, &key, detail),
            Err(error @ (StoreError::Full { .. } | StoreError::Failed { .. })) => {
                self.load_failed(turn, place, &key, &error.to_string());
                return;
            }
        };
        for task in self.set_of(place).loaded(&key, held) {
            // Each sees what the one before it has made.
            self.with_record(turn, place, &key, task);
        }
    }

    /// A record cannot be read back: what is held of its key now is nothing.
    fn lose_record(&mut self, turn: &mut Turn<'_>, place: Place, key: &KeyRef, detail: String) -> Held {
        if place == Place::Replica {
            return self.open_hole(turn, key, detail);
        }
        // One copy of what this node kept for owners is gone, as with a lost disk; its hints go when they are to be
        // brought.
        self.stats.damaged_records += 1;
        self.stats.records_lost += 1;
        turn.effects.push(Effect::Notice(Notice::RecordDamaged { key: key.clone(), detail }));
        turn.effects.push(Effect::Notice(Notice::RecordLost { key: key.clone() }));
        self.authors.forget(Place::Fallback, key.partition);
        self.anti_entropy.hurry(turn.time(), key.partition);
        let gone = StoreOp::Delete { key: keys::record(place, key) };
        Held::absent(self.commits.issue(turn.effects, vec![gone]))
    }

    /// The store does not give a key's record, which says nothing of the record: whoever waits is refused.
    fn load_failed(&mut self, turn: &mut Turn<'_>, place: Place, key: &KeyRef, detail: &str) {
        for task in self.set_of(place).load_failed(key) {
            match task {
                Task::Coordinate(tag) => self.coordinate_failed(turn, tag, detail),
                Task::Merge { reply, .. } => self.reply_replicated(turn, reply, Err(Refusal::Storage)),
                Task::Fetch { from, tag, .. } => {
                    self.reply_fetched(turn, from, tag, Err(Refusal::Storage));
                }
                Task::Hint { from, tag, .. } => {
                    self.reply_replicated(turn, Some((from, tag)), Err(Refusal::Storage));
                }
                Task::Heal { from, tag, .. } => self.reply_heal(turn, from, tag, Err(Refusal::Storage)),
                Task::Deliver(tag) => self.deliver_failed(tag),
                Task::Offer(_) => self.offer_failed(),
                Task::Pulled { tag, .. } => self.pulled(turn, tag, false),
                // Tried again in a while.
                Task::Expire
                | Task::Forget { .. }
                | Task::Consider
                | Task::MergeBack { .. }
                | Task::Healing { .. }
                | Task::Discard
                | Task::Verify => {}
            }
        }
    }

    /// A key that this node owns has a new container from now on, and it is on its way to the disk.
    pub(crate) fn hold_new(
        &mut self,
        turn: &mut Turn<'_>,
        key: &KeyRef,
        container: Container,
        encoded: EncodedContainer,
    ) -> Held {
        self.hold_with(turn, Place::Replica, key, container, encoded, Vec::new())
    }

    /// A key has a new container from now on; it is on its way to the disk together with these other changes.
    pub(crate) fn hold_with(
        &mut self,
        turn: &mut Turn<'_>,
        place: Place,
        key: &KeyRef,
        container: Container,
        encoded: EncodedContainer,
        mut others: Vec<StoreOp>,
    ) -> Held {
        // Mostly there are none, and pushing would make room for four.
        others.reserve_exact(1);
        others.push(StoreOp::Put { key: keys::record(place, key), value: encoded.0.clone() });
        let commit = self.commits.issue(turn.effects, others);
        let held = Held { digest: container.digest(), container: Arc::new(container), encoded, commit };
        match place {
            Place::Replica => self.replaced(key, held.clone()),
            Place::Fallback => drop(self.fallback.replace(key, held.clone())),
        }
        held
    }

    /// The one door for a change of what this node holds of a key that it owns: all that is kept about keys follows.
    pub(crate) fn replaced(&mut self, key: &KeyRef, held: Held) {
        let limits = &self.config.limits;
        let newest = (held.container.as_ref(), held.digest);
        self.purge.candidates.note(key, newest, held.commit, limits.purge_keys, limits.context_entries);
        let now = held.entry(key);
        let before = self.working.replace(key, held);
        self.trees.update(key, before.and_then(|before| before.entry(key)), now);
    }
}
