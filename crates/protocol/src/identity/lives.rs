//! What a node knows of the lives of others: the highest (boot, start, sequence) that each has shown it.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::Life;
use crate::id::NodeId;
use crate::keys;
use crate::store::StoreOp;
use crate::time::Time;
use crate::version::DecodeError;

/// While others only go on, what is known of them is written no more often than this, so that it costs a commit nothing to speak of. A
/// copy of a directory that is younger than this is not what it guards against.
const WRITE_EVERY: Duration = Duration::from_millis(100);

/// How what a batch showed fits what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// It is the life that is known, or one after it.
    Fits,
    /// It is not the highest one that this node has shown, which is this.
    Other(Life),
}

/// See above.
#[derive(Debug, Default)]
pub(crate) struct Lives {
    known: BTreeMap<NodeId, Life>,
    /// Whether something is not on the disk, and when it is to be written at the earliest.
    unwritten: Option<Time>,
    written_at: Time,
}

impl Lives {
    /// What the directory has kept.
    pub(super) fn recovered(known: BTreeMap<NodeId, Life>) -> Self {
        Self { known, ..Self::default() }
    }

    /// The highest life that a node has shown.
    pub(super) fn of(&self, node: NodeId) -> Option<Life> {
        self.known.get(&node).copied()
    }

    /// A node shows a life.
    pub(super) fn hear(&mut self, now: Time, node: NodeId, life: Life) -> Shown {
        let known = self.known.entry(node).or_default();
        let is_new = life.boot > known.boot;
        if !is_new && (life.boot, life.start) != (known.boot, known.start) {
            return Shown::Other(*known);
        }
        if is_new || life.sequence > known.sequence {
            *known = life;
            let due = if is_new { now } else { self.written_at + WRITE_EVERY };
            self.unwritten = Some(self.unwritten.map_or(due, |earlier| earlier.min(due)));
        }
        Shown::Fits
    }

    /// What is to be written with the next commit, if it is time: what is known of those that can betray it to somebody.
    pub(super) fn to_write(&self, now: Time, counts: impl Fn(NodeId) -> bool) -> Option<StoreOp> {
        self.unwritten.filter(|&due| due <= now)?;
        let counting = self.known.iter().filter(|(node, _)| counts(**node));
        let value = encode_lives(&counting.map(|(&node, &life)| (node, life)).collect());
        Some(StoreOp::Put { key: Bytes::from_static(keys::LIVES), value })
    }

    /// It was written, or is on its way.
    pub(super) fn written(&mut self, now: Time) {
        self.unwritten = None;
        self.written_at = now;
    }
}

pub(super) fn encode_lives(lives: &BTreeMap<NodeId, Life>) -> Bytes {
    Bytes::from(postcard::to_stdvec(lives).expect("plain data serializes into a growing vector"))
}

/// Reads what a directory says of the lives of other nodes, under [`LIVES`](keys::LIVES).
pub fn decode_lives(bytes: &[u8]) -> Result<BTreeMap<NodeId, Life>, DecodeError> {
    postcard::from_bytes(bytes).map_err(|error| DecodeError(error.to_string()))
}
