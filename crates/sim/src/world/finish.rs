//! The end of a run: all faults are over, the cluster comes to rest, and everything is looked at.

use bytes::Bytes;
use quorate_protocol::Limits;
use quorate_protocol::id::{OperationId, PartitionId};
use quorate_protocol::operation::{
    Failure, Get, List, Operation, OperationResult, Outcome, Put, QuorumOptions, Ttl,
};
use quorate_protocol::version::{ContentType, ContextToken};

use super::World;
use super::clients::DRIVER;
use super::queue::ToNode;
use crate::checks::{self, Check, Violation, violation};
use crate::describe;
use crate::oracle::DotSet;

/// Operations of the driver get this much time: in peace they need far less.
const TIMEOUT_US: u64 = 20_000_000;

impl World {
    /// Heals everything, waits for rest, and checks what must hold then.
    pub(super) fn finish(&mut self) -> Check {
        self.heal()?;
        self.settle()?;
        checks::all_answered(&self.oracle)?;
        self.everyone_has_the_layout()?;
        self.end_changes()?;
        self.everyone_sees_everyone()?;
        for key in 0..self.oracle.keys.len() {
            checks::at_rest(&self.oracle, key, &self.disks(key))?;
        }
        self.deliver_hints()?;
        if self.plan.alone {
            self.converge()?;
        }
        // Before anything is repaired, unless that was left to the replicas, and after.
        self.listings(false)?;
        for key in 0..self.oracle.keys.len() {
            self.read_everywhere(key)?;
        }
        self.listings(true)?;
        // Owners that do not count in a bucket may have what its reads do not show.
        self.converge()?;
        // Reads have met damage that nobody knew of.
        self.settle()?;
        for key in 0..self.oracle.keys.len() {
            checks::at_rest(&self.oracle, key, &self.disks(key))?;
            checks::all_healed(&self.oracle, key, &self.disks(key))?;
        }
        if self.plan.forget_all {
            self.forget_all()?;
        }
        self.nobody_keeps_what_is_not_his()?;
        for key in 0..self.oracle.keys.len() {
            self.resolve(key)?;
        }
        for node in 0..self.hosts.len() {
            self.count_repairs(node);
        }
        Ok(())
    }

    fn heal(&mut self) -> Check {
        self.tracer.line(self.now_us, || "all faults are over".into());
        self.peace = true;
        self.workload.stop();
        self.network.calm();
        for node in 0..self.hosts.len() {
            self.restart(node)?;
            self.hosts[node].slow_until_us = 0;
        }
        // What was silently lost shows only on a new connection.
        for a in 0..self.hosts.len() {
            for b in a + 1..self.hosts.len() {
                self.may_hear_of_loss(a, b, true);
                self.plan_connect(a, b);
            }
        }
        Ok(())
    }

    /// Runs until nothing is under way anywhere.
    pub(super) fn settle(&mut self) -> Check {
        while !self.is_settled() {
            self.step()?;
        }
        Ok(())
    }

    /// Whether nothing is under way but what never ends.
    pub(super) fn is_settled(&self) -> bool {
        let working = |host: &crate::host::Host| {
            host.process.as_ref().is_none_or(|process| {
                let gauges = process.node.gauges();
                // A hole waits for all other owners, also for one that is lost for good, until that is replaced.
                let heals = self.is_complete() && self.layout.member(host.id).is_some();
                let holes = if heals { gauges.holes } else { 0 };
                let news = gauges.strangers + usize::from(gauges.starting);
                gauges.operations + gauges.lingering + holes + news > 0
            })
        };
        !self.queue.is_busy() && !self.hosts.iter().any(working)
    }

    /// Founded at the latest now, the cluster has one layout.
    fn everyone_has_the_layout(&mut self) -> Check {
        if self.hosts.iter().all(|host| host.epoch().0 == 0) {
            let life = self.hosts[0].life;
            self.happen_to(0, life, ToNode::Bootstrap)?;
            self.settle()?;
        }
        if self.plan.moves.is_some() {
            return Ok(());
        }
        match self.members().into_iter().find(|&node| self.hosts[node].epoch() != self.layout.epoch) {
            Some(node) => Err(violation(
                "epochs",
                format!("all faults are over, and {} does not hold the layout", describe::node(node)),
            )),
            None => Ok(()),
        }
    }

    /// Reads a key at every node with its bucket's quorums, then at one with all owners, which repairs them.
    fn read_everywhere(&mut self, key: usize) -> Check {
        let members = self.members();
        for &node in &members {
            self.get(key, node, None)?;
        }
        let owners = self.oracle.keys[key].bucket.n;
        let node = *self.rngs.lives.pick(&members);
        self.get(key, node, Some(owners))?;
        self.settle()?;
        // A repair may be refused where there is hardly any room; it is not sent again.
        if self.plan.limits.replica_requests < Limits::default().replica_requests {
            return Ok(());
        }
        checks::repaired(&self.oracle, key, &self.disks(key))
    }

    /// One who has seen everything writes: then there is that value alone, everywhere.
    fn resolve(&mut self, key: usize) -> Check {
        let members = self.members();
        let node = *self.rngs.lives.pick(&members);
        let (context, _) = self.get(key, node, None)?;
        let history = &self.oracle.keys[key];
        let seen = quorate_protocol::version::peek(&context)
            .map(|context| history.covered(&context))
            .map_err(|error| violation("answers", error.to_string()))?;
        let value = Bytes::from(format!("v{}", self.oracle.operations.len()));
        let put = Put {
            bucket: history.bucket.name.clone(),
            key: history.key.clone(),
            value: value.clone(),
            content_type: ContentType::OctetStream,
            context,
            operation: OperationId(u128::from(self.rngs.lives.bits())),
            ttl: Ttl::Never,
            quorum: QuorumOptions { w: Some(history.bucket.n), ..QuorumOptions::default() },
        };
        let operation = self.oracle.add_operation(Operation::Put(put), key, seen, false);
        self.drive(operation, node)?;
        for node in members {
            let (_, values) = self.get(key, node, None)?;
            if values != [value.clone()] {
                let name = describe::operation_name(&self.oracle, operation);
                return Err(violation(
                    "answers",
                    format!("{name} had seen everything, and then {} shows {values:?}", describe::node(node)),
                ));
            }
        }
        Ok(())
    }

    fn get(
        &mut self,
        key: usize,
        node: usize,
        r: Option<u32>,
    ) -> Result<(ContextToken, Vec<Bytes>), Violation> {
        let history = &self.oracle.keys[key];
        let quorum = QuorumOptions { r, ..QuorumOptions::default() };
        let get = Get { bucket: history.bucket.name.clone(), key: history.key.clone(), quorum };
        let operation = self.oracle.add_operation(Operation::Get(get), key, DotSet::default(), false);
        match self.drive(operation, node)? {
            Outcome::Get(found) => {
                let values = found.siblings.into_iter().map(|sibling| sibling.value);
                Ok((found.context, values.collect()))
            }
            other => Err(violation("answers", format!("a read was answered with {other:?}"))),
        }
    }

    /// Lists every bucket and partition; with all replicas equal a listing names exactly the keys that live.
    fn listings(&mut self, repaired: bool) -> Check {
        let buckets: Vec<_> = self.plan.buckets.iter().map(|bucket| bucket.name.clone()).collect();
        for bucket in buckets {
            for partition in 0..self.layout.partitions() {
                let partition = PartitionId(u16::try_from(partition).unwrap_or(u16::MAX));
                let began_ms = self.walls_ms().0;
                let listed = self.list_all(&bucket, partition)?;
                let walls_ms = began_ms..=self.walls_ms().1;
                let within = |&key: &usize| {
                    let history = &self.oracle.keys[key];
                    history.bucket.name == bucket && history.partition == partition
                };
                let keys: Vec<usize> = (0..self.oracle.keys.len()).filter(within).collect();
                if let Some(&first) = keys.first().filter(|_| repaired) {
                    checks::exactly_live_keys(&self.oracle, &keys, &listed, &self.disks(first), &walls_ms)?;
                }
            }
        }
        Ok(())
    }

    /// What the wall clocks show: the earliest, the latest.
    fn walls_ms(&self) -> (u64, u64) {
        let walls = || self.hosts.iter().map(|host| host.clock.now(self.now_us).wall_ms);
        (walls().min().unwrap_or(0), walls().max().unwrap_or(0))
    }

    fn list_all(&mut self, bucket: &str, partition: PartitionId) -> Result<Vec<Bytes>, Violation> {
        let mut keys = Vec::new();
        let mut after = None;
        loop {
            let members = self.members();
            let node = *self.rngs.lives.pick(&members);
            let limit = u32::try_from(self.rngs.lives.between(1, 3)).unwrap_or(1);
            let quorum = QuorumOptions::default();
            let list = List { bucket: bucket.into(), partition, after, limit, quorum };
            let operation = self.oracle.add_listing(list);
            match self.drive(operation, node)? {
                Outcome::List(listed) => {
                    keys.extend(listed.keys);
                    after = listed.next;
                    if after.is_none() {
                        return Ok(keys);
                    }
                }
                other => return Err(violation("answers", format!("a listing was answered with {other:?}"))),
            }
        }
    }

    /// Has an operation done in peace: it must succeed, where limits are tiny once the one before is quite done, and where it was the
    /// first to meet a damaged record once that is healed.
    pub(super) fn drive(&mut self, operation: usize, node: usize) -> Result<Outcome, Violation> {
        let result = match self.attempt(operation, node)? {
            Err(error) if matches!(error.failure, Failure::Overloaded(_) | Failure::Storage(_)) => {
                self.settle()?;
                self.attempt(operation, node)?
            }
            result => result,
        };
        result.map_err(|error| {
            let what = describe::operation(&self.oracle, operation);
            violation("availability", format!("all is well, and {what} fails: {error}"))
        })
    }

    fn attempt(&mut self, operation: usize, node: usize) -> Result<OperationResult, Violation> {
        self.last_outcome = None;
        let attempt = self.begin(operation, DRIVER, node, TIMEOUT_US);
        self.send_request(node, attempt)?;
        loop {
            match self.last_outcome.take() {
                Some(result) => return Ok(result),
                None => self.step()?,
            }
        }
    }
}
