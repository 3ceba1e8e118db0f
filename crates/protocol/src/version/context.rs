//! Dots and the contexts that cover them.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::id::ActorId;

/// The name of one write: unique in the cluster, for an actor numbers its writes 1, 2, 3, ... and is never used by two lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Dot {
    /// Who wrote it.
    pub actor: ActorId,
    /// The actor's how-manieth write, counted over all keys of its partition.
    pub seq: u64,
}

/// As many owners as keys usually have, each with an entry, stand in the container itself: no allocation, and memory that is there
/// already when the container is looked at.
const ENTRIES_IN_PLACE: usize = 3;

/// What has been seen of a key: a set of dots, most of them told by a vector.
///
/// Covers a dot when `seq <= vector[actor]` or the dot is in the cloud. Kept normal: both parts sorted, no cloud dot
/// that the vector covers; so equal sets told with equal vectors are equal values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Context {
    /// Sorted by actor; no entry is 0.
    vector: SmallVec<[(ActorId, u64); ENTRIES_IN_PLACE]>,
    /// Sorted, none covered by the vector.
    cloud: SmallVec<[Dot; 1]>,
}

impl Context {
    /// Whether it covers nothing.
    pub fn is_empty(&self) -> bool {
        self.vector.is_empty() && self.cloud.is_empty()
    }

    /// The vector entries, by actor.
    pub fn vector(&self) -> &[(ActorId, u64)] {
        &self.vector
    }

    /// The dots beyond the vector, sorted.
    pub fn cloud(&self) -> &[Dot] {
        &self.cloud
    }

    /// The vector's entry for an actor; 0 when it has none.
    pub fn vector_entry(&self, actor: ActorId) -> u64 {
        match self.vector.binary_search_by_key(&actor, |entry| entry.0) {
            Ok(at) => self.vector[at].1,
            Err(_) => 0,
        }
    }

    /// Whether this dot has been seen.
    pub fn covers(&self, dot: Dot) -> bool {
        dot.seq <= self.vector_entry(dot.actor) || self.cloud.binary_search(&dot).is_ok()
    }

    /// Whether every dot that `other` covers has been seen.
    pub fn covers_all(&self, other: &Self) -> bool {
        other.vector.iter().all(|&(actor, seq)| seq <= self.vector_entry(actor))
            && other.cloud.iter().all(|&dot| self.covers(dot))
    }

    /// Whether this covers a dot of the actor that `other` does not.
    pub fn shows_more_of(&self, actor: ActorId, other: &Self) -> bool {
        let last = self.vector_entry(actor);
        (last > 0 && !other.covers(Dot { actor, seq: last }))
            || self.cloud.iter().any(|&dot| dot.actor == actor && !other.covers(dot))
    }

    /// Adds one dot, saying nothing about the actor's other dots.
    pub fn add_dot(&mut self, dot: Dot) {
        if dot.seq > self.vector_entry(dot.actor)
            && let Err(at) = self.cloud.binary_search(&dot)
        {
            self.cloud.insert(at, dot);
        }
    }

    /// Adds all dots of an actor up to `seq`. Only for who knows them all: see the module's rule.
    pub fn advance_vector(&mut self, actor: ActorId, seq: u64) {
        match self.vector.binary_search_by_key(&actor, |entry| entry.0) {
            Ok(at) if self.vector[at].1 >= seq => return,
            Ok(at) => self.vector[at].1 = seq,
            Err(at) => self.vector.insert(at, (actor, seq)),
        }
        self.cloud.retain(|dot| dot.actor != actor || dot.seq > seq);
    }

    /// Forgets actors whose writes nobody remembers otherwise; see the purge.
    pub(super) fn retire(&mut self, actors: &[ActorId]) {
        self.vector.retain(|entry| !actors.contains(&entry.0));
    }

    /// The union: commutative, associative, idempotent.
    pub fn join(&mut self, other: &Self) {
        for &(actor, seq) in &other.vector {
            self.advance_vector(actor, seq);
        }
        for &dot in &other.cloud {
            self.add_dot(dot);
        }
    }

    /// Whether the parts are sorted, disjoint and free of zeros, as every context made by this module is; what
    /// comes from outside is asked.
    pub(super) fn is_normal(&self) -> bool {
        self.vector.windows(2).all(|pair| pair[0].0 < pair[1].0)
            && self.vector.iter().all(|entry| entry.1 > 0)
            && self.cloud.windows(2).all(|pair| pair[0] < pair[1])
            && self.cloud.iter().all(|dot| dot.seq > self.vector_entry(dot.actor))
    }
}
