//! The echo clock: how old what is in a message can be, by the receiver's own clock alone.
//!
//! Every batch carries its sender's link time. A container in flight carries the newest link time of the *receiver*
//! that its sender knew before it read the oldest part of it; what is older than [`Limits::message_age`] by the
//! receiver's own clock is refused. No wall clock and no clock of the sender is involved, so neither a jump, nor a
//! pause, nor a slow network can bring back what a purge has forgotten.
//!
//! [`Limits::message_age`]: crate::Limits::message_age

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::id::{NodeId, StartId};
use crate::message::Message;
use crate::node::Node;
use crate::time::{Now, Time};
use crate::turn::Turn;

/// Readings of one peer that are kept, so that a read that began a while ago finds one from before.
const KEPT: usize = 32;

/// A moment on a node's link clock, which counts suspension, in one of its lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkTime {
    /// Which life: readings of different lives cannot be compared.
    pub start: StartId,
    /// The clock's reading in that life.
    pub at: Time,
}

/// What is known of the link clocks of peers.
#[derive(Debug, Default)]
pub(crate) struct Echoes {
    peers: BTreeMap<NodeId, Readings>,
    next_beat: Time,
}

#[derive(Debug)]
struct Readings {
    /// When it came, by our own link clock, and what it said.
    newest: (Time, LinkTime),
    /// Older ones, some time apart.
    older: VecDeque<(Time, LinkTime)>,
}

impl Echoes {
    /// A peer's reading has come. Readings that are `spacing` apart are kept.
    pub(crate) fn heard(&mut self, peer: NodeId, now: Time, clock: LinkTime, spacing: Duration) {
        let Some(readings) = self.peers.get_mut(&peer) else {
            self.peers.insert(peer, Readings { newest: (now, clock), older: VecDeque::new() });
            return;
        };
        if readings.newest.1.start != clock.start {
            *readings = Readings { newest: (now, clock), older: VecDeque::new() };
            return;
        }
        if readings.older.back().is_none_or(|&(came, _)| now.since(came) >= spacing) {
            readings.older.push_back(readings.newest);
            if readings.older.len() > KEPT {
                readings.older.pop_front();
            }
        }
        readings.newest = (now, readings.newest.1.max(clock));
    }

    /// The newest reading of a peer that was known at this moment of our own link clock; none: nothing read then may be sent to it.
    pub(crate) fn known_at(&self, peer: NodeId, began: Time) -> Option<LinkTime> {
        let readings = self.peers.get(&peer)?;
        let all = readings.older.iter().chain([&readings.newest]).rev();
        all.copied().find(|&(came, _)| came <= began).map(|(_, clock)| clock)
    }

    /// When idle links are due a sign of life.
    pub(crate) fn next_beat(&self) -> Option<Time> {
        (!self.peers.is_empty()).then_some(self.next_beat)
    }
}

impl Node {
    /// This node's own link time.
    pub fn link_time(&self, now: Now) -> LinkTime {
        LinkTime { start: self.config.start, at: now.link }
    }

    /// A batch or a link has brought a peer's link time.
    pub(crate) fn heard_clock(&mut self, turn: &Turn<'_>, peer: NodeId, clock: LinkTime) {
        let spacing = self.config.limits.message_age / 16;
        self.echoes.heard(peer, turn.now.link, clock, spacing);
    }

    /// Whether what was read when this clock showed this is young enough to be merged.
    pub(crate) fn is_fresh(&self, turn: &Turn<'_>, echo: LinkTime) -> bool {
        echo.start == self.config.start && turn.now.link.since(echo.at) <= self.config.limits.message_age
    }

    /// Idle links carry the clock too.
    pub(crate) fn beat(&mut self, turn: &mut Turn<'_>) {
        if self.echoes.next_beat().is_some_and(|due| due <= turn.time()) {
            self.echoes.next_beat = turn.time() + self.config.limits.message_age / 8;
            for &peer in self.echoes.peers.keys() {
                turn.send(peer, Message::Beat);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(at: u64) -> LinkTime {
        LinkTime { start: StartId(1), at: Time(at) }
    }

    #[test]
    fn a_reading_that_came_after_the_read_began_does_not_make_it_younger() {
        let mut echoes = Echoes::default();
        let peer = NodeId(7);
        for now in 0..10 {
            echoes.heard(peer, Time(now * 100), clock(now * 1000), Duration::from_micros(250));
        }
        assert_eq!(echoes.known_at(peer, Time(900)), Some(clock(9000)));
        let known = echoes.known_at(peer, Time(899)).expect("older readings are kept");
        assert!(known <= clock(8000), "{known:?} came later");
        assert_eq!(echoes.known_at(NodeId(8), Time(900)), None);
    }

    #[test]
    fn readings_of_an_earlier_life_are_worth_nothing() {
        let mut echoes = Echoes::default();
        let peer = NodeId(7);
        echoes.heard(peer, Time(100), clock(5000), Duration::ZERO);
        let reborn = LinkTime { start: StartId(2), at: Time(3) };
        echoes.heard(peer, Time(200), reborn, Duration::ZERO);
        assert_eq!(echoes.known_at(peer, Time(150)), None);
        assert_eq!(echoes.known_at(peer, Time(200)), Some(reborn));
    }
}
