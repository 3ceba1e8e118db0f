//! What a core writes and reads: batches become durable by and by, and reads take a while.

use bytes::Bytes;
use quorate_protocol::keys;
use quorate_protocol::store::{CommitNumber, Store, StoreOp};
use quorate_protocol::version::EncodedContainer;
use quorate_protocol::{Event, ReadToken};

use super::World;
use super::queue::{Happening, ToNode};
use crate::checks::{self, Check, violation};
use crate::describe;
use crate::faults::Moment;
use crate::oracle::Maker;

impl World {
    pub(super) fn commit(&mut self, node: usize, number: CommitNumber, ops: Vec<StoreOp>) -> Check {
        if !self.clears(node, &ops) {
            checks::dropped(&self.hosts[node].disk, &ops)?;
        }
        for op in &ops {
            if let Some(key) = keys::key_of(op.key()).filter(|_| op.key().starts_with(keys::HOLES)) {
                let record = keys::data(key.partition, key.bucket, &key.key);
                if let (StoreOp::Put { .. }, Some(at)) = (op, self.oracle.key_of(&record)) {
                    self.oracle.keys[at].forgotten(node, self.now_us);
                }
            }
            if let StoreOp::Put { key, value } = op
                && let Some(at) = self.oracle.key_of(key)
            {
                let container = EncodedContainer(value.clone());
                self.note(node, || format!("commits {}: {}", number.0, describe::container(&container)));
                checks::coordinated(&self.oracle, at, &container, &self.hosts[node].disk)?;
                let by = self.maker(node);
                let before = self.hosts[node].disk.visible_value(key);
                let entries_max = self.plan.limits.context_entries;
                // Before it is looked at: the writes that replaced others may be forgotten by it.
                checks::committed(&mut self.oracle, at, before, &container, by.wall_ms, entries_max)?;
                checks::observed(&mut self.oracle, at, &container, by)?;
            }
            // A damaged record is not forgotten: it is lost.
            let lost = self.hosts[node].disk.is_damaged(op.key());
            if let StoreOp::Delete { key } = op
                && !lost
                && !self.clears(node, std::slice::from_ref(op))
                && key.first() == Some(&b'd')
                && let Some(at) = self.oracle.key_of(key)
            {
                let before = self.hosts[node].disk.visible_value(key);
                self.note(node, || format!("forgets {}, by commit {}", describe::key(key), number.0));
                checks::removed(&mut self.oracle, at, before)?;
                self.figures.forgotten += u64::from(!self.peace);
            }
        }
        let moment = moment_of(&ops);
        let host = &mut self.hosts[node];
        let Some(process) = &mut host.process else { return Ok(()) };
        let given = host
            .disk
            .submit(&ops)
            .map_err(|error| violation("disk", format!("the simulated disk takes no batch: {error}")))?;
        if process.core_number(given) != number {
            return Err(violation(
                "disk",
                format!("the core calls its commit {number:?}, and it is {given:?}"),
            ));
        }
        self.plan_sync(node);
        self.moment(node, moment)
    }

    /// One sync covers all that was submitted before it began.
    pub(super) fn plan_sync(&mut self, node: usize) {
        let now_us = self.now_us;
        let host = &mut self.hosts[node];
        let Some(process) = &mut host.process else { return };
        if process.syncing || host.disk.durable() == host.disk.submitted() {
            return;
        }
        process.syncing = true;
        let (low, high) =
            if host.slow_until_us > now_us { self.plan.disk.slow_sync_us } else { self.plan.disk.sync_us };
        let at_us = now_us.max(host.full_until_us) + self.rngs.disk.between(low, high);
        let what = ToNode::Synced(host.disk.submitted());
        let life = host.life;
        self.queue.plan(at_us, Happening::Node { node, life, what });
    }

    pub(super) fn synced(&mut self, node: usize, number: CommitNumber) -> Check {
        let host = &mut self.hosts[node];
        let Some(process) = &mut host.process else { return Ok(()) };
        process.syncing = false;
        host.disk.sync(number);
        let (core_number, sequence) = (process.core_number(number), host.disk.sequence());
        self.figures.syncs += 1;
        self.note(node, || format!("has synced up to {}", core_number.0));
        self.plan_sync(node);
        self.moment(node, Moment::Synced)?;
        self.handle(node, Event::Durable { through: core_number, sequence })
    }

    pub(super) fn maker(&self, node: usize) -> Maker {
        Maker {
            node,
            life: self.hosts[node].life,
            at_us: self.now_us,
            wall_ms: self.handled_at_ms(node),
            full_since_us: self.hosts[node].told_full_us,
        }
    }

    /// A read may see what was written after it began.
    pub(super) fn read(&mut self, node: usize, token: ReadToken, key: Bytes) {
        let host = &self.hosts[node];
        let found = self.rngs.disk.chance(0.5).then(|| host.disk.get(&key));
        self.tracer.mix(token.0);
        self.after_read(node, ToNode::Read { token, key, found });
    }

    pub(super) fn after_read(&mut self, node: usize, what: ToNode) {
        let (low, high) = self.plan.disk.read_us;
        let at_us = self.now_us + self.rngs.disk.between(low, high);
        let life = self.hosts[node].life;
        self.queue.plan(at_us, Happening::Node { node, life, what });
    }
}

/// Which step a batch is, for faults that are aimed at steps.
fn moment_of(ops: &[StoreOp]) -> Moment {
    let any = |prefix: u8, deleted: bool| {
        ops.iter().any(|op| match op {
            StoreOp::Put { key, .. } => !deleted && key.first() == Some(&prefix),
            StoreOp::Delete { key } => deleted && key.first() == Some(&prefix),
        })
    };
    match () {
        () if any(b'd', true) => Moment::Forgot,
        () if any(b'h', true) => Moment::Unhinted,
        () if any(b'h', false) => Moment::Hinted,
        () => Moment::Committed,
    }
}
