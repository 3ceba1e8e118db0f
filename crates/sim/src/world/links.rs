//! Connections between nodes: made when both can hear each other, lost with or without notice.

use quorate_protocol::Event;
use quorate_protocol::echo::LinkTime;
use quorate_protocol::id::Epoch;

use super::World;
use super::queue::{Happening, ToNode};
use crate::checks::Check;
use crate::describe;

impl World {
    /// Two nodes will try to connect soon.
    pub(super) fn plan_connect(&mut self, a: usize, b: usize) {
        let at_us = self.now_us + self.rngs.links.between(0, self.network.plan().connect_us);
        self.queue.plan(at_us, Happening::Connect { a, b });
    }

    /// All connections of a node that are not up on both sides are tried anew.
    pub(super) fn reconnect_all(&mut self, node: usize) {
        for peer in 0..self.hosts.len() {
            if peer != node && !self.is_connected(node, peer) {
                self.plan_connect(node, peer);
            }
        }
    }

    fn pair(&self, a: usize, b: usize) -> usize {
        a.min(b) * self.hosts.len() + a.max(b)
    }

    /// Whether both sides believe in the present connection of a pair.
    fn is_connected(&self, a: usize, b: usize) -> bool {
        let connection = self.connected[self.pair(a, b)];
        let believes = |node: usize, peer: usize| {
            let process = self.hosts[node].process.as_ref();
            process.is_some_and(|process| process.links.get(&peer).map(|link| link.0) == connection)
        };
        connection.is_some() && believes(a, b) && believes(b, a)
    }

    /// Two nodes try to connect: they must both be awake and hear each other.
    pub(super) fn connect(&mut self, a: usize, b: usize) {
        let awake = |node: usize| self.hosts[node].is_awake(self.now_us);
        let hear = !self.network.is_cut(a, b) && !self.network.is_cut(b, a);
        if !awake(a) || !awake(b) || !hear || self.is_connected(a, b) {
            return;
        }
        self.connections += 1;
        let connection = self.connections;
        let pair = self.pair(a, b);
        self.connected[pair] = Some(connection);
        for (node, peer) in [(a, b), (b, a)] {
            let epoch = self.hosts[peer].epoch();
            let peer_life = self.hosts[peer].life;
            let clock = self.hosts[peer].link_time(self.now_us);
            let what = ToNode::LinkUp { peer, peer_life, connection, epoch, clock };
            self.tell(node, what, self.network.plan().connect_us);
        }
    }

    /// A node hears of something about its links, a little later.
    fn tell(&mut self, node: usize, what: ToNode, within_us: u64) {
        let at_us = self.now_us + self.rngs.links.between(0, within_us);
        let life = self.hosts[node].life;
        self.queue.plan(at_us, Happening::Node { node, life, what });
    }

    pub(super) fn link_up(
        &mut self,
        node: usize,
        peer: usize,
        peer_life: u32,
        connection: u64,
        (epoch, clock): (Epoch, LinkTime),
    ) -> Check {
        let outdated =
            self.connected[self.pair(node, peer)] != Some(connection) || self.hosts[peer].life != peer_life;
        let id = self.hosts[peer].speaks_as();
        let Some(process) = self.hosts[node].process.as_mut().filter(|_| !outdated) else {
            return Ok(());
        };
        let old = process.links.insert(peer, (connection, id));
        if let Some((_, id)) = old {
            self.note(node, || format!("loses the link to {}", describe::node(peer)));
            self.handle(node, Event::LinkDown { peer: id })?;
        }
        self.note(node, || format!("has a link to {}, who holds epoch {epoch}", describe::node(peer)));
        self.handle(node, Event::LinkUp { peer: id, epoch, clock })
    }

    pub(super) fn link_down(&mut self, node: usize, peer: usize, connection: u64) -> Check {
        let Some(process) = &mut self.hosts[node].process else {
            return Ok(());
        };
        let Some(&(_, id)) = process.links.get(&peer).filter(|link| link.0 == connection) else {
            return Ok(());
        };
        process.links.remove(&peer);
        self.note(node, || format!("loses the link to {}", describe::node(peer)));
        self.handle(node, Event::LinkDown { peer: id })?;
        self.plan_connect(node, peer);
        Ok(())
    }

    /// The connection of a pair is broken: `node` may hear of it.
    pub(super) fn may_hear_of_loss(&mut self, node: usize, peer: usize, surely: bool) {
        let told = surely || self.rngs.links.chance(self.network.plan().told);
        let Some(connection) = self.connected[self.pair(node, peer)].filter(|_| told) else {
            return;
        };
        self.tell(node, ToNode::LinkDown { peer, connection }, self.network.plan().notice_us);
    }

    /// Messages in these directions vanish from now on.
    pub(super) fn cut(&mut self, directions: &[(usize, usize)]) {
        for &(from, to) in directions {
            if self.network.set_cut(from, to, true) {
                self.figures.cuts += 1;
                self.note(from, || format!("is no longer heard by {}", describe::node(to)));
                self.may_hear_of_loss(from, to, false);
                self.may_hear_of_loss(to, from, false);
            }
        }
    }

    /// Messages in these directions arrive again.
    pub(super) fn mend(&mut self, directions: &[(usize, usize)]) {
        for &(from, to) in directions {
            if self.network.set_cut(from, to, false) {
                self.note(from, || format!("is heard by {} again", describe::node(to)));
                if !self.is_connected(from, to) {
                    self.plan_connect(from, to);
                }
            }
        }
    }
}
