//! What a node does for other nodes' operations: merge, acknowledge once durable, show what it holds.

use std::collections::BTreeMap;

use crate::commits::Waiter;
use crate::echo::LinkTime;
use crate::event::ReadToken;
use crate::id::{BucketId, Epoch, NodeId, PartitionId};
use crate::keys;
use crate::message::{Fetched, KeyRef, Message, Place, Refusal, Scanned, ScannedKey, Tag};
use crate::node::Node;
use crate::store::{ScanPage, StoreError};
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
    /// This node, at its start, about the hints of earlier lives.
    Hints,
    /// The background sweep.
    Sweep,
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
    /// Whether it is this node's own business, which takes no room from requests: there is little of it at a time.
    fn is_own(&self) -> bool {
        match self {
            Self::Hints | Self::Sweep | Self::Exchange(_) => true,
            Self::Listing(_) | Self::Peer { .. } | Self::Keys { .. } => false,
        }
    }
}

/// Scans that the store is busy with.
#[derive(Debug, Default)]
pub(crate) struct Scans {
    next: u64,
    running: BTreeMap<ReadToken, ScanFor>,
    /// How many of these are for listings and other nodes.
    requested: usize,
}

impl Scans {
    pub(crate) fn begin(&mut self, purpose: ScanFor) -> ReadToken {
        self.next += 1;
        let token = ReadToken(self.next);
        self.requested += usize::from(!purpose.is_own());
        self.running.insert(token, purpose);
        token
    }

    fn done(&mut self, token: ReadToken) -> Option<ScanFor> {
        let purpose = self.running.remove(&token)?;
        self.requested -= usize::from(!purpose.is_own());
        Some(purpose)
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
        match self.fence(turn, from, epoch, key.partition, key.bucket, place) {
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
        match self.fence(turn, from, epoch, partition, bucket, Place::Replica) {
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
        match self.layout.as_ref().filter(|layout| layout.is_fallback(partition, self.config.node)) {
            Some(_) => Ok(()),
            None => Err(Refusal::NotOwner),
        }
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
        // Here, and not when it came: it may have waited for the store through a long pause.
        let merged = if self.is_fresh(turn, echo) {
            self.merged(turn.now.wall_ms, key.bucket, held, incoming)
        } else {
            self.stats.too_old += 1;
            Err(Refusal::TooOld)
        };
        let commit = match merged {
            Err(refusal) => {
                self.reply_replicated(turn, reply, Err(refusal));
                return;
            }
            // The covering state may still be on its way to the disk.
            Ok(None) => held.commit,
            Ok(Some((container, encoded))) => self.hold_new(turn, key, container, encoded).commit,
        };
        let Some((to, tag)) = reply else { return };
        if self.commits.is_durable(commit) {
            self.reply_replicated(turn, reply, Ok(()));
        } else {
            self.commits.wait(commit, Waiter::Replica { to, tag });
        }
    }

    /// The container that is to be held from now on; none when nothing changes.
    pub(crate) fn merged(
        &self,
        wall_ms: u64,
        bucket: BucketId,
        held: &Held,
        incoming: EncodedContainer,
    ) -> Result<Option<(Container, EncodedContainer)>, Refusal> {
        let mut theirs = incoming.decode().map_err(|_| Refusal::Storage)?;
        if theirs.digest() == held.digest {
            return Ok(None);
        }
        if !self.writable {
            return Err(Refusal::Storage);
        }
        let lww = self.last_writer_wins(bucket);
        if held.container.is_absent() {
            let encoded = if theirs.expire(wall_ms, lww) { theirs.encode() } else { incoming };
            return Ok(Some((theirs, encoded)));
        }
        let mut ours = Container::clone(&held.container);
        Ok(match ours.merge_and_expire(&theirs, wall_ms, lww) {
            Merged::Unchanged => None,
            // Equal containers encode alike: what came is kept as it is.
            Merged::TookOther => Some((theirs, incoming)),
            Merged::Mixed => {
                let encoded = ours.encode();
                Some((ours, encoded))
            }
        })
    }

    /// The key's container is here: show it.
    pub(crate) fn fetch_loaded(
        &mut self,
        turn: &mut Turn<'_>,
        held: &Held,
        from: NodeId,
        tag: Tag,
        have: Option<Digest>,
        began: Time,
    ) {
        let fetched = match self.echoes.known_at(from, began) {
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
        let Some(purpose) = self.scans.done(token) else {
            return;
        };
        let listed = |result: Result<ScanPage, StoreError>| {
            result.map_err(|_| Refusal::Storage).and_then(|page| self.scanned(page))
        };
        match purpose {
            ScanFor::Listing(tag) => {
                let page = listed(result);
                self.list_page(turn, self.config.node, tag, self.epoch(), page);
            }
            ScanFor::Peer { from, tag } => self.reply_scanned(turn, from, tag, listed(result)),
            ScanFor::Hints => self.hints_page(turn, result),
            ScanFor::Sweep => self.sweep_page(turn, token, result),
            ScanFor::Exchange(tag) => self.own_keys(turn, tag, result),
            ScanFor::Keys { from, tag, leaves } => self.reply_keys(turn, from, tag, &leaves, result),
        }
    }

    /// Acknowledges, under the epoch held now.
    pub(crate) fn reply_replicated(
        &self,
        turn: &mut Turn<'_>,
        reply: Option<(NodeId, Tag)>,
        result: Result<(), Refusal>,
    ) {
        if let Some((to, tag)) = reply {
            turn.send(to, Message::ReplicateReply { tag, epoch: self.epoch(), result });
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

    fn scanned(&self, page: ScanPage) -> Result<Scanned, Refusal> {
        let mut keys = Vec::with_capacity(page.entries.len());
        for (key, value) in page.entries {
            let container = EncodedContainer(value).decode().map_err(|_| Refusal::Storage)?;
            let lww = keys::bucket_of(&key).is_some_and(|bucket| self.last_writer_wins(bucket));
            let (key, digest) = (keys::user_key(&key), container.digest());
            keys.push(ScannedKey { key, digest, live_until_ms: container.live_until(lww) });
        }
        Ok(Scanned { keys, more: page.more })
    }
}
