//! What the node exports to Prometheus.

mod counters;
mod gauges;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use prometheus::{
    Encoder as _, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts,
    Registry, TextEncoder,
};
use quorate_protocol::PeerState;
use quorate_storage::{Checkpointed, Rebuilding, StoreObserver, StoreStats, Synced};

use crate::driver::View;
use crate::observe::{Observer, SharedObserver};
use crate::peers::LinkFigures;
use counters::{Counters, counters};
use gauges::{Gauges, gauges};

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
    pub(crate) volume: Volume,
    /// Stores that were set aside.
    pub(crate) set_aside: usize,
    pub(crate) draining: bool,
}

/// The file system that holds the data.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Volume {
    /// All that it could hold, in bytes.
    pub(crate) size_bytes: u64,
    /// What the node may still write to it, in bytes.
    pub(crate) free_bytes: u64,
}

impl Volume {
    /// Of this directory, as the system says.
    pub(crate) fn of(directory: &Path) -> std::io::Result<Self> {
        let room = rustix::fs::statvfs(directory)?;
        let bytes = |blocks: u64| blocks.saturating_mul(room.f_frsize);
        Ok(Self { size_bytes: bytes(room.f_blocks), free_bytes: bytes(room.f_bavail) })
    }
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
