//! What a node does for other nodes' operations: merge, acknowledge once durable, show what it holds.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::commits::Waiter;
use crate::echo::LinkTime;
use crate::event::ReadToken;
use crate::id::{BucketId, Epoch, NodeId, PartitionId};
use crate::keys;
use crate::message::{Fetched, KeyRef, Message, Place, Refusal, Scanned, ScannedKey, Tag};
use crate::node::Node;
use crate::store::{CommitNumber, ScanPage, StoreError};
use crate::time::Time;
use crate::turn::Turn;
use crate::version::{Container, Digest, EncodedContainer, Merged};
use crate::working_set::{Held, Task};

/// Who wants a page of a scan.
#[derive(Clone, Debug)]
pub(crate) enum ScanFor {
    /// A listing of this node.
    Listing(Tag),
    /// Another node.
    Peer {
        /// Which node.
        from: NodeId,
        /// Its request.
        tag: Tag,
    },
    /// This node, at its start, about the hints of earlier lives after this record.
    Hints(Option<Bytes>),
    /// The background sweep.
    Sweep,
    /// This node, about what it is to delete.
    Clear,
    /// This node, about what it hands over.
    HandOver,
    /// A node that becomes an owner.
    Pull {
        /// Which node.
        from: NodeId,
        /// Its request.
        tag: Tag,
        /// The leaves of the Merkle tree that it wants; none: all of them.
        leaves: BTreeSet<u16>,
        /// When it asked, by this node's link clock.
        began: Time,
    },
    /// An exchange of this node.
    Exchange(Tag),
    /// Another node's exchange.
    Keys {
        /// Which node.
        from: NodeId,
        /// Its request.
        tag: Tag,
        /// The leaves of the Merkle tree that it wants to see.
        leaves: Vec<u16>,
    },
}

impl ScanFor {
    /// Whether it reads all records of a partition, and a damaged one has to be healed first.
    fn is_of_records(&self) -> bool {
        match self {
            Self::Sweep | Self::Exchange(_) | Self::Keys { .. } => true,
            // Those of a change look at this themselves.
            Self::Listing(_)
            | Self::Peer { .. }
            | Self::Hints(_)
            | Self::Clear
            | Self::HandOver
            | Self::Pull { .. } => false,
        }
    }

    /// Whether it is this node's own business, which takes no room from requests: there is little of it at a time.
    fn is_own(&self) -> bool {
        match self {
            Self::Hints(_) | Self::Sweep | Self::Exchange(_) | Self::Clear | Self::HandOver => true,
            Self::Listing(_) | Self::Peer { .. } | Self::Keys { .. } | Self::Pull { .. } => false,
        }
    }
}

/// Scans that the store is busy with.
#[derive(Debug, Default)]
pub(crate) struct Scans {
    next: u64,
    /// With the key after which a listing goes on.
    running: BTreeMap<ReadToken, (ScanFor, Option<KeyRef>)>,
    /// How many of these are for listings and other nodes.
    requested: usize,
}

impl Scans {
    /// A listing's scan is of the keys after this one; the empty key is before all.
    pub(crate) fn begin(&mut self, purpose: ScanFor, after: Option<KeyRef>) -> ReadToken {
        self.next += 1;
        let token = ReadToken(self.next);
        self.requested += usize::from(!purpose.is_own());
        self.running.insert(token, (purpose, after));
        token
    }

    fn done(&mut self, token: ReadToken) -> Option<(ScanFor, Option<KeyRef>)> {
        let (purpose, after) = self.running.remove(&token)?;
        self.requested -= usize::from(!purpose.is_own());
        Some((purpose, after))
    }
}

impl Node {
    /// Merge what a coordinator, a reader or a holder of hints sends.
    #[expect(clippy::too_many_arguments, reason = "they are the message's fields")]
    pub(crate) fn on_replicate(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        tag: Option<Tag>,
        epoch: Epoch,
        key: &KeyRef,
        container: EncodedContainer,
        echo: LinkTime,
    ) {
        let reply = tag.map(|tag| (from, tag));
        // From any member: what one keeps for owners, it brings also when it is no fallback of the partition any more.
        match self.fence(turn, from, epoch, key.partition, key.bucket, Place::Replica) {
            Ok(()) => self.with_key(turn, key, Task::Merge { reply, container, echo }),
            Err(refusal) => self.reply_replicated(turn, reply, Err(refusal)),
        }
    }

    /// Show what is held of a key.
    #[expect(clippy::too_many_arguments, reason = "they are the message's fields")]
    pub(crate) fn on_fetch(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        tag: Tag,
        epoch: Epoch,
        key: &KeyRef,
        have: Option<Digest>,
        place: Place,
    ) {
        let fenced = self
            .fence(turn, from, epoch, key.partition, key.bucket, place)
            .and_then(|()| if place == Place::Replica { self.fence_reads(key.partition) } else { Ok(()) });
        match fenced {
            Ok(()) => {
                let began = turn.now.link;
                self.with_record(turn, place, key, Task::Fetch { from, tag, have, began });
            }
            Err(refusal) => self.reply_fetched(turn, from, tag, Err(refusal)),
        }
    }

    /// Show which keys are held.
    #[expect(clippy::too_many_arguments, reason = "they are the message's fields")]
    pub(crate) fn on_scan(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        tag: Tag,
        epoch: Epoch,
        partition: PartitionId,
        bucket: BucketId,
        after: Option<&[u8]>,
        limit: u32,
    ) {
        let fenced = self
            .fence(turn, from, epoch, partition, bucket, Place::Replica)
            .and_then(|()| self.fence_reads(partition));
        match fenced {
            Ok(()) => self.scan(turn, ScanFor::Peer { from, tag }, partition, bucket, after, limit),
            Err(refusal) => self.reply_scanned(turn, from, tag, Err(refusal)),
        }
    }

    /// Both sides must hold the same epoch, and this one must have this role for the partition and know the bucket.
    pub(crate) fn fence(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        epoch: Epoch,
        partition: PartitionId,
        bucket: BucketId,
        place: Place,
    ) -> Result<(), Refusal> {
        match place {
            Place::Replica => self.fence_owner(turn, from, epoch, partition)?,
            Place::Fallback => self.fence_fallback(turn, from, epoch, partition)?,
        }
        if self.layout.as_ref().is_none_or(|layout| layout.bucket_by_id(bucket).is_none()) {
            return Err(Refusal::NotOwner);
        }
        if self.has_room() { Ok(()) } else { Err(Refusal::Overloaded) }
    }

    /// Both sides must hold the same epoch, and this one must own the partition.
    pub(crate) fn fence_owner(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        epoch: Epoch,
        partition: PartitionId,
    ) -> Result<(), Refusal> {
        self.fence_member(turn, from, epoch)?;
        if self.holds(partition) { Ok(()) } else { Err(Refusal::NotOwner) }
    }

    /// Whether this node takes what is written to a partition: it owns it before or after a change, and has nothing of earlier
    /// times left there.
    pub fn holds(&self, partition: PartitionId) -> bool {
        let holder = self.layout.as_ref().is_some_and(|layout| layout.is_holder(partition, self.config.node));
        holder && !self.transition.is_wiping(partition)
    }

    /// Whether this node stands in for owners of a partition.
    pub(crate) fn is_fallback(&self, partition: PartitionId) -> bool {
        self.layout.as_ref().is_some_and(|layout| layout.is_fallback(partition, self.config.node))
    }

    /// Reads count at those who have all of it, on one side of a change.
    fn fence_reads(&self, partition: PartitionId) -> Result<(), Refusal> {
        match self.layout.as_ref().filter(|layout| layout.is_owner(partition, self.config.node)) {
            Some(_) => Ok(()),
            None => Err(Refusal::NotOwner),
        }
    }

    /// Both sides must hold the same epoch, and this one must stand in for owners of the partition.
    fn fence_fallback(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        epoch: Epoch,
        partition: PartitionId,
    ) -> Result<(), Refusal> {
        self.fence_member(turn, from, epoch)?;
        if self.is_fallback(partition) { Ok(()) } else { Err(Refusal::NotOwner) }
    }

    /// Whether another request to a replica may be taken up.
    pub(crate) fn has_room(&self) -> bool {
        let loading = self.working.waiting() + self.fallback.waiting();
        let under_way = loading + self.scans.requested + self.commits.waiting();
        under_way < self.config.limits.replica_requests
    }

    /// Both sides must hold the same epoch.
    pub(crate) fn fence_member(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        epoch: Epoch,
    ) -> Result<(), Refusal> {
        let mine = self.epoch();
        if epoch > mine {
            self.links.saw_epoch(from, epoch);
            turn.send(from, Message::LayoutRequest);
        }
        let Some(layout) = self.layout.as_ref().filter(|_| epoch == mine) else {
            return Err(Refusal::Epoch(mine));
        };
        // A node that is not in the layout has no say.
        match layout.member(from) {
            Some(_) => Ok(()),
            None => Err(Refusal::NotOwner),
        }
    }

    /// The key's container is here: merge the one that came into it.
    pub(crate) fn merge_loaded(
        &mut self,
        turn: &mut Turn<'_>,
        key: &KeyRef,
        held: &Held,
        reply: Option<(NodeId, Tag)>,
        incoming: EncodedContainer,
        echo: LinkTime,
    ) {
        let commit = match self.merge_in(turn, key, held, incoming, echo) {
            Ok(commit) => commit,
            Err(refusal) => {
                self.reply_replicated(turn, reply, Err(refusal));
                return;
            }
        };
        let Some((to, tag)) = reply else { return };
        if self.holes.has(key) {
            self.reply_replicated(turn, reply, Err(Refusal::Hole));
        } else if self.commits.is_durable(commit) {
            self.reply_replicated(turn, reply, Ok(()));
        } else {
            self.commits.wait(commit, Waiter::Replica { to, tag, key: key.clone() });
        }
    }

    /// Merges a container into the one held; returns the commit that makes the covering state durable. Its age is looked at
    /// here, and not when it came: it may have waited for the store through a long pause.
    pub(crate) fn merge_in(
        &mut self,
        turn: &mut Turn<'_>,
        key: &KeyRef,
        held: &Held,
        incoming: EncodedContainer,
        echo: LinkTime,
    ) -> Result<CommitNumber, Refusal> {
        if !self.is_fresh(turn, echo) {
            self.stats.too_old += 1;
            return Err(Refusal::TooOld);
        }
        // It was asked for before another epoch, perhaps.
        if !self.holds(key.partition) {
            return Err(Refusal::NotOwner);
        }
        Ok(match self.merged(turn.now.wall_ms, Place::Replica, key, held, incoming)? {
            // The covering state may still be on its way to the disk.
            None => held.commit,
            Some((container, encoded)) => self.hold_new(turn, key, container, encoded).commit,
        })
    }

    /// The container that is to be held from now on; none when nothing changes.
    pub(crate) fn merged(
        &mut self,
        wall_ms: u64,
        place: Place,
        key: &KeyRef,
        held: &Held,
        incoming: EncodedContainer,
    ) -> Result<Option<(Container, EncodedContainer)>, Refusal> {
        let mut theirs = incoming.decode().map_err(|_| Refusal::Storage)?;
        if theirs.digest() == held.digest {
            return Ok(None);
        }
        // A dot of mine that I do not have: my history has a hole that nobody has told me of.
        if place == Place::Replica
            && let Some(mine) = self.authors.present(key.partition)
            && theirs.context.shows_more_of(mine, &held.container.context)
        {
            self.authors.forget(place, key.partition);
        }
        if !self.writable {
            return Err(Refusal::Storage);
        }
        let lww = self.last_writer_wins(key.bucket);
        if held.container.is_absent() {
            let encoded = if theirs.expire(wall_ms, lww) { theirs.pack() } else { incoming };
            return Ok(Some((theirs, encoded)));
        }
        let mut ours = Container::clone(&held.container);
        Ok(match ours.merge_and_expire(&theirs, wall_ms, lww) {
            Merged::Unchanged => None,
            // Equal containers encode alike: what came is kept as it is.
            Merged::TookOther => Some((theirs, incoming)),
            Merged::Mixed => {
                let encoded = ours.pack();
                Some((ours, encoded))
            }
        })
    }

    /// The key's container is here: show it.
    pub(crate) fn fetch_loaded(
        &mut self,
        turn: &mut Turn<'_>,
        key: &KeyRef,
        held: &Held,
        (from, tag): (NodeId, Tag),
        have: Option<Digest>,
        (place, began): (Place, Time),
    ) {
        let fetched = match self.echoes.known_at(from, began) {
            // The partition has moved while the store was asked.
            _ if place == Place::Replica && self.fence_reads(key.partition).is_err() => {
                Err(Refusal::NotOwner)
            }
            _ if place == Place::Fallback && !self.is_fallback(key.partition) => Err(Refusal::NotOwner),
            // A fallback that keeps nothing of a key has nothing to say of it.
            _ if place == Place::Fallback && held.container.is_absent() => Err(Refusal::NothingKept),
            _ if have == Some(held.digest) => Ok(Fetched::Same),
            Some(echo) => Ok(Fetched::Container { container: held.encoded.clone(), echo }),
            None => Err(Refusal::TooOld),
        };
        self.reply_fetched(turn, from, tag, fetched);
    }

    /// A page of a scan is here.
    pub(crate) fn on_scan_done(
        &mut self,
        turn: &mut Turn<'_>,
        token: ReadToken,
        result: Result<ScanPage, StoreError>,
    ) {
        let Some((purpose, after)) = self.scans.done(token) else {
            return;
        };
        if purpose.is_of_records()
            && let Ok(page) = &result
        {
            for key in page.damaged.iter().filter_map(keys::key_of).collect::<Vec<_>>() {
                self.suspect(turn, &key);
            }
        }
        match purpose {
            ScanFor::Listing(tag) => {
                let page = self.listed(turn, after, result);
                self.list_page(turn, self.config.node, tag, self.epoch(), page);
            }
            ScanFor::Peer { from, tag } => {
                let page = self.listed(turn, after, result);
                self.reply_scanned(turn, from, tag, page);
            }
            ScanFor::Hints(after) => self.hints_page(turn, after, result),
            ScanFor::Sweep => self.sweep_page(turn, token, result),
            ScanFor::Clear => self.clear_page(turn, token, result),
            ScanFor::HandOver => self.hand_over_page(turn, token, result),
            ScanFor::Pull { from, tag, leaves, began } => {
                self.pull_page(turn, (from, tag), &leaves, began, result);
            }
            ScanFor::Exchange(tag) => self.own_keys(turn, tag, result),
            ScanFor::Keys { from, tag, leaves } => self.reply_keys(turn, from, tag, &leaves, result),
        }
    }

    /// Acknowledges, under the epoch held now.
    pub(crate) fn reply_replicated(
        &mut self,
        turn: &mut Turn<'_>,
        reply: Option<(NodeId, Tag)>,
        result: Result<(), Refusal>,
    ) {
        if let Some((to, tag)) = reply {
            self.say(turn, to, Message::ReplicateReply { tag, epoch: self.epoch(), result });
        }
    }

    /// Answers a fetch, under the epoch held now.
    pub(crate) fn reply_fetched(
        &self,
        turn: &mut Turn<'_>,
        to: NodeId,
        tag: Tag,
        result: Result<Fetched, Refusal>,
    ) {
        turn.send(to, Message::FetchReply { tag, epoch: self.epoch(), result });
    }

    fn reply_scanned(&self, turn: &mut Turn<'_>, to: NodeId, tag: Tag, result: Result<Scanned, Refusal>) {
        turn.send(to, Message::ScanReply { tag, epoch: self.epoch(), result });
    }

    /// A page of the store as it is told to a listing. What cannot be read, and what is a hole, is named as doubtful: another
    /// replica is to say.
    fn listed(
        &mut self,
        turn: &mut Turn<'_>,
        after: Option<KeyRef>,
        result: Result<ScanPage, StoreError>,
    ) -> Result<Scanned, Refusal> {
        let (Ok(page), Some(after)) = (result, after) else { return Err(Refusal::Storage) };
        let (partition, bucket) = (after.partition, after.bucket);
        let lww = self.last_writer_wins(bucket);
        let upto = page.last().filter(|_| page.more).map(keys::user_key);
        let mut doubtful: BTreeSet<Bytes> = page.damaged.iter().map(keys::user_key).collect();
        let mut found = Vec::with_capacity(page.entries.len() + doubtful.len());
        for (key, value) in page.entries {
            let key = keys::user_key(&key);
            match EncodedContainer(value).decode() {
                Ok(container) => {
                    let (digest, live_until_ms) = (container.digest(), container.live_until(lww));
                    found.push(ScannedKey { key, digest, live_until_ms, doubtful: false });
                }
                Err(_) => {
                    doubtful.insert(key);
                }
            }
        }
        for key in &doubtful {
            self.suspect(turn, &KeyRef { partition, bucket, key: key.clone() });
        }
        doubtful.extend(self.holes.between(partition, bucket, Some(&after.key), upto.as_ref()).cloned());
        if !doubtful.is_empty() {
            found.retain(|found| !doubtful.contains(&found.key));
            let digest = Container::default().digest();
            let unsure = |key| ScannedKey { key, digest, live_until_ms: 0, doubtful: true };
            found.extend(doubtful.into_iter().map(unsure));
            found.sort_by(|a, b| a.key.cmp(&b.key));
        }
        Ok(Scanned { keys: found, more: page.more })
    }
}
