//! The simulated world: machines, the network between them, clients, and what goes wrong, on one thread under one clock.
//!
//! `mod` runs the queue; `moves` lets operators change the layout; `effects` lets a core handle an event and carries out what it wants, with `sending` and
//! `storing`; `links` connects nodes; `trouble` injects faults; `clients` sends and answers; `finish` ends a run: all
//! faults over, everything looked at; `rest` waits for replicas to become equal by themselves.

mod clients;
mod effects;
mod finish;
mod forgetting;
mod links;
mod liveness;
mod moves;
mod queue;
mod rest;
mod sending;
mod setup;
mod storing;
mod trouble;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use quorate_observe::History;
use quorate_protocol::Effects;
use quorate_protocol::id::NodeId;
use quorate_protocol::layout::{Bootstrap, Layout, QuorumSizes, Side};
use quorate_protocol::message::{Message, Tag};

use crate::checks::{Asked, Check, Disks, EpochWitness, Unremembered, Violation, violation};
use crate::figures::Figures;
use crate::host::Host;
use crate::network::Network;
use crate::observe::Recorder;
use crate::oracle::Oracle;
use crate::plan::Plan;
use crate::rng::SimRng;
use crate::trace::Tracer;
use crate::workload::Workload;
use liveness::Death;
use queue::{Happening, Queue, ToNode};
use setup::{bootstrap, start_hosts};

/// More steps than any healthy run takes: something goes in circles.
const STEPS_MAX: u64 = 1_000_000;

/// More than any healthy run has under way at once.
const PLANNED_MAX: usize = 20_000;

/// Who goes wrong when; kept apart so that a change in one place does not redraw the others.
#[derive(Debug)]
struct Rngs {
    disk: SimRng,
    faults: SimRng,
    links: SimRng,
    lives: SimRng,
    nodes: SimRng,
}

/// A whole run.
pub struct World {
    plan: Plan,
    now_us: u64,
    queue: Queue,
    hosts: Vec<Host>,
    network: Network,
    rngs: Rngs,
    settings: Bootstrap,
    layout: Arc<Layout>,
    oracle: Oracle,
    workload: Workload,
    witness: EpochWitness,
    tracer: Tracer,
    figures: Figures,
    /// No fault is injected.
    peace: bool,
    faults_left: u32,
    connections: u64,
    /// The connection that a pair has, by `a * nodes + b`.
    connected: Vec<Option<u64>>,
    /// Who is dead or stands still.
    deaths: Vec<Option<Death>>,
    /// It is peace, and everyone has seen everyone alive.
    all_seen: bool,
    /// Reused between events.
    effects: Effects,
    /// Messages of the present event, by destination, in order.
    outbox: Vec<(usize, Vec<Message>)>,
    /// Keeps the history that clients see, when somebody wants it.
    recorder: Option<Recorder>,
    /// What nodes do not remember for owners that have missed it.
    unremembered: Unremembered,
    /// What was asked of replicas, by who asked and the request's tag.
    requests: BTreeMap<(usize, Tag), Asked>,
    /// What operators do.
    moves: moves::Moves,
    /// What the last operation of the driver itself found.
    last_outcome: Option<quorate_protocol::operation::OperationResult>,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "World at {} us, {:?}", self.now_us, self.tracer)
    }
}

impl World {
    /// A world as it is before anything happens.
    pub fn new(seed: u64, plan: Plan, tracer: Tracer) -> Result<Self, Violation> {
        let stream = |number: u64| SimRng::new(seed, 100 + number);
        let mut lives = stream(1);
        let mut nodes = stream(2);
        let hosts = start_hosts(&plan, &mut lives, &mut nodes)?;
        let settings = bootstrap(&plan, &hosts[..plan.nodes], &mut lives);
        let layout = Layout::first(&settings)
            .map_err(|error| violation("plan", format!("the drawn settings make no layout: {error}")))?;
        let keys: Vec<(String, Bytes)> = plan
            .buckets
            .iter()
            .flat_map(|bucket| {
                (0..plan.keys).map(move |key| (bucket.name.clone(), Bytes::from(format!("k{key}"))))
            })
            .collect();
        let mut oracle = Oracle::new(&layout, &keys, plan.limits.clone());
        if let Some(moves) = &plan.moves {
            moves.tell(&mut oracle);
        }
        let workload = Workload::new(plan.workload.clone(), keys.len(), layout.partitions(), stream(3));
        let machines = hosts.len();
        let network = Network::new(machines, plan.network.clone(), stream(4));
        let faults_left = plan.faults.budget;
        let pairs = machines * machines;
        Ok(Self {
            now_us: 0,
            queue: Queue::default(),
            hosts,
            network,
            rngs: Rngs { disk: stream(5), faults: stream(6), links: stream(7), lives, nodes },
            settings,
            layout: Arc::new(layout),
            oracle,
            workload,
            witness: EpochWitness::default(),
            tracer,
            figures: Figures::default(),
            peace: true,
            faults_left,
            connections: 0,
            connected: vec![None; pairs],
            deaths: (0..machines).map(|_| None).collect(),
            all_seen: false,
            effects: Effects::default(),
            outbox: Vec::new(),
            recorder: None,
            unremembered: Unremembered::default(),
            requests: BTreeMap::new(),
            moves: moves::Moves::default(),
            last_outcome: None,
            plan,
        })
    }

    /// Runs to the end: found the cluster, let clients and faults loose, heal, look at everything.
    pub fn run(&mut self) -> Check {
        self.describe_plan();
        self.found()?;
        self.work()?;
        self.finish()
    }

    /// Founds the cluster and lets clients and faults loose, without healing and looking at everything afterwards; what
    /// the clients saw is the result.
    pub fn observe(&mut self) -> Result<History, Violation> {
        self.describe_plan();
        self.recorder = Some(Recorder::default());
        self.found()?;
        self.acquaint()?;
        self.work()?;
        let recorder = self.recorder.take().unwrap_or_default();
        Ok(recorder.into_history(&self.oracle))
    }

    /// What was done.
    pub fn figures(&self) -> Figures {
        let mut figures = self.figures;
        let traffic = self.network.traffic();
        figures.batches_sent = traffic.sent;
        figures.batches_lost = traffic.lost;
        figures.batches_doubled = traffic.duplicated;
        figures
    }

    /// The hash of all that happened.
    pub fn trace_hash(&self) -> u64 {
        self.tracer.hash()
    }

    /// The time of the world, in microseconds.
    pub fn now_us(&self) -> u64 {
        self.now_us
    }

    fn describe_plan(&mut self) {
        for line in self.plan.in_words() {
            self.tracer.line(0, || line);
        }
    }

    /// Starts the cluster: links come up, one node is told to bootstrap, the others hear of the layout.
    fn found(&mut self) -> Check {
        let nodes = self.hosts.len();
        for a in 0..nodes {
            for b in a + 1..nodes {
                self.plan_connect(a, b);
            }
        }
        for node in 0..nodes {
            self.queue.plan(0, Happening::Node { node, life: 1, what: ToNode::Started });
        }
        let first = self.rngs.faults.below(self.plan.nodes);
        self.queue.plan(0, Happening::Node { node: first, life: 1, what: ToNode::Bootstrap });
        self.network.set_quiet(self.plan.bootstrap_in_peace);
        while self.plan.bootstrap_in_peace && !self.all_have_layout() {
            self.step()?;
        }
        self.network.set_quiet(false);
        Ok(())
    }

    /// Waits until every node counts every other one. A cluster is measured as it is in use, not in the moments in which it is founded.
    fn acquaint(&mut self) -> Check {
        self.network.set_quiet(true);
        while !self.all_are_acquainted() {
            self.step()?;
        }
        self.network.set_quiet(false);
        Ok(())
    }

    fn all_are_acquainted(&self) -> bool {
        let others = self.hosts.len() - 1;
        self.hosts.iter().filter_map(|host| host.process.as_ref()).all(|process| {
            let gauges = process.node.gauges();
            process.links.len() == others && gauges.strangers == 0 && !gauges.starting
        })
    }

    fn all_have_layout(&self) -> bool {
        let members = self.hosts.iter().filter(|host| self.layout.member(host.id).is_some());
        members
            .into_iter()
            .all(|host| host.process.as_ref().is_some_and(|process| process.node.layout().is_some()))
    }

    /// Clients and faults, until all operations are done.
    fn work(&mut self) -> Check {
        self.peace = false;
        for client in 0..self.workload.clients.len() {
            let think = self.workload.think_us(client);
            self.queue.plan(self.now_us + think, Happening::ClientStep(client));
        }
        self.plan_random_fault();
        self.plan_order();
        while !self.workload.is_done() {
            self.step()?;
        }
        Ok(())
    }

    /// One happening.
    fn step(&mut self) -> Check {
        let Some((at_us, what)) = self.queue.next() else {
            return Err(violation("answers", "nothing is left to happen, and the run is not over".into()));
        };
        self.now_us = self.now_us.max(at_us);
        self.figures.steps += 1;
        if self.figures.steps > STEPS_MAX {
            return Err(violation("answers", format!("after {STEPS_MAX} steps the run is not over")));
        }
        if self.queue.len() > PLANNED_MAX {
            return Err(violation("queues", "the messages under way multiply".into()));
        }
        self.tracer.mix(at_us);
        match what {
            Happening::Node { node, life, what } => self.happen_to(node, life, what),
            Happening::Connect { a, b } => {
                self.connect(a, b);
                Ok(())
            }
            Happening::ClientStep(client) => self.client_step(client),
            Happening::GiveUp { client, attempt } => {
                self.give_up(client, attempt);
                Ok(())
            }
            Happening::RandomFault => self.random_fault(),
            Happening::Order => self.order(),
            Happening::Restart(node) => self.restart(node),
            Happening::Resumed(node) => {
                self.resumes(node)?;
                self.reconnect_all(node);
                Ok(())
            }
            Happening::Mend(directions) => {
                self.mend(&directions);
                Ok(())
            }
        }
    }

    /// The disks of a key's owners, in order of preference.
    fn disks(&self, key: usize) -> Disks<'_> {
        disks(&self.layout, &self.hosts, &self.oracle, key)
    }
}

fn disks<'a>(layout: &Layout, hosts: &'a [Host], oracle: &Oracle, key: usize) -> Disks<'a> {
    let owners = layout.holders(oracle.keys[key].partition);
    let owners: Vec<&Host> =
        owners.iter().filter_map(|owner| hosts.iter().find(|host| host.id == *owner)).collect();
    let others = hosts.iter().filter(|host| owners.iter().all(|owner| owner.id != host.id));
    let others = others.map(|host| &host.disk).collect();
    let owners: Vec<_> = owners.iter().map(|host| &host.disk).collect();
    let troubled = owners.iter().filter(|disk| disk.is_troubled(&oracle.keys[key].store_key)).count();
    let side = |of: Side| {
        let sizes = sizes_of(layout, oracle, key, of);
        let counting = layout.owners_of(oracle.keys[key].partition, of).iter().take(sizes.n as usize);
        let host = |owner: &NodeId| hosts.iter().find(|host| host.id == *owner).map(|host| &host.disk);
        (counting.map(host).collect(), sizes.w)
    };
    let sides = layout.writing_sides(oracle.keys[key].partition);
    let sides = sides.iter().map(|&of| side(of)).collect();
    Disks { owners, others, troubled, sides }
}

fn sizes_of(layout: &Layout, oracle: &Oracle, key: usize, side: Side) -> QuorumSizes {
    let bucket = &oracle.keys[key].bucket;
    layout.bucket_by_id(bucket.id).map_or(bucket.sizes(), |bucket| layout.sizes(bucket, side))
}
