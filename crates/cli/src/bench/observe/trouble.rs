//! What goes wrong in a cluster of the bench's own while it is measured.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use quorate_observe::Faults;
use quorate_proto::v1;

use crate::admin;
use crate::dev::LocalCluster;

/// Light: this share of the messages between nodes is lost,
const LIGHT_LOSS: f64 = 0.005;
/// and one node at a time stands still, shortly,
const SHORT_PAUSE_MS: (u64, u64) = (30, 150);
/// this long after the last time.
const LIGHT_GAP_MS: (u64, u64) = (500, 1_000);
/// Heavy: more is lost,
const HEAVY_LOSS: f64 = 0.05;
/// one node at a time stands still for longer,
const LONG_PAUSE_MS: (u64, u64) = (200, 900);
/// or is killed and started again after this long,
const DOWN_MS: (u64, u64) = (200, 900);
/// one after the other.
const HEAVY_GAP_MS: (u64, u64) = (50, 300);

/// Causes trouble for this long; then all nodes run and hear each other.
pub(super) async fn cause(cluster: &mut LocalCluster, faults: Faults, time: Duration) -> Result<()> {
    let until = Instant::now() + time;
    let (loss, gap_ms) = match faults {
        Faults::None => return Ok(()),
        Faults::Light => (LIGHT_LOSS, LIGHT_GAP_MS),
        Faults::Heavy => (HEAVY_LOSS, HEAVY_GAP_MS),
    };
    for node in 0..cluster.nodes().len() {
        lose(cluster, node, loss).await?;
    }
    loop {
        wait(gap_ms).await;
        if Instant::now() >= until {
            break;
        }
        let node = rand::random_range(0..cluster.nodes().len());
        match faults {
            Faults::None | Faults::Light => pause(cluster, node, SHORT_PAUSE_MS).await?,
            Faults::Heavy if rand::random() => pause(cluster, node, LONG_PAUSE_MS).await?,
            Faults::Heavy => {
                cluster.kill(node).await?;
                wait(DOWN_MS).await;
                cluster.revive(node).await?;
                // What it was told ended with its process.
                lose(cluster, node, loss).await?;
            }
        }
    }
    for node in 0..cluster.nodes().len() {
        lose(cluster, node, 0.0).await?;
    }
    Ok(())
}

/// From now on this share of what a node sends to each other one is lost.
async fn lose(cluster: &LocalCluster, node: usize, share: f64) -> Result<()> {
    let nodes = cluster.nodes();
    let mut faults = Vec::new();
    for (_, other) in nodes.iter().enumerate().filter(|(at, _)| *at != node) {
        let node_id = u64::from_str_radix(&other.id, 16).context("the id of a node is a number")?;
        faults.push(v1::PeerFault { node_id, drop: share, ..Default::default() });
    }
    let address = &nodes[node].grpc;
    let request = v1::InjectFaultsRequest { faults, replace: true };
    let asked = admin::connect(address).await?.inject_faults(request).await;
    asked.map_err(|status| admin::refused(address, &status))?;
    Ok(())
}

async fn pause(cluster: &mut LocalCluster, node: usize, for_ms: (u64, u64)) -> Result<()> {
    cluster.pause(node).await?;
    wait(for_ms).await;
    cluster.resume(node).await
}

async fn wait((least_ms, most_ms): (u64, u64)) {
    tokio::time::sleep(Duration::from_millis(rand::random_range(least_ms..=most_ms))).await;
}
