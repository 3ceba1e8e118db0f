//! What owners missed, and who brings it to them.
//!
//! A coordinator remembers each owner that has not acknowledged a write in time: the *key* only when it is an owner
//! itself, for its own replica covers what was written, and the whole container when it is a fallback. What other
//! fallbacks keep ([`Message::StoreHint`](crate::message::Message::StoreHint)) counted towards W: it is data, and is
//! dropped only when its owner has acknowledged this version of it durably. Hints of owners are a shortcut for
//! anti-entropy and are bounded in number and age.
//!
//! All hints are durable, and their keys are in memory too: one entry for each key and owner, however often it is
//! written. So the number of hints, their owners and their partitions are always known exactly.

mod deliver;
mod index;
mod keep;
mod show;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use crate::id::{NodeId, PartitionId};
use crate::message::{KeyRef, Place, Tag};
use crate::store::CommitNumber;
use crate::time::Time;

use deliver::Flight;
pub(crate) use index::Mark;

/// A second of the monotonic clock.
const SECOND_US: u64 = 1_000_000;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Hints {
    /// By owner.
    marks: BTreeMap<NodeId, BTreeMap<KeyRef, Mark>>,
    count: usize,
    /// Bytes of the containers that this node keeps as a fallback.
    fallback_bytes: usize,
    /// Hints of each partition, and by the link clock since when there has been none.
    partitions: BTreeMap<PartitionId, Presence>,
    /// How many were first taken in each second of the monotonic clock, where there are any.
    ages: BTreeMap<u64, usize>,
    /// The last version given to a hint.
    versions: u64,
    /// Partitions of which more was missed by an owner than is remembered: compared first when it is back.
    forgotten: BTreeMap<NodeId, BTreeSet<PartitionId>>,
    /// After which record the reading of the hints of earlier lives goes on that has failed; and when.
    reload: Option<(Option<Bytes>, Time)>,
    /// Since when this life knows of all hints, by the link clock; none while they are read.
    loaded: Option<Time>,
    flights: BTreeMap<Tag, Flight>,
    /// How many of the flights go to each owner.
    flying: BTreeMap<NodeId, usize>,
    /// Where to go on with each owner's keys.
    cursors: BTreeMap<NodeId, KeyRef>,
    /// Since when each owner has been away, by the monotonic clock.
    away: BTreeMap<NodeId, Time>,
    /// Bytes that may be sent now, and when that was so.
    budget: (u64, Time),
    wake: Option<Time>,
    /// Whether something is kept for a node that owns its key's partition no more.
    astray: bool,
}

/// Whether a partition has hints here.
#[derive(Clone, Copy, Debug, Default)]
struct Presence {
    count: usize,
    /// The commit that drops the last one: until it is durable, the hint may be back after a restart.
    dropped: CommitNumber,
    none_since: Option<Time>,
}

impl Hints {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Bytes of containers kept as a fallback.
    pub(crate) fn fallback_bytes(&self) -> usize {
        self.fallback_bytes
    }

    /// For how long the oldest has been waiting, to the second; zero without any. Those of earlier lives count from the start.
    pub(crate) fn oldest(&self, now: Time) -> Duration {
        let first = self.ages.first_key_value();
        first.map_or(Duration::ZERO, |(&second, _)| now.since(Time(second * SECOND_US)))
    }

    /// How many there are for an owner.
    pub(crate) fn of(&self, owner: NodeId) -> usize {
        self.marks.get(&owner).map_or(0, BTreeMap::len)
    }

    /// Since when, by the link clock, this node has certainly held no hint of a partition; none: it may hold some.
    pub(crate) fn none_since(&self, partition: PartitionId) -> Option<Time> {
        let loaded = self.loaded?;
        match self.partitions.get(&partition) {
            Some(presence) if presence.count > 0 => None,
            Some(presence) => presence.none_since.map(|since| since.max(loaded)),
            None => Some(loaded),
        }
    }

    /// What is durably gone by now has been gone since now at the latest.
    pub(crate) fn mature(&mut self, link_now: Time, is_durable: impl Fn(CommitNumber) -> bool) {
        for presence in self.partitions.values_mut() {
            if presence.count == 0 && presence.none_since.is_none() && is_durable(presence.dropped) {
                presence.none_since = Some(link_now);
            }
        }
    }

    /// When [`Node::hints_step`](crate::Node) wants to be called.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.wake
    }
}

/// A new version of a hint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewMark {
    /// Where the container is.
    pub(crate) place: Place,
    /// Its size, when it is kept as a fallback.
    pub(crate) bytes: usize,
    /// The commit that makes both durable.
    pub(crate) commit: CommitNumber,
    /// When it was taken: of a hint that is there already the first time counts.
    pub(crate) now: Time,
}
