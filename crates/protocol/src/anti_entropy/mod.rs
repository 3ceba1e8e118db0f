//! Anti-entropy: owners of a partition find out on what they differ, and become equal, without any client.
//!
//! Always on. Each node asks each other owner, every [`exchange_interval`](crate::Limits::exchange_interval):
//!
//! ```text
//! Compare  roots of all partitions that both own  ─> which differ, with their branches
//! Leaves   of the branches that differ            ─> the leaves
//!          leaves that differ a second time       (once may be a write on its way)
//! Keys     of these leaves, page by page          ─> keys and digests; beside them, a page of one's own
//! Exchange of each key that differs               ─> merged there; sent back when that gave something else
//! ```
//!
//! `compare` finds the leaves, `exchange` and `pages` the keys, `budget` says how fast. The one who answers keeps nothing of it. A reply that does not come is
//! not waited for: a comparison is begun anew, a page asked for again.

mod budget;
mod compare;
mod exchange;
mod pages;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use rand_chacha::rand_core::Rng;

use crate::id::{NodeId, PartitionId};
use crate::layout::{Layout, Stage};
use crate::message::Tag;
use crate::node::Node;
use crate::stats;
use crate::time::Time;
use crate::turn::Turn;
pub(crate) use budget::Budget;
use compare::Round;
pub(crate) use exchange::Offer;
use exchange::{Exchange, Wanted};

/// A reply that has not come after this many intervals is waited for no longer.
const PATIENCE: u32 = 4;

/// What is known of the other owners.
#[derive(Debug)]
pub(crate) struct AntiEntropy {
    peers: BTreeMap<NodeId, Peer>,
    /// When the next comparisons begin; none while there is nobody to compare with.
    due: Option<Time>,
    /// When the first began.
    since: Option<Time>,
    /// Which partitions are to be equal on which other owners as soon as possible, and since when.
    urgent: BTreeMap<PartitionId, BTreeMap<NodeId, Time>>,
    /// Differences that wait for their turn.
    wanted: VecDeque<Wanted>,
    exchanges: BTreeMap<Tag, Exchange>,
    budget: Budget,
}

/// Another owner.
#[derive(Debug, Default)]
struct Peer {
    /// The partitions that it owns too.
    shared: Vec<PartitionId>,
    /// Where in these the next comparison begins.
    next: usize,
    round: Option<Round>,
    /// What differed when it was last looked at, and when the comparison began that found it.
    suspects: BTreeMap<PartitionId, (BTreeSet<u16>, Time)>,
    /// When the last comparison began that found a partition equal.
    clean: BTreeMap<PartitionId, Time>,
    /// Until when a partition is left alone, since it was read through for an exchange.
    rests: BTreeMap<PartitionId, Time>,
}

impl AntiEntropy {
    /// Knows nobody yet.
    pub(crate) fn new(bytes_per_s: u64) -> Self {
        Self {
            peers: BTreeMap::new(),
            due: None,
            since: None,
            urgent: BTreeMap::new(),
            wanted: VecDeque::new(),
            exchanges: BTreeMap::new(),
            budget: Budget::new(bytes_per_s),
        }
    }

    /// Begins at once with the other owners of this layout.
    fn begin_anew(&mut self, layout: &Layout, me: NodeId) {
        *self = Self::new(self.budget.bytes_per_s());
        for partition in held(layout, me) {
            for other in partners(layout, partition, me) {
                self.peers.entry(other).or_default().shared.push(partition);
            }
        }
        self.due = (!self.peers.is_empty()).then_some(Time(0));
    }

    /// When it wants to be woken.
    pub(crate) fn next_timer(&self) -> Option<Time> {
        let exchanges = self.exchanges.values().map(|exchange| exchange.timer);
        exchanges.chain(self.due).chain(self.budget.next_timer()).min()
    }

    /// A partition should be equal on all its owners soon: its differences are not looked at twice, and come first.
    pub(crate) fn hurry(&mut self, now: Time, partition: PartitionId) {
        let sharing = self.peers.iter().filter(|(_, peer)| peer.shared.binary_search(&partition).is_ok());
        let others: BTreeMap<NodeId, Time> = sharing.map(|(&other, _)| (other, now)).collect();
        if !others.is_empty() {
            self.urgent.insert(partition, others);
            self.due = Some(Time(0));
        }
    }

    /// Whether a partition comes first when this other owner is compared with next.
    pub(crate) fn is_urgent(&self, partition: PartitionId, with: NodeId) -> bool {
        self.urgent.get(&partition).is_some_and(|others| others.contains_key(&with))
    }

    /// Whatever differed when a comparison began that far back is equal now.
    fn clean(&mut self, partition: PartitionId, with: NodeId, began: Time) {
        if let Some(peer) = self.peers.get_mut(&with) {
            let last = peer.clean.entry(partition).or_insert(began);
            *last = began.max(*last);
        }
        if let Some(others) = self.urgent.get_mut(&partition) {
            // A comparison that was under way then does not speak of what made it urgent.
            if others.get(&with).is_some_and(|&since| began > since) {
                others.remove(&with);
            }
            if others.is_empty() {
                self.urgent.remove(&partition);
            }
        }
    }

    /// How long ago a partition was last found equal on the owner with whom that is longest ago.
    fn clean_age(&self, partition: PartitionId, now: Time) -> Duration {
        let sharing = self.peers.values().filter(|peer| peer.shared.binary_search(&partition).is_ok());
        let never = self.since.unwrap_or(now);
        let ages = sharing.map(|peer| now.since(peer.clean.get(&partition).copied().unwrap_or(never)));
        ages.max().unwrap_or_default()
    }
}

/// The partitions that a node owns before or after a change, in order.
fn held(layout: &Layout, node: NodeId) -> impl Iterator<Item = PartitionId> {
    layout.all_partitions().filter(move |&partition| layout.is_holder(partition, node))
}

/// The other owners with whom this one compares a partition: an owner that is being added takes no part until reads have moved.
fn partners(layout: &Layout, partition: PartitionId, me: NodeId) -> Vec<NodeId> {
    let mut all = match layout.stage() {
        None | Some(Stage::Gather) => layout.owners(partition).to_vec(),
        Some(Stage::HandOver) => layout.holders(partition),
    };
    if !all.contains(&me) {
        return Vec::new();
    }
    all.retain(|&other| other != me);
    all
}

impl Node {
    /// The layout held is a new one: what is owned is swept and compared anew.
    pub(crate) fn own_anew(&mut self) {
        let Some(layout) = &self.layout else { return };
        self.trees.own(held(layout, self.config.node));
        self.sweep.begin_anew();
        self.anti_entropy.begin_anew(layout, self.config.node);
    }

    /// Begins what is due, and gives up what took too long.
    pub(crate) fn wake_anti_entropy(&mut self, turn: &mut Turn<'_>) {
        self.wake_exchanges(turn);
        if self.anti_entropy.due.is_none_or(|due| due > turn.time()) {
            return;
        }
        let interval = self.config.limits.exchange_interval;
        let jitter = u32::try_from(self.rng.next_u64() % 512).unwrap_or(0);
        self.anti_entropy.due = Some(turn.time() + interval * (768 + jitter) / 1024);
        self.anti_entropy.since.get_or_insert(turn.time());
        let others = self.anti_entropy.peers.keys().copied();
        let live: Vec<NodeId> = others.filter(|&other| self.links.is_trusted(other)).collect();
        for other in live {
            self.compare(turn, other);
        }
    }

    /// A link is gone, and what was asked on it with it.
    pub(crate) fn anti_entropy_lost(&mut self, peer: NodeId) {
        if let Some(known) = self.anti_entropy.peers.get_mut(&peer) {
            known.round = None;
        }
        self.anti_entropy.wanted.retain(|wanted| wanted.with != peer);
        self.anti_entropy.exchanges.retain(|_, exchange| exchange.wanted.with != peer);
    }

    /// Pairs a reply with its request; no reply to an earlier life matches.
    fn fresh_tag(&mut self) -> Tag {
        Tag(self.rng.next_u64())
    }

    /// The longest that a reply is waited for.
    fn patience(&self) -> Duration {
        self.config.limits.exchange_interval * PATIENCE
    }

    /// All that this node owns is to be compared now, and made equal.
    pub(crate) fn hurry_all(&mut self, now: Time) {
        let all: Vec<PartitionId> = self.trees.iter().map(|(partition, _)| partition).collect();
        all.into_iter().for_each(|partition| self.anti_entropy.hurry(now, partition));
    }

    /// How far anti-entropy is, on the node's monotonic clock.
    pub fn anti_entropy(&self, now: Time) -> stats::AntiEntropy {
        let partitions = self.trees.iter().map(|(partition, tree)| stats::PartitionState {
            partition,
            root: tree.map(|tree| (tree.root(), tree.keys())),
            clean: self.anti_entropy.clean_age(partition, now),
        });
        let exchanges = self.anti_entropy.exchanges.len() + self.anti_entropy.wanted.len();
        stats::AntiEntropy { partitions: partitions.collect(), exchanges }
    }
}
