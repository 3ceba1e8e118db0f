//! The hints in memory, each also a record of the store.

use super::{Hints, NewMark, SECOND_US};
use crate::id::{NodeId, PartitionId};
use crate::message::{KeyRef, Place};
use crate::store::CommitNumber;
use crate::time::Time;

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
    /// When it was first taken.
    since: Time,
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
            *mark = Mark { flying: mark.flying, since: mark.since, ..Mark::first(new, version) };
            return version;
        }
        marks.insert(key.clone(), Mark::first(new, version));
        self.count += 1;
        *self.ages.entry(second(new.now)).or_default() += 1;
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
        if let Some(alike) = self.ages.get_mut(&second(mark.since)) {
            *alike -= 1;
            if *alike == 0 {
                self.ages.remove(&second(mark.since));
            }
        }
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
        Self {
            place: new.place,
            version,
            bytes: new.bytes,
            commit: new.commit,
            since: new.now,
            flying: 0,
            heard: Vec::new(),
        }
    }
}

fn second(time: Time) -> u64 {
    time.0 / SECOND_US
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::id::BucketId;

    #[test]
    fn the_oldest_hint_counts_from_when_its_owner_first_missed_the_key() {
        let key = |key: &'static [u8]| KeyRef {
            partition: PartitionId(0),
            bucket: BucketId(0),
            key: bytes::Bytes::from_static(key),
        };
        let at = |seconds: u64| Time(seconds * SECOND_US);
        let new = |now| NewMark { place: Place::Replica, bytes: 0, commit: CommitNumber(0), now };
        let mut hints = Hints::default();
        assert_eq!(hints.oldest(at(9)), Duration::ZERO);
        hints.set(NodeId(1), &key(b"a"), new(at(10)));
        hints.set(NodeId(2), &key(b"a"), new(at(10)));
        hints.set(NodeId(1), &key(b"b"), new(at(20)));
        hints.set(NodeId(1), &key(b"a"), new(at(30)));
        assert_eq!(hints.oldest(at(40)), Duration::from_secs(30));
        hints.unset(NodeId(2), &key(b"a"));
        assert_eq!(hints.oldest(at(40)), Duration::from_secs(30));
        hints.unset(NodeId(1), &key(b"a"));
        assert_eq!(hints.oldest(at(40)), Duration::from_secs(20));
        hints.unset(NodeId(1), &key(b"b"));
        assert_eq!((hints.oldest(at(40)), hints.ages.len()), (Duration::ZERO, 0));
    }
}
