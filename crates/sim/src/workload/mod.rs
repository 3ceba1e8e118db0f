//! What clients do: read, write with what they saw now or long ago or never, delete, list, retry.

mod make;
mod plan;

use std::collections::VecDeque;

use quorate_protocol::version::ContextToken;

pub use plan::{STEPS, Step, WorkloadPlan};

use crate::oracle::{DotSet, Oracle};
use crate::rng::SimRng;

/// Contexts that clients remember per key; older ones are forgotten at random.
const REMEMBERED: usize = 12;

/// So many of the keys written last are probed.
const PROBED: usize = 4;

/// A context that some client holds.
#[derive(Clone, Debug)]
struct Known {
    token: ContextToken,
    seen: DotSet,
    of_write: bool,
}

/// What one client is doing.
#[derive(Clone, Debug, Default)]
pub struct Client {
    /// The attempt it waits for.
    pub waits_for: Option<usize>,
    /// The operation to send again.
    again: Option<usize>,
    /// The key to read next.
    read_next: Option<usize>,
}

/// All clients.
#[derive(Debug)]
pub struct Workload {
    plan: WorkloadPlan,
    rng: SimRng,
    /// The clients.
    pub clients: Vec<Client>,
    left: usize,
    known: Vec<VecDeque<Known>>,
    /// The keys written last, each once, the latest at the end.
    probed: VecDeque<usize>,
    partitions: u16,
}

impl Workload {
    /// Clients who know nothing yet.
    pub fn new(plan: WorkloadPlan, keys: usize, partitions: usize, rng: SimRng) -> Self {
        Self {
            clients: vec![Client::default(); plan.clients + plan.probers],
            left: plan.operations,
            known: vec![VecDeque::new(); keys],
            probed: VecDeque::new(),
            partitions: u16::try_from(partitions).unwrap_or(1),
            plan,
            rng,
        }
    }

    /// Whether everything is done.
    pub fn is_done(&self) -> bool {
        self.left == 0 && self.clients.iter().all(|client| client.waits_for.is_none())
    }

    /// Nothing more is to be done.
    pub fn stop(&mut self) {
        self.left = 0;
    }

    /// What a client does next, if anything: an operation, new or again, and the time it gets in microseconds.
    pub fn next(&mut self, client: usize, oracle: &mut Oracle) -> Option<(usize, u64)> {
        if self.left == 0 {
            return None;
        }
        let timeout_us = self.rng.spread(self.plan.timeout_us.0, self.plan.timeout_us.1);
        if self.is_prober(client) {
            let at = self.rng.below(self.probed.len());
            let key = self.probed.get(at).copied().unwrap_or_else(|| self.rng.below(oracle.keys.len()));
            return Some((self.make(Step::Get, key, oracle), timeout_us));
        }
        self.left -= 1;
        let state = &mut self.clients[client];
        if let Some(operation) = state.again.take() {
            return Some((operation, timeout_us));
        }
        let (step, key) = match state.read_next.take() {
            Some(key) => (Step::Get, key),
            None => {
                let step = self.rng.weighted(&self.plan.weights).map_or(Step::Get, |at| STEPS[at]);
                (step, self.rng.below(oracle.keys.len()))
            }
        };
        Some((self.make(step, key, oracle), timeout_us))
    }

    /// How long a client waits for an answer.
    pub fn patience_us(&self, timeout_us: u64) -> u64 {
        (timeout_us as f64 * self.plan.patience) as u64 + 1
    }

    /// How long a client thinks.
    pub fn think_us(&mut self, client: usize) -> u64 {
        let (low, high) = if self.is_prober(client) { self.plan.probe_us } else { self.plan.think_us };
        self.rng.between(low, high)
    }

    /// The first moment from this one on at which clients are busy.
    pub fn next_busy(&self, at_us: u64) -> u64 {
        let Some((busy_us, idle_us)) = self.plan.lulls_us else { return at_us };
        let phase_us = at_us % (busy_us + idle_us);
        if phase_us < busy_us { at_us } else { at_us - phase_us + busy_us + idle_us }
    }

    /// Whether a client only looks whether writes are visible.
    pub fn is_prober(&self, client: usize) -> bool {
        client >= self.plan.clients
    }

    /// Which of these owners a client asks, if clients ask owners and there are any.
    pub fn pick_owner(&mut self, awake: &[usize]) -> Option<usize> {
        (self.plan.to_owners && !awake.is_empty()).then(|| *self.rng.pick(awake))
    }

    /// Which of these nodes a client asks.
    pub fn pick_node(&mut self, client: usize, awake: &[usize]) -> usize {
        // A client has a node that it likes.
        let liked = client % awake.len();
        if self.rng.chance(0.4) { awake[liked] } else { *self.rng.pick(awake) }
    }

    /// An acknowledged write: perhaps it is read at once.
    pub fn acknowledged(&mut self, client: usize, key: usize) {
        if self.plan.probers > 0 {
            self.probed.retain(|&probed| probed != key);
            self.probed.push_back(key);
            if self.probed.len() > PROBED {
                self.probed.pop_front();
            }
        }
        if self.rng.chance(self.plan.read_after) {
            // By another client as likely as by the same.
            let reader = if self.rng.chance(0.5) { client } else { self.rng.below(self.clients.len()) };
            self.clients[reader].read_next = Some(key);
        }
    }

    /// An operation whose effect is unknown: perhaps it is sent again.
    pub fn unsure(&mut self, client: usize, operation: usize, oracle: &Oracle) {
        let record = &oracle.operations[operation];
        let repeatable = record.operation.is_write() && !record.foreign && !oracle.is_blind_delete(operation);
        if repeatable && record.attempts < 4 && self.rng.chance(self.plan.retry) {
            self.clients[client].again = Some(operation);
        }
    }

    /// A context was seen.
    pub fn learned(&mut self, key: usize, token: ContextToken, seen: DotSet, of_write: bool) {
        if token.is_empty() {
            return;
        }
        let known = &mut self.known[key];
        if known.len() == REMEMBERED {
            known.remove(self.rng.below(REMEMBERED));
        }
        known.push_back(Known { token, seen, of_write });
    }
}
