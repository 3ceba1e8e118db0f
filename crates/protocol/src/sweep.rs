//! The background sweep: reads all that this node holds, page by page, again and again.
//!
//! The first pass after a start builds the Merkle trees, and is as fast as pages come. Later passes are slow; each
//! builds the trees anew beside the ones in use, which proves those. Whatever has to look at every record now and then
//! does it in [`Node::swept`].

use std::collections::VecDeque;
use std::time::Duration;

use crate::effect::Effect;
use crate::event::ReadToken;
use crate::id::PartitionId;
use crate::keys;
use crate::merkle::Entry;
use crate::message::KeyRef;
use crate::node::Node;
use crate::replica::ScanFor;
use crate::store::{ScanPage, StoreError, StoreOp};
use crate::time::Time;
use crate::turn::Turn;
use crate::version::{Container, EncodedContainer};
use crate::working_set::{Held, Task};

/// The most bytes of containers that one page reads.
pub(crate) const PAGE_BYTES: usize = 1 << 20;
/// A page that could not be read is tried again after this time.
const RETRY: Duration = Duration::from_secs(1);

/// Where the sweep is.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    /// When this pass began.
    began: Option<Time>,
    /// The partitions that are left of it; the first is the one that is being read.
    left: VecDeque<PartitionId>,
    /// The page under way.
    page: Option<ReadToken>,
    /// When the next page is due; none while one is under way or the disk is full.
    due: Option<Time>,
}

impl Sweep {
    /// Begins at once with what is owned now.
    pub(crate) fn begin_anew(&mut self) {
        *self = Self { due: Some(Time(0)), ..Self::default() };
    }

    /// When it wants to be woken.
    pub(crate) fn next_timer(&self) -> Option<Time> {
        self.due
    }
}

impl Node {
    /// Reads the next page, if it is due.
    pub(crate) fn wake_sweep(&mut self, turn: &mut Turn<'_>) {
        if self.sweep.due.is_none_or(|due| due > turn.time()) {
            return;
        }
        self.sweep.due = None;
        if self.sweep.left.is_empty() {
            self.sweep.began = Some(turn.time());
            self.sweep.left = self.trees.iter().map(|(partition, _)| partition).collect();
        }
        let Some(&partition) = self.sweep.left.front() else { return };
        let after = self.trees.page_asked(partition);
        let page = self.scans.begin(ScanFor::Sweep, None);
        self.sweep.page = Some(page);
        self.scan_partition(turn, page, partition, after.as_ref());
    }

    /// A partition's tree can no longer be trusted: it is built anew, after those that are being built.
    pub(crate) fn rebuild_tree(&mut self, turn: &Turn<'_>, partition: PartitionId) {
        self.trees.forget(partition);
        if self.sweep.left.front() == Some(&partition) {
            // The page under way continues a tree that is no more.
            self.sweep.page = None;
        }
        self.sweep.left.retain(|&left| left != partition);
        self.sweep.left.push_back(partition);
        if self.sweep.page.is_none() && self.writable {
            self.sweep.due = Some(turn.time());
        }
    }

    /// Asks the store for a page of a partition, all buckets.
    pub(crate) fn scan_partition(
        &self,
        turn: &mut Turn<'_>,
        token: ReadToken,
        partition: PartitionId,
        after: Option<&KeyRef>,
    ) {
        turn.effects.push(Effect::Scan {
            token,
            prefix: keys::partition_prefix(partition),
            after: after.map(|key| keys::data(key.partition, key.bucket, &key.key)),
            entries_max: self.config.limits.sweep_page_keys,
            bytes_max: PAGE_BYTES,
        });
    }

    /// A page is here.
    pub(crate) fn sweep_page(
        &mut self,
        turn: &mut Turn<'_>,
        token: ReadToken,
        result: Result<ScanPage, StoreError>,
    ) {
        if self.sweep.page != Some(token) {
            return;
        }
        self.sweep.page = None;
        let Some(&partition) = self.sweep.left.front() else { return };
        if let Ok(page) = &result {
            let unread =
                page.entries.iter().filter(|(_, value)| EncodedContainer(value.clone()).decode().is_err());
            for key in unread.filter_map(|(key, _)| keys::key_of(key)).collect::<Vec<_>>() {
                self.suspect(turn, &key);
            }
        }
        let read = result.map_err(|_| ()).and_then(|page| {
            let bytes: usize = page.entries.iter().map(|(key, value)| key.len() + value.len()).sum();
            let more = page.more;
            // Those have been seen to already; their partition is read again when they are healed.
            if !page.damaged.is_empty() {
                return Err(());
            }
            let records = page.entries.into_iter().map(|(key, value)| {
                let (length, container) = (value.len(), EncodedContainer(value).decode().map_err(|_| ())?);
                Ok((keys::key_of(&key).ok_or(())?, container, length))
            });
            Ok((records.collect::<Result<Vec<_>, ()>>()?, more, bytes))
        });
        let Ok((records, more, bytes)) = read else {
            // A record is damaged, perhaps for a while: the other partitions go first.
            self.trees.page_lost(partition);
            self.sweep.left.rotate_left(1);
            self.sweep.due = Some(turn.time() + RETRY);
            return;
        };
        let hurried = self.trees.complete(partition).is_none();
        let end = records.last().filter(|_| more).map(|(key, ..)| key.clone());
        let at_end = end.is_none();
        let entry = |(key, container, length): &(KeyRef, Container, usize)| {
            let entry = (!container.is_absent()).then(|| Entry::new(key, container.digest(), *length));
            (key.clone(), entry)
        };
        let page = records.iter().map(entry).collect();
        let wrong = self.trees.page_came(partition, page, end);
        // After the page was proved: this may change records.
        for (key, container, _) in &records {
            self.swept(turn, key, container);
        }
        self.stats.trees_corrected += u64::from(wrong);
        if at_end {
            self.sweep.left.pop_front();
        }
        self.sweep.due = Some(self.next_page(turn.time(), hurried, bytes));
        self.wake_sweep(turn);
    }

    /// When the next page is due, after one of so many bytes.
    fn next_page(&self, now: Time, hurried: bool, bytes: usize) -> Time {
        let limits = &self.config.limits;
        match (self.sweep.left.is_empty(), self.sweep.began) {
            (true, Some(began)) => now.max(began + limits.sweep_interval),
            _ if hurried => now,
            _ => now + pause(bytes, limits.sweep_bytes_per_s),
        }
    }

    /// The sweep comes by a record.
    fn swept(&mut self, turn: &mut Turn<'_>, key: &KeyRef, container: &Container) {
        self.stats.swept_records += 1;
        if self.is_dropped(key) {
            self.with_key(turn, key, Task::Discard);
            return;
        }
        self.expire_swept(turn, key, container);
        if self.could_forget(key, container) {
            self.with_key(turn, key, Task::Consider);
        }
    }

    /// Whether a key's bucket is there no more.
    fn is_dropped(&self, key: &KeyRef) -> bool {
        self.layout.as_ref().is_some_and(|layout| layout.bucket_by_id(key.bucket).is_none())
    }

    /// The record of a dropped bucket's key: a bucket that is created later has another id, whatever its name.
    pub(crate) fn discard_loaded(&mut self, turn: &mut Turn<'_>, key: &KeyRef) {
        if !self.is_dropped(key) || !self.writable {
            return;
        }
        let gone = StoreOp::Delete { key: keys::data(key.partition, key.bucket, &key.key) };
        let commit = self.commits.issue(turn.effects, vec![gone]);
        self.stats.cleared_records += 1;
        self.replaced(key, Held::absent(commit));
    }

    /// The store takes writes, or does not. While it does not, reads miss commits that wait for room, so that no page
    /// can be trusted.
    pub(crate) fn sweep_writable(&mut self, turn: &Turn<'_>, writable: bool) {
        if writable {
            if self.sweep.page.is_none() {
                self.sweep.due = self.sweep.due.or(Some(turn.time()));
            }
        } else {
            self.sweep.due = None;
            if self.sweep.page.take().is_some()
                && let Some(&partition) = self.sweep.left.front()
            {
                self.trees.page_lost(partition);
            }
        }
    }
}

/// The time that so many bytes may take at this rate.
fn pause(bytes: usize, bytes_per_s: u64) -> Duration {
    let micros = (bytes as u64).saturating_mul(1_000_000) / bytes_per_s.max(1);
    Duration::from_micros(micros)
}
