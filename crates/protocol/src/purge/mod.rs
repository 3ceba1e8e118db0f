//! Forgetting: tombstones go, and entries of retired actors with them, when nobody can bring back what they cover.
//!
//! A container may shrink only when every owner has durably held exactly it, and every member has held no hint of its
//! partition, since longer than twice the message bound, each by its own link clock and counted anew from a restart; and
//! all of them say so in one epoch, within one message bound of each other. Then whatever was read before the last of them
//! held it is too old to be taken by anybody ([`echo`](crate::echo)), and nothing else knows of what it covers. An actor is
//! retired when every member says that it does not write under it. A member that is down delays all this, visibly.
//!
//! The first owner of a partition asks; one round at a time for a partition.

mod candidates;
mod round;
mod vote;

use std::collections::BTreeMap;

use crate::message::Tag;
use crate::time::Time;

pub(crate) use candidates::Candidates;
use round::Round;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Purge {
    pub(crate) candidates: Candidates,
    rounds: BTreeMap<Tag, Round>,
    wake: Option<Time>,
}

impl Purge {
    /// When [`Node::purge_step`](crate::Node) wants to be called.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.wake
    }
}
