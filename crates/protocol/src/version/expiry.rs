//! Siblings that are shown up to a moment of the wall clock.
//!
//! Who drops one keeps the context, which covers its dot: to everybody else it is as if it had been deleted, so a
//! merge drops it there too, whatever the clocks say. In a last-writer-wins bucket the greatest sibling hides all
//! smaller ones also after its time, so it leaves only together with them.

use super::{Container, Merged, Sibling};

impl Sibling {
    /// Whether its time is over for a clock that shows this.
    pub fn is_expired(&self, wall_ms: u64) -> bool {
        self.expiry.is_some_and(|expiry| expiry <= wall_ms)
    }
}

impl Container {
    /// Drops the siblings whose time is over, and remembers having seen them. `last_writer_wins`: the greatest
    /// sibling takes all others with it. Returns whether anything was dropped.
    pub fn expire(&mut self, wall_ms: u64, last_writer_wins: bool) -> bool {
        let had = self.siblings.len();
        if last_writer_wins && self.last_written().is_some_and(|last| last.is_expired(wall_ms)) {
            self.siblings.clear();
        } else {
            self.siblings.retain(|sibling| !sibling.is_expired(wall_ms));
        }
        self.siblings.len() < had
    }

    /// Whether [`expire`](Self::expire) would drop anything.
    pub fn has_expired(&self, wall_ms: u64) -> bool {
        self.siblings.iter().any(|sibling| sibling.is_expired(wall_ms))
    }

    /// [`merge`](Self::merge), and what is over by this clock is dropped.
    ///
    /// Where the last writer wins, what a greatest sibling hid on either side, or hides in the union, goes with it;
    /// elsewhere it makes no difference whether siblings are dropped before or after the merge.
    pub fn merge_and_expire(&mut self, other: &Self, wall_ms: u64, last_writer_wins: bool) -> Merged {
        if !self.has_expired(wall_ms) && !other.has_expired(wall_ms) {
            return self.merge(other);
        }
        let before = self.clone();
        let mut union = Union::of(std::mem::take(self), last_writer_wins);
        union.add(other, wall_ms);
        *self = union.expired(wall_ms);
        if *self == before {
            Merged::Unchanged
        } else if *self == *other {
            Merged::TookOther
        } else {
            Merged::Mixed
        }
    }

    /// Up to when it shows a value, by the wall clock in milliseconds: 0 when it shows none at any time,
    /// [`u64::MAX`] when one stays. A function of the siblings, so the same on all owners that hold the same.
    pub fn live_until(&self, last_writer_wins: bool) -> u64 {
        let until = |sibling: &Sibling| sibling.expiry.unwrap_or(u64::MAX);
        if last_writer_wins {
            self.last_written().map_or(0, until)
        } else {
            self.siblings.iter().map(until).max().unwrap_or(0)
        }
    }
}

/// The union of what several replicas hold of a key, on its way to what they show together.
#[derive(Clone, Debug)]
pub(crate) struct Union {
    all: Container,
    /// The union of what is left of each when what is over is dropped; as long as nothing is, the same as all.
    apart: Option<Container>,
    last_writer_wins: bool,
}

impl Union {
    /// Of one, to begin with.
    pub(crate) fn of(first: Container, last_writer_wins: bool) -> Self {
        Self { all: first, apart: None, last_writer_wins }
    }

    /// And of another.
    pub(crate) fn add(&mut self, other: &Container, wall_ms: u64) {
        if self.apart.is_none() && (self.all.has_expired(wall_ms) || other.has_expired(wall_ms)) {
            self.apart = Some(self.all.clone());
        }
        if let Some(apart) = &mut self.apart {
            apart.expire(wall_ms, self.last_writer_wins);
            let mut other = other.clone();
            other.expire(wall_ms, self.last_writer_wins);
            apart.merge(&other);
        }
        self.all.merge(other);
    }

    /// What is not over: where the last writer wins, what a greatest sibling hid in one of them, or hides in the union,
    /// goes with it.
    pub(crate) fn expired(self, wall_ms: u64) -> Container {
        let mut union = self.all;
        union.expire(wall_ms, self.last_writer_wins);
        if let Some(apart) = &self.apart {
            // Both cover the same, so only what lives in both stays.
            union.merge(apart);
        }
        union
    }
}
