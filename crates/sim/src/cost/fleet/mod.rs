//! A cluster in which nothing goes wrong, for counting: the cores, their disks and clocks, links that are always up and always take as
//! long, and no oracle and no checks, so that a thousand nodes can be run. Promises are for [`crate::world`] to look after.
//!
//! `happen` lets things happen, one after the other.

mod happen;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use quorate_protocol::effect::ChangeError;
use quorate_protocol::id::{ClusterId, NodeId, StartId};
use quorate_protocol::identity::Kept;
use quorate_protocol::layout::{Bootstrap, Layout, Member, Order};
use quorate_protocol::merkle::Tree;
use quorate_protocol::operation::{Operation, OperationResult, Outcome, Timed};
use quorate_protocol::{Effects, Event, Limits, Node, NodeConfig, PeerState, RequestId};

use super::Size;
use super::count::{Counts, is_background};
use crate::SimDisk;
use crate::clock::MachineClock;
use crate::rng::SimRng;
use happen::{DELAY_US, Entry, What};

/// Processes start, and after that pairs connect, spread over this time: before anybody is probed, or some would be suspected.
const START_US: u64 = 100_000;
const SECOND_US: u64 = 1_000_000;

struct Machine {
    node: Node,
    disk: SimDisk,
    clock: MachineClock,
    syncing: bool,
    wake_us: Option<u64>,
}

/// See the module.
pub(super) struct Fleet {
    now_us: u64,
    /// The earliest first and, of one time, in the order in which they were planned.
    queue: BinaryHeap<Reverse<Entry>>,
    planned: u64,
    machines: Vec<Machine>,
    by_id: BTreeMap<NodeId, usize>,
    /// The newest that anybody holds.
    layout: Arc<Layout>,
    pub(super) counts: Counts,
    rng: SimRng,
    effects: Effects,
    requests: u64,
    answered: Option<(RequestId, OperationResult)>,
    ordered: Option<Result<Arc<Layout>, ChangeError>>,
    /// Everybody has met everybody: from now on nobody may be suspected.
    settled: bool,
    /// The layout that was sent last.
    offered: Bytes,
}

impl Fleet {
    /// A cluster of this size that was founded before, and `spares` machines more that are no members; nothing has happened yet.
    pub(super) fn new(size: Size, spares: usize, limits: &Limits) -> Result<Self> {
        let mut rng = SimRng::new(1, 1);
        let mut ids: Vec<NodeId> = (0..size.nodes + spares).map(|_| NodeId(rng.bits())).collect();
        // The first voters, and who sees to changes, are the first by id.
        ids.sort_unstable();
        let Size { partitions, n, r, w, .. } = size;
        let members = ids[..size.nodes].iter().enumerate().map(|(at, &id)| member(at, id)).collect();
        let cluster = ClusterId(u128::from(rng.bits()));
        let founded = Bootstrap { cluster, partitions, n, r, w, members, buckets: Vec::new() };
        let layout = Arc::new(Layout::first(&founded)?);
        let machine = |(at, &node): (usize, &NodeId)| {
            let layout = (at < size.nodes).then(|| Layout::clone(&layout));
            let (start, limits) = (StartId(rng.bits()), limits.clone());
            let config = NodeConfig { node, start, boot: 1, seed: rng.seed(), limits, token_secret: None };
            let clock = MachineClock::new(0, rng.between(0, 1 << 40), 0, 0);
            let node = Node::new(config, Kept { layout, ..Kept::default() });
            Machine { node, disk: SimDisk::default(), clock, syncing: false, wake_us: None }
        };
        let machines: Vec<Machine> = ids.iter().enumerate().map(machine).collect();
        let by_id = ids.iter().enumerate().map(|(at, &id)| (id, at)).collect();
        let mut fleet = Self {
            now_us: 0,
            queue: BinaryHeap::new(),
            planned: 0,
            machines,
            by_id,
            layout,
            counts: Counts::default(),
            rng,
            effects: Effects::default(),
            requests: 0,
            answered: None,
            ordered: None,
            settled: false,
            offered: Bytes::new(),
        };
        fleet.plan_start();
        Ok(fleet)
    }

    fn plan_start(&mut self) {
        let mut started = Vec::with_capacity(self.machines.len());
        for a in 0..self.machines.len() {
            started.push(self.rng.between(0, START_US));
            self.plan(started[a], a, What::Started);
            for b in 0..a {
                let at_us = started[a].max(started[b]) + self.rng.between(1, START_US);
                self.plan(at_us, a, What::LinkUp { peer: b });
                self.plan(at_us, b, What::LinkUp { peer: a });
            }
        }
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The machine of a node.
    pub(super) fn machine(&self, id: NodeId) -> usize {
        self.by_id[&id]
    }

    /// How a machine is named to the cluster.
    pub(super) fn as_member(&self, at: usize) -> Member {
        member(at, self.machines[at].node.id())
    }

    /// How many keys each partition has.
    pub(super) fn keys(&self) -> Vec<u64> {
        let keys = |partition| {
            let owner =
                self.layout.owners(partition).first().map(|&owner| &self.machines[self.by_id[&owner]]);
            owner.and_then(|owner| owner.node.tree(partition)).map_or(0, Tree::keys)
        };
        self.layout.all_partitions().map(keys).collect()
    }

    /// Runs for a time.
    pub(super) fn run_for(&mut self, time_us: u64) -> Result<()> {
        let until_us = self.now_us + time_us;
        while self.queue.peek().is_some_and(|next| next.0.due.0 <= until_us) {
            self.step()?;
        }
        self.now_us = until_us;
        Ok(())
    }

    /// Runs until everybody knows everybody to be alive, has all trees, holds the newest layout, and nothing but the background has
    /// been sent for a second.
    pub(super) fn settle(&mut self) -> Result<()> {
        for _ in 0..300 {
            let before = self.counts.clone();
            self.run_for(SECOND_US)?;
            let sent = self.counts.since(&before);
            let quiet = sent.iter().all(|(kind, _)| is_background(kind)) && sent.of("news") == 0;
            if quiet && self.all_is_known() {
                self.settled = true;
                return Ok(());
            }
        }
        bail!("after {} s it has not settled", self.now_us / SECOND_US)
    }

    fn all_is_known(&self) -> bool {
        let knows = |machine: &Machine| {
            let node = &machine.node;
            let sees = |other: NodeId| {
                other == node.id()
                    || (node.is_live(other) && node.peer_state(other) == Some(PeerState::Alive))
            };
            let is_member = self.layout.member(node.id()).is_some();
            let holds = |partition| self.layout.is_owner(partition, node.id());
            let newest = node.layout().is_some_and(|layout| layout.epoch == self.layout.epoch);
            let is_well = node.gossip().health_multiplier == 1;
            self.by_id.keys().all(|&other| sees(other))
                && (newest || !is_member)
                && is_well
                && self.layout.all_partitions().filter(|&at| holds(at)).all(|at| node.tree(at).is_some())
        };
        self.machines.iter().all(knows)
    }

    /// Has a node do an operation, and waits until also those have done it whose answer nobody waits for.
    pub(super) fn operate(&mut self, at: usize, operation: Operation) -> Result<Outcome> {
        self.requests += 1;
        let request = RequestId(self.requests);
        let timed = Timed { operation, timeout: Duration::from_secs(1) };
        self.handle(at, Event::Client { request, timed })?;
        self.run_for(10 * DELAY_US)?;
        let (of, result) = self.answered.take().context("an operation is not answered in time")?;
        ensure!(of == request, "another request is answered");
        Ok(result?)
    }

    /// Has a node change the layout, and runs until the change is over; returns how long it took, in microseconds.
    pub(super) fn change(&mut self, at: usize, order: Order) -> Result<u64> {
        let (began_us, epoch) = (self.now_us, self.layout.epoch);
        self.requests += 1;
        let request = RequestId(self.requests);
        self.handle(at, Event::Change { request, expected: Some(epoch), order })?;
        while self.layout.epoch == epoch || !self.layout.is_stable() {
            ensure!(self.now_us < began_us + 600 * SECOND_US, "a change does not end");
            self.step()?;
            if let Some(Err(error)) = self.ordered.take() {
                bail!("the layout is not changed: {error}");
            }
        }
        Ok(self.now_us - began_us)
    }
}

fn member(at: usize, node: NodeId) -> Member {
    let name = crate::describe::node(at);
    Member { node, peer_address: format!("{name}:7702"), name, zone: String::new(), weight: 1 }
}
