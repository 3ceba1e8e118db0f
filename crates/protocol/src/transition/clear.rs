//! Data of partitions that this node does not own is deleted; and where it becomes an owner, what earlier times have left is
//! wiped before anything new is taken: it may have been deleted and forgotten everywhere else since.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::Mark;
use crate::event::ReadToken;
use crate::id::PartitionId;
use crate::keys;
use crate::layout::Side;
use crate::message::{KeyRef, Place};
use crate::node::Node;
use crate::replica::ScanFor;
use crate::store::{ScanPage, StoreError, StoreOp};
use crate::time::Time;
use crate::turn::Turn;
use crate::working_set::Held;

/// A page that could not be read, or not be deleted, is tried again after this time.
const RETRY: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Clearing {
    /// Partitions of which something may be there that is to go; the first is being looked at.
    left: VecDeque<PartitionId>,
    /// Those of them that this node is to own.
    wiping: BTreeSet<PartitionId>,
    page: Option<ReadToken>,
    due: Option<Time>,
}

impl Clearing {
    pub(super) fn is_wiping(&self, partition: PartitionId) -> bool {
        self.wiping.contains(&partition)
    }

    pub(super) fn next_timer(&self) -> Option<Time> {
        self.due
    }
}

impl Node {
    /// Looks what is to go in the layout held.
    pub(super) fn clear_anew(&mut self, turn: &Turn<'_>) {
        let mut clearing = Clearing::default();
        // Who is no member any more has been replaced, or was declared lost: what he holds is left alone.
        if let Some(layout) = self.layout.clone().filter(|layout| layout.member(self.config.node).is_some()) {
            let me = self.config.node;
            for partition in layout.all_partitions() {
                if !layout.is_holder(partition, me) {
                    clearing.left.push_back(partition);
                } else if let Some(change) = layout.change_of(partition)
                    && !layout.owners_of(partition, Side::Old).contains(&me)
                    && self.transition.mark(partition, change.began).is_none()
                {
                    clearing.wiping.insert(partition);
                    clearing.left.push_front(partition);
                }
            }
        }
        clearing.due = (!clearing.left.is_empty()).then(|| turn.time());
        self.transition.clearing = clearing;
    }

    /// Reads the next page.
    pub(super) fn wake_clearing(&mut self, turn: &mut Turn<'_>) {
        let clearing = &mut self.transition.clearing;
        if clearing.due.is_none_or(|due| due > turn.time()) {
            return;
        }
        clearing.due = None;
        let Some(&partition) = clearing.left.front() else { return };
        let token = self.scans.begin(ScanFor::Clear, None);
        self.transition.clearing.page = Some(token);
        // Always from the beginning: what was found before is gone.
        self.scan_partition(turn, token, partition, None);
    }

    /// A page is here: all of it goes.
    pub(crate) fn clear_page(
        &mut self,
        turn: &mut Turn<'_>,
        token: ReadToken,
        result: Result<ScanPage, StoreError>,
    ) {
        if self.transition.clearing.page.take_if(|page| *page == token).is_none() {
            return;
        }
        let Some(&partition) = self.transition.clearing.left.front() else { return };
        let Some(page) = result.ok().filter(|_| self.writable) else {
            self.transition.clearing.due = Some(turn.time() + RETRY);
            return;
        };
        let found: Vec<_> = page.entries.into_iter().map(|(key, _)| key).chain(page.damaged).collect();
        if found.is_empty() {
            self.transition.clearing.left.pop_front();
            self.cleared(turn, partition);
        } else {
            // A tree that was begun before is no longer true.
            self.trees.forget(partition);
            self.stats.cleared_records += found.len() as u64;
            let keys: Vec<KeyRef> = found.iter().filter_map(keys::key_of).collect();
            let ops = found.into_iter().map(|key| StoreOp::Delete { key }).collect();
            let commit = self.commits.issue(turn.effects, ops);
            for key in keys {
                self.purge.candidates.remove(&key);
                self.working.replace_known(&key, Held::absent(commit));
            }
        }
        if !self.transition.clearing.left.is_empty() {
            self.transition.clearing.due = Some(turn.time());
            self.wake_clearing(turn);
        }
    }

    /// Nothing is left of a partition.
    fn cleared(&mut self, turn: &mut Turn<'_>, partition: PartitionId) {
        let ops: Vec<StoreOp> =
            self.holes.forget(partition).iter().map(|key| StoreOp::Delete { key: keys::hole(key) }).collect();
        if !ops.is_empty() {
            self.commits.issue(turn.effects, ops);
        }
        let Some(layout) = self.layout.clone() else { return };
        if !self.transition.clearing.wiping.remove(&partition) {
            return;
        }
        let Some(change) = layout.change_of(partition) else { return };
        self.authors.forget(Place::Replica, partition);
        self.trees.begin_empty(partition);
        self.set_mark(turn, partition, Mark { change: change.began, caught_up: false });
        self.catch_up_soon(turn);
    }
}
