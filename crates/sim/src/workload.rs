//! What clients do: read, write with what they saw now or long ago or never, delete, list, retry.

use std::collections::VecDeque;

use bytes::Bytes;
use quorate_protocol::id::{OperationId, PartitionId};
use quorate_protocol::operation::{Delete, Get, List, Operation, Put, QuorumOptions};
use quorate_protocol::version::{ContentType, ContextToken};

use crate::oracle::{DotSet, Oracle};
use crate::rng::SimRng;

/// Contexts that clients remember per key; older ones are forgotten at random.
const REMEMBERED: usize = 12;

/// A kind of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Read.
    Get,
    /// Write without having seen anything.
    PutBlind,
    /// Write with the newest context that any client has of the key.
    PutNewest,
    /// Write with some context that was seen earlier.
    PutOld,
    /// Write with the context of an earlier write, without reading in between.
    PutAfterPut,
    /// Delete with a context that was seen.
    DeleteSeen,
    /// Delete whatever there is.
    DeleteBlind,
    /// Write or delete with a context of another key, which must be refused.
    Foreign,
    /// List keys.
    List,
}

/// All steps, in the order of [`WorkloadPlan::weights`].
pub const STEPS: [Step; 9] = [
    Step::Get,
    Step::PutBlind,
    Step::PutNewest,
    Step::PutOld,
    Step::PutAfterPut,
    Step::DeleteSeen,
    Step::DeleteBlind,
    Step::Foreign,
    Step::List,
];

/// What clients do in one run.
#[derive(Clone, Debug)]
pub struct WorkloadPlan {
    /// How many there are.
    pub clients: usize,
    /// How many operations they do together.
    pub operations: usize,
    /// How long a client waits between operations.
    pub think_us: (u64, u64),
    /// How often each of [`STEPS`] is taken, relative to the others.
    pub weights: [u32; STEPS.len()],
    /// How much time operations get.
    pub timeout_us: (u64, u64),
    /// A client gives up after this many times the operation's own time.
    pub patience: f64,
    /// How often an operation that may have had no effect is sent again under its id.
    pub retry: f64,
    /// How often an acknowledged write is followed by a read at once.
    pub read_after: f64,
    /// How often a request names its own quorums.
    pub own_quorum: f64,
    /// How often a value is some kilobytes long.
    pub long_value: f64,
}

impl WorkloadPlan {
    /// A swarm's plan: each kind of step is in it or not.
    pub fn draw(rng: &mut SimRng) -> Self {
        let mut weights = [0; STEPS.len()];
        for weight in &mut weights {
            if rng.chance(0.6) {
                *weight = u32::try_from(rng.between(1, 10)).unwrap_or(1);
            }
        }
        let think = rng.spread(50, 20_000);
        let timeout = rng.spread(10_000, 2_000_000);
        let mut plan = Self {
            clients: 2 + rng.below(4),
            operations: 30 + rng.below(60),
            think_us: (think / 4, think),
            weights,
            timeout_us: (timeout / 2, timeout),
            patience: *rng.pick(&[0.3, 1.1, 1.1, 2.0]),
            retry: *rng.pick(&[0.0, 0.5, 0.9]),
            read_after: *rng.pick(&[0.0, 0.5, 1.0]),
            own_quorum: if rng.chance(0.3) { 0.3 } else { 0.0 },
            long_value: if rng.chance(0.1) { 0.2 } else { 0.0 },
        };
        // Without writes or without reads there would be little to see.
        let at_least = |slot: &mut u32| *slot = (*slot).max(3);
        at_least(&mut plan.weights[0]);
        at_least(&mut plan.weights[1 + rng.below(2)]);
        // Blind deletes may delete anything, so while one is unanswered little can be proved.
        if rng.chance(0.5) {
            plan.weigh(Step::DeleteBlind, 0);
        }
        plan
    }

    /// Sets how often a step is taken.
    pub fn weigh(&mut self, step: Step, weight: u32) {
        for (kind, slot) in STEPS.iter().zip(&mut self.weights) {
            if *kind == step {
                *slot = weight;
            }
        }
    }
}

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
    partitions: u16,
}

impl Workload {
    /// Clients who know nothing yet.
    pub fn new(plan: WorkloadPlan, keys: usize, partitions: usize, rng: SimRng) -> Self {
        Self {
            clients: vec![Client::default(); plan.clients],
            left: plan.operations,
            known: vec![VecDeque::new(); keys],
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
        self.left -= 1;
        let timeout_us = self.rng.spread(self.plan.timeout_us.0, self.plan.timeout_us.1);
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
    pub fn think_us(&mut self) -> u64 {
        self.rng.between(self.plan.think_us.0, self.plan.think_us.1)
    }

    /// Which of these nodes a client asks.
    pub fn pick_node(&mut self, client: usize, awake: &[usize]) -> usize {
        // A client has a node that it likes.
        let liked = client % awake.len();
        if self.rng.chance(0.4) { awake[liked] } else { *self.rng.pick(awake) }
    }

    /// An acknowledged write: perhaps it is read at once.
    pub fn acknowledged(&mut self, client: usize, key: usize) {
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

    fn make(&mut self, step: Step, key: usize, oracle: &mut Oracle) -> usize {
        let nothing = || (Bytes::new(), DotSet::default());
        let remembered = |known: Option<&Known>| known.map(|known| (known.token.clone(), known.seen.clone()));
        let known = &self.known[key];
        match step {
            Step::Get => self.get(key, oracle),
            Step::PutBlind => self.put(key, nothing(), false, oracle),
            Step::PutNewest => {
                let context = remembered(known.back()).unwrap_or_else(nothing);
                self.put(key, context, false, oracle)
            }
            Step::PutOld => {
                let context = remembered(known.get(self.rng.below(known.len()))).unwrap_or_else(nothing);
                self.put(key, context, false, oracle)
            }
            Step::PutAfterPut => {
                let newest = known.iter().rev().find(|known| known.of_write);
                let context = remembered(newest).unwrap_or_else(nothing);
                self.put(key, context, false, oracle)
            }
            Step::DeleteSeen => match remembered(known.get(self.rng.below(known.len()))) {
                Some(context) => self.delete(key, context, false, oracle),
                None => self.get(key, oracle),
            },
            Step::DeleteBlind => self.delete(key, nothing(), false, oracle),
            Step::Foreign => {
                let other = self.rng.below(self.known.len());
                match remembered(self.known[other].back()).filter(|_| other != key) {
                    Some((token, _)) if self.rng.chance(0.8) => {
                        self.put(key, (token, DotSet::default()), true, oracle)
                    }
                    Some((token, _)) => self.delete(key, (token, DotSet::default()), true, oracle),
                    None => self.get(key, oracle),
                }
            }
            Step::List => {
                let partition =
                    PartitionId(u16::try_from(self.rng.below(self.partitions.into())).unwrap_or(0));
                let history = &oracle.keys[key];
                let after = self.rng.chance(0.3).then(|| history.key.clone());
                let limit = u32::try_from(self.rng.between(1, 3)).unwrap_or(1);
                let bucket = history.bucket.name.clone();
                let quorum = QuorumOptions::default();
                oracle.add_listing(List { bucket, partition, after, limit, quorum })
            }
        }
    }

    fn get(&mut self, key: usize, oracle: &mut Oracle) -> usize {
        let quorum = self.quorum(key, oracle);
        let history = &oracle.keys[key];
        let get = Get { bucket: history.bucket.name.clone(), key: history.key.clone(), quorum };
        oracle.add_operation(Operation::Get(get), key, DotSet::default(), false)
    }

    fn put(&mut self, key: usize, seen: (ContextToken, DotSet), foreign: bool, oracle: &mut Oracle) -> usize {
        let quorum = self.quorum(key, oracle);
        let history = &oracle.keys[key];
        let mut value = format!("v{}", oracle.operations.len()).into_bytes();
        if self.rng.chance(self.plan.long_value) {
            value.resize(3000, b'.');
        }
        let put = Put {
            bucket: history.bucket.name.clone(),
            key: history.key.clone(),
            value: Bytes::from(value),
            content_type: if self.rng.chance(0.5) { ContentType::OctetStream } else { ContentType::Json },
            context: seen.0,
            operation: OperationId(u128::from(self.rng.bits()) << 64 | u128::from(self.rng.bits())),
            quorum,
        };
        oracle.add_operation(Operation::Put(put), key, seen.1, foreign)
    }

    fn delete(
        &mut self,
        key: usize,
        seen: (ContextToken, DotSet),
        foreign: bool,
        oracle: &mut Oracle,
    ) -> usize {
        let quorum = self.quorum(key, oracle);
        let history = &oracle.keys[key];
        let (bucket, key_bytes) = (history.bucket.name.clone(), history.key.clone());
        let delete = Delete { bucket, key: key_bytes, context: seen.0, quorum };
        oracle.add_operation(Operation::Delete(delete), key, seen.1, foreign)
    }

    fn quorum(&mut self, key: usize, oracle: &Oracle) -> QuorumOptions {
        let mut options = QuorumOptions::default();
        if !self.rng.chance(self.plan.own_quorum) {
            return options;
        }
        let bucket = &oracle.keys[key].bucket;
        let upto = |rng: &mut SimRng, low: u32, high: u32| {
            u32::try_from(rng.between(low.into(), high.into())).unwrap_or(low)
        };
        let n = if self.rng.chance(0.2) { upto(&mut self.rng, 1, bucket.n) } else { bucket.n };
        if n != bucket.n || self.rng.chance(0.2) {
            options.n = Some(n);
        }
        for slot in [&mut options.r, &mut options.w] {
            if self.rng.chance(0.4) {
                *slot = Some(upto(&mut self.rng, 1, n));
            }
        }
        for slot in [&mut options.pr, &mut options.pw] {
            if self.rng.chance(0.2) {
                *slot = Some(upto(&mut self.rng, 0, n));
            }
        }
        options
    }
}
