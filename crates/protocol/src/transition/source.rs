//! What owners show and give to each other in a change.

use std::collections::BTreeSet;

use crate::commits::Waiter;
use crate::id::{Epoch, NodeId, PartitionId};
use crate::keys;
use crate::layout::Side;
use crate::merkle::{BRANCHES, leaf_of};
use crate::message::{KeyRef, Message, PulledPage, Refusal, Surveyed, Tag};
use crate::node::Node;
use crate::replica::ScanFor;
use crate::store::{ScanPage, StoreError};
use crate::time::Time;
use crate::turn::Turn;
use crate::version::EncodedContainer;

/// Containers in the store's order, and up to which key they are all; none: up to the partition's end.
type Records = (Vec<(KeyRef, EncodedContainer)>, Option<KeyRef>);

impl Node {
    /// Another owner compares a partition with this one's.
    #[expect(clippy::too_many_arguments, reason = "they are the message's fields")]
    pub(crate) fn on_survey(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        tag: Tag,
        epoch: Epoch,
        partition: PartitionId,
        root: Option<u128>,
        durable: bool,
    ) {
        let fenced = if durable {
            self.fence_member(turn, from, epoch)
                .and_then(|()| if self.has_caught_up(partition) { Ok(()) } else { Err(Refusal::NotOwner) })
        } else {
            self.fence_source(turn, from, epoch, partition)
        };
        let result = fenced.map(|()| match self.trees.complete(partition) {
            None => Surveyed::Unknown,
            Some(tree) if Some(tree.root()) == root => Surveyed::Same,
            Some(tree) => {
                let branches = 0..u8::try_from(BRANCHES).unwrap_or(u8::MAX);
                Surveyed::Leaves(branches.flat_map(|branch| tree.leaves_of(branch)).collect())
            }
        });
        let message = Message::SurveyReply { tag, epoch: self.epoch(), result };
        if durable {
            let all = self.commits.issued();
            if !self.commits.is_durable(all) {
                self.commits.wait(all, Waiter::Say { to: from, message: Box::new(message) });
                return;
            }
        }
        turn.send(from, message);
    }

    /// An owner has answered a survey of this node's.
    pub(crate) fn on_survey_reply(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        tag: Tag,
        epoch: Epoch,
        result: Result<Surveyed, Refusal>,
    ) {
        // One that was in another epoch when it was asked is asked again soon: epochs spread in a moment.
        let result = if epoch == self.epoch() { result } else { Err(Refusal::Epoch(epoch)) };
        self.catch_up_surveyed(turn, from, tag, result.clone());
        self.hand_over_surveyed(turn, from, tag, result);
    }

    /// Data is gathered from old owners whose part is whole.
    fn fence_source(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        epoch: Epoch,
        partition: PartitionId,
    ) -> Result<(), Refusal> {
        self.fence_member(turn, from, epoch)?;
        let layout = self.layout.as_deref().ok_or(Refusal::NotOwner)?;
        let gives = layout.change_of(partition).is_some()
            && layout.owners_of(partition, Side::Old).contains(&self.config.node);
        if !gives {
            return Err(Refusal::NotOwner);
        }
        if self.holes.any_in(partition) { Err(Refusal::Hole) } else { Ok(()) }
    }

    /// A new owner wants containers.
    #[expect(clippy::too_many_arguments, reason = "they are the message's fields")]
    pub(crate) fn on_pull(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        tag: Tag,
        epoch: Epoch,
        partition: PartitionId,
        leaves: Vec<u16>,
        after: Option<&KeyRef>,
    ) {
        let room = if self.has_room() { Ok(()) } else { Err(Refusal::Overloaded) };
        match self.fence_source(turn, from, epoch, partition).and(room) {
            Ok(()) => {
                let purpose =
                    ScanFor::Pull { from, tag, leaves: leaves.into_iter().collect(), began: turn.now.link };
                let token = self.scans.begin(purpose, None);
                self.scan_partition(turn, token, partition, after);
            }
            Err(refusal) => self.reply_pull(turn, from, tag, Err(refusal)),
        }
    }

    /// The page that a new owner wants is here.
    pub(crate) fn pull_page(
        &mut self,
        turn: &mut Turn<'_>,
        (from, tag): (NodeId, Tag),
        leaves: &BTreeSet<u16>,
        began: Time,
        result: Result<ScanPage, StoreError>,
    ) {
        let echo = self.echoes.known_at(from, began).ok_or(Refusal::TooOld);
        let page = self.records_in(turn, leaves, result);
        let result =
            echo.and_then(|echo| page.map(|(records, through)| PulledPage { records, through, echo }));
        self.reply_pull(turn, from, tag, result);
    }

    /// The records of a page that are in these leaves (all, when none is named), and the last key of the page unless the
    /// partition ends with it. None when a record is damaged: it is a hole from now on.
    pub(super) fn records_in(
        &mut self,
        turn: &mut Turn<'_>,
        leaves: &BTreeSet<u16>,
        result: Result<ScanPage, StoreError>,
    ) -> Result<Records, Refusal> {
        let page = result.map_err(|_| Refusal::Storage)?;
        let through = page.last().filter(|_| page.more).and_then(keys::key_of);
        if page.more && through.is_none() {
            return Err(Refusal::Storage);
        }
        let mut records = Vec::with_capacity(page.entries.len());
        let mut damaged: Vec<KeyRef> = page.damaged.iter().filter_map(keys::key_of).collect();
        for (key, value) in page.entries {
            let Some(key) = keys::key_of(&key) else { continue };
            let container = EncodedContainer(value);
            if container.decode().is_err() {
                damaged.push(key);
            } else if leaves.is_empty() || leaves.contains(&leaf_of(key.bucket, &key.key)) {
                records.push((key, container));
            }
        }
        if damaged.is_empty() {
            return Ok((records, through));
        }
        for key in damaged {
            self.suspect(turn, &key);
        }
        Err(Refusal::Hole)
    }

    fn reply_pull(&self, turn: &mut Turn<'_>, to: NodeId, tag: Tag, result: Result<PulledPage, Refusal>) {
        turn.send(to, Message::PullReply { tag, epoch: self.epoch(), result });
    }
}
