//! Who is alive: SWIM with suspicion (Das, Gupta and Motivala, 2002) by the crate `foca`, driven by the core's own time and
//! randomness, and its times stretched by the node's own health (Lifeguard), which foca lacks.
//!
//! It decides who is asked, and never who owns what. Foca may not be given other probe times once it runs, so the
//! stretching is done where its timers are planned: here.

mod health;
mod identity;
mod outbox;
mod timers;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

use bytes::Bytes;
use foca::{Config, Foca, NoCustomBroadcast, PostcardCodec, State, Timer};
use rand_chacha::ChaCha8Rng;

use crate::id::NodeId;
use crate::limits::Limits;
use crate::time::Time;
use health::Health;
pub(crate) use identity::MemberId;
use outbox::Outbox;
use timers::Timers;
pub(crate) use verdict::Change;
pub use verdict::{GossipFigures, Peer, PeerState};

/// A packet of the gossip is no longer than this, nor taken when it is.
const PACKET_BYTES_MAX: usize = 4096;
/// A member takes at least this much of a packet.
const MEMBER_BYTES_MIN: usize = 5;
/// No more nodes than this are kept count of, the dead ones of the last day included.
const MEMBERS_MAX: usize = 4096;
/// A node that was declared down is forgotten after this time.
const FORGET_AFTER: Duration = Duration::from_secs(24 * 3600);
/// Others that are asked to probe a node that does not answer, and that news is sent to at once.
const HELPERS: NonZeroUsize = NonZeroUsize::new(3).expect("it is 3");
/// News travels with this many packets.
const TRANSMISSIONS: NonZeroU8 = NonZeroU8::new(10).expect("it is 10");
/// The shortest time between two probes: below it a clock's grain is in the way.
const PERIOD_MIN: Duration = Duration::from_millis(1);

/// The gossip of one node.
pub(crate) struct Membership {
    foca: Foca<MemberId, PostcardCodec, ChaCha8Rng, NoCustomBroadcast>,
    outbox: Outbox,
    timers: Timers,
    probe_period: Duration,
    probe_timeout: Duration,
    suspicion: Duration,
    peers: BTreeMap<NodeId, Peer>,
    changes: Vec<Change>,
    health: Health,
    figures: GossipFigures,
    incarnation: u16,
    /// Who is probed now.
    probed: Option<NodeId>,
    /// When another than that was heard last.
    heard_others: Option<Time>,
    /// When news is to be sent to more nodes.
    gossip_at: Option<Time>,
    /// When this node announces itself to those with a link who are not known to be alive,
    greet_at: Option<Time>,
    /// or to everyone with a link.
    greet_all: bool,
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Membership").field("peers", &self.peers).field("health", &self.health).finish()
    }
}

impl Membership {
    /// A node that knows nobody yet.
    pub(crate) fn new(name: MemberId, limits: &Limits, rng: ChaCha8Rng) -> Self {
        let probe_period = limits.probe_period.max(PERIOD_MIN);
        // The others need the rest of the period to probe it for us.
        let probe_timeout = limits.probe_timeout.clamp(PERIOD_MIN / 2, probe_period / 2);
        let config = Config {
            probe_period,
            probe_rtt: probe_timeout,
            num_indirect_probes: HELPERS,
            max_transmissions: TRANSMISSIONS,
            suspect_to_down_after: limits.suspicion,
            remove_down_after: Some(FORGET_AFTER),
            max_packet_size: NonZeroUsize::new(PACKET_BYTES_MAX).unwrap_or(NonZeroUsize::MIN),
            notify_down_members: true,
            // Whoever has a link is greeted until he answers, and news is sent while there is any: see `wake`.
            periodic_announce: None,
            periodic_announce_to_down_members: None,
            periodic_gossip: None,
        };
        Self {
            foca: Foca::new(name, config, rng, PostcardCodec),
            outbox: Outbox::default(),
            timers: Timers::default(),
            probe_period,
            probe_timeout,
            suspicion: limits.suspicion,
            peers: BTreeMap::new(),
            changes: Vec::new(),
            health: Health::default(),
            figures: GossipFigures::default(),
            incarnation: 0,
            probed: None,
            heard_others: None,
            gossip_at: None,
            greet_at: None,
            greet_all: false,
        }
    }

    /// What is known of the others.
    pub(crate) fn peers(&self) -> &BTreeMap<NodeId, Peer> {
        &self.peers
    }

    /// For metrics.
    pub(crate) fn figures(&self) -> GossipFigures {
        GossipFigures { health_multiplier: self.health.multiplier(), ..self.figures }
    }

    /// When [`wake`](Self::wake) is due next.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        [self.timers.first_due(), self.gossip_at, self.greet_at].into_iter().flatten().min()
    }

    /// Packets to send since the last call, where there is a link.
    pub(crate) fn take_packets(&mut self) -> Vec<(NodeId, Bytes)> {
        std::mem::take(&mut self.outbox.packets)
    }

    /// Verdicts that have changed since the last call, in order.
    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// A link came up: join, or let the other side join.
    pub(crate) fn link_up(&mut self, now: Time, peer: NodeId) {
        self.announce(peer);
        self.greet_again(now);
        self.settle(now);
    }

    /// Something came from a node, gossip or not: this one is not cut off.
    pub(crate) fn heard(&mut self, now: Time, from: NodeId) {
        if self.probed != Some(from) {
            self.heard_others = Some(now);
        }
    }

    /// A packet came from a node. One that cannot be read, or names more nodes than are kept count of, is dropped.
    pub(crate) fn packet(&mut self, now: Time, from: NodeId, packet: &[u8]) {
        if self.peers.len() + packet.len() / MEMBER_BYTES_MIN > MEMBERS_MAX {
            return;
        }
        // A refusal changes nothing, and what was lost is said again.
        let _ = self.foca.handle_data(packet, &mut self.outbox);
        self.settle(now);
        self.tell_if_suspect(from);
    }

    /// A node that is suspected and talks does not know of it: the news was lost, or who began it is gone. Foca would
    /// leave it so for ever. (Lifeguard's buddy system tells it, too.)
    fn tell_if_suspect(&mut self, peer: NodeId) {
        if self.peers.get(&peer).is_none_or(|peer| peer.state != PeerState::Suspect) {
            return;
        }
        let mut members = self.foca.iter_membership_state();
        if let Some(suspect) = members.find(|member| member.id().node == peer) {
            self.outbox.tell(*self.foca.identity(), suspect);
        }
    }

    /// Does what is due. `linked`: the peers with a link.
    pub(crate) fn wake(&mut self, now: Time, linked: &[NodeId]) {
        if self.timers.put_off_if_late(now, self.probe_timeout / 2) {
            self.health.worse();
        }
        while let Some(timer) = self.timers.next_due(now) {
            self.fire(now, timer);
        }
        if self.gossip_at.is_some_and(|due| due <= now) {
            self.gossip_at = None;
            let _ = self.foca.gossip(&mut self.outbox);
        }
        if self.greet_at.is_some_and(|due| due <= now) {
            self.greet(now, linked);
        }
        self.settle(now);
    }

    fn fire(&mut self, now: Time, timer: Timer<MemberId>) {
        let ends_probe = matches!(timer, Timer::ProbeRandomMember(_));
        // An incomplete cycle begins anew, and a timer of a former name means nothing.
        let _ = self.foca.handle_timer(timer, &mut self.outbox);
        if !ends_probe {
            self.plan(now);
            return;
        }
        let ended = self.probed.take();
        let mut failed = false;
        for (timer, _) in &self.outbox.timers {
            match timer {
                Timer::SendIndirectProbe { probed_id, .. } => self.probed = Some(probed_id.node),
                Timer::ChangeSuspectToDown { .. } => failed = true,
                Timer::ProbeRandomMember(_)
                | Timer::PeriodicAnnounce(_)
                | Timer::PeriodicAnnounceDown(_)
                | Timer::PeriodicGossip(_)
                | Timer::RemoveDown(_) => {}
            }
        }
        // The verdict on the other is under way by the health that this node had.
        self.plan(now);
        if ended.is_none() {
            return;
        }
        let lately = self.health.stretch(self.probe_period) * 2;
        if !failed {
            self.health.better();
        } else if self.heard_others.is_none_or(|at| now.since(at) > lately) {
            // Nobody else was heard either: it is more likely this node's own trouble.
            self.health.worse();
        }
    }

    /// Plans what foca wants to be woken for.
    fn plan(&mut self, now: Time) {
        for (timer, after) in self.outbox.timers.drain(..) {
            self.timers.plan(now, timer, after, self.health);
        }
    }

    fn announce(&mut self, peer: NodeId) {
        let _ = self.foca.announce(MemberId::of_any_life(peer), &mut self.outbox);
    }

    fn is_active(&self, peer: NodeId) -> bool {
        self.peers.get(&peer).is_some_and(|peer| peer.state != PeerState::Down)
    }

    fn greet(&mut self, now: Time, linked: &[NodeId]) {
        self.greet_at = None;
        let all = std::mem::take(&mut self.greet_all);
        for &peer in linked {
            let active = self.is_active(peer);
            if all || !active {
                self.announce(peer);
            }
            if !active {
                self.greet_again(now);
            }
        }
    }

    fn greet_again(&mut self, now: Time) {
        let at = now + self.probe_period.max(self.suspicion);
        self.greet_at = Some(self.greet_at.map_or(at, |planned| planned.min(at)));
    }

    /// Takes note of all that a call has changed.
    fn settle(&mut self, now: Time) {
        if std::mem::take(&mut self.outbox.renamed) {
            // It was declared down, wrongly, and its probes have stopped.
            self.probed = None;
            self.incarnation = 0;
            self.outbox.incarnation = 0;
            self.refuted();
            self.greet_all = true;
            self.greet_at = Some(now);
            let _ = self.foca.apply_many(std::iter::empty(), true, &mut self.outbox);
        }
        if self.outbox.incarnation > self.incarnation {
            self.refuted();
        }
        self.incarnation = self.outbox.incarnation;
        self.plan(now);
        if self.gossip_at.is_none() && self.foca.updates_backlog() > 0 && self.foca.num_members() > 0 {
            self.gossip_at = Some(now + self.probe_timeout);
        }
        self.compare(now);
    }

    fn refuted(&mut self) {
        self.figures.refutations += 1;
        self.health.worse();
    }

    /// Compares foca's list with the verdicts known.
    fn compare(&mut self, now: Time) {
        let mut known: BTreeSet<NodeId> = self.peers.keys().copied().collect();
        let own = self.foca.identity().node;
        let mut died = false;
        for member in self.foca.iter_membership_state() {
            let name = *member.id();
            if name.node == own {
                continue;
            }
            known.remove(&name.node);
            let state = match member.state() {
                State::Alive => PeerState::Alive,
                State::Suspect => PeerState::Suspect,
                State::Down => PeerState::Down,
            };
            let before = self.peers.get(&name.node).copied();
            if before.is_some_and(|before| before.state == state && before.name == name) {
                continue;
            }
            self.peers.insert(name.node, Peer { state, since: now, name });
            if before.is_some_and(|before| before.state == state) {
                continue;
            }
            match state {
                PeerState::Alive => {}
                PeerState::Suspect => self.figures.suspicions += 1,
                PeerState::Down => {
                    self.figures.declared_down += 1;
                    died = true;
                }
            }
            self.changes.push(Change { peer: name.node, state: Some(state) });
        }
        for forgotten in known {
            self.peers.remove(&forgotten);
            self.changes.push(Change { peer: forgotten, state: None });
        }
        if died {
            // If it is not dead, it hears that it was declared so.
            self.greet_again(now);
        }
    }
}
