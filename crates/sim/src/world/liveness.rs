//! Who was dead for how long, and who ought to have noticed; and the wait, in peace, until all see all.

use std::time::Duration;

use quorate_protocol::PeerState;
use quorate_protocol::id::NodeId;

use super::World;
use crate::checks::{Check, liveness};
use crate::describe;
use crate::host::Host;

/// A node is dead or stands still.
#[derive(Debug)]
pub(super) struct Death {
    since_us: u64,
    /// Who was awake then and knew it alive.
    observers: Vec<Observer>,
}

#[derive(Debug)]
struct Observer {
    node: usize,
    life: u32,
    /// The worst health that it has found itself in since.
    stretch: u32,
}

fn stretch(host: &Host) -> u32 {
    host.process.as_ref().map_or(1, |process| process.node.gossip().health_multiplier)
}

impl World {
    /// A node is about to die or to stand still. Its own judgement of others ends.
    pub(super) fn dies(&mut self, node: usize) {
        for death in self.deaths.iter_mut().flatten() {
            death.observers.retain(|observer| observer.node != node);
        }
        if self.deaths[node].is_some() {
            return;
        }
        let id = self.hosts[node].speaks_as();
        let knows = |host: &Host| {
            let process = host.process.as_ref().filter(|_| host.is_awake(self.now_us))?;
            process.node.peer_state(id).filter(|state| *state != PeerState::Down)
        };
        let others = self.hosts.iter().enumerate().filter(|(other, _)| *other != node);
        // Timers that are under way may be stretched by a little more.
        let observer =
            |(node, host): (usize, &Host)| Observer { node, life: host.life, stretch: stretch(host) + 1 };
        let observers = others.filter(|(_, host)| knows(host).is_some()).map(observer).collect();
        self.deaths[node] = Some(Death { since_us: self.now_us, observers });
    }

    /// A node that was dead or stood still is about to go on: whoever was well meanwhile has noticed, if it took long.
    pub(super) fn revives(&mut self, node: usize) -> Check {
        let Some(death) = self.deaths[node].take() else { return Ok(()) };
        let dead_for = Duration::from_micros(self.now_us - death.since_us);
        for Observer { node: observer, life, stretch } in death.observers {
            let within = self.within(stretch);
            if dead_for > within && self.hosts[observer].life == life {
                self.figures.deaths_noticed += 1;
                liveness::noticed(observer, self.verdict(observer, node), node, dead_for)?;
            }
        }
        Ok(())
    }

    /// A node has just handled something: how does it find itself?
    pub(super) fn look_at_health(&mut self, node: usize) {
        for death in self.deaths.iter_mut().flatten() {
            for observer in death.observers.iter_mut().filter(|observer| observer.node == node) {
                observer.stretch = observer.stretch.max(stretch(&self.hosts[node]) + 1);
            }
        }
    }

    /// A process that stood still goes on, unless it was killed meanwhile or stands still again.
    pub(super) fn resumes(&mut self, node: usize) -> Check {
        if self.hosts[node].is_awake(self.now_us) { self.revives(node) } else { Ok(()) }
    }

    /// How long a node that stretches its times may take to notice a death, if its clock is slow, and what was under
    /// way arrives late.
    fn within(&self, stretch: u32) -> Duration {
        let time = liveness::noticed_within(&self.plan.limits, self.hosts.len(), stretch);
        let drift = time.mul_f64(f64::from(self.plan.clock.drift_ppm) * 2e-6);
        time + drift + Duration::from_micros(2 * self.plan.network.spike_us + 100_000)
    }

    /// A node's verdict on another has changed.
    pub(super) fn judged(&mut self, node: usize, peer: NodeId, state: Option<PeerState>) -> Check {
        let Some(at) = self.hosts.iter().position(|host| host.speaks_as() == peer) else { return Ok(()) };
        let down = state == Some(PeerState::Down);
        if let Some(process) = &mut self.hosts[node].process {
            if down {
                process.holds_down.insert(at);
            } else {
                process.holds_down.remove(&at);
            }
        }
        self.figures.declared_down += u64::from(down);
        self.tracer.mix(at as u64);
        self.note(node, || {
            let state = state.map_or_else(|| "forgotten".into(), |state| format!("{state:?}"));
            format!("holds {} to be {state}", describe::node(at))
        });
        if down && self.all_seen {
            return liveness::declared_down_in_peace(node, at);
        }
        Ok(())
    }

    /// Runs, in peace, until every node has known every other to be alive for a round of probes: then nobody may be
    /// declared down any more.
    pub(super) fn everyone_sees_everyone(&mut self) -> Check {
        self.run_until_seen()?;
        // A probe that was lost before the peace may still be about to fail.
        self.run_for(self.plan.limits.probe_period * 2 + self.plan.limits.suspicion)?;
        self.run_until_seen()?;
        self.all_seen = true;
        self.settle()
    }

    fn run_until_seen(&mut self) -> Check {
        let within = self.within(8);
        let until_us = self.now_us + u64::try_from(within.as_micros()).unwrap_or(u64::MAX / 8);
        while let Some((observer, peer)) = self.unseen() {
            if self.now_us > until_us {
                return liveness::still_unseen(observer, peer, self.verdict(observer, peer));
            }
            self.step()?;
        }
        Ok(())
    }

    /// Runs for a time, and as many probes of the node that stretches them most.
    fn run_for(&mut self, time: Duration) -> Check {
        let stretch = self.hosts.iter().map(stretch).max().unwrap_or(1);
        let until_us = self.now_us + u64::try_from((time * stretch).as_micros()).unwrap_or(u64::MAX / 8);
        while self.now_us < until_us {
            self.step()?;
        }
        Ok(())
    }

    fn unseen(&self) -> Option<(usize, usize)> {
        let nodes = self.hosts.len();
        let mut pairs = (0..nodes).flat_map(|a| (0..nodes).map(move |b| (a, b)));
        pairs.find(|&(a, b)| a != b && self.verdict(a, b) != Some(PeerState::Alive))
    }

    fn verdict(&self, observer: usize, peer: usize) -> Option<PeerState> {
        let process = self.hosts[observer].process.as_ref()?;
        process.node.peer_state(self.hosts[peer].speaks_as())
    }
}
