//! Faults are injected, and end.

use super::World;
use super::queue::{Happening, ToNode};
use super::setup::skew;
use crate::checks::{self, Check, violation};
use crate::clock::MachineClock;
use crate::faults::{FAULTS, Fault, Moment, Target};

/// How long a process stands still when it does so for long: past any bound of the protocol's own.
const LONG_PAUSE_US: (u64, u64) = (60_000_000, 180_000_000);

impl World {
    /// A node has just taken a step that faults may be aimed at.
    pub(super) fn moment(&mut self, node: usize, moment: Moment) -> Check {
        if self.peace || self.faults_left == 0 {
            return Ok(());
        }
        let aims = self.plan.faults.aims.iter().filter(|aim| aim.moment == moment);
        let Some(aim) = aims.copied().find(|aim| self.rngs.faults.chance(aim.chance)) else {
            return Ok(());
        };
        // What it sent before the step is under way.
        self.flush(node);
        let others = self.hosts.len() - 1;
        let target = match aim.target {
            Target::Other if others > 0 => (node + 1 + self.rngs.faults.below(others)) % self.hosts.len(),
            Target::Itself | Target::Other => node,
        };
        self.inject(aim.fault, target)
    }

    pub(super) fn plan_random_fault(&mut self) {
        let every_us = self.plan.faults.every_us;
        if every_us > 0 {
            let at_us = self.now_us + self.rngs.faults.between(0, 2 * every_us);
            self.queue.plan(at_us, Happening::RandomFault);
        }
    }

    pub(super) fn random_fault(&mut self) -> Check {
        if self.peace || self.faults_left == 0 {
            return Ok(());
        }
        self.plan_random_fault();
        match self.rngs.faults.weighted(&self.plan.faults.weights) {
            Some(at) => {
                let node = self.rngs.faults.below(self.hosts.len());
                self.inject(FAULTS[at], node)
            }
            None => Ok(()),
        }
    }

    pub(super) fn inject(&mut self, fault: Fault, node: usize) -> Check {
        self.faults_left = self.faults_left.saturating_sub(1);
        self.tracer.mix(node as u64);
        self.note(node, || format!("is hit: {fault:?}"));
        let nodes = self.hosts.len();
        let others = || (0..nodes).filter(move |&other| other != node);
        let other = (node + 1 + self.rngs.faults.below(nodes.max(2) - 1)) % nodes;
        match fault {
            Fault::Crash => self.crash(node),
            Fault::CrashAll => (0..nodes).for_each(|node| self.crash(node)),
            Fault::Pause => {
                let for_us = self.trouble_us();
                self.pause(node, for_us);
            }
            Fault::PauseLong => {
                let for_us = self.rngs.faults.between(LONG_PAUSE_US.0, LONG_PAUSE_US.1);
                self.pause(node, for_us);
            }
            Fault::Suspend => {
                let long = self.rngs.faults.chance(self.plan.faults.suspend_long);
                let range = if long { LONG_PAUSE_US } else { self.plan.faults.trouble_us };
                let for_us = self.rngs.faults.between(range.0, range.1);
                if self.pause(node, for_us) {
                    self.hosts[node].clock.suspended(self.now_us, for_us);
                }
            }
            Fault::CutOneWay => self.cut_for_a_while(vec![(node, other)]),
            Fault::CutBothWays => self.cut_for_a_while(vec![(node, other), (other, node)]),
            Fault::Mute => self.cut_for_a_while(others().map(|other| (node, other)).collect()),
            Fault::Deafen => self.cut_for_a_while(others().map(|other| (other, node)).collect()),
            Fault::Isolate => {
                self.cut_for_a_while(others().flat_map(|other| [(node, other), (other, node)]).collect());
            }
            Fault::Split => self.split(),
            Fault::DropConnection => {
                self.may_hear_of_loss(node, other, true);
                self.may_hear_of_loss(other, node, true);
            }
            Fault::SlowDisk => {
                self.figures.disk_faults += 1;
                self.hosts[node].slow_until_us = self.now_us + self.trouble_us();
            }
            Fault::FullDisk => self.fill_disk(node),
            Fault::DamagedRecord => self.damage_record(node),
            Fault::WallJump => {
                self.figures.wall_jumps += 1;
                let ahead = skew(self.plan.clock.skew_ms, &mut self.rngs.lives);
                self.hosts[node].clock.set_wall(ahead);
            }
        }
        Ok(())
    }

    fn trouble_us(&mut self) -> u64 {
        let (low, high) = self.plan.faults.trouble_us;
        self.rngs.faults.between(low, high)
    }

    /// The process dies.
    pub(super) fn crash(&mut self, node: usize) {
        if self.hosts[node].process.is_none() {
            return;
        }
        self.figures.crashes += 1;
        self.dies(node);
        self.count_repairs(node);
        self.hosts[node].crash(&mut self.rngs.disk, self.plan.network.last_words);
        self.note(node, || "dies".into());
        self.oracle.node_died(node);
        self.unremembered.begins_anew(node);
        self.clients_lose(node);
        for peer in 0..self.hosts.len() {
            if peer != node {
                self.may_hear_of_loss(peer, node, false);
            }
        }
        let (low, high) = self.plan.faults.down_us;
        let at_us = self.now_us + self.rngs.faults.between(low, high);
        self.queue.plan(at_us, Happening::Restart(node));
    }

    /// The process is started again.
    pub(super) fn restart(&mut self, node: usize) -> Check {
        if self.hosts[node].process.is_some() {
            return Ok(());
        }
        self.revives(node)?;
        let (drift_ppm, base_us) = (self.plan.clock.drift_ppm, self.rngs.lives.between(0, 1 << 40));
        let drift_ppm = i32::try_from(drift_ppm).unwrap_or(0);
        let ahead = skew(self.plan.clock.skew_ms, &mut self.rngs.lives);
        let host = &mut self.hosts[node];
        host.clock = MachineClock::new(self.now_us, base_us, drift_ppm, ahead);
        host.full_until_us = 0;
        let before = host.boot;
        host.start(&self.plan.limits, &mut self.rngs.nodes)
            .map_err(|error| violation("lives", format!("a directory does not start: {error}")))?;
        let boot = host.boot;
        checks::liveness::started(node, before, boot)?;
        self.note(node, || "starts".into());
        let layout = self.hosts[node].process.as_ref().and_then(|process| process.node.layout().cloned());
        self.witness.holds(node, layout.as_deref())?;
        // One that it had persisted, and not told anybody of when it died.
        if let Some(layout) = layout {
            self.newest(&layout);
        }
        self.was_started(node);
        self.reconnect_all(node);
        let life = self.hosts[node].life;
        self.happen_to(node, life, ToNode::Started)?;
        self.moment(node, Moment::Started)
    }

    /// The process stands still, if it runs.
    fn pause(&mut self, node: usize, for_us: u64) -> bool {
        let until_us = self.now_us + for_us;
        if !self.hosts[node].is_awake(self.now_us) {
            return false;
        }
        self.dies(node);
        if let Some(process) = &mut self.hosts[node].process {
            process.paused_until_us = until_us;
        }
        self.figures.pauses += 1;
        self.note(node, || format!("stands still for {} ms", for_us / 1000));
        for peer in 0..self.hosts.len() {
            if peer != node {
                self.may_hear_of_loss(peer, node, false);
            }
        }
        self.queue.plan(until_us, Happening::Resumed(node));
        true
    }

    fn cut_for_a_while(&mut self, directions: Vec<(usize, usize)>) {
        self.cut(&directions);
        let at_us = self.now_us + self.trouble_us();
        self.queue.plan(at_us, Happening::Mend(directions));
    }

    fn split(&mut self) {
        let sides: Vec<bool> = self.hosts.iter().map(|_| self.rngs.faults.chance(0.5)).collect();
        let across = |&(a, b): &(usize, usize)| sides[a] != sides[b];
        let pairs = (0..sides.len()).flat_map(|a| (0..sides.len()).map(move |b| (a, b)));
        let directions = pairs.filter(across).collect();
        self.cut_for_a_while(directions);
    }

    fn fill_disk(&mut self, node: usize) {
        self.figures.disk_faults += 1;
        let until_us = self.now_us + self.trouble_us();
        let noticed_us = self.now_us + self.rngs.faults.between(0, 2_000);
        let host = &mut self.hosts[node];
        host.full_until_us = until_us;
        let life = host.life;
        for (at_us, room) in [(noticed_us.min(until_us), false), (until_us, true)] {
            self.queue.plan(at_us, Happening::Node { node, life, what: ToNode::Writable(room) });
        }
    }

    fn damage_record(&mut self, node: usize) {
        let keys: Vec<usize> = (0..self.oracle.keys.len()).filter(|&key| self.may_lose(key, node)).collect();
        if !keys.is_empty() {
            self.figures.disk_faults += 1;
            let key = *self.rngs.faults.pick(&keys);
            self.hosts[node].disk.damage(self.oracle.keys[key].store_key.clone());
            let troubled = self.disks(key).troubled;
            self.oracle.copies_lost(key, troubled);
            self.note(node, || format!("its record of key {key} is damaged"));
        }
    }

    /// A write survives the loss of w - 1 copies, so no more are taken away at a time.
    fn may_lose(&self, key: usize, node: usize) -> bool {
        let history = &self.oracle.keys[key];
        let disk = &self.hosts[node].disk;
        let survives = history.least_w() as usize - 1;
        disk.synced_value(&history.store_key).is_some()
            && !disk.is_troubled(&history.store_key)
            && self.disks(key).troubled < survives
    }

    /// What a process has counted is lost with it.
    pub(super) fn count_repairs(&mut self, node: usize) {
        if let Some(process) = &self.hosts[node].process {
            let stats = process.node.stats();
            self.figures.read_repairs += stats.read_repairs;
            self.figures.expired_values += stats.expired_values;
            self.figures.hints_delivered += stats.hints_delivered;
            self.figures.actors_pruned += stats.actors_pruned;
        }
    }
}
