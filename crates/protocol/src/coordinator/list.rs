//! A page of the keys of one partition: the pages of R replicas, merged; a key on which they differ is read.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::quorum::{Quorums, Tally};
use super::{Job, Running, Source, Target, UserKey, get, read_error, timed_out};
use crate::effect::Effect;
use crate::id::{BucketId, Epoch, NodeId};
use crate::keys;
use crate::layout::Bucket;
use crate::message::{KeyRef, Message, Place, Refusal, Scanned, Tag};
use crate::node::Node;
use crate::operation::{Failure, List, Listed, OperationError, OperationResult, Outcome};
use crate::replica::ScanFor;
use crate::time::Time;
use crate::turn::Turn;

/// The most bytes of containers that one page of a scan reads.
pub(crate) const PAGE_BYTES: usize = 4 << 20;

/// A listing under way.
#[derive(Debug)]
pub(crate) struct Listing {
    list: List,
    bucket: BucketId,
    quorums: Quorums,
    tally: Tally,
    asked: Vec<NodeId>,
    pages: Vec<Scanned>,
    /// Once the pages are merged: whether each key is live; unknown while it is read.
    keys: BTreeMap<UserKey, Option<bool>>,
    next: Option<UserKey>,
    unread: usize,
}

impl Listing {
    /// As it was asked.
    pub(super) fn into_list(self) -> List {
        self.list
    }

    pub(super) fn expired(&self) -> OperationError {
        read_error(timed_out(self.tally.needed(), self.tally.counted()))
    }

    pub(super) fn waits_for(&self, peer: NodeId) -> bool {
        self.asked.contains(&peer) && !self.tally.has(peer)
    }

    fn scan(&self, tag: Tag, epoch: Epoch) -> Message {
        Message::Scan {
            tag,
            epoch,
            partition: self.list.partition,
            bucket: self.bucket,
            after: self.list.after.clone(),
            limit: self.list.limit,
        }
    }

    /// Merges the pages: keys up to where the shortest page ends. Returns those on which the pages differ.
    fn merge_pages(&mut self, wall_ms: u64) -> Vec<UserKey> {
        let ends = self.pages.iter().filter(|page| page.more).filter_map(|page| page.keys.last());
        self.next = ends.map(|last| last.key.clone()).min();
        let mut seen: BTreeMap<&UserKey, Vec<_>> = BTreeMap::new();
        for key in self.pages.iter().flat_map(|page| &page.keys) {
            if self.next.as_ref().is_none_or(|end| key.key <= *end) {
                seen.entry(&key.key).or_default().push(key);
            }
        }
        // The union of full pages can be more than a page.
        let limit = self.list.limit as usize;
        if seen.len() > limit {
            self.next = seen.keys().nth(limit - 1).map(|key| Bytes::clone(key));
            seen = seen.into_iter().take(limit).collect();
        }
        let replicas = self.pages.len();
        for (key, versions) in seen {
            let agreed = versions.len() == replicas
                && !versions.iter().any(|version| version.doubtful)
                && versions.windows(2).all(|pair| pair[0].digest == pair[1].digest);
            self.keys.insert(key.clone(), agreed.then(|| wall_ms < versions[0].live_until_ms));
        }
        self.pages.clear();
        let doubtful = self.keys.iter().filter(|(_, live)| live.is_none());
        doubtful.map(|(key, _)| key.clone()).collect()
    }
}

impl Node {
    /// Begins a listing at one of the partition's owners.
    #[expect(clippy::too_many_arguments, reason = "they are what the gate has found out")]
    pub(super) fn list(
        &mut self,
        turn: &mut Turn<'_>,
        source: Source,
        deadline: Time,
        list: List,
        bucket: &Bucket,
        quorums: Quorums,
        owners: &[NodeId],
    ) {
        let (partition, after, limit) = (list.partition, list.after.clone(), list.limit);
        let listing = Listing {
            list,
            bucket: bucket.id,
            quorums,
            tally: Tally::of_read(owners, quorums.read),
            asked: vec![self.config.node],
            pages: Vec::new(),
            keys: BTreeMap::new(),
            next: None,
            unread: 0,
        };
        let timer = deadline.min(turn.time() + self.links.hedge_delay() * 4);
        let (began, job) = (turn.now, Job::List(listing));
        let tag = self.coordinator.insert(Running { source, began, deadline, timer, job });
        self.scan(turn, ScanFor::Listing(tag), partition, bucket.id, after.as_deref(), limit);
        let Some(mut running) = self.coordinator.take(tag) else {
            return;
        };
        if let Job::List(listing) = &mut running.job {
            for _ in 1..listing.tally.needed() {
                self.list_ask_fresh(turn, tag, listing);
            }
        }
        self.coordinator.put_back(tag, running);
    }

    /// Asks a replica that has not been asked, if there is one.
    fn list_ask_fresh(&self, turn: &mut Turn<'_>, tag: Tag, listing: &mut Listing) -> bool {
        let Some(layout) = &self.layout else { return false };
        let fresh = |replica: &&NodeId| self.links.is_live(**replica) && !listing.asked.contains(replica);
        let Some(next) = listing.tally.counting().iter().find(fresh).copied() else { return false };
        listing.asked.push(next);
        turn.send(next, listing.scan(tag, layout.epoch));
        true
    }

    /// Asks those again who have not answered. Only on a timer, as for a get.
    fn list_ask_again(&self, turn: &mut Turn<'_>, tag: Tag, listing: &Listing) {
        let Some(layout) = &self.layout else { return };
        for &replica in &listing.asked {
            if self.links.is_live(replica) && !listing.tally.has(replica) {
                turn.send(replica, listing.scan(tag, layout.epoch));
            }
        }
    }

    /// A page is late: another replica is asked as well.
    pub(super) fn list_step(&mut self, turn: &mut Turn<'_>, tag: Tag, mut running: Box<Running>) {
        if let Job::List(listing) = &mut running.job
            && !listing.tally.is_met()
            && !self.list_ask_fresh(turn, tag, listing)
        {
            self.list_ask_again(turn, tag, listing);
        }
        running.timer = running.deadline.min(turn.time() + self.links.hedge_delay() * 8);
        self.coordinator.put_back(tag, running);
    }

    /// A replica's page, this node's own included.
    pub(crate) fn list_page(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        tag: Tag,
        epoch: Epoch,
        result: Result<Scanned, Refusal>,
    ) {
        let current = self.layout.as_ref().is_some_and(|layout| layout.epoch == epoch);
        let Some(mut running) = self.coordinator.take(tag) else {
            return;
        };
        let Job::List(listing) = &mut running.job else {
            self.coordinator.put_back(tag, running);
            return;
        };
        if listing.waits_for(from) && !listing.tally.is_met() {
            match result {
                Ok(page) if current => {
                    listing.tally.count(from);
                    listing.pages.push(page);
                    if listing.tally.is_met() {
                        self.list_merge(turn, tag, running);
                        return;
                    }
                }
                _ => {
                    self.list_ask_fresh(turn, tag, listing);
                }
            }
        }
        self.coordinator.put_back(tag, running);
    }

    fn list_merge(&mut self, turn: &mut Turn<'_>, tag: Tag, mut running: Box<Running>) {
        let Job::List(listing) = &mut running.job else {
            return;
        };
        let doubtful = listing.merge_pages(turn.now.wall_ms);
        listing.unread = doubtful.len();
        if doubtful.is_empty() {
            self.list_done(turn, *running);
            return;
        }
        let (deadline, quorums) = (running.deadline, listing.quorums);
        let (partition, bucket) = (listing.list.partition, listing.bucket);
        let counting = listing.tally.counting().to_vec();
        self.coordinator.put_back(tag, running);
        for key in doubtful {
            let target = Target {
                key: KeyRef { partition, bucket, key: key.clone() },
                place: Place::Replica,
                quorums,
            };
            let job = Job::Get(get::Reading::for_get(target, &counting));
            self.start(turn, Source::List { tag, key }, deadline, job);
        }
    }

    /// A doubtful key has been read.
    pub(super) fn list_read_done(
        &mut self,
        turn: &mut Turn<'_>,
        tag: Tag,
        key: UserKey,
        result: OperationResult,
    ) {
        let Some(mut running) = self.coordinator.take(tag) else {
            return;
        };
        let Job::List(listing) = &mut running.job else {
            self.coordinator.put_back(tag, running);
            return;
        };
        match result {
            Ok(Outcome::Get(found)) => {
                listing.keys.insert(key, Some(!found.siblings.is_empty()));
                listing.unread -= 1;
                if listing.unread == 0 {
                    self.list_done(turn, *running);
                } else {
                    self.coordinator.put_back(tag, running);
                }
            }
            Err(error) => self.finish(turn, running.source, Err(error)),
            Ok(Outcome::Put(_) | Outcome::Delete(_) | Outcome::List(_)) => {
                let failure = Failure::Storage("a read was answered with something else".into());
                self.finish(turn, running.source, Err(read_error(failure)));
            }
        }
    }

    fn list_done(&mut self, turn: &mut Turn<'_>, running: Running) {
        let Job::List(listing) = running.job else { return };
        let live = listing.keys.into_iter().filter(|(_, live)| *live == Some(true));
        let listed = Listed { keys: live.map(|(key, _)| key).collect(), next: listing.next };
        self.finish(turn, running.source, Ok(Outcome::List(listed)));
    }

    /// Asks the store for a page of containers.
    pub(crate) fn scan(
        &mut self,
        turn: &mut Turn<'_>,
        purpose: ScanFor,
        partition: crate::id::PartitionId,
        bucket: BucketId,
        after: Option<&[u8]>,
        limit: u32,
    ) {
        let key = after.map(Bytes::copy_from_slice).unwrap_or_default();
        let token = self.scans.begin(purpose, Some(KeyRef { partition, bucket, key }));
        turn.effects.push(Effect::Scan {
            token,
            prefix: keys::data_prefix(partition, bucket),
            after: after.map(|key| keys::data(partition, bucket, key)),
            entries_max: limit as usize,
            bytes_max: PAGE_BYTES,
        });
    }
}
