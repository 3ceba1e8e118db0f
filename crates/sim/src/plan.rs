//! What one run is like: drawn from its seed, many things switched off entirely (swarm testing, Groce et al., 2012).

use std::time::Duration;

use quorate_protocol::Limits;
use quorate_protocol::layout::{BucketSettings, ConflictPolicy, DEFAULT_BUCKET, QuorumMode};

use crate::family::Family;
use crate::faults::{FAULTS, FaultPlan};
use crate::moves::MovesPlan;
use crate::network::NetworkPlan;
use crate::rng::SimRng;
use crate::workload::{STEPS, WorkloadPlan};

/// Streams from here on draw times to live; the families have theirs below.
const TTL_STREAM: u64 = 50;

/// How disks behave.
#[derive(Clone, Debug)]
pub struct DiskPlan {
    /// How long a sync takes,
    pub sync_us: (u64, u64),
    /// and on a slow disk.
    pub slow_sync_us: (u64, u64),
    /// How long a read or a page of a scan takes.
    pub read_us: (u64, u64),
}

/// How clocks behave.
#[derive(Clone, Debug)]
pub struct ClockPlan {
    /// Monotonic clocks run up to this much too fast or slow.
    pub drift_ppm: u32,
    /// Wall clocks are up to this much ahead or behind, and jump that far.
    pub skew_ms: u64,
    /// Timers fire up to this late.
    pub timer_lag_us: u64,
}

/// One bucket.
#[derive(Clone, Debug)]
pub struct BucketPlan {
    /// Its name.
    pub name: String,
    /// Its own n, r and w, or the cluster's.
    pub quorum: Option<(u32, u32, u32)>,
    /// What becomes of concurrent writes in it.
    pub conflict: ConflictPolicy,
    /// Whether fallbacks may stand in.
    pub mode: QuorumMode,
    /// How long values are shown whose put does not say.
    pub ttl: Option<Duration>,
}

impl BucketPlan {
    /// A bucket with the cluster's quorums in which the last writer wins.
    pub fn last_writer_wins(name: &str) -> Self {
        Self {
            name: name.into(),
            quorum: None,
            conflict: ConflictPolicy::LastWriterWins,
            mode: QuorumMode::Strict,
            ttl: None,
        }
    }

    fn in_words(&self) -> String {
        let quorum = self.quorum.map(|(n, r, w)| format!(" n={n} r={r} w={w}")).unwrap_or_default();
        let ttl = self.ttl.map(|ttl| format!(" ttl={} ms", ttl.as_millis())).unwrap_or_default();
        format!("{} ({:?} {:?}{quorum}{ttl})", self.name, self.conflict, self.mode)
    }

    /// As the bootstrap wants it.
    pub fn settings(&self) -> BucketSettings {
        BucketSettings {
            name: self.name.clone(),
            n: self.quorum.map(|quorum| quorum.0),
            r: self.quorum.map(|quorum| quorum.1),
            w: self.quorum.map(|quorum| quorum.2),
            conflict: self.conflict,
            mode: self.mode,
            ttl: self.ttl,
        }
    }
}

/// All that a run is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many nodes.
    pub nodes: usize,
    /// How many partitions.
    pub partitions: u32,
    /// Owners of each.
    pub n: u32,
    /// The cluster's read quorum.
    pub r: u32,
    /// The cluster's write quorum.
    pub w: u32,
    /// Failure zones.
    pub zones: usize,
    /// Buckets that clients use.
    pub buckets: Vec<BucketPlan>,
    /// Keys that clients use in each.
    pub keys: usize,
    /// The nodes' limits.
    pub limits: Limits,
    /// Whether clients and faults wait until all nodes have the layout.
    pub bootstrap_in_peace: bool,
    /// Whether anti-entropy works while faults go on.
    pub exchange_in_trouble: bool,
    /// Whether replicas are left to themselves after the last fault, until they are equal, before anybody reads.
    pub alone: bool,
    /// How many of the messages that only compare replicas are lost, in peace too.
    pub comparisons_lost: f64,
    /// Whether at the end all keys are deleted, and owners have to forget them.
    pub forget_all: bool,
    /// Whether all nodes are told to repair then.
    pub repair: bool,
    /// What clients do.
    pub workload: WorkloadPlan,
    /// How the network behaves.
    pub network: NetworkPlan,
    /// How disks behave.
    pub disk: DiskPlan,
    /// How clocks behave.
    pub clock: ClockPlan,
    /// What goes wrong.
    pub faults: FaultPlan,
    /// How the layout is changed, if it is.
    pub moves: Option<MovesPlan>,
}

impl Plan {
    /// The plan of a seed.
    pub fn draw(seed: u64, family: Family) -> Self {
        let rng = &mut SimRng::new(seed, family.stream());
        let n = if rng.chance(0.75) { 3 } else { 5 };
        let (r, w) = draw_quorum(rng, n);
        let mut plan = Self {
            nodes: (n as usize + rng.below(4)).min(7),
            partitions: if rng.chance(0.6) { 1 } else { 2 },
            n,
            r,
            w,
            zones: 1 + rng.below(3),
            buckets: draw_buckets(rng, n),
            keys: *rng.pick(&[1, 2, 2, 2, 3]),
            limits: draw_limits(rng),
            bootstrap_in_peace: rng.chance(0.9),
            exchange_in_trouble: rng.chance(0.6),
            alone: rng.chance(0.6),
            comparisons_lost: *rng.pick(&[0.0, 0.0, 0.1]),
            forget_all: false,
            repair: rng.chance(0.3),
            workload: WorkloadPlan::draw(rng),
            network: draw_network(rng),
            disk: DiskPlan {
                sync_us: draw_range(rng, 100, 10_000),
                slow_sync_us: draw_range(rng, 10_000, 150_000),
                read_us: draw_range(rng, 10, 2_000),
            },
            clock: ClockPlan {
                drift_ppm: if rng.chance(0.3) { 50_000 } else { 0 },
                skew_ms: if rng.chance(0.5) { 8 * 3_600_000 } else { 0 },
                timer_lag_us: if rng.chance(0.5) { 2_000 } else { 0 },
            },
            faults: if rng.chance(0.9) { FaultPlan::draw(rng) } else { FaultPlan::none() },
            moves: None,
        };
        family.bend(&mut plan, rng);
        plan.draw_gossip(family, &mut SimRng::new(seed, 1000 + family.stream()));
        draw_background(&mut plan, family, rng);
        // From a stream of its own, so that the rest is drawn as it would be without.
        let rng = &mut SimRng::new(seed, TTL_STREAM + family.stream());
        if family == Family::Expiry || rng.chance(0.15) {
            draw_ttl(&mut plan, rng);
        }
        // Longer than anybody is cut off: some who could tell are heard. But the only other owner may be lost for good.
        let patient = plan.moves.as_ref().is_some_and(|moves| moves.rolls_back);
        let wait_us = if patient { 60_000_000 } else { rng.spread(100_000, 30_000_000) };
        plan.limits.start_wait = Duration::from_micros(wait_us);
        plan
    }

    /// How fast the gossip goes: often so slowly that it plays no part, for most runs are over within a second.
    fn draw_gossip(&mut self, family: Family, rng: &mut SimRng) {
        // In peace no probe may time out that is answered at once.
        let way_us = self.network.delay_us.1 + self.network.jitter_us + self.clock.timer_lag_us;
        let least_us = 6 * way_us + 1_000;
        let timeout_us = if family == Family::Liveness {
            rng.between(least_us.max(10_000), 2 * least_us.max(10_000))
        } else if self.faults.lasts_long() || (family != Family::Purge && rng.chance(0.5)) {
            rng.spread(1_000_000, 4_000_000)
        } else {
            // A run in which things are forgotten lasts long.
            let least_us = if family == Family::Purge { least_us.max(20_000) } else { least_us };
            rng.between(least_us, 4 * least_us)
        };
        let times = |rng: &mut SimRng, time_us: u64| time_us * rng.between(4, 10) / 2;
        let period_us = times(rng, timeout_us);
        self.limits.probe_timeout = Duration::from_micros(timeout_us);
        self.limits.probe_period = Duration::from_micros(period_us);
        self.limits.suspicion = Duration::from_micros(times(rng, period_us) / 2);
    }

    /// How many machines there are: members, and those that may become members.
    pub fn machines(&self) -> usize {
        self.nodes + self.moves.as_ref().map_or(0, |moves| moves.spares)
    }

    /// A line for each part.
    pub fn in_words(&self) -> Vec<String> {
        let Self {
            nodes,
            partitions,
            n,
            r,
            w,
            zones,
            keys,
            limits,
            bootstrap_in_peace,
            exchange_in_trouble,
            alone,
            repair,
            comparisons_lost,
            ..
        } = self;
        let buckets: Vec<String> = self.buckets.iter().map(BucketPlan::in_words).collect();
        let founded = if *bootstrap_in_peace { "in peace" } else { "under faults" };
        let weights = |names: Vec<String>, weights: &[u32]| {
            let drawn = names.into_iter().zip(weights).filter(|(_, weight)| **weight > 0);
            drawn.map(|(name, weight)| format!("{name} {weight}")).collect::<Vec<_>>().join(", ")
        };
        let steps = weights(STEPS.iter().map(|step| format!("{step:?}")).collect(), &self.workload.weights);
        let faults = weights(FAULTS.iter().map(|fault| format!("{fault:?}")).collect(), &self.faults.weights);
        vec![
            format!(
                "{nodes} nodes in {zones} zones, {partitions} partitions, n={n} r={r} w={w}, founded {founded}"
            ),
            format!("{keys} keys in each of {}", buckets.join(", ")),
            format!("{limits:?}"),
            format!(
                "anti-entropy in trouble: {exchange_in_trouble}, alone at the end: {alone}, told to repair: {repair}, {comparisons_lost} of it lost"
            ),
            format!("{:?}", self.network),
            format!("{:?}", self.disk),
            format!("{:?}", self.clock),
            format!("{:?}", self.workload),
            format!("clients: {steps}"),
            format!("{:?}", self.faults),
            format!("random faults: {faults}"),
            format!("{:?}", self.moves),
        ]
    }
}

/// Mostly r + w = n + 1, where a single copy too few shows; sometimes more, sometimes too few to promise much.
fn draw_quorum(rng: &mut SimRng, n: u32) -> (u32, u32) {
    let any = |rng: &mut SimRng| u32::try_from(rng.between(1, u64::from(n))).unwrap_or(1);
    match rng.below(10) {
        0..7 => {
            let w = any(rng);
            (n + 1 - w, w)
        }
        7 | 8 => {
            let w = any(rng);
            let more = rng.between(u64::from(n + 1 - w), u64::from(n));
            (u32::try_from(more).unwrap_or(n), w)
        }
        _ => (1, 1),
    }
}

fn draw_buckets(rng: &mut SimRng, n: u32) -> Vec<BucketPlan> {
    let mut buckets = Vec::new();
    if rng.chance(0.9) {
        let conflict = ConflictPolicy::Siblings;
        let mode = draw_mode(rng);
        buckets.push(BucketPlan { name: DEFAULT_BUCKET.into(), quorum: None, conflict, mode, ttl: None });
    }
    if buckets.is_empty() || rng.chance(0.15) {
        buckets.push(BucketPlan::last_writer_wins("last"));
    }
    if rng.chance(0.1) {
        let n = u32::try_from(rng.between(1, u64::from(n))).unwrap_or(1);
        let (r, w) = draw_quorum(rng, n);
        let conflict = ConflictPolicy::Siblings;
        let mode = draw_mode(rng);
        buckets.push(BucketPlan { name: "small".into(), quorum: Some((n, r, w)), conflict, mode, ttl: None });
    }
    buckets
}

fn draw_mode(rng: &mut SimRng) -> QuorumMode {
    if rng.chance(0.15) { QuorumMode::Sloppy } else { QuorumMode::Strict }
}

/// Values that expire: in a bucket as a whole, by single puts, or both; after a moment of the run, or of the wall clocks'
/// skews.
fn draw_ttl(plan: &mut Plan, rng: &mut SimRng) {
    let draw = |rng: &mut SimRng| {
        let short = rng.spread(1, 3_000);
        let ms = if rng.chance(0.8) { short } else { rng.spread(1_000, 16 * 3_600_000) };
        Duration::from_millis(ms)
    };
    for bucket in &mut plan.buckets {
        if rng.chance(0.5) {
            bucket.ttl = Some(draw(rng));
        }
    }
    plan.workload.own_ttl = *rng.pick(&[0.0, 0.3, 0.7]);
    plan.workload.ttls = (0..3).map(|_| draw(rng)).collect();
    if plan.buckets.iter().all(|bucket| bucket.ttl.is_none()) {
        plan.workload.own_ttl = 0.5;
    }
}

fn draw_limits(rng: &mut SimRng) -> Limits {
    let mut limits = Limits::default();
    if rng.chance(0.5) {
        // Nothing stays in memory that need not.
        limits.cache_bytes = *rng.pick(&[0, 0, 1500]);
    }
    if rng.chance(0.1) {
        limits.client_operations = 1 + rng.below(6);
    }
    if rng.chance(0.1) {
        limits.replica_requests = 1 + rng.below(6);
    }
    if rng.chance(0.1) {
        limits.hints = rng.below(4);
    }
    if rng.chance(0.2) {
        limits.context_entries = rng.below(4);
    }
    if rng.chance(0.05) {
        limits.fallback_bytes = rng.below(400);
    }
    if rng.chance(0.2) {
        limits.siblings = 2 + rng.below(6);
    }
    if rng.chance(0.2) {
        limits.cloud_dots = 1 + rng.below(4);
    }
    limits
}

/// What goes on by itself is slower where faults last for minutes: it would take most of the run.
fn draw_background(plan: &mut Plan, family: Family, rng: &mut SimRng) {
    let slower = if plan.faults.lasts_long() { 20 } else { 1 };
    let limits = &mut plan.limits;
    // The end of a run waits for some rounds of gossip: comparisons would take most of it.
    let least = limits.probe_period / 40;
    limits.exchange_interval = Duration::from_micros(rng.spread(20_000, 500_000) * slower).max(least);
    limits.sweep_interval = Duration::from_micros(rng.spread(100_000, 5_000_000) * slower);
    if family == Family::Purge {
        // Idle links beat eight times in a bound, and the run lasts for many.
        let least_us = (plan.workload.timeout_us.1 / 10).clamp(80_000, 250_000);
        let bound_us = rng.spread(least_us, 400_000);
        limits.message_age = Duration::from_micros(bound_us);
        // As late as may be, or much later.
        plan.network.late_us = bound_us * *rng.pick(&[1, 1, 3]);
        // What is forgotten was left alone for two bounds.
        plan.workload.lulls_us = Some((rng.spread(50_000, 400_000), bound_us * rng.between(2, 5)));
    } else if rng.chance(0.2) {
        // Idle links beat eight times in that, in a run that lasts as long as its operations may.
        let least_us = (plan.workload.timeout_us.1 / 4).clamp(100_000, 900_000);
        limits.message_age = Duration::from_micros(rng.spread(least_us, 1_000_000) * slower);
    }
    limits.sweep_page_keys = *rng.pick(&[1, 2, 1000]);
    limits.sweep_bytes_per_s = *rng.pick(&[1_000, 100_000, 8 << 20]);
    limits.exchange_bytes_per_s = *rng.pick(&[20_000, 8 << 20]);
}

fn draw_network(rng: &mut SimRng) -> NetworkPlan {
    let delay = rng.spread(50, 3_000);
    let maybe = |rng: &mut SimRng, share: f64, values: &[f64]| {
        if rng.chance(share) { *rng.pick(values) } else { 0.0 }
    };
    NetworkPlan {
        delay_us: (delay / 2, delay),
        jitter_us: if rng.chance(0.7) { rng.spread(10, 5_000) } else { 0 },
        spike: maybe(rng, 0.4, &[0.01, 0.1]),
        spike_us: rng.spread(1_000, 300_000),
        loss: maybe(rng, 0.5, &[0.005, 0.05, 0.2]),
        duplicate: maybe(rng, 0.4, &[0.02, 0.2]),
        late: 0.0,
        late_us: 0,
        in_order: rng.chance(0.3),
        split_batches: rng.chance(0.5),
        told: *rng.pick(&[0.0, 0.5, 0.9, 1.0]),
        notice_us: rng.spread(100, 50_000),
        connect_us: rng.spread(100, 20_000),
        last_words: *rng.pick(&[0.0, 0.5, 1.0]),
    }
}

fn draw_range(rng: &mut SimRng, low: u64, high: u64) -> (u64, u64) {
    let (a, b) = (rng.spread(low, high), rng.spread(low, high));
    (a.min(b), a.max(b))
}
