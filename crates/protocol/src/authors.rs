//! The actors under which this life of the node writes: one per partition and role, minted at random.
//!
//! Replication runs beside the local commit, so a crash can leave peers with a dot that this disk never kept.
//! Going on under the same actor, the next vector entry would cover it unseen. Hence new actors at every start:
//! they live in memory only. And a new one for a partition whenever its history here may have a hole: a record was
//! damaged, or a peer shows a dot of mine that I do not have.

use std::collections::BTreeMap;

use rand_chacha::rand_core::Rng;

use crate::id::{ActorId, PartitionId};
use crate::message::Place;
use crate::version::Dot;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Authors {
    actors: BTreeMap<(Place, PartitionId), Dot>,
}

impl Authors {
    /// A dot that no write has had and none will have.
    pub(crate) fn next_dot(&mut self, place: Place, partition: PartitionId, rng: &mut impl Rng) -> Dot {
        let last = self
            .actors
            .entry((place, partition))
            .or_insert_with(|| Dot { actor: ActorId(rng.next_u64()), seq: 0 });
        last.seq += 1;
        *last
    }

    /// The actor of a partition that this node owns, if this life has written to it.
    pub(crate) fn present(&self, partition: PartitionId) -> Option<ActorId> {
        self.actors.get(&(Place::Replica, partition)).map(|last| last.actor)
    }

    /// Whether this life writes under an actor.
    pub(crate) fn has(&self, actor: ActorId) -> bool {
        self.actors.values().any(|last| last.actor == actor)
    }

    /// The history in this role may have a hole from now on: the next write has a new actor.
    pub(crate) fn forget(&mut self, place: Place, partition: PartitionId) {
        self.actors.remove(&(place, partition));
    }
}
