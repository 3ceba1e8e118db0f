//! The hints in memory, each also a record of the store.

use super::{Hints, NewMark, Presence};
use crate::id::NodeId;
use crate::message::{KeyRef, Place};
use crate::store::CommitNumber;
use crate::time::Time;

/// One key that one owner has missed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    /// Where the container is.
    pub(crate) place: Place,
    /// Grows with each write: what was delivered before is not the newest.
    pub(crate) version: u64,
    /// Its container's size, when it is kept as a fallback.
    pub(super) bytes: usize,
    /// Makes the newest version durable.
    pub(crate) commit: CommitNumber,
    /// Whether it is on its way.
    pub(super) flying: bool,
}

impl Hints {
    /// The hint for an owner about a key.
    pub(crate) fn get(&self, owner: NodeId, key: &KeyRef) -> Option<&Mark> {
        self.marks.get(&owner)?.get(key)
    }

    /// Adds a hint or makes it newer; returns its version.
    pub(super) fn set(&mut self, owner: NodeId, key: &KeyRef, new: NewMark) -> u64 {
        let marks = self.marks.entry(owner).or_default();
        if let Some(mark) = marks.get_mut(key) {
            self.fallback_bytes = self.fallback_bytes + new.bytes - mark.bytes;
            *mark = Mark { version: mark.version + 1, flying: mark.flying, ..Mark::first(new) };
            return mark.version;
        }
        marks.insert(key.clone(), Mark::first(new));
        self.count += 1;
        self.fallback_bytes += new.bytes;
        let presence = self.partitions.entry(key.partition);
        presence.or_insert(Presence { count: 0, none_since: Time::default() }).count += 1;
        0
    }

    /// Forgets a hint.
    pub(super) fn unset(&mut self, owner: NodeId, key: &KeyRef, link_now: Time) -> Option<Mark> {
        let marks = self.marks.get_mut(&owner)?;
        let mark = marks.remove(key)?;
        if marks.is_empty() {
            self.marks.remove(&owner);
            self.cursors.remove(&owner);
        }
        self.count -= 1;
        self.fallback_bytes -= mark.bytes;
        if let Some(presence) = self.partitions.get_mut(&key.partition) {
            presence.count -= 1;
            presence.none_since = link_now;
        }
        Some(mark)
    }

    /// Whether a container kept as a fallback is still meant for some owner.
    pub(super) fn keeps(&self, key: &KeyRef) -> bool {
        let kept = |mark: &Mark| mark.place == Place::Fallback;
        self.marks.values().any(|marks| marks.get(key).is_some_and(kept))
    }
}

impl Mark {
    fn first(new: NewMark) -> Self {
        Self { place: new.place, version: 0, bytes: new.bytes, commit: new.commit, flying: false }
    }
}
