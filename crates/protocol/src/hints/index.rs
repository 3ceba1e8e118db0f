//! The hints in memory, each also a record of the store.

use super::{Hints, NewMark};
use crate::id::{NodeId, PartitionId};
use crate::message::{KeyRef, Place};
use crate::store::CommitNumber;

/// One key that one owner has missed.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    /// Where the container is.
    pub(crate) place: Place,
    /// New with each write: what was delivered before is not the newest.
    pub(crate) version: u64,
    /// Its container's size, when it is kept as a fallback.
    pub(super) bytes: usize,
    /// Makes the newest version durable.
    pub(crate) commit: CommitNumber,
    /// On its way to so many.
    pub(super) flying: usize,
    /// Those of several that are to have it who have acknowledged this version, in the present epoch.
    pub(super) heard: Vec<NodeId>,
}

impl Hints {
    /// The hint for an owner about a key.
    pub(crate) fn get(&self, owner: NodeId, key: &KeyRef) -> Option<&Mark> {
        self.marks.get(&owner)?.get(key)
    }

    /// Adds a hint or makes it newer; returns its version.
    pub(super) fn set(&mut self, owner: NodeId, key: &KeyRef, new: NewMark) -> u64 {
        self.versions += 1;
        let version = self.versions;
        let marks = self.marks.entry(owner).or_default();
        if let Some(mark) = marks.get_mut(key) {
            self.fallback_bytes = self.fallback_bytes + new.bytes - mark.bytes;
            *mark = Mark { flying: mark.flying, ..Mark::first(new, version) };
            return version;
        }
        marks.insert(key.clone(), Mark::first(new, version));
        self.count += 1;
        self.fallback_bytes += new.bytes;
        let presence = self.partitions.entry(key.partition).or_default();
        presence.count += 1;
        presence.none_since = None;
        version
    }

    /// Forgets a hint; [`dropped`](Self::dropped) says by which commit.
    pub(super) fn unset(&mut self, owner: NodeId, key: &KeyRef) -> Option<Mark> {
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
        }
        Some(mark)
    }

    /// The records of a partition's hint are dropped by this commit.
    pub(super) fn dropped(&mut self, partition: PartitionId, commit: CommitNumber) {
        if let Some(presence) = self.partitions.get_mut(&partition) {
            presence.dropped = presence.dropped.max(commit);
            presence.none_since = None;
        }
    }

    /// Whether a container kept as a fallback is still meant for some owner.
    pub(crate) fn keeps(&self, key: &KeyRef) -> bool {
        let kept = |mark: &Mark| mark.place == Place::Fallback;
        self.marks.values().any(|marks| marks.get(key).is_some_and(kept))
    }
}

impl Mark {
    fn first(new: NewMark, version: u64) -> Self {
        Self { place: new.place, version, bytes: new.bytes, commit: new.commit, flying: 0, heard: Vec::new() }
    }
}
