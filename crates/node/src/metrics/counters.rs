//! What the core counts: carried over at each scrape.

use prometheus::IntCounter;

use crate::driver::View;

/// Each counter, and where its value is found.
pub(super) type Counters = Vec<(IntCounter, fn(&View) -> u64)>;

/// All of them.
pub(super) fn counters() -> Result<Counters, prometheus::Error> {
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
