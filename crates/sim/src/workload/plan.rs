//! Which kinds of operations the clients of a run do, and how often: drawn by swarm.

use std::time::Duration;

use crate::rng::SimRng;

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
    /// Clients are busy for the first of these times and then, all of them, idle for the second, and so on.
    pub lulls_us: Option<(u64, u64)>,
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
    /// How often a put says itself how long its value is shown,
    pub own_ttl: f64,
    /// which is one of these or, now and then, for ever.
    pub ttls: Vec<Duration>,
    /// How often a value is some kilobytes long.
    pub long_value: f64,
    /// Whether clients ask any owner of the key, whichever, instead of any node.
    pub to_owners: bool,
    /// How many more clients only read what was written lately, to see when it becomes visible.
    pub probers: usize,
    /// How long these wait between reads.
    pub probe_us: (u64, u64),
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
            lulls_us: None,
            weights,
            timeout_us: (timeout / 2, timeout),
            patience: *rng.pick(&[0.3, 1.1, 1.1, 2.0]),
            retry: *rng.pick(&[0.0, 0.5, 0.9]),
            read_after: *rng.pick(&[0.0, 0.5, 1.0]),
            own_quorum: if rng.chance(0.3) { 0.3 } else { 0.0 },
            own_ttl: 0.0,
            ttls: Vec::new(),
            long_value: if rng.chance(0.1) { 0.2 } else { 0.0 },
            to_owners: false,
            probers: 0,
            probe_us: (1, 1),
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
