//! What happens in a fleet, by time: batches arrive, disks sync, timers fire; and what a core wants done about it.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use quorate_protocol::message::{Message, Stamp};
use quorate_protocol::store::{CommitNumber, ScanPage, Store, StoreError};
use quorate_protocol::{Effect, Event, PeerState, ReadToken};

use super::{Fleet, Machine};

/// From node to node. There and back, with a read or a sync between, is less than any node waits before it asks another one as well.
pub(super) const DELAY_US: u64 = 500;
const SYNC_US: (u64, u64) = (100, 300);
const READ_US: u64 = 50;
/// Whoever announces himself is heard by so many before him and as many after, and the others hear of him by the gossip: were he heard by
/// all, who tell him of all, the start of a thousand nodes would be most of the work.
const GREETED: usize = 8;

pub(super) enum What {
    Started,
    LinkUp { peer: usize },
    Batch { from: usize, stamp: Stamp, messages: Vec<Message> },
    Synced(CommitNumber),
    Read { token: ReadToken, key: Bytes },
    Scanned { token: ReadToken, result: Result<ScanPage, StoreError> },
    Wake,
}

pub(super) struct Entry {
    pub(super) due: (u64, u64),
    pub(super) machine: usize,
    pub(super) what: What,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.due.cmp(&other.due)
    }
}

impl Fleet {
    pub(super) fn plan(&mut self, at_us: u64, machine: usize, what: What) {
        self.planned += 1;
        self.queue.push(Reverse(Entry { due: (at_us, self.planned), machine, what }));
    }

    pub(super) fn step(&mut self) -> Result<()> {
        let Reverse(Entry { due, machine: at, what }) =
            self.queue.pop().context("nothing is left to happen")?;
        self.now_us = due.0;
        let event = match what {
            What::Started => Event::Started,
            What::LinkUp { peer } => {
                let Machine { node, clock, .. } = &self.machines[peer];
                let epoch = node.layout().map_or_else(Default::default, |layout| layout.epoch);
                Event::LinkUp { peer: node.id(), epoch, clock: node.link_time(clock.now(self.now_us)) }
            }
            What::Batch { from, stamp, messages } => {
                Event::Messages { from: self.machines[from].node.id(), stamp, messages }
            }
            What::Synced(through) => {
                let machine = &mut self.machines[at];
                machine.syncing = false;
                machine.disk.sync(through);
                let sequence = machine.disk.sequence();
                self.plan_sync(at);
                Event::Durable { through, sequence }
            }
            What::Read { token, key } => Event::ReadDone { token, result: self.machines[at].disk.get(&key) },
            What::Scanned { token, result } => Event::ScanDone { token, result },
            What::Wake => {
                let machine = &mut self.machines[at];
                if machine.wake_us != Some(self.now_us) {
                    return Ok(());
                }
                machine.wake_us = None;
                let now = machine.clock.mono(self.now_us);
                if machine.node.next_deadline().is_none_or(|deadline| deadline > now) {
                    self.plan_wake(at);
                    return Ok(());
                }
                Event::Deadline
            }
        };
        self.handle(at, event)
    }

    /// Lets a core handle an event, and does what it wants.
    pub(super) fn handle(&mut self, at: usize, event: Event) -> Result<()> {
        let mut effects = std::mem::take(&mut self.effects);
        let machine = &mut self.machines[at];
        let now = machine.clock.now(self.now_us);
        machine.node.handle(now, event, &mut effects);
        let mut outbox: BTreeMap<usize, Vec<Message>> = BTreeMap::new();
        for effect in effects.drain() {
            match effect {
                Effect::Send { to, mut message } => {
                    let kind = self.counts.add(&message);
                    self.share(&mut message);
                    let to = *self.by_id.get(&to).context("somebody sends to nobody")?;
                    if kind == "announce" && to.abs_diff(at) > GREETED {
                        continue;
                    }
                    outbox.entry(to).or_default().push(message);
                }
                Effect::Commit { number, ops } => {
                    let given = self.machines[at].disk.submit(&ops)?;
                    ensure!(given == number, "a commit has another number than the core gave it");
                    self.plan_sync(at);
                }
                Effect::Read { token, key } => {
                    self.plan(self.now_us + READ_US, at, What::Read { token, key });
                }
                Effect::Scan { token, prefix, after, entries_max, bytes_max } => {
                    let disk = &self.machines[at].disk;
                    let result = disk.scan(&prefix, after.as_deref(), entries_max, bytes_max);
                    self.plan(self.now_us + READ_US, at, What::Scanned { token, result });
                }
                Effect::Answer { request, result } => self.answered = Some((request, result)),
                Effect::AnswerChange { result, .. } => self.ordered = Some(result),
                Effect::LayoutAdopted(layout) => {
                    if layout.epoch > self.layout.epoch {
                        self.layout = layout;
                    }
                }
                Effect::GiveUp(betrayal) => bail!("a node gives up: {betrayal}"),
                Effect::PeerChanged { state: Some(PeerState::Suspect | PeerState::Down), .. }
                    if self.settled =>
                {
                    bail!("somebody is suspected, and all is well")
                }
                Effect::AnswerBootstrap { .. }
                | Effect::AnswerPreview { .. }
                | Effect::PeerChanged { .. }
                | Effect::Notice(_) => {}
            }
        }
        self.effects = effects;
        for (to, messages) in outbox {
            let stamp = self.machines[at].node.stamp(now, self.machines[to].node.id());
            self.plan(self.now_us + DELAY_US, to, What::Batch { from: at, stamp, messages });
        }
        self.plan_wake(at);
        Ok(())
    }

    /// A layout goes from everybody to everybody: one copy of it has to do, or there would not be memory enough.
    fn share(&mut self, message: &mut Message) {
        if let Message::LayoutOffer(layout) = message {
            if *layout == self.offered {
                layout.clone_from(&self.offered);
            } else {
                self.offered.clone_from(layout);
            }
        }
    }

    fn plan_sync(&mut self, at: usize) {
        let machine = &mut self.machines[at];
        if machine.syncing || machine.disk.durable() == machine.disk.submitted() {
            return;
        }
        machine.syncing = true;
        let through = machine.disk.submitted();
        let at_us = self.now_us + self.rng.between(SYNC_US.0, SYNC_US.1);
        self.plan(at_us, at, What::Synced(through));
    }

    fn plan_wake(&mut self, at: usize) {
        let machine = &mut self.machines[at];
        let Some(deadline) = machine.node.next_deadline() else { return };
        let at_us = machine.clock.world_time(deadline).max(self.now_us);
        if machine.wake_us.is_none_or(|planned| planned > at_us) {
            machine.wake_us = Some(at_us);
            self.plan(at_us, at, What::Wake);
        }
    }
}
