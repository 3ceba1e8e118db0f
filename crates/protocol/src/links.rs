//! Who can be reached, and how fast.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::id::{Epoch, NodeId, StartId};

/// Before anything was measured: a guess for one hop within a datacenter, generously.
const FIRST_GUESS: Duration = Duration::from_millis(20);
/// Asking another replica sooner than this costs more than it can win.
const HEDGE_MIN: Duration = Duration::from_millis(2);
/// A reply that took longer says something of a pause, not of the network: it must not put off all later hedges.
const MEASURE_MAX: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Link {
    epoch: Epoch,
    /// Which life of the peer is at the other end.
    start: StartId,
    /// Smoothed reply time, microseconds.
    mean_us: u64,
}

/// The peers whose links are up, and which nodes were declared down. A node is live for a coordinator exactly when its
/// link is up, it was not declared down, and the two have made acquaintance: it has vouched for this node, and shown its life.
#[derive(Debug)]
pub(crate) struct Links {
    up: BTreeMap<NodeId, Link>,
    /// Nodes that the gossip has declared down, with a link or without.
    declared_down: BTreeSet<NodeId>,
    /// Nodes that have been asked in this life what they know of this one, and know nothing against it.
    vouched: BTreeSet<NodeId>,
    /// The newest life that each node has shown, which itself holds to be trusted.
    met: BTreeMap<NodeId, StartId>,
    /// Whether this node takes part: before that nobody is asked for anything.
    takes_part: bool,
    /// Smoothed reply time of all peers and its mean deviation, microseconds (as RFC 6298 does).
    mean_us: u64,
    deviation_us: u64,
}

impl Default for Links {
    fn default() -> Self {
        let guess = micros(FIRST_GUESS);
        Self {
            up: BTreeMap::new(),
            declared_down: BTreeSet::new(),
            vouched: BTreeSet::new(),
            met: BTreeMap::new(),
            takes_part: false,
            mean_us: guess / 2,
            deviation_us: guess / 8,
        }
    }
}

impl Links {
    /// A link came up.
    pub(crate) fn up(&mut self, peer: NodeId, epoch: Epoch, start: StartId) {
        self.up.insert(peer, Link { epoch, start, mean_us: self.mean_us });
    }

    /// A peer knows nothing against this node.
    pub(crate) fn vouched(&mut self, peer: NodeId) {
        self.vouched.insert(peer);
    }

    /// Whether a peer has said, in this life, that it knows nothing against this node.
    pub(crate) fn has_vouched(&self, peer: NodeId) -> bool {
        self.vouched.contains(&peer)
    }

    /// A peer has shown its newest life.
    pub(crate) fn met(&mut self, peer: NodeId, start: StartId) {
        self.met.insert(peer, start);
    }

    /// Others are asked from now on.
    pub(crate) fn take_part(&mut self) {
        self.takes_part = true;
    }

    fn is_acquainted(&self, peer: NodeId, link: &Link) -> bool {
        self.vouched.contains(&peer) && self.met.get(&peer) == Some(&link.start)
    }

    /// The peers whose links are up and who have not both vouched and shown who they are.
    pub(crate) fn strangers(&self) -> impl Iterator<Item = NodeId> {
        let strangers = self.up.iter().filter(|(peer, link)| !self.is_acquainted(**peer, link));
        strangers.map(|(&peer, _)| peer)
    }

    /// Whether a peer is one of these.
    pub(crate) fn is_stranger(&self, peer: NodeId) -> bool {
        self.up.get(&peer).is_some_and(|link| !self.is_acquainted(peer, link))
    }

    /// A link is gone.
    pub(crate) fn down(&mut self, peer: NodeId) {
        self.up.remove(&peer);
    }

    /// The gossip's verdict on a node.
    pub(crate) fn judge(&mut self, node: NodeId, down: bool) {
        if down {
            self.declared_down.insert(node);
        } else {
            self.declared_down.remove(&node);
        }
    }

    /// Whether a node is asked: it can be reached and was not declared down.
    pub(crate) fn is_live(&self, peer: NodeId) -> bool {
        self.is_trusted(peer) && self.is_there(peer)
    }

    /// Whether something can be sent to a peer, and it was not declared down.
    pub(crate) fn is_there(&self, peer: NodeId) -> bool {
        self.is_up(peer) && !self.declared_down.contains(&peer)
    }

    /// Whether something can be sent to a peer that counts, whatever the gossip says of it.
    pub(crate) fn is_trusted(&self, peer: NodeId) -> bool {
        self.takes_part && self.up.get(&peer).is_some_and(|link| self.is_acquainted(peer, link))
    }

    /// The peers that are asked.
    pub(crate) fn all_live(&self) -> impl Iterator<Item = NodeId> {
        self.all_up().filter(|&peer| self.is_live(peer))
    }

    /// The peers whose links are up.
    pub(crate) fn all_up(&self) -> impl Iterator<Item = NodeId> {
        self.up.keys().copied()
    }

    /// Whether something can be sent to a peer.
    pub(crate) fn is_up(&self, peer: NodeId) -> bool {
        self.up.contains_key(&peer)
    }

    /// The reachable peers that have not shown this epoch or a newer one.
    pub(crate) fn behind(&self, epoch: Epoch) -> impl Iterator<Item = NodeId> {
        self.up.iter().filter(move |(_, link)| link.epoch < epoch).map(|(&peer, _)| peer)
    }

    /// The reachable peers that have shown a newer epoch.
    pub(crate) fn ahead(&self, epoch: Epoch) -> impl Iterator<Item = NodeId> {
        self.up.iter().filter(move |(_, link)| link.epoch > epoch).map(|(&peer, _)| peer)
    }

    /// A peer has shown the epoch it holds.
    pub(crate) fn saw_epoch(&mut self, peer: NodeId, epoch: Epoch) {
        if let Some(link) = self.up.get_mut(&peer) {
            link.epoch = link.epoch.max(epoch);
        }
    }

    /// A peer has answered a read after this time.
    pub(crate) fn measured(&mut self, peer: NodeId, took: Duration) {
        let took_us = micros(took.min(MEASURE_MAX));
        if let Some(link) = self.up.get_mut(&peer) {
            link.mean_us = (7 * link.mean_us + took_us) / 8;
        }
        self.deviation_us = (3 * self.deviation_us + took_us.abs_diff(self.mean_us)) / 4;
        self.mean_us = (7 * self.mean_us + took_us) / 8;
    }

    /// How long a reply may take before another replica is asked as well: about the 95th percentile.
    pub(crate) fn hedge_delay(&self) -> Duration {
        Duration::from_micros(self.mean_us + 4 * self.deviation_us).max(HEDGE_MIN)
    }

    /// Smoothed reply time of a peer; peers that are not reachable come last.
    pub(crate) fn distance_us(&self, peer: NodeId) -> u64 {
        self.up.get(&peer).map_or(u64::MAX, |link| link.mean_us)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX / 16)
}
