//! The keys in the leaves that differ: both owners' are read page by page and compared, and each key that differs is
//! sent to the other, who merges it and sends back what that gave.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::AntiEntropy;
use super::pages::{differences, keys_page};
use crate::echo::LinkTime;
use crate::id::{Epoch, NodeId, PartitionId};
use crate::message::{KeyRef, KeysPage, Message, Place, Refusal, Tag};
use crate::node::Node;
use crate::replica::ScanFor;
use crate::store::{ScanPage, StoreError};
use crate::time::Time;
use crate::turn::Turn;
use crate::version::{Digest, EncodedContainer};
use crate::working_set::{Held, Task};

/// Exchanges under way at once.
const EXCHANGES_MAX: usize = 8;
/// Exchanges that wait for their turn; past it what differs has to be found again.
const WANTED_MAX: usize = 256;
/// Keys of all exchanges that are being loaded at once.
const LOADING_MAX: usize = 32;
/// A page that has not come is asked for so many times.
const TRIES_MAX: u32 = 3;
/// After an exchange its partition is left alone for so many times as long as reading it took: leaves that differ only because
/// they are always being written must not keep the disk busy.
const REST: u32 = 4;
/// Comparisons in an interval while exchanges that are urgent find something.
const URGENT_PER_INTERVAL: u32 = 8;

/// Leaves of a partition that differ from another owner's.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) with: NodeId,
    pub(super) partition: PartitionId,
    pub(super) leaves: BTreeSet<u16>,
}

/// An exchange under way.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) wanted: Wanted,
    /// Keys up to this one are done.
    after: Option<KeyRef>,
    mine: Option<KeysPage>,
    theirs: Option<KeysPage>,
    /// Keys of these pages that differ and are still to be sent, with what the other holds.
    offers: VecDeque<(KeyRef, Option<Digest>)>,
    asked: Time,
    tries: u32,
    /// When the page has taken too long.
    pub(super) timer: Time,
    /// How long this node's disk has been read for it.
    reading: Duration,
}

/// A key that differs on another owner.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    to: NodeId,
    /// What the other held when its page was read; none: nothing.
    theirs: Option<Digest>,
    /// When the container was asked for, by this node's link clock.
    began: Time,
}

impl AntiEntropy {
    fn is_wanted(&self, with: NodeId, partition: PartitionId) -> bool {
        let under_way = self.exchanges.values().map(|exchange| &exchange.wanted);
        under_way.chain(&self.wanted).any(|wanted| (wanted.with, wanted.partition) == (with, partition))
    }
}

impl Node {
    /// These leaves are to be exchanged, in their turn.
    pub(super) fn want_exchange(&mut self, turn: &mut Turn<'_>, wanted: Wanted, urgent: bool) {
        let peer = self.anti_entropy.peers.get(&wanted.with);
        let rests_until = peer.and_then(|peer| peer.rests.get(&wanted.partition));
        let rests = !urgent && rests_until.is_some_and(|&until| until > turn.time());
        if rests || self.anti_entropy.is_wanted(wanted.with, wanted.partition) {
            return;
        }
        if urgent {
            self.anti_entropy.wanted.push_front(wanted);
        } else {
            self.anti_entropy.wanted.push_back(wanted);
        }
        self.anti_entropy.wanted.truncate(WANTED_MAX);
        self.begin_exchanges(turn);
    }

    fn begin_exchanges(&mut self, turn: &mut Turn<'_>) {
        while self.anti_entropy.exchanges.len() < EXCHANGES_MAX
            && let Some(wanted) = self.anti_entropy.wanted.pop_front()
        {
            let exchange = Exchange {
                wanted,
                after: None,
                mine: None,
                theirs: None,
                offers: VecDeque::new(),
                asked: turn.time(),
                tries: 0,
                timer: turn.time(),
                reading: Duration::ZERO,
            };
            self.ask_for_keys(turn, exchange);
        }
    }

    /// Asks for the next page, on both sides.
    fn ask_for_keys(&mut self, turn: &mut Turn<'_>, mut exchange: Exchange) {
        let tag = self.fresh_tag();
        let Wanted { with, partition, leaves } = &exchange.wanted;
        let (leaves, after) = (leaves.iter().copied().collect(), exchange.after.clone());
        let (partition, epoch) = (*partition, self.epoch());
        turn.send(*with, Message::Keys { tag, epoch, partition, leaves, after });
        let token = self.scans.begin(ScanFor::Exchange(tag), None);
        self.scan_partition(turn, token, partition, exchange.after.as_ref());
        exchange.mine = None;
        exchange.theirs = None;
        exchange.asked = turn.time();
        exchange.timer = turn.time() + self.patience();
        exchange.tries += 1;
        self.anti_entropy.exchanges.insert(tag, exchange);
    }

    /// Asks again for pages that have not come, and gives up those that never do.
    pub(super) fn wake_exchanges(&mut self, turn: &mut Turn<'_>) {
        let now = turn.time();
        let late: Vec<Tag> =
            self.anti_entropy.exchanges.iter().filter(|(_, e)| e.timer <= now).map(|(&tag, _)| tag).collect();
        for tag in late {
            let Some(mut exchange) = self.anti_entropy.exchanges.remove(&tag) else { continue };
            if !exchange.offers.is_empty() {
                // Its pages have come; it waits for the budget or the disk.
                exchange.timer = now + self.patience();
                self.anti_entropy.exchanges.insert(tag, exchange);
            } else if exchange.tries < TRIES_MAX {
                self.ask_for_keys(turn, exchange);
            }
        }
        self.begin_exchanges(turn);
    }

    /// Another owner wants to see keys.
    #[expect(clippy::too_many_arguments, reason = "they are the message's fields")]
    pub(crate) fn on_keys(
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
        match self.fence_owner(turn, from, epoch, partition).and(room) {
            Ok(()) => {
                let token = self.scans.begin(ScanFor::Keys { from, tag, leaves }, None);
                self.scan_partition(turn, token, partition, after);
            }
            Err(refusal) => self.send_keys(turn, from, tag, Err(refusal)),
        }
    }

    /// The page that another owner wants to see is here.
    pub(crate) fn reply_keys(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        tag: Tag,
        leaves: &[u16],
        result: Result<ScanPage, StoreError>,
    ) {
        let page = keys_page(result, |leaf| leaves.binary_search(&leaf).is_ok());
        self.send_keys(turn, from, tag, page);
    }

    fn send_keys(&self, turn: &mut Turn<'_>, to: NodeId, tag: Tag, result: Result<KeysPage, Refusal>) {
        turn.send(to, Message::KeysReply { tag, epoch: self.epoch(), result });
    }

    /// The other owner's page is here. A refusal is as good as no reply: it may be otherwise in a while.
    pub(crate) fn on_keys_reply(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        tag: Tag,
        epoch: Epoch,
        result: Result<KeysPage, Refusal>,
    ) {
        let current = epoch == self.epoch();
        if let Some(exchange) = self.anti_entropy.exchanges.get_mut(&tag)
            && let Ok(page) = result
            && exchange.wanted.with == from
            && current
        {
            exchange.theirs = Some(page);
            self.compare_pages(turn, tag);
        }
    }

    /// This node's own page is here.
    pub(crate) fn own_keys(&mut self, turn: &mut Turn<'_>, tag: Tag, result: Result<ScanPage, StoreError>) {
        if let Some(exchange) = self.anti_entropy.exchanges.get_mut(&tag)
            && let Ok(page) = keys_page(result, |leaf| exchange.wanted.leaves.contains(&leaf))
        {
            exchange.reading += turn.time().since(exchange.asked);
            exchange.mine = Some(page);
            self.compare_pages(turn, tag);
        }
    }

    /// With both pages here: what differs in them up to where the shorter one ends is to be sent.
    fn compare_pages(&mut self, turn: &mut Turn<'_>, tag: Tag) {
        let patience = self.patience();
        let Some(exchange) = self.anti_entropy.exchanges.get_mut(&tag) else { return };
        if exchange.mine.is_none() || exchange.theirs.is_none() {
            return;
        }
        let (Some(mine), Some(theirs)) = (exchange.mine.take(), exchange.theirs.take()) else { return };
        let (differing, through) = differences(mine, theirs);
        exchange.offers = differing;
        exchange.after = through;
        exchange.tries = 0;
        exchange.timer = turn.time() + patience;
        self.after_page(turn, tag);
    }

    /// Sends what may be sent of the keys that differ.
    pub(crate) fn go_on_exchanging(&mut self, turn: &mut Turn<'_>) {
        self.anti_entropy.budget.wanting = false;
        if self.anti_entropy.exchanges.is_empty() {
            return;
        }
        self.anti_entropy.budget.refill(turn.time());
        let sending = self.anti_entropy.exchanges.iter().filter(|(_, exchange)| !exchange.offers.is_empty());
        let sending: Vec<Tag> = sending.map(|(&tag, _)| tag).collect();
        for tag in sending {
            while let Some(exchange) = self.anti_entropy.exchanges.get_mut(&tag)
                && !exchange.offers.is_empty()
            {
                if self.anti_entropy.budget.is_spent() {
                    self.anti_entropy.budget.wanting = true;
                    return;
                }
                // What is under way ends with an event, and then this goes on.
                if self.anti_entropy.budget.loading >= LOADING_MAX || !self.has_room() {
                    return;
                }
                self.offer_next(turn, tag);
            }
            self.after_page(turn, tag);
        }
    }

    fn offer_next(&mut self, turn: &mut Turn<'_>, tag: Tag) {
        let Some(exchange) = self.anti_entropy.exchanges.get_mut(&tag) else { return };
        let to = exchange.wanted.with;
        if let Some((key, theirs)) = exchange.offers.pop_front() {
            self.anti_entropy.budget.loading += 1;
            self.with_key(turn, &key, Task::Offer(Offer { to, theirs, began: turn.now.link }));
        }
    }

    /// All that differed in a page has been sent: the next one, or the end.
    fn after_page(&mut self, turn: &mut Turn<'_>, tag: Tag) {
        let Some(exchange) = self.anti_entropy.exchanges.remove(&tag) else { return };
        if !exchange.offers.is_empty() {
            self.anti_entropy.exchanges.insert(tag, exchange);
        } else if exchange.after.is_some() {
            self.ask_for_keys(turn, exchange);
        } else {
            let Exchange { wanted: Wanted { with, partition, .. }, reading, .. } = exchange;
            if self.anti_entropy.is_urgent(partition, with) {
                // What comes back may be new to a third owner.
                let soon = turn.time() + self.config.limits.exchange_interval / URGENT_PER_INTERVAL;
                self.anti_entropy.due = self.anti_entropy.due.map(|due| due.min(soon));
            }
            if let Some(peer) = self.anti_entropy.peers.get_mut(&with) {
                peer.rests.insert(partition, turn.time() + reading * REST);
            }
            self.begin_exchanges(turn);
        }
    }

    /// The newest container of a key that differs is here: send it, unless it has become what the other holds.
    pub(crate) fn offer_loaded(&mut self, turn: &mut Turn<'_>, key: &KeyRef, held: &Held, offer: &Offer) {
        self.offer_failed();
        if held.in_tree() == offer.theirs {
            return;
        }
        self.count_exchanged(key, held);
        let Some(echo) = self.echoes.known_at(offer.to, offer.began) else { return };
        let (epoch, container) = (self.epoch(), held.encoded.clone());
        turn.send(offer.to, Message::Exchange { epoch, key: key.clone(), container, echo });
    }

    /// A key that differs is no longer being loaded.
    pub(crate) fn offer_failed(&mut self) {
        let budget = &mut self.anti_entropy.budget;
        budget.loading = budget.loading.saturating_sub(1);
    }

    /// Another owner has found that a key differs.
    pub(crate) fn on_exchange(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        epoch: Epoch,
        key: &KeyRef,
        container: EncodedContainer,
        echo: LinkTime,
    ) {
        if self.fence(turn, from, epoch, key.partition, key.bucket, Place::Replica).is_ok() {
            self.with_key(turn, key, Task::MergeBack { from, container, echo });
        }
    }

    /// Merges what another owner has sent; it gets what that gave, unless it has it.
    pub(crate) fn merge_back(
        &mut self,
        turn: &mut Turn<'_>,
        key: &KeyRef,
        held: Held,
        from: NodeId,
        incoming: EncodedContainer,
        echo: LinkTime,
    ) {
        if !self.is_fresh(turn, echo) {
            self.stats.too_old += 1;
            return;
        }
        if !self.holds(key.partition) {
            return;
        }
        let held = match self.merged(turn.now.wall_ms, Place::Replica, key, &held, incoming.clone()) {
            Ok(Some((container, encoded))) => self.hold_new(turn, key, container, encoded),
            // With a full disk it can still give.
            Ok(None) | Err(_) => held,
        };
        if held.encoded != incoming {
            self.count_exchanged(key, &held);
            // The oldest part of it is what came, and that was read after the echo that came with it.
            let Some(echo) = self.echoes.known_at(from, echo.at) else { return };
            let (epoch, container) = (self.epoch(), held.encoded);
            turn.send(from, Message::Replicate { tag: None, epoch, key: key.clone(), container, echo });
        }
    }

    fn count_exchanged(&mut self, key: &KeyRef, held: &Held) {
        let bytes = key.key.len() + held.encoded.0.len();
        self.anti_entropy.budget.spend(bytes);
        self.stats.exchanged_keys += 1;
        self.stats.exchanged_bytes += bytes as u64;
    }
}
