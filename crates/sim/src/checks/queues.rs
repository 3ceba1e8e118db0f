//! Queues are bounded: what a node keeps count of stays within its limits, however slow its disk and however much is asked.

use quorate_protocol::{Limits, Node};

use super::{Check, violation};

/// A listing here reads at most this many keys beside itself.
const READS_OF_A_LISTING: usize = 3;
/// Promises of a voter and surveys that wait for the disk: a few for each peer.
const OF_CHANGES: usize = 40;

pub(crate) fn bounded(node: &Node, limits: &Limits) -> Check {
    let gauges = node.gauges();
    let operations = limits.client_operations.saturating_mul(1 + READS_OF_A_LISTING);
    let requests = operations.saturating_add(limits.replica_requests);
    let counts = [
        ("operations", gauges.operations, operations),
        ("lingering", gauges.lingering, limits.client_operations.saturating_mul(2)),
        ("keys_loading", gauges.keys_loading, requests),
        ("commits_waiting", gauges.commits_waiting, requests.saturating_add(OF_CHANGES)),
    ];
    match counts.into_iter().find(|(_, count, bound)| count > bound) {
        Some((name, count, bound)) => {
            Err(violation("queues", format!("{name} is {count}, and the limits allow {bound}")))
        }
        None => Ok(()),
    }
}
