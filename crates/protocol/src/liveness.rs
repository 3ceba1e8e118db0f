//! How the gossip's verdicts and the links together decide who is asked.

use crate::effect::Effect;
use crate::id::{Epoch, NodeId, StartId};
use crate::links::Links;
use crate::membership::{Change, GossipFigures, Peer, PeerState};
use crate::message::Message;
use crate::node::Node;
use crate::turn::Turn;

impl Node {
    /// What the gossip says of every other node that it knows, members of the layout or not, in order.
    pub fn peers(&self) -> impl Iterator<Item = (NodeId, &Peer)> {
        self.membership.peers().iter().map(|(&node, peer)| (node, peer))
    }

    /// What the gossip says of a node; none while it knows nothing of it.
    pub fn peer_state(&self, node: NodeId) -> Option<PeerState> {
        self.membership.peers().get(&node).map(|peer| peer.state)
    }

    /// Whether operations ask this node: its link is up, and it was not declared down.
    pub fn is_live(&self, node: NodeId) -> bool {
        self.links.is_live(node)
    }

    /// The nodes that operations ask, in order.
    pub fn live_peers(&self) -> impl Iterator<Item = NodeId> {
        self.links.all_live()
    }

    /// How the gossip goes, for metrics.
    pub fn gossip(&self) -> GossipFigures {
        self.membership.figures()
    }

    /// A link is up. (Its layouts are compared already.)
    pub(crate) fn on_link_up(&mut self, turn: &mut Turn<'_>, peer: NodeId, epoch: Epoch, start: StartId) {
        self.links.up(peer, epoch, start);
        self.ask_recall(turn, peer);
        self.membership.link_up(turn.time(), peer);
        self.follow_membership(turn);
        if self.links.is_live(peer) {
            self.peer_is_live(turn, peer);
        }
    }

    /// A link is gone.
    pub(crate) fn on_link_down(&mut self, turn: &mut Turn<'_>, peer: NodeId) {
        let was_live = self.links.is_live(peer);
        self.links.down(peer);
        if was_live {
            self.peer_is_down(turn, peer);
        }
        self.look_at_standing(turn);
    }

    /// Something changes that makes a peer one that is asked, or not.
    pub(crate) fn noticing_life(
        &mut self,
        turn: &mut Turn<'_>,
        peer: NodeId,
        change: impl FnOnce(&mut Links),
    ) {
        let was_live = self.links.is_live(peer);
        change(&mut self.links);
        match (was_live, self.links.is_live(peer)) {
            (true, false) => self.peer_is_down(turn, peer),
            (false, true) => self.peer_is_live(turn, peer),
            (true, true) | (false, false) => {}
        }
    }

    /// A packet of the gossip came.
    pub(crate) fn on_gossip(&mut self, turn: &mut Turn<'_>, from: NodeId, packet: &[u8]) {
        self.membership.packet(turn.time(), from, packet);
        self.follow_membership(turn);
    }

    /// Timers of the gossip are due.
    pub(crate) fn wake_membership(&mut self, turn: &mut Turn<'_>) {
        if self.membership.next_deadline().is_some_and(|due| due <= turn.time()) {
            let linked: Vec<NodeId> = self.links.all_up().collect();
            self.membership.wake(turn.time(), &linked);
            self.follow_membership(turn);
        }
    }

    /// Sends what the gossip wants sent, and acts on its verdicts.
    fn follow_membership(&mut self, turn: &mut Turn<'_>) {
        for (to, packet) in self.membership.take_packets() {
            if self.links.is_up(to) {
                turn.send(to, Message::Gossip(packet));
            }
        }
        for Change { peer, state } in self.membership.take_changes() {
            turn.effects.push(Effect::PeerChanged { peer, state });
            let down = state == Some(PeerState::Down);
            self.noticing_life(turn, peer, |links| links.judge(peer, down));
        }
    }

    /// A node is asked no more from now on: its link is gone, or it was declared down.
    pub(crate) fn peer_is_down(&mut self, turn: &mut Turn<'_>, peer: NodeId) {
        self.hints_owner_down(turn, peer);
        self.lost_peer(turn, peer);
        self.anti_entropy_lost(peer);
    }

    /// A node is asked from now on: its link came up, or it is not down after all.
    pub(crate) fn peer_is_live(&mut self, turn: &mut Turn<'_>, peer: NodeId) {
        self.resend_to(turn, peer);
        self.heal_link_up(turn, peer);
        self.hints_owner_live(turn, peer);
    }
}
