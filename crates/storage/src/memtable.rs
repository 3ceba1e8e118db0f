//! What was submitted and is not in the value files yet, in generations: one that takes writes, then frozen ones on their way there.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use quorate_protocol::store::CommitNumber;

use crate::base::Base;
use crate::batch::Change;
use crate::key::Key;

/// A generation: the last change of each key among a run of batches.
#[derive(Default)]
pub(crate) struct Generation {
    /// `None` is a deletion.
    pub(crate) entries: BTreeMap<Key, Option<Bytes>>,
    /// The last batch that it holds.
    pub(crate) last_number: CommitNumber,
    /// Operations taken, replaced ones included.
    pub(crate) ops: usize,
    /// Memory limits taken, replaced operations included: their bytes may be kept alive by others of their batch.
    pub(crate) weight_bytes: usize,
}

impl Generation {
    pub(crate) fn insert(&mut self, changes: Vec<Change>, number: CommitNumber, weight_bytes: usize) {
        self.ops += changes.len();
        self.weight_bytes += weight_bytes;
        self.last_number = number;
        self.entries.extend(changes);
    }

    /// Entries within the bounds, in key order.
    pub(crate) fn range(&self, from: Bound<&[u8]>) -> impl Iterator<Item = (&Key, &Option<Bytes>)> {
        self.entries.range::<[u8], _>((from, Bound::Unbounded))
    }
}

/// All that reads look at, newest first: `active`, `frozen` from the back, `base`. A reader takes what it needs of all of
/// them under one lock, so that a key on its way from one to the next is never missed: `base` holds a generation's
/// changes before the generation is dropped.
pub(crate) struct Tables {
    pub(crate) active: Generation,
    /// Oldest first.
    pub(crate) frozen: VecDeque<Arc<Generation>>,
    pub(crate) base: Arc<Base>,
}

impl Tables {
    pub(crate) fn new(base: Arc<Base>) -> Self {
        Self { active: Generation::default(), frozen: VecDeque::new(), base }
    }

    /// What the generations know of a key: `None` is nothing, `Some(None)` its deletion.
    pub(crate) fn find(&self, key: &[u8]) -> Option<Option<Bytes>> {
        if let Some(found) = self.active.entries.get(key) {
            return Some(found.clone());
        }
        self.frozen.iter().rev().find_map(|generation| generation.entries.get(key).cloned())
    }

    /// Freezes the active generation. Returns the last batch in it, or `None` if it has none.
    pub(crate) fn freeze(&mut self) -> Option<CommitNumber> {
        // Batches without operations count: a checkpoint waits for the last batch of all.
        if self.active.last_number == CommitNumber(0) {
            return None;
        }
        let full = std::mem::take(&mut self.active);
        let last = full.last_number;
        self.frozen.push_back(Arc::new(full));
        Some(last)
    }
}
