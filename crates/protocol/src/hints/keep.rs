//! How hints come to be, and how those go that nobody needs any more.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::NewMark;
use crate::commits::Waiter;
use crate::echo::LinkTime;
use crate::effect::Effect;
use crate::id::{Epoch, NodeId, PartitionId};
use crate::keys;
use crate::layout::Layout;
use crate::message::{KeyRef, Place, Refusal, Tag};
use crate::node::Node;
use crate::replica::ScanFor;
use crate::store::{CommitNumber, ScanPage, StoreError, StoreOp};
use crate::time::Time;
use crate::turn::Turn;
use crate::version::EncodedContainer;
use crate::working_set::{Held, Task};

/// Hints in one page when they are read at the start.
const PAGE: usize = 1000;
/// What a hint takes in memory and on disk beside its key and container.
const MARK_BYTES: usize = 200;
/// A page of hints that could not be read is asked for again after this time.
const RELOAD: Duration = Duration::from_secs(1);
/// Hints forgotten in one step.
const FORGOTTEN_AT_ONCE: usize = 1000;

/// The record of a hint: the place of its container, and the container's size when it is kept as a fallback.
pub(super) fn record(owner: NodeId, key: &KeyRef, place: Place, bytes: usize) -> StoreOp {
    let mut value = BytesMut::with_capacity(5);
    value.put_u8(u8::from(place == Place::Fallback));
    value.put_u32(u32::try_from(bytes).unwrap_or(u32::MAX));
    StoreOp::Put { key: keys::hint(owner, key), value: value.freeze() }
}

impl Node {
    /// An owner has not acknowledged the newest container of a key, which this node holds as an owner. Too many of
    /// these are not remembered: anti-entropy brings them.
    pub(crate) fn remember_missed(
        &mut self,
        turn: &mut Turn<'_>,
        owner: NodeId,
        key: &KeyRef,
    ) -> Option<u64> {
        // Who owns the key no more has missed nothing.
        if !self.writable || self.recipients(owner, key, Place::Replica).is_empty() {
            return None;
        }
        if !self.links.is_live(owner) {
            self.hints_owner_down(turn, owner);
        }
        let known = self.hints.get(owner, key).map(|mark| mark.place);
        // What it keeps as a fallback since before it was an owner is data, and stays what it is.
        if known == Some(Place::Fallback) {
            self.leave_to_exchange(turn.time(), owner, key.partition);
            return None;
        }
        let known = known.is_some();
        // One owner that is away must not take the room of all.
        let most = self.config.limits.hints;
        if !known && (self.hints.count() >= most || self.hints.of(owner) >= most.div_ceil(2)) {
            self.leave_to_exchange(turn.time(), owner, key.partition);
            return None;
        }
        let commit = if known {
            CommitNumber(0)
        } else {
            self.commits.issue(turn.effects, vec![record(owner, key, Place::Replica, 0)])
        };
        self.stats.hints_taken += 1;
        let version = self.hints.set(owner, key, NewMark { place: Place::Replica, bytes: 0, commit, now: turn.time() });
        self.hints_wanted(turn);
        Some(version)
    }

    /// What an owner has missed of a partition is not remembered: the two are compared first when it is back.
    fn leave_to_exchange(&mut self, now: Time, owner: NodeId, partition: PartitionId) {
        self.stats.hints_dropped += 1;
        if self.links.is_live(owner) {
            self.anti_entropy.hurry(now, partition);
        } else {
            self.hints.forgotten.entry(owner).or_default().insert(partition);
        }
    }

    /// An owner has acknowledged what a hint of this version was for.
    pub(crate) fn missed_no_more(&mut self, turn: &mut Turn<'_>, owner: NodeId, key: &KeyRef, version: u64) {
        self.hint_heard(turn, owner, owner, key, version);
    }

    /// Whether so many bytes more would be more than this node keeps for owners.
    pub(crate) fn keeps_enough(&self, bytes: usize) -> bool {
        self.hints.fallback_bytes() + bytes + MARK_BYTES > self.config.limits.fallback_bytes
    }

    /// The records that keep a container as a fallback for these owners.
    pub(crate) fn fallback_records(owners: &[NodeId], key: &KeyRef, bytes: usize) -> Vec<StoreOp> {
        owners.iter().map(|&owner| record(owner, key, Place::Fallback, bytes)).collect()
    }

    /// A container is kept as a fallback for these owners, by this commit.
    pub(crate) fn kept_for(&mut self, turn: &mut Turn<'_>, owners: &[NodeId], key: &KeyRef, held: &Held) {
        self.stats.hints_taken += owners.len() as u64;
        for &owner in owners {
            let bytes = held.encoded.0.len() + key.key.len() + MARK_BYTES;
            let new = NewMark { place: Place::Fallback, bytes, commit: held.commit, now: turn.time() };
            self.hints.set(owner, key, new);
            // It may have gone while the store was asked: then nobody but the owners of now can be brought it.
            let holds = |layout: &Layout| layout.is_holder(key.partition, owner);
            self.hints.astray |= !self.layout.as_deref().is_some_and(holds);
        }
        self.hints_wanted(turn);
    }

    /// A coordinator wants this node to keep a container for an owner.
    #[expect(clippy::too_many_arguments, reason = "they are the message's fields")]
    pub(crate) fn on_store_hint(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        tag: Tag,
        epoch: Epoch,
        key: &KeyRef,
        target: NodeId,
        container: EncodedContainer,
        echo: LinkTime,
    ) {
        let fenced =
            self.fence(turn, from, epoch, key.partition, key.bucket, Place::Fallback).and_then(|()| {
                let layout = self.layout.as_ref().ok_or(Refusal::NotOwner)?;
                if !layout.is_holder(key.partition, target) {
                    return Err(Refusal::NotOwner);
                }
                if self.keeps_enough(container.0.len()) { Err(Refusal::Overloaded) } else { Ok(()) }
            });
        match fenced {
            Ok(()) => {
                let task = Task::Hint { from, tag, target, container, echo };
                self.with_record(turn, Place::Fallback, key, task);
            }
            Err(refusal) => self.reply_replicated(turn, Some((from, tag)), Err(refusal)),
        }
    }

    /// What this node keeps of the key is here: merge what came, and remember for whom.
    #[expect(clippy::too_many_arguments, reason = "they are the message's fields, and the container")]
    pub(crate) fn hint_loaded(
        &mut self,
        turn: &mut Turn<'_>,
        key: &KeyRef,
        held: &Held,
        from: NodeId,
        tag: Tag,
        target: NodeId,
        incoming: EncodedContainer,
        echo: LinkTime,
    ) {
        let reply = Some((from, tag));
        let merged = if !self.is_fallback(key.partition) {
            // The partition has moved while the store was asked.
            Err(Refusal::NotOwner)
        } else if self.is_fresh(turn, echo) {
            self.merged(turn.now.wall_ms, Place::Fallback, key, held, incoming)
        } else {
            Err(Refusal::TooOld)
        };
        let held = match merged {
            Err(refusal) => {
                self.reply_replicated(turn, reply, Err(refusal));
                return;
            }
            // It is kept for this owner already, and may still be on its way to the disk.
            Ok(None) if self.hints.get(target, key).is_some() => held.clone(),
            Ok(None) if !self.writable => {
                self.reply_replicated(turn, reply, Err(Refusal::Storage));
                return;
            }
            Ok(None) => {
                let records = Self::fallback_records(&[target], key, held.encoded.0.len());
                let commit = self.commits.issue(turn.effects, records);
                let held = Held { commit, ..held.clone() };
                drop(self.fallback.replace(key, held.clone()));
                held
            }
            Ok(Some((container, encoded))) => {
                let records = Self::fallback_records(&[target], key, encoded.0.len());
                self.hold_with(turn, Place::Fallback, key, container, encoded, records)
            }
        };
        self.kept_for(turn, &[target], key, &held);
        if self.commits.is_durable(held.commit) {
            self.reply_replicated(turn, reply, Ok(()));
        } else {
            self.commits.wait(held.commit, Waiter::Replica { to: from, tag, key: key.clone() });
        }
    }

    /// Forgets a hint, and what was kept for it when nobody else is to have that.
    pub(super) fn drop_hint(&mut self, turn: &mut Turn<'_>, owner: NodeId, key: &KeyRef) {
        let Some(mark) = self.hints.unset(owner, key) else { return };
        let mut ops = vec![StoreOp::Delete { key: keys::hint(owner, key) }];
        if mark.place == Place::Fallback && !self.hints.keeps(key) {
            ops.push(StoreOp::Delete { key: keys::fallback(key.partition, key.bucket, &key.key) });
            // Its history here has a hole now.
            self.authors.forget(Place::Fallback, key.partition);
            let commit = self.commits.issue(turn.effects, ops);
            drop(self.fallback.replace(key, Held::absent(commit)));
            self.hints.dropped(key.partition, commit);
        } else {
            let commit = self.commits.issue(turn.effects, ops);
            self.hints.dropped(key.partition, commit);
        }
    }

    /// Owners that are away for too long: what was only a shortcut for them is forgotten, a part in each step.
    pub(super) fn forget_old_hints(&mut self, turn: &mut Turn<'_>) {
        let age = self.config.limits.hint_age;
        let now = turn.time();
        let gone: Vec<NodeId> = self
            .hints
            .away
            .iter()
            .filter(|(_, since)| now.since(**since) > age)
            .map(|(&owner, _)| owner)
            .collect();
        for owner in gone {
            let marks = self.hints.marks.get(&owner);
            let shortcuts = marks.into_iter().flatten().filter(|(_, mark)| mark.place == Place::Replica);
            let keys: Vec<KeyRef> = shortcuts.take(FORGOTTEN_AT_ONCE).map(|(key, _)| key.clone()).collect();
            if keys.is_empty() {
                // What is left for it is data. A new shortcut begins to age anew.
                self.hints.away.remove(&owner);
            }
            for key in keys {
                self.leave_to_exchange(turn.time(), owner, key.partition);
                self.drop_hint(turn, owner, &key);
            }
        }
    }

    /// Reads the hints of earlier lives.
    pub(crate) fn load_hints(&mut self, turn: &mut Turn<'_>, after: Option<Bytes>) {
        let token = self.scans.begin(ScanFor::Hints(after.clone()), None);
        let prefix = Bytes::from_static(keys::HINTS);
        turn.effects.push(Effect::Scan { token, prefix, after, entries_max: PAGE, bytes_max: 1 << 20 });
    }

    /// A page of them is here.
    pub(crate) fn hints_page(
        &mut self,
        turn: &mut Turn<'_>,
        after: Option<Bytes>,
        result: Result<ScanPage, StoreError>,
    ) {
        let Ok(page) = result else {
            self.hints.reload = Some((after, turn.time() + RELOAD));
            self.hints_wanted(turn);
            return;
        };
        let last = page.last().cloned();
        // The key of a record says all that matters: a damaged one is as good.
        let damaged = page.damaged.iter().map(|key| (key, None));
        for (record, value) in page.entries.iter().map(|(key, value)| (key, Some(value))).chain(damaged) {
            let Some((owner, key)) = keys::parse_hint(record) else { continue };
            if self.hints.get(owner, &key).is_some() {
                continue;
            }
            let (place, bytes) = match value {
                Some(value) if value.len() == 5 => {
                    let mut value = value.clone();
                    let place = if value.get_u8() == 1 { Place::Fallback } else { Place::Replica };
                    (place, value.get_u32() as usize + key.key.len() + MARK_BYTES)
                }
                _ => (self.place_of(&key), key.key.len() + MARK_BYTES),
            };
            let bytes = if place == Place::Fallback { bytes } else { 0 };
            self.hints.set(owner, &key, NewMark { place, bytes, commit: CommitNumber(0), now: turn.time() });
        }
        if page.more {
            self.load_hints(turn, last);
            return;
        }
        self.hints.loaded = Some(turn.now.link);
        self.hints_resolved(turn);
        let owners: Vec<NodeId> = self.hints.marks.keys().copied().collect();
        for owner in owners {
            if !self.links.is_live(owner) {
                self.hints_owner_down(turn, owner);
            }
        }
        self.hints_wanted(turn);
    }

    /// Reads on, where that has failed.
    pub(super) fn reload_hints(&mut self, turn: &mut Turn<'_>) {
        if self.hints.reload.as_ref().is_some_and(|(_, due)| *due <= turn.time())
            && let Some((after, _)) = self.hints.reload.take()
        {
            self.load_hints(turn, after);
        }
    }

    fn place_of(&self, key: &KeyRef) -> Place {
        let me = self.config.node;
        let owned = self.layout.as_ref().is_some_and(|layout| layout.is_holder(key.partition, me));
        if owned { Place::Replica } else { Place::Fallback }
    }
}
