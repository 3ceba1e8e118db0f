//! What the node exports to Prometheus.

use std::sync::Arc;
use std::time::Duration;

use prometheus::{
    Encoder as _, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};
use quorate_protocol::PeerState;
use quorate_protocol::layout::Stage;
use quorate_storage::{Checkpointed, Rebuilding, StoreObserver, StoreStats, Synced};

use crate::driver::View;
use crate::observe::{Observer, SharedObserver};
use crate::peers::LinkFigures;

/// Upper bounds of latency buckets, in seconds: 0.1 ms to 10 s.
const LATENCY_BUCKETS: [f64; 14] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

/// All metrics of one node.
pub(crate) struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    latency: HistogramVec,
    sync_latency: Histogram,
    sync_batches: Histogram,
    checkpoints: IntCounter,
    counters: Counters,
    gauges: Gauges,
    pressure: Gauge,
    members: IntGaugeVec,
    info: IntGaugeVec,
}

/// What a scrape looks at.
pub(crate) struct Sample<'a> {
    pub(crate) view: &'a View,
    pub(crate) store: &'a StoreStats,
    pub(crate) links: LinkFigures,
}

impl Metrics {
    /// Registers everything. An error would be a name used twice.
    pub(crate) fn new() -> Result<Arc<Self>, prometheus::Error> {
        let registry = Registry::new_custom(Some("quorate".into()), None)?;
        let requests = IntCounterVec::new(
            Opts::new("requests_total", "Client operations by operation and outcome."),
            &["operation", "outcome"],
        )?;
        let latency = HistogramVec::new(
            HistogramOpts::new(
                "request_duration_seconds",
                "Time from a client operation's arrival to its answer.",
            )
            .buckets(LATENCY_BUCKETS.to_vec()),
            &["operation"],
        )?;
        let sync_latency = Histogram::with_opts(
            HistogramOpts::new(
                "commit_log_sync_duration_seconds",
                "Time of one write and sync of the commit log.",
            )
            .buckets(LATENCY_BUCKETS.to_vec()),
        )?;
        let sync_batches = Histogram::with_opts(
            HistogramOpts::new("commit_log_sync_batches", "Batches that one sync made durable.")
                .buckets(prometheus::exponential_buckets(1.0, 2.0, 10)?),
        )?;
        let checkpoints = IntCounter::new("checkpoints_total", "Checkpoints of the store.")?;
        let pressure =
            Gauge::new("store_pressure_ratio", "0 at rest, 1 when the store makes its writers wait.")?;
        let members = IntGaugeVec::new(
            Opts::new("members", "Other members of the layout by what the gossip holds them to be."),
            &["state"],
        )?;
        let info = IntGaugeVec::new(Opts::new("info", "Always 1."), &["version", "epoch", "node"])?;
        let metrics = Self {
            counters: counters()?,
            gauges: gauges()?,
            registry,
            requests,
            latency,
            sync_latency,
            sync_batches,
            checkpoints,
            pressure,
            members,
            info,
        };
        metrics.register()?;
        Ok(Arc::new(metrics))
    }

    fn register(&self) -> Result<(), prometheus::Error> {
        self.registry.register(Box::new(self.requests.clone()))?;
        self.registry.register(Box::new(self.latency.clone()))?;
        self.registry.register(Box::new(self.sync_latency.clone()))?;
        self.registry.register(Box::new(self.sync_batches.clone()))?;
        self.registry.register(Box::new(self.checkpoints.clone()))?;
        self.registry.register(Box::new(self.pressure.clone()))?;
        self.registry.register(Box::new(self.members.clone()))?;
        self.registry.register(Box::new(self.info.clone()))?;
        for (counter, _) in &self.counters {
            self.registry.register(Box::new(counter.clone()))?;
        }
        for (gauge, _) in &self.gauges {
            self.registry.register(Box::new(gauge.clone()))?;
        }
        Ok(())
    }

    /// Counts finished operations.
    pub(crate) fn observer(self: &Arc<Self>) -> SharedObserver {
        Arc::new(RequestMetrics(self.clone()))
    }

    /// Hears of the store's work.
    pub(crate) fn store_observer(self: &Arc<Self>) -> Box<dyn StoreObserver> {
        Box::new(StoreMetrics(self.clone()))
    }

    /// The text that a scrape gets.
    pub(crate) fn render(&self, sample: &Sample<'_>) -> String {
        for (counter, read) in &self.counters {
            // The core counts; here it is only carried over.
            counter.inc_by(read(sample.view).saturating_sub(counter.get()));
        }
        for (gauge, read) in &self.gauges {
            gauge.set(i64::try_from(read(sample)).unwrap_or(i64::MAX));
        }
        self.pressure.set(sample.store.pressure.fraction());
        let epoch = sample.view.layout.as_ref().map_or(0, |layout| layout.epoch.0).to_string();
        for (name, state) in
            [("alive", PeerState::Alive), ("suspect", PeerState::Suspect), ("down", PeerState::Down)]
        {
            let count = sample.view.members(state);
            self.members.with_label_values(&[name]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        self.info.reset();
        let labels = [env!("CARGO_PKG_VERSION"), &epoch, &sample.view.node.to_string()];
        self.info.with_label_values(&labels).set(1);
        let mut text = Vec::new();
        match TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            Ok(()) => String::from_utf8_lossy(&text).into_owned(),
            Err(error) => format!("# {error}\n"),
        }
    }
}

type Counters = Vec<(IntCounter, fn(&View) -> u64)>;
type Gauges = Vec<(IntGauge, fn(&Sample<'_>) -> u64)>;

fn counters() -> Result<Counters, prometheus::Error> {
    let counter = |name: &str, help: &str, read: fn(&View) -> u64| Ok((IntCounter::new(name, help)?, read));
    [
        counter(
            "expired_values_total",
            "Values whose time was over that reads and scans have dropped.",
            |view| view.stats.expired_values,
        ),
        counter("read_repairs_total", "Stale replicas that a read found and sent the union to.", |view| {
            view.stats.read_repairs
        }),
        counter("quorum_shortfalls_total", "Operations that ran out of time before their quorum.", |view| {
            view.stats.quorum_shortfalls
        }),
        counter("refused_total", "Operations refused before anything was sent or stored.", |view| {
            view.stats.refused
        }),
        counter("forwarded_total", "Operations passed on to an owner of their key.", |view| {
            view.stats.forwarded
        }),
        counter("reads_with_siblings_total", "Reads that showed more than one sibling.", |view| {
            view.stats.reads_with_siblings
        }),
        counter("gossip_suspicions_total", "Other nodes that were suspected of being down.", |view| {
            view.gossip.suspicions
        }),
        counter("gossip_declared_down_total", "Other nodes that were declared down.", |view| {
            view.gossip.declared_down
        }),
        counter("gossip_refutations_total", "Suspicions of this node that it refuted.", |view| {
            view.gossip.refutations
        }),
        counter("damaged_records_total", "Stored records that could not be read back whole.", |view| {
            view.stats.damaged_records
        }),
        counter(
            "hints_taken_total",
            "Keys that an owner missed and this node kept for it, each time.",
            |view| view.stats.hints_taken,
        ),
        counter("hints_delivered_total", "Hints that their owners have acknowledged.", |view| {
            view.stats.hints_delivered
        }),
        counter("hints_dropped_total", "Hints left to anti-entropy: no room, or too old.", |view| {
            view.stats.hints_dropped
        }),
        counter("tombstones_purged_total", "Tombstones forgotten.", |view| view.stats.tombstones_purged),
        counter("actors_pruned_total", "Entries of retired actors forgotten.", |view| {
            view.stats.actors_pruned
        }),
        counter(
            "messages_too_old_total",
            "Containers not merged because they had been read too long ago.",
            |view| view.stats.too_old,
        ),
        counter(
            "stale_lives_total",
            "Batches of a life of a node that is not the newest it has shown: sent before it died, or by a copy of its directory.",
            |view| view.stats.stale_lives,
        ),
        counter("sweep_records_total", "Stored records that the background sweep has come by.", |view| {
            view.stats.swept_records
        }),
        counter("anti_entropy_keys_total", "Containers sent because replicas differed.", |view| {
            view.stats.exchanged_keys
        }),
        counter("anti_entropy_bytes_total", "Bytes of containers sent because replicas differed.", |view| {
            view.stats.exchanged_bytes
        }),
        counter(
            "anti_entropy_trees_corrected_total",
            "Merkle trees that a sweep found to be wrong; there should be none.",
            |view| view.stats.trees_corrected,
        ),
        counter(
            "transfer_bytes_total",
            "Bytes of containers taken because a change of the layout made this node an owner.",
            |view| view.stats.transferred_bytes,
        ),
        counter("transfer_keys_total", "Containers taken for that reason.", |view| {
            view.stats.transferred_keys
        }),
        counter(
            "cleared_records_total",
            "Records deleted of partitions that this node does not own, or not since long.",
            |view| view.stats.cleared_records,
        ),
        counter(
            "records_healed_total",
            "Damaged records that hold again what the other owners hold.",
            |view| view.stats.records_healed,
        ),
        counter("records_lost_total", "Damaged records that had no other owner.", |view| {
            view.stats.records_lost
        }),
    ]
    .into_iter()
    .collect()
}

fn gauges() -> Result<Gauges, prometheus::Error> {
    let gauge = |name: &str, help: &str, read: fn(&Sample<'_>) -> u64| Ok((IntGauge::new(name, help)?, read));
    [
        gauge("siblings_max", "The most siblings that a read has shown since the start.", |s| {
            s.view.stats.siblings_max
        }),
        gauge("operations", "Client operations under way.", |s| s.view.gauges.operations as u64),
        gauge("lingering", "Writes that are answered and wait a little for the rest of their owners.", |s| {
            s.view.gauges.lingering as u64
        }),
        gauge("hints", "Keys remembered for owners that missed them.", |s| s.view.gauges.hints as u64),
        gauge("fallback_bytes", "Bytes of containers kept for owners that could not be reached.", |s| {
            s.view.gauges.fallback_bytes as u64
        }),
        gauge("forgettable_keys", "Keys of which something waits to be forgotten: tombstones mostly.", |s| {
            s.view.gauges.forgettable as u64
        }),
        gauge("keys_loading", "Keys that wait for the store.", |s| s.view.gauges.keys_loading as u64),
        gauge("commits_waiting", "Acknowledgements that wait for the disk.", |s| {
            s.view.gauges.commits_waiting as u64
        }),
        gauge("cache_bytes", "Memory of the containers kept.", |s| s.view.gauges.cache_bytes as u64),
        gauge(
            "anti_entropy_oldest_clean_seconds",
            "How long ago the partition that has waited longest was last found equal on another owner.",
            |s| s.view.anti_entropy.oldest_clean().as_secs(),
        ),
        gauge("anti_entropy_partitions_building", "Partitions whose Merkle tree is not complete.", |s| {
            s.view.anti_entropy.building() as u64
        }),
        gauge("anti_entropy_exchanges", "Exchanges with other owners under way or waiting.", |s| {
            s.view.anti_entropy.exchanges as u64
        }),
        gauge(
            "starting",
            "Whether the node takes part in nothing yet, for it waits to hear what others know of it.",
            |s| s.view.gauges.starting.into(),
        ),
        gauge(
            "unvouched",
            "Whether the node takes part although too few others had answered when it started.",
            |s| s.view.gauges.unvouched.into(),
        ),
        gauge("damaged_keys", "Keys whose record was damaged and is not healed yet.", |s| {
            s.view.gauges.holes as u64
        }),
        gauge("partitions_owned", "Partitions that this node owns a replica of.", |s| {
            s.view.partitions().owned.into()
        }),
        gauge("partitions_unavailable", "Partitions without their quorum, seen from here.", |s| {
            s.view.partitions().unavailable.into()
        }),
        gauge(
            "partitions_under_replicated",
            "Partitions with an owner that cannot be reached from here.",
            |s| s.view.partitions().under_replicated.into(),
        ),
        gauge(
            "gossip_health_multiplier",
            "1 when this node is well, up to 8 when it is slow or cut off.",
            |s| s.view.gossip.health_multiplier.into(),
        ),
        gauge("layout_epoch", "The epoch of the layout held; 0 before the bootstrap.", |s| {
            s.view.layout.as_ref().map_or(0, |layout| layout.epoch.0)
        }),
        gauge(
            "layout_change_stage",
            "0: no change of the layout is under way; 1: new owners gather; 2: old owners hand over.",
            |s| match s.view.change.as_ref().map(|change| change.stage) {
                None => 0,
                Some(Stage::Gather) => 1,
                Some(Stage::HandOver) => 2,
            },
        ),
        gauge("layout_change_paused", "1 when a change of the layout is paused.", |s| {
            u64::from(s.view.change.as_ref().is_some_and(|change| change.paused))
        }),
        gauge("transfer_bytes_pending", "Bytes that this node has still to take in a change, about.", |s| {
            s.view.change.as_ref().map_or(0, |change| change.pending_bytes)
        }),
        gauge("transfer_partitions_pending", "Partitions that it has still to catch up with.", |s| {
            s.view.change.as_ref().map_or(0, |change| (change.gathers - change.caught_up).into())
        }),
        gauge("links", "Links to other nodes that are up.", |s| s.links.links as u64),
        gauge("link_queued_bytes", "Bytes that wait for links.", |s| s.links.queued_bytes as u64),
        gauge("link_dropped_messages", "Messages lost to full queues since the start.", |s| {
            s.links.dropped_messages
        }),
        gauge("store_log_bytes", "Bytes of the commit log.", |s| s.store.log_bytes),
        gauge("store_base_bytes", "Bytes of the store's files behind the log.", |s| s.store.base_bytes),
        gauge("store_index_bytes", "Those of the index among them.", |s| s.store.index_bytes),
        gauge("store_live_bytes", "Bytes of keys and values in them.", |s| s.store.live_bytes),
        gauge("store_writable", "1 when the store takes writes.", |s| {
            u64::from(s.view.store_refusal.is_none())
        }),
    ]
    .into_iter()
    .collect()
}

struct RequestMetrics(Arc<Metrics>);

impl Observer for RequestMetrics {
    fn observed(&self, operation: &'static str, outcome: &'static str, elapsed: Duration, count: u64) {
        self.0.requests.with_label_values(&[operation, outcome]).inc_by(count);
        let latency = self.0.latency.with_label_values(&[operation]);
        (0..count).for_each(|_| latency.observe(elapsed.as_secs_f64()));
    }
}

struct StoreMetrics(Arc<Metrics>);

impl StoreObserver for StoreMetrics {
    fn synced(&self, group: &Synced) {
        self.0.sync_latency.observe(group.took.as_secs_f64());
        self.0.sync_batches.observe(group.batches as f64);
    }

    fn checkpointed(&self, _checkpoint: &Checkpointed) {
        self.0.checkpoints.inc();
    }

    fn rebuilding(&self, progress: &Rebuilding<'_>) {
        let Rebuilding { reason, files, files_done, records } = *progress;
        if files_done == 0 {
            tracing::warn!(
                reason,
                files,
                "the store's index is not to be trusted: it is built anew from the value files"
            );
        } else {
            tracing::info!(files_done, files, records, "building the store's index");
        }
    }
}
