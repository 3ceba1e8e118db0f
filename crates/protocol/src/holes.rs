//! Records that cannot be read back, and how they are healed.
//!
//! A damaged record is a **hole**: this node has forgotten what it acknowledged for that key. A mark goes to the disk in the
//! same commit that drops the record, and the partition gets a new actor, for the lost container may have held dots of the
//! present one. While a key is a hole it counts in no quorum here: reads are refused, containers are merged and not
//! acknowledged, clients are passed on to another owner. It is healed by merging what **all** other owners hold, in two rounds
//! under one epoch:
//!
//! 1. each other owner strikes this node's acknowledgements from the writes of the key that it coordinates. One that was given
//!    before the loss may be counted until then, also one that is still on its way;
//! 2. each is asked again. A write that was acknowledged with the help of the lost record was so before the first round had
//!    ended, so its other copies were there before the second began, and this round finds one of them.
//!
//! With one round, a coordinator could count the lost copy, lose its own unsynced one in a crash, and be asked only after
//! that, while the remaining copy was asked before it had the write.
//!
//! An owner that has a hole of its own for the same key answers with what it has so far, and that counts: a promise
//! survives the loss of W - 1 copies, so of any W that were acknowledged at least one is whole, and it is asked. Were it
//! not to count, two holes of one key would wait for each other for ever.
//!
//! The mark goes when the last answer is merged. Commits become durable in their order, so a crash never finds the mark gone
//! and a merge missing.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

use bytes::Bytes;

use crate::effect::{Effect, Notice};
use crate::id::{BucketId, Epoch, NodeId, PartitionId};
use crate::keys;
use crate::message::{Healing as Gathered, KeyRef, Message, Place, Refusal, Tag};
use crate::node::Node;
use crate::store::StoreOp;
use crate::time::Time;
use crate::turn::Turn;
use crate::version::Container;
use crate::working_set::{Held, Task};

/// Owners that have not answered are asked again after this time.
const RETRY: Duration = Duration::from_millis(400);
/// Holes that are healed at once; the others wait, so that a bad disk does not take the network with it.
const HEALED_AT_ONCE: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    /// The others stop counting what this node has acknowledged.
    Strike,
    /// What they hold then is all there is.
    Gather,
}

/// A hole that is being healed.
#[derive(Debug)]
struct Healing {
    tag: Tag,
    epoch: Epoch,
    round: Round,
    heard: BTreeSet<NodeId>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Holes {
    open: BTreeMap<KeyRef, Option<Healing>>,
    /// The requests under way; at most [`HEALED_AT_ONCE`].
    asked: BTreeMap<Tag, KeyRef>,
    timer: Option<Time>,
}

impl Holes {
    /// The holes that the last life has left: at the first deadline their healing begins.
    pub(crate) fn recovered(keys: Vec<KeyRef>) -> Self {
        let timer = (!keys.is_empty()).then(Time::default);
        Self { open: keys.into_iter().map(|key| (key, None)).collect(), asked: BTreeMap::new(), timer }
    }

    /// Whether this key counts in no quorum here.
    pub(crate) fn has(&self, key: &KeyRef) -> bool {
        self.open.contains_key(key)
    }

    /// Whether a key of this partition is one.
    pub(crate) fn any_in(&self, partition: PartitionId) -> bool {
        let first = KeyRef { partition, bucket: BucketId(0), key: Bytes::new() };
        self.open.range(first..).next().is_some_and(|(key, _)| key.partition == partition)
    }

    /// The partition is cleared: there is nothing to heal. Returns the keys that were holes.
    pub(crate) fn forget(&mut self, partition: PartitionId) -> Vec<KeyRef> {
        let keys: Vec<KeyRef> = self.open.keys().filter(|key| key.partition == partition).cloned().collect();
        for key in &keys {
            self.stop_healing(key);
            self.open.remove(key);
        }
        keys
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// When those who have not answered are asked again.
    pub(crate) fn next_timer(&self) -> Option<Time> {
        self.timer
    }

    /// The user's keys that are holes, of a bucket in a partition, after one key and up to another.
    pub(crate) fn between(
        &self,
        partition: PartitionId,
        bucket: BucketId,
        after: Option<&Bytes>,
        upto: Option<&Bytes>,
    ) -> impl Iterator<Item = &Bytes> {
        let first = KeyRef { partition, bucket, key: after.cloned().unwrap_or_default() };
        self.open
            .range((Bound::Excluded(first), Bound::Unbounded))
            .map(|(key, _)| key)
            .take_while(move |key| key.partition == partition && key.bucket == bucket)
            .map(|key| &key.key)
            .take_while(move |key| upto.is_none_or(|upto| *key <= upto))
    }

    fn stop_healing(&mut self, key: &KeyRef) {
        if let Some(Some(healing)) = self.open.get(key) {
            self.asked.remove(&healing.tag);
        }
    }
}

impl Node {
    /// A record of this key cannot be read back: returns what is held of it now, which is nothing.
    pub(crate) fn open_hole(&mut self, turn: &mut Turn<'_>, key: &KeyRef, detail: String) -> Held {
        self.stats.damaged_records += 1;
        turn.effects.push(Effect::Notice(Notice::RecordDamaged { key: key.clone(), detail }));
        self.authors.forget(Place::Replica, key.partition);
        let loss = self.coordinator.new_tag();
        self.strike(turn, key, self.config.node, loss);
        let alone =
            self.layout.as_ref().is_some_and(|layout| layout.holders(key.partition) == [self.config.node]);
        let held = self.drop_record(turn, key, !alone);
        if alone {
            self.stats.records_lost += 1;
            turn.effects.push(Effect::Notice(Notice::RecordLost { key: key.clone() }));
        } else {
            // One that was a hole already begins anew: what it had gathered is gone.
            self.holes.stop_healing(key);
            self.holes.open.insert(key.clone(), None);
            self.heal_more(turn);
        }
        held
    }

    /// A scan could not read a record. One that is in memory is written anew; else reading it alone shows whether it was
    /// replaced meanwhile.
    pub(crate) fn suspect(&mut self, turn: &mut Turn<'_>, key: &KeyRef) {
        let Some(held) = self.working.peek(key).cloned() else {
            self.with_key(turn, key, Task::Verify);
            return;
        };
        if self.commits.is_durable(held.commit) && self.writable {
            self.stats.damaged_records += 1;
            self.stats.records_healed += 1;
            let detail = "it is written anew from memory".to_owned();
            turn.effects.push(Effect::Notice(Notice::RecordDamaged { key: key.clone(), detail }));
            self.hold_new(turn, key, Container::clone(&held.container), held.encoded);
            turn.effects.push(Effect::Notice(Notice::RecordHealed { key: key.clone() }));
        }
    }

    /// Drops the record of a key, with a mark in its place in the same commit or for good.
    fn drop_record(&mut self, turn: &mut Turn<'_>, key: &KeyRef, mark: bool) -> Held {
        let mut ops = Vec::with_capacity(2);
        if mark {
            ops.push(StoreOp::Put { key: keys::hole(key), value: Bytes::new() });
        }
        ops.push(StoreOp::Delete { key: keys::data(key.partition, key.bucket, &key.key) });
        let commit = self.commits.issue(turn.effects, ops);
        let absent = Held::absent(commit);
        self.purge.candidates.remove(key);
        // What the lost container was worth in the tree is lost with it.
        self.rebuild_tree(turn, key.partition);
        absent
    }

    /// Begins to heal as many holes as may be healed at once.
    fn heal_more(&mut self, turn: &mut Turn<'_>) {
        let Some(layout) = self.layout.clone() else { return };
        // What goes with its bucket is not healed either.
        let dropped = |key: &&KeyRef| layout.bucket_by_id(key.bucket).is_none();
        let gone: Vec<KeyRef> = self.holes.open.keys().filter(dropped).cloned().collect();
        for key in gone {
            self.holes.stop_healing(&key);
            self.holes.open.remove(&key);
            self.commits.issue(turn.effects, vec![StoreOp::Delete { key: keys::hole(&key) }]);
        }
        let room = HEALED_AT_ONCE.saturating_sub(self.holes.asked.len());
        // What this node owns no more is cleared, and not healed.
        let idle =
            self.holes.open.iter().filter(|(key, healing)| healing.is_none() && self.holds(key.partition));
        let next: Vec<KeyRef> = idle.map(|(key, _)| key.clone()).take(room).collect();
        for key in next {
            self.heal_round(turn, &key, Round::Strike);
        }
        self.holes.timer = (!self.holes.open.is_empty()).then(|| turn.time() + RETRY);
    }

    fn heal_round(&mut self, turn: &mut Turn<'_>, key: &KeyRef, round: Round) {
        if self.other_owners(key.partition).next().is_none() {
            // The others have left since: there is nobody to ask.
            self.close_hole(turn, key);
            return;
        }
        let tag = self.coordinator.new_tag();
        let healing = Healing { tag, epoch: self.epoch(), round, heard: BTreeSet::new() };
        self.holes.stop_healing(key);
        self.holes.asked.insert(tag, key.clone());
        self.holes.open.insert(key.clone(), Some(healing));
        self.heal_ask(turn, key, None);
    }

    /// Asks the owners that have not answered, or only this one of them.
    fn heal_ask(&self, turn: &mut Turn<'_>, key: &KeyRef, only: Option<NodeId>) {
        let Some(Some(healing)) = self.holes.open.get(key) else { return };
        for owner in self.other_owners(key.partition) {
            let wanted = only.is_none_or(|only| only == owner) && !healing.heard.contains(&owner);
            if wanted && self.links.is_live(owner) {
                let (tag, epoch) = (healing.tag, healing.epoch);
                turn.send(owner, Message::Heal { tag, epoch, key: key.clone() });
            }
        }
    }

    fn other_owners(&self, partition: PartitionId) -> impl Iterator<Item = NodeId> {
        let layout = self.layout.as_deref();
        let owners = layout.map_or(Vec::new(), |layout| layout.holders(partition)).into_iter();
        // Nobody waits for who is lost for good.
        let lost = move |owner| layout.is_some_and(|layout| layout.is_lost(owner));
        owners.filter(move |&owner| owner != self.config.node && !lost(owner))
    }

    /// The time to ask again, or to begin, has come.
    pub(crate) fn wake_holes(&mut self, turn: &mut Turn<'_>) {
        if self.holes.timer.is_some_and(|timer| timer <= turn.time()) {
            for key in self.holes.asked.values() {
                self.heal_ask(turn, key, None);
            }
            self.heal_more(turn);
        }
    }

    /// A link came up: what was asked on the one before may be lost.
    pub(crate) fn heal_link_up(&self, turn: &mut Turn<'_>, peer: NodeId) {
        for key in self.holes.asked.values() {
            self.heal_ask(turn, key, Some(peer));
        }
    }

    /// Another epoch: who owns what may have changed, so all begins anew.
    pub(crate) fn heal_anew(&mut self, turn: &mut Turn<'_>) {
        self.holes.asked.clear();
        self.holes.open.values_mut().for_each(|healing| *healing = None);
        self.heal_more(turn);
    }

    /// An owner has lost its record of a key.
    pub(crate) fn on_heal(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        tag: Tag,
        epoch: Epoch,
        key: &KeyRef,
    ) {
        match self.fence(turn, from, epoch, key.partition, key.bucket, Place::Replica) {
            Ok(()) => self.with_key(turn, key, Task::Heal { from, tag, began: turn.now.link }),
            Err(refusal) => self.reply_heal(turn, from, tag, Err(refusal)),
        }
    }

    /// The key's container is here, for an owner that has lost its own.
    pub(crate) fn heal_loaded(
        &mut self,
        turn: &mut Turn<'_>,
        key: &KeyRef,
        held: &Held,
        from: NodeId,
        tag: Tag,
        began: Time,
    ) {
        self.strike(turn, key, from, tag);
        let echo = self.echoes.known_at(from, began).ok_or(Refusal::TooOld);
        let result = echo.map(|echo| Gathered { container: held.encoded.clone(), echo });
        self.reply_heal(turn, from, tag, result);
    }

    /// Answers under the epoch held now.
    pub(crate) fn reply_heal(
        &self,
        turn: &mut Turn<'_>,
        to: NodeId,
        tag: Tag,
        result: Result<Gathered, Refusal>,
    ) {
        turn.send(to, Message::HealReply { tag, epoch: self.epoch(), result });
    }

    /// An owner has answered; one that has refused is asked again in a while.
    pub(crate) fn on_heal_reply(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        tag: Tag,
        epoch: Epoch,
        result: Result<Gathered, Refusal>,
    ) {
        if epoch != self.epoch() {
            return;
        }
        if let (Some(key), Ok(healing)) = (self.holes.asked.get(&tag).cloned(), result) {
            self.with_key(turn, &key, Task::Healing { from, tag, healing });
        }
    }

    /// The hole's own container is here, for the answer of an owner.
    pub(crate) fn healing_loaded(
        &mut self,
        turn: &mut Turn<'_>,
        key: &KeyRef,
        held: &Held,
        (from, tag): (NodeId, Tag),
        healing: Gathered,
    ) {
        if self.merge_in(turn, key, held, healing.container, healing.echo).is_err() {
            return;
        }
        let others = self.other_owners(key.partition).collect::<BTreeSet<_>>();
        let Some(Some(healing)) = self.holes.open.get_mut(key) else { return };
        if healing.tag != tag || healing.epoch != self.layout.as_ref().map_or(Epoch(0), |layout| layout.epoch)
        {
            return;
        }
        healing.heard.insert(from);
        if !others.is_subset(&healing.heard) {
            return;
        }
        match healing.round {
            Round::Strike => self.heal_round(turn, key, Round::Gather),
            Round::Gather => self.close_hole(turn, key),
        }
    }

    /// All that the other owners hold is merged: the key counts again.
    fn close_hole(&mut self, turn: &mut Turn<'_>, key: &KeyRef) {
        self.holes.stop_healing(key);
        self.holes.open.remove(key);
        self.commits.issue(turn.effects, vec![StoreOp::Delete { key: keys::hole(key) }]);
        self.stats.records_healed += 1;
        turn.effects.push(Effect::Notice(Notice::RecordHealed { key: key.clone() }));
        self.heal_more(turn);
    }
}
