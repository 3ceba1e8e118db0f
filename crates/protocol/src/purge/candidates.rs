//! The keys that this node owns and that could be forgotten, in part or as a whole, and since when each has been as it is.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::time::Duration;

use crate::id::{ActorId, PartitionId};
use crate::message::KeyRef;
use crate::store::CommitNumber;
use crate::time::Time;
use crate::version::{Container, Digest};

/// A container of which something could be forgotten.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(super) digest: Digest,
    /// The commit that makes it durable.
    commit: CommitNumber,
    /// Since when it is certainly durable, by the link clock.
    pub(super) since: Option<Time>,
    /// Actors of its vector without a sibling here. Of a tombstone: none are named, all of it goes.
    pub(super) actors: Vec<ActorId>,
    /// When this node asked about it last, by the link clock.
    asked: Option<Time>,
}

impl Candidate {
    /// Whether something of it goes when these actors are retired.
    pub(super) fn shrinks(&self, retired: &[ActorId]) -> bool {
        self.actors.is_empty() || self.actors.iter().any(|actor| retired.contains(actor))
    }

    /// Whether this node has asked about it lately.
    pub(super) fn asked_within(&self, link_now: Time, pause: Duration) -> bool {
        self.asked.is_some_and(|asked| link_now.since(asked) < pause)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    keys: BTreeMap<KeyRef, Candidate>,
    /// Those that may not be durable, in the order of their commits.
    young: VecDeque<(CommitNumber, KeyRef)>,
}

impl Candidates {
    /// The key has this container from now on. Past `most` keys nothing new is noted: the sweep comes by again.
    pub(crate) fn note(
        &mut self,
        key: &KeyRef,
        (container, digest): (&Container, Digest),
        commit: CommitNumber,
        most: usize,
        entries_max: usize,
    ) {
        let actors = retirable(container, entries_max);
        let forgettable = !container.is_absent() && (container.siblings.is_empty() || !actors.is_empty());
        if !forgettable || (self.keys.len() >= most && !self.keys.contains_key(key)) {
            self.keys.remove(key);
            return;
        }
        match self.keys.get(key) {
            Some(known) if known.digest == digest => {}
            _ => {
                self.young.push_back((commit, key.clone()));
                self.keys.insert(key.clone(), Candidate { digest, commit, since: None, actors, asked: None });
            }
        }
    }

    /// The key's record is lost.
    pub(crate) fn remove(&mut self, key: &KeyRef) {
        self.keys.remove(key);
    }

    /// What is durable by now has been so since now at the latest.
    pub(super) fn mature(&mut self, link_now: Time, is_durable: impl Fn(CommitNumber) -> bool) {
        // One that is behind another waits for it: that only makes it seem younger.
        while let Some((commit, key)) = self.young.pop_front() {
            if !is_durable(commit) {
                self.young.push_front((commit, key));
                return;
            }
            if let Some(candidate) = self.keys.get_mut(&key)
                && candidate.commit == commit
            {
                candidate.since = candidate.since.or(Some(link_now));
            }
        }
    }

    /// Makes room for one key: another goes, which the sweep will come by again.
    pub(super) fn make_room(&mut self, most: usize) {
        if self.keys.len() >= most {
            self.keys.pop_last();
        }
    }

    /// This node asks about this key.
    pub(super) fn asked(&mut self, key: &KeyRef, link_now: Time) {
        if let Some(candidate) = self.keys.get_mut(key) {
            candidate.asked = Some(link_now);
        }
    }

    /// The candidate of this key.
    pub(super) fn get(&self, key: &KeyRef) -> Option<&Candidate> {
        self.keys.get(key)
    }

    /// The candidates of a partition.
    pub(super) fn of(&self, partition: PartitionId) -> impl Iterator<Item = (&KeyRef, &Candidate)> {
        self.keys.range(first_of(partition)..).take_while(move |(key, _)| key.partition == partition)
    }

    /// The partitions that have some.
    pub(super) fn partitions(&self) -> Vec<PartitionId> {
        let mut found = Vec::new();
        let mut next = self.keys.keys().next();
        while let Some(key) = next {
            found.push(key.partition);
            let after = PartitionId(key.partition.0.saturating_add(1));
            next = (after > key.partition)
                .then(|| self.keys.range((Bound::Included(first_of(after)), Bound::Unbounded)).next())
                .flatten()
                .map(|(key, _)| key);
        }
        found
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }
}

fn first_of(partition: PartitionId) -> KeyRef {
    KeyRef { partition, bucket: crate::id::BucketId(0), key: bytes::Bytes::new() }
}

/// The actors of a container's vector that have no sibling there, if its context is longer than it should stay.
fn retirable(container: &Container, entries_max: usize) -> Vec<ActorId> {
    if container.siblings.is_empty() || container.context.vector().len() <= entries_max {
        return Vec::new();
    }
    let lives = |actor: ActorId| container.siblings.iter().any(|sibling| sibling.dot.actor == actor);
    let in_cloud = |actor: ActorId| container.context.cloud().iter().any(|dot| dot.actor == actor);
    let actors = container.context.vector().iter().map(|entry| entry.0);
    actors.filter(|&actor| !lives(actor) && !in_cloud(actor)).collect()
}
