//! What a node does for other nodes' operations: merge, acknowledge once durable, show what it holds.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::commits::Waiter;
use crate::event::ReadToken;
use crate::id::{BucketId, Epoch, NodeId, PartitionId};
use crate::keys;
use crate::message::{Fetched, KeyRef, Message, Refusal, Scanned, ScannedKey, Tag};
use crate::node::Node;
use crate::store::{CommitNumber, ScanPage, StoreError};
use crate::turn::Turn;
use crate::version::{Container, Digest, EncodedContainer, Merged};
use crate::working_set::{Held, Task};

/// Who wants a page of a scan.
#[derive(Clone, Copy, Debug)]
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
}

/// Scans that the store is busy with.
#[derive(Debug, Default)]
pub(crate) struct Scans {
    next: u64,
    running: BTreeMap<ReadToken, (ScanFor, KeyRef)>,
}

impl Scans {
    /// The scan is of the keys after this one; the empty key is before all.
    pub(crate) fn begin(&mut self, purpose: ScanFor, after: KeyRef) -> ReadToken {
        self.next += 1;
        let token = ReadToken(self.next);
        self.running.insert(token, (purpose, after));
        token
    }
}

impl Node {
    /// Merge what a coordinator or a reader sends.
    pub(crate) fn on_replicate(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        tag: Option<Tag>,
        epoch: Epoch,
        key: &KeyRef,
        container: EncodedContainer,
    ) {
        let reply = tag.map(|tag| (from, tag));
        match self.fence(turn, from, epoch, key.partition, key.bucket) {
            Ok(()) => self.with_key(turn, key, Task::Merge { reply, container }),
            Err(refusal) => self.reply_replicated(turn, reply, Err(refusal)),
        }
    }

    /// Show what is held of a key.
    pub(crate) fn on_fetch(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        tag: Tag,
        epoch: Epoch,
        key: &KeyRef,
        have: Option<Digest>,
    ) {
        match self.fence(turn, from, epoch, key.partition, key.bucket) {
            Ok(()) => self.with_key(turn, key, Task::Fetch { from, tag, have }),
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
        match self.fence(turn, from, epoch, partition, bucket) {
            Ok(()) => self.scan(turn, ScanFor::Peer { from, tag }, partition, bucket, after, limit),
            Err(refusal) => self.reply_scanned(turn, from, tag, Err(refusal)),
        }
    }

    /// Both sides must hold the same epoch, and this one must own the partition and know the bucket.
    pub(crate) fn fence(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        epoch: Epoch,
        partition: PartitionId,
        bucket: BucketId,
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
        let stranger = layout.member(from).is_none();
        if stranger || !layout.is_owner(partition, self.config.node) || layout.bucket_by_id(bucket).is_none()
        {
            return Err(Refusal::NotOwner);
        }
        let under_way = self.working.waiting() + self.scans.running.len() + self.commits.waiting();
        if under_way >= self.config.limits.replica_requests {
            return Err(Refusal::Overloaded);
        }
        Ok(())
    }

    /// The key's container is here: merge the one that came into it.
    pub(crate) fn merge_loaded(
        &mut self,
        turn: &mut Turn<'_>,
        key: &KeyRef,
        held: &Held,
        reply: Option<(NodeId, Tag)>,
        incoming: EncodedContainer,
    ) {
        let commit = match self.merge_in(turn, key, held, incoming) {
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

    /// Merges a container into the one held; returns the commit that makes the covering state durable.
    pub(crate) fn merge_in(
        &mut self,
        turn: &mut Turn<'_>,
        key: &KeyRef,
        held: &Held,
        incoming: EncodedContainer,
    ) -> Result<CommitNumber, Refusal> {
        Ok(match self.merged(key.partition, held, incoming)? {
            // The covering state may still be on its way to the disk.
            None => held.commit,
            Some((container, encoded)) => self.hold_new(turn, key, container, encoded).commit,
        })
    }

    /// The container that is to be held from now on; none when nothing changes.
    fn merged(
        &mut self,
        partition: PartitionId,
        held: &Held,
        incoming: EncodedContainer,
    ) -> Result<Option<(Container, EncodedContainer)>, Refusal> {
        let theirs = incoming.decode().map_err(|_| Refusal::Storage)?;
        if theirs.digest() == held.digest {
            return Ok(None);
        }
        // A dot of mine that I do not have: my history has a hole that nobody has told me of.
        if let Some(mine) = self.authors.present(partition)
            && theirs.context.shows_more_of(mine, &held.container.context)
        {
            self.authors.forget(partition);
        }
        if !self.writable {
            return Err(Refusal::Storage);
        }
        if held.container.is_absent() {
            return Ok(Some((theirs, incoming)));
        }
        let mut ours = Container::clone(&held.container);
        Ok(match ours.merge(&theirs) {
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
    ) {
        let fetched =
            if have == Some(held.digest) { Fetched::Same } else { Fetched::Container(held.encoded.clone()) };
        self.reply_fetched(turn, from, tag, Ok(fetched));
    }

    /// A page of a scan is here.
    pub(crate) fn on_scan_done(
        &mut self,
        turn: &mut Turn<'_>,
        token: ReadToken,
        result: Result<ScanPage, StoreError>,
    ) {
        let Some((purpose, after)) = self.scans.running.remove(&token) else {
            return;
        };
        let result = match result {
            Ok(page) => Ok(self.scanned(turn, &after, page)),
            Err(_) => Err(Refusal::Storage),
        };
        match purpose {
            ScanFor::Listing(tag) => self.list_page(turn, self.config.node, tag, self.epoch(), result),
            ScanFor::Peer { from, tag } => self.reply_scanned(turn, from, tag, result),
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

    /// A page of the store as it is told to a listing. What cannot be read, and what is a hole, is named as doubtful: another
    /// replica is to say.
    fn scanned(&mut self, turn: &mut Turn<'_>, after: &KeyRef, page: ScanPage) -> Scanned {
        let (partition, bucket) = (after.partition, after.bucket);
        let upto = page.last().filter(|_| page.more).map(keys::user_key);
        let mut doubtful: BTreeSet<Bytes> = page.damaged.iter().map(keys::user_key).collect();
        let mut found = Vec::with_capacity(page.entries.len() + doubtful.len());
        for (key, value) in page.entries {
            let key = keys::user_key(&key);
            match EncodedContainer(value).decode() {
                Ok(container) => {
                    let (digest, live) = (container.digest(), !container.siblings.is_empty());
                    found.push(ScannedKey { key, digest, live, doubtful: false });
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
            found.extend(doubtful.into_iter().map(|key| ScannedKey {
                key,
                digest,
                live: false,
                doubtful: true,
            }));
            found.sort_by(|a, b| a.key.cmp(&b.key));
        }
        Scanned { keys: found, more: page.more }
    }
}
