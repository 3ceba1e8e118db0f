//! Whole cores with stores in memory, over a network of a millisecond.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use quorate_protocol::id::{Epoch, NodeId, OperationId, StartId};
use quorate_protocol::identity::{Kept, Life};
use quorate_protocol::keys;
use quorate_protocol::layout::{Alteration, Layout, Order, QuorumMode};
use quorate_protocol::message::{Message, Stamp};
use quorate_protocol::operation::{
    Delete, Operation, OperationError, OperationResult, Outcome, Put, QuorumOptions, Timed, Ttl, Written,
};
use quorate_protocol::store::{ScanPage, Sequence, StoreOp};
use quorate_protocol::time::{Now, Time};
use quorate_protocol::version::{ContentType, ContextToken};
use quorate_protocol::{Effect, Effects, Event, Limits, Node, NodeConfig, RequestId};

use crate::cluster::layout_of;

const DELAY_US: u64 = 1_000;
/// Operations get this much time.
const TIMEOUT: Duration = Duration::from_secs(2);

type Disk = BTreeMap<Bytes, Bytes>;

/// A message on its way.
#[derive(Clone, Debug)]
pub struct Flying {
    pub from: u64,
    pub to: u64,
    pub stamp: Stamp,
    pub message: Message,
}

/// One partition with three owners, and nodes from 1 on.
pub struct World {
    now_us: u64,
    pub layout: Layout,
    limits: Limits,
    nodes: BTreeMap<u64, Node>,
    disks: BTreeMap<u64, Disk>,
    /// The lives that each node has had.
    past: BTreeMap<u64, BTreeMap<u64, Life>>,
    flying: BTreeMap<(u64, u64), Flying>,
    sent: u64,
    answers: Vec<OperationResult>,
    /// Who told what of replications.
    replies: Vec<(u64, Result<(), quorate_protocol::message::Refusal>)>,
    /// All replications that were sent.
    pub replicated: Vec<Flying>,
    /// What is held up on its way, if it is so; and what was.
    pub hold: Option<fn(&Flying) -> bool>,
    pub held: Vec<Flying>,
    /// A node whose store is slow to read; and what it has read by now, but does not know yet.
    pub slow: Option<u64>,
    read: Vec<Event>,
}

impl World {
    /// So many nodes, all connected.
    pub fn new(count: u64, limits: Limits) -> Self {
        let mut world = Self {
            now_us: 1_000_000,
            layout: layout_of(count),
            limits,
            nodes: BTreeMap::new(),
            disks: BTreeMap::new(),
            past: BTreeMap::new(),
            flying: BTreeMap::new(),
            sent: 0,
            answers: Vec::new(),
            replies: Vec::new(),
            replicated: Vec::new(),
            hold: None,
            held: Vec::new(),
            slow: None,
            read: Vec::new(),
        };
        (1..=count).for_each(|id| world.start(id));
        world.run(Duration::from_secs(1));
        world
    }

    /// The owners of the only partition, in order of preference.
    pub fn owners(&self) -> Vec<u64> {
        let partition = quorate_protocol::id::PartitionId(0);
        self.layout.owners(partition).iter().map(|owner| owner.0).collect()
    }

    /// The first node that is no owner.
    pub fn other(&self) -> u64 {
        let owners = self.owners();
        self.disks.keys().copied().find(|id| !owners.contains(id)).expect("there are more nodes than owners")
    }

    /// Starts a process on what its disk holds, and connects it with all others.
    pub fn start(&mut self, id: u64) {
        let life = self.now_us;
        let config = NodeConfig {
            node: NodeId(id),
            start: StartId(life * 100 + id),
            boot: self.past.get(&id).map_or(0, |past| past.len() as u64) + 1,
            seed: [u8::try_from(id).expect("small") ^ u8::try_from(life / 1_000_000 % 251).expect("small");
                32],
            limits: self.limits.clone(),
            token_secret: None,
        };
        let past = self.past.entry(id).or_default();
        let kept = Kept { layout: Some(self.layout.clone()), past: past.clone(), ..Kept::default() };
        // Its disk loses nothing.
        let life = Life { boot: config.boot, start: config.start, sequence: Sequence(u64::MAX) };
        past.insert(config.boot, life);
        self.nodes.insert(id, Node::new(config, kept));
        self.disks.entry(id).or_default();
        self.handle(id, Event::Started);
        let peers: Vec<u64> = self.nodes.keys().copied().filter(|&peer| peer != id).collect();
        for peer in peers {
            for (node, peer) in [(id, peer), (peer, id)] {
                let clock = self.stamp(peer, node).clock;
                self.handle(node, Event::LinkUp { peer: NodeId(peer), epoch: Epoch(1), clock });
            }
        }
    }

    /// The process dies, and all others hear of it.
    pub fn kill(&mut self, id: u64) {
        self.nodes.remove(&id);
        let peers: Vec<u64> = self.nodes.keys().copied().collect();
        for peer in peers {
            self.handle(peer, Event::LinkDown { peer: NodeId(id) });
        }
    }

    /// Puts a value of a key at a node.
    pub fn put(&mut self, at: u64, key: &str, mode: QuorumMode) -> Result<Written, OperationError> {
        let put = Put {
            bucket: String::new(),
            key: Bytes::copy_from_slice(key.as_bytes()),
            value: Bytes::from_static(b"v"),
            content_type: ContentType::OctetStream,
            context: ContextToken::new(),
            operation: OperationId(self.now_us.into()),
            ttl: Ttl::Bucket,
            quorum: QuorumOptions { mode: Some(mode), ..QuorumOptions::default() },
        };
        self.written(at, Operation::Put(put))
    }

    /// Deletes what a read at a node shows of a key.
    pub fn delete(&mut self, at: u64, key: &str, mode: QuorumMode) -> Result<Written, OperationError> {
        let key = Bytes::copy_from_slice(key.as_bytes());
        let quorum = QuorumOptions { mode: Some(mode), ..QuorumOptions::default() };
        let context = ContextToken::new();
        self.written(at, Operation::Delete(Delete { bucket: String::new(), key, context, quorum }))
    }

    fn written(&mut self, at: u64, operation: Operation) -> Result<Written, OperationError> {
        let timed = Timed { operation, timeout: TIMEOUT };
        self.handle(at, Event::Client { request: RequestId(self.sent), timed });
        for _ in 0..300 {
            match self.answers.pop() {
                Some(Ok(Outcome::Put(written) | Outcome::Delete(written))) => return Ok(written),
                Some(Ok(other)) => panic!("a write was answered with {other:?}"),
                Some(Err(error)) => return Err(error),
                None => self.run(Duration::from_millis(10)),
            }
        }
        panic!("it was never answered")
    }

    /// Has a node change the layout, and waits for the end of the change.
    pub fn change(&mut self, at: u64, alteration: Alteration) {
        let order = Order::Alter(alteration);
        self.handle(at, Event::Change { request: RequestId(self.sent), expected: None, order });
        for _ in 0..1_000 {
            self.run(Duration::from_millis(10));
            let layout = self.nodes[&at].layout().expect("it has one").clone();
            if layout.epoch > self.layout.epoch && layout.is_stable() {
                self.layout = Layout::clone(&layout);
                return;
            }
        }
        panic!("it never ends")
    }

    /// The store of the slow node is slow no more.
    pub fn hurry(&mut self) {
        let slow = self.slow.take().expect("one is slow");
        std::mem::take(&mut self.read).into_iter().for_each(|event| self.handle(slow, event));
    }

    /// How long this has gone on.
    pub fn lasted(&self) -> Duration {
        Duration::from_micros(self.now_us)
    }

    /// Whether a node's disk has a record with this first byte: d, f or h.
    pub fn has(&self, id: u64, role: u8) -> bool {
        self.disks[&id].keys().any(|key| key.first() == Some(&role))
    }

    /// The hints that a node knows of.
    pub fn hints(&self, id: u64) -> usize {
        self.nodes[&id].gauges().hints
    }

    /// Whether a node compares the only partition with an owner before all else, now or when that is back.
    pub fn compares_first(&self, id: u64, owner: u64) -> bool {
        self.nodes[&id].compares_first(NodeId(owner), quorate_protocol::id::PartitionId(0))
    }

    /// A node's counters.
    pub fn stats(&self, id: u64) -> &quorate_protocol::stats::Stats {
        self.nodes[&id].stats()
    }

    /// What a node has told others who replicated to it.
    pub fn replies_of(&self, id: u64) -> Vec<Result<(), quorate_protocol::message::Refusal>> {
        self.replies.iter().filter(|(from, _)| *from == id).map(|(_, result)| *result).collect()
    }

    /// A copy of a message arrives.
    pub fn deliver(&mut self, flying: Flying) {
        let Flying { from, to, stamp, message } = flying;
        self.handle(to, Event::Messages { from: NodeId(from), stamp, messages: vec![message] });
    }

    /// Lets time pass.
    pub fn run(&mut self, time: Duration) {
        let until_us = self.now_us + u64::try_from(time.as_micros()).expect("not for ever");
        loop {
            let timers = self.nodes.iter().filter_map(|(&id, node)| Some((node.next_deadline()?.0, id)));
            let timer = timers.min();
            let arrival = self.flying.first_key_value().map(|(&(at_us, _), _)| at_us);
            let next_us = timer.map(|timer| timer.0).into_iter().chain(arrival).min().unwrap_or(u64::MAX);
            if next_us > until_us {
                self.now_us = until_us;
                return;
            }
            self.now_us = self.now_us.max(next_us);
            if arrival == Some(next_us) {
                if let Some((_, flying)) = self.flying.pop_first() {
                    self.deliver(flying);
                }
            } else if let Some((_, id)) = timer {
                self.handle(id, Event::Deadline);
            }
        }
    }

    fn now(&self) -> Now {
        Now { mono: Time(self.now_us), link: Time(self.now_us), wall_ms: 0 }
    }

    fn stamp(&self, id: u64, to: u64) -> Stamp {
        self.nodes.get(&id).map_or(Stamp::default(), |node| node.stamp(self.now(), NodeId(to)))
    }

    fn handle(&mut self, id: u64, event: Event) {
        let now = self.now();
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let mut effects = Effects::default();
        node.handle(now, event, &mut effects);
        let mut completions = Vec::new();
        for effect in effects.drain() {
            match effect {
                Effect::Send { to, message } => {
                    self.sent += 1;
                    let flying = Flying { from: id, to: to.0, stamp: node.stamp(now, to), message };
                    if matches!(flying.message, Message::Replicate { .. }) {
                        self.replicated.push(flying.clone());
                    }
                    if let Message::ReplicateReply { result, .. } = &flying.message {
                        self.replies.push((id, *result));
                    }
                    if self.hold.is_some_and(|hold| hold(&flying)) {
                        self.held.push(flying);
                    } else {
                        self.flying.insert((self.now_us + DELAY_US, self.sent), flying);
                    }
                }
                Effect::Commit { number, ops } => {
                    let disk = self.disks.entry(id).or_default();
                    for op in ops {
                        match op {
                            StoreOp::Put { key, value } => drop(disk.insert(key, value)),
                            StoreOp::Delete { key } => drop(disk.remove(&key)),
                        }
                    }
                    completions.push(Event::Durable { through: number, sequence: Sequence(number.0) });
                }
                Effect::Read { token, key } => {
                    let found = self.disks.get(&id).and_then(|disk| disk.get(&key)).cloned();
                    let done = Event::ReadDone { token, result: Ok(found) };
                    if self.slow == Some(id) { self.read.push(done) } else { completions.push(done) }
                }
                Effect::Scan { token, prefix, .. } => {
                    let entries = self.disks[&id].iter().filter(|(key, _)| key.starts_with(&prefix));
                    let entries = entries.map(|(key, value)| (key.clone(), value.clone())).collect();
                    completions.push(Event::ScanDone {
                        token,
                        result: Ok(ScanPage { entries, more: false, damaged: Vec::new() }),
                    });
                }
                Effect::Answer { result, .. } => self.answers.push(result),
                Effect::AnswerBootstrap { .. }
                | Effect::AnswerChange { .. }
                | Effect::AnswerPreview { .. }
                | Effect::LayoutAdopted(_)
                | Effect::GiveUp(_)
                | Effect::PeerChanged { .. }
                | Effect::Notice(_) => {}
            }
        }
        completions.into_iter().for_each(|event| self.handle(id, event));
    }
}

/// The prefix of the records of containers that owners hold.
pub const OWNED: u8 = b'd';
/// The prefix of the records of hints.
pub const HINT: u8 = keys::HINTS[0];
