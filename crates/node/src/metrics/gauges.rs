//! What there is at the moment of a scrape.

use prometheus::IntGauge;
use quorate_protocol::layout::Stage;

use super::Sample;

/// Each gauge, and where its value is found.
pub(super) type Gauges = Vec<(IntGauge, fn(&Sample<'_>) -> u64)>;

/// All of them.
pub(super) fn gauges() -> Result<Gauges, prometheus::Error> {
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
        gauge(
            "hints_oldest_seconds",
            "For how long the oldest hint has been waiting, since the start at most; 0 without any.",
            |s| s.view.oldest_hint.as_secs(),
        ),
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
        gauge("store_log_bytes", "Bytes of the records that the commit log holds.", |s| s.store.log_bytes),
        gauge(
            "store_log_file_bytes",
            "Bytes that the commit log's files take, space that is kept ready for use included.",
            |s| s.store.log_file_bytes,
        ),
        gauge("store_base_bytes", "Bytes of the store's files behind the log.", |s| s.store.base_bytes),
        gauge("store_index_bytes", "Those of the index among them.", |s| s.store.index_bytes),
        gauge("store_live_bytes", "Bytes of keys and values in them.", |s| s.store.live_bytes),
        gauge("data_volume_size_bytes", "Bytes that the file system of the data can hold.", |s| {
            s.volume.size_bytes
        }),
        gauge("data_volume_free_bytes", "Bytes that the node may still write to it.", |s| {
            s.volume.free_bytes
        }),
        gauge(
            "set_aside_directories",
            "Stores that were set aside because they could not be trusted.",
            |s| s.set_aside as u64,
        ),
        gauge("draining", "1 when the node says that it is not ready, for it is about to be stopped.", |s| {
            u64::from(s.draining)
        }),
        gauge("store_writable", "1 when the store takes writes.", |s| {
            u64::from(s.view.store_refusal.is_none())
        }),
    ]
    .into_iter()
    .collect()
}
