//! What goes wrong in a cluster of the bench's own while it is measured.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use quorate_observe::Faults;
use rustix::process::{Pid, Signal, kill_process};

use crate::dev::LocalCluster;

/// Light: one node at a time stands still, shortly,
const SHORT_PAUSE_MS: (u64, u64) = (30, 150);
/// this long after the last time.
const LIGHT_GAP_MS: (u64, u64) = (500, 1_000);
/// Heavy: one node at a time stands still for longer,
const LONG_PAUSE_MS: (u64, u64) = (200, 900);
/// or is killed and started again after this long,
const DOWN_MS: (u64, u64) = (200, 900);
/// one after the other.
const HEAVY_GAP_MS: (u64, u64) = (50, 300);

/// Causes trouble for this long; then all nodes run.
pub(super) async fn cause(cluster: &mut LocalCluster, faults: Faults, time: Duration) -> Result<()> {
    let until = Instant::now() + time;
    let gap_ms = match faults {
        Faults::None => return Ok(()),
        Faults::Light => LIGHT_GAP_MS,
        Faults::Heavy => HEAVY_GAP_MS,
    };
    loop {
        wait(gap_ms).await;
        if Instant::now() >= until {
            return Ok(());
        }
        let node = rand::random_range(0..cluster.nodes().len());
        match faults {
            Faults::None | Faults::Light => pause(cluster, node, SHORT_PAUSE_MS).await?,
            Faults::Heavy if rand::random() => pause(cluster, node, LONG_PAUSE_MS).await?,
            Faults::Heavy => {
                cluster.kill(node).await;
                wait(DOWN_MS).await;
                cluster.revive(node).await?;
            }
        }
    }
}

async fn pause(cluster: &LocalCluster, node: usize, for_ms: (u64, u64)) -> Result<()> {
    let pid = cluster.nodes().swap_remove(node).pid;
    let pid = Pid::from_raw(i32::try_from(pid).context("a process id is small")?).context("it is not 0")?;
    kill_process(pid, Signal::STOP).context("stopping a node where it stands")?;
    wait(for_ms).await;
    kill_process(pid, Signal::CONT).context("letting a node go on")
}

async fn wait((least_ms, most_ms): (u64, u64)) {
    tokio::time::sleep(Duration::from_millis(rand::random_range(least_ms..=most_ms))).await;
}
