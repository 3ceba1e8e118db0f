//! Replicas become equal by themselves once faults are over.

use quorate_protocol::id::PartitionId;
use quorate_protocol::{Event, Node};

use super::World;
use crate::checks::{self, Check, violation};
use crate::describe;

/// Replicas have this many intervals of anti-entropy,
const INTERVALS: u64 = 24;
/// more often so many where messages are lost,
const LOSSY_TIMES: u64 = 8;
/// and this for building trees, retries and messages.
const EXTRA_US: u64 = 3_000_000;
/// Hints have this long to come to their owners: some deliveries may be lost, and are tried again after two seconds.
const HINTS_US: u64 = 20_000_000;

impl World {
    /// A node has committed: its trees follow.
    pub(super) fn trees_are_right(&self, node: usize) -> Check {
        let host = &self.hosts[node];
        match &host.process {
            Some(process) => checks::trees_right(&process.node, &host.disk, self.layout.partitions()),
            None => Ok(()),
        }
    }

    /// A node has committed, or read what it had: it knows the hints in its store.
    pub(super) fn hints_are_known(&self, node: usize) -> Check {
        let host = &self.hosts[node];
        match &host.process {
            Some(process) => checks::hints_known(&process.node, &host.disk),
            None => Ok(()),
        }
    }

    /// Nobody reads and nobody writes: after a while all owners of all keys hold the same.
    pub(super) fn converge(&mut self) -> Check {
        self.tracer.line(self.now_us, || "replicas are left to themselves".into());
        if self.plan.repair {
            for node in 0..self.hosts.len() {
                self.handle(node, Event::Repair)?;
            }
        }
        let interval_us = self.plan.limits.exchange_interval.as_micros();
        let times = if self.plan.comparisons_lost > 0.0 { LOSSY_TIMES } else { 1 };
        let until_us = self.now_us + u64::try_from(interval_us).unwrap_or(0) * INTERVALS * times + EXTRA_US;
        while !(self.trees_are_equal() && self.is_settled()) {
            if self.now_us > until_us {
                return Err(violation("convergence", self.who_differs()));
            }
            self.step()?;
        }
        for node in 0..self.hosts.len() {
            self.trees_are_right(node)?;
        }
        for key in 0..self.oracle.keys.len() {
            checks::repaired(&self.oracle, key, &self.disks(key))?;
            checks::arrived(&self.oracle, key, &self.disks(key))?;
        }
        Ok(())
    }

    /// Hints come to their owners.
    pub(super) fn deliver_hints(&mut self) -> Check {
        let until_us = self.now_us + HINTS_US;
        while !self.hints_are_read() || self.hints() > 0 {
            if self.now_us > until_us {
                let keeps = |node: &usize| {
                    self.hosts[*node].process.as_ref().is_some_and(|process| process.node.gauges().hints > 0)
                };
                let nodes: Vec<String> = (0..self.hosts.len()).filter(keeps).map(describe::node).collect();
                let left = format!(
                    "faults have been over for long, and hints are left, or not read, on {}",
                    nodes.join(", ")
                );
                return Err(violation("hints", left));
            }
            self.step()?;
        }
        self.settle()?;
        (0..self.hosts.len()).try_for_each(|node| self.hints_are_known(node))
    }

    /// Whether all know what is in their stores.
    fn hints_are_read(&self) -> bool {
        let mut processes = self.hosts.iter().filter_map(|host| host.process.as_ref());
        processes.all(|process| process.node.knows_its_hints())
    }

    /// What owners have missed and others still remember for them.
    fn hints(&self) -> usize {
        let processes = self.hosts.iter().filter_map(|host| host.process.as_ref());
        processes.map(|process| process.node.gauges().hints).sum()
    }

    fn trees_are_equal(&self) -> bool {
        self.partitions().all(|partition| checks::trees_equal(self.owners_of(partition), partition))
    }

    fn partitions(&self) -> impl Iterator<Item = PartitionId> + use<> {
        (0..u16::try_from(self.layout.partitions()).unwrap_or(u16::MAX)).map(PartitionId)
    }

    fn owners_of(&self, partition: PartitionId) -> impl Iterator<Item = &Node> {
        let owner = move |host: &&crate::host::Host| self.layout.is_holder(partition, host.id);
        self.hosts.iter().filter(owner).filter_map(|host| host.process.as_ref()).map(|process| &process.node)
    }

    fn who_differs(&self) -> String {
        let roots = self.partitions().flat_map(|partition| {
            self.owners_of(partition).map(move |node| {
                let root = node
                    .tree(partition)
                    .map_or("none".into(), |tree| format!("{:04x}", tree.root() & 0xffff));
                format!("{} has {root} for {partition}", describe::node_of(&self.hosts, node.id()))
            })
        });
        let roots: Vec<String> = roots.collect();
        format!("faults have been over for long, and replicas differ: {}", roots.join(", "))
    }
}
