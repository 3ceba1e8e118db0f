//! `quorate repair`: has all nodes compare their replicas now, and waits until all are found equal.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures::future::join_all;
use quorate_proto::v1;
use serde::Serialize;

use crate::admin;
use crate::args::{self, Global};
use crate::output::{self, Done, Format};
use crate::progress::{Progress, Unit};
use crate::status::{Gathered, gather};

/// Between two looks at the nodes.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Compare all replicas now, and make them equal. Nodes do so by themselves; this hurries them, and waits.
#[derive(Debug, clap::Args)]
pub(crate) struct RepairArgs {
    /// Give up waiting after this time (30s, 10m). The nodes go on.
    #[arg(long, value_parser = args::duration, default_value = "10m")]
    timeout: Duration,
}

/// What came of it.
#[derive(Serialize)]
struct Repaired {
    nodes: usize,
    /// Replicas of partitions, each compared with all others of its partition.
    replicas: u64,
    keys_exchanged: u64,
    bytes_exchanged: u64,
    seconds: f64,
}

/// A node that repairs.
struct Node {
    address: String,
    name: String,
    /// When it was known to have begun.
    begun: Instant,
    replicas: u64,
    before: v1::AntiEntropy,
}

/// What a node has done so far.
struct SoFar {
    clean: u64,
    keys: u64,
    bytes: u64,
}

pub(crate) async fn run(args: RepairArgs, global: &Global) -> Result<Done> {
    let gathered = gather(&global.endpoint, false).await?;
    for (peer, error) in &gathered.silent {
        output::note(format!("{} {:016x}: {error:#}", peer.name, peer.node_id));
    }
    if !gathered.silent.is_empty() {
        output::note("partitions of nodes that do not answer cannot be compared: waiting for them");
    }
    let nodes = begin(&gathered).await?;
    let total = nodes.iter().map(|node| node.replicas).sum();
    let deadline = Instant::now() + args.timeout;
    let mut progress = Progress::new("replicas equal", Unit::Of(total));
    let begun = Instant::now();
    let so_far = loop {
        let looks = join_all(nodes.iter().map(look)).await;
        let mut sum = SoFar { clean: 0, keys: 0, bytes: 0 };
        let mut trouble = String::new();
        for (node, look) in nodes.iter().zip(looks) {
            match look {
                Ok(look) => {
                    sum.clean += look.clean;
                    sum.keys += look.keys;
                    sum.bytes += look.bytes;
                }
                Err(error) => trouble = format!(", {}: {error:#}", node.name),
            }
        }
        let detail = || format!("{} keys exchanged{trouble}", sum.keys);
        progress.set(sum.clean, &detail);
        if sum.clean == total {
            break sum;
        }
        if Instant::now() >= deadline {
            let words = detail();
            progress.finish();
            let silent: Vec<&str> = gathered.silent.iter().map(|(peer, _)| peer.name.as_str()).collect();
            let away = if silent.is_empty() {
                String::new()
            } else {
                format!(", and others cannot be compared while {} do not answer", silent.join(", "))
            };
            bail!(
                "after {:?}, {} of {total} replicas were compared with all others of their partition and found equal{away}: {words}",
                args.timeout,
                sum.clean
            );
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    progress.finish();
    let repaired = Repaired {
        nodes: nodes.len(),
        replicas: total,
        keys_exchanged: so_far.keys,
        bytes_exchanged: so_far.bytes,
        seconds: begun.elapsed().as_secs_f64(),
    };
    match global.output {
        Format::Json => output::json(&repaired)?,
        Format::Table => output::line(format!(
            "{} replicas on {} nodes are equal: {} keys exchanged ({}) in {:.1} s",
            repaired.replicas,
            repaired.nodes,
            repaired.keys_exchanged,
            output::bytes(repaired.bytes_exchanged),
            repaired.seconds
        ))?,
    }
    Ok(Done::Ok)
}

/// Begins the repair on all nodes that answer.
async fn begin(gathered: &Gathered) -> Result<Vec<Node>> {
    let begin = gathered.answers.values().map(|status| async {
        let replicas = admin::repair(&status.grpc_address).await?;
        let name = gathered.names.get(&status.node_id).cloned().unwrap_or_default();
        anyhow::Ok(Node {
            address: status.grpc_address.clone(),
            name,
            begun: Instant::now(),
            replicas: replicas.into(),
            before: status.anti_entropy.clone().unwrap_or_default(),
        })
    });
    join_all(begin).await.into_iter().collect()
}

/// How far a node is: a partition counts when it was found equal on all other owners by comparisons that began after the
/// repair did. Its age is taken after this asks, so that it is never too small.
async fn look(node: &Node) -> Result<SoFar> {
    let since = node.begun.elapsed();
    let status = admin::status(&node.address, true).await?;
    let now = status.anti_entropy.context("it says nothing of anti-entropy")?;
    let clean =
        |state: &&v1::PartitionState| !state.root.is_empty() && Duration::from_millis(state.clean_ms) < since;
    Ok(SoFar {
        clean: now.partitions.iter().filter(clean).count() as u64,
        keys: now.keys_exchanged.saturating_sub(node.before.keys_exchanged),
        bytes: now.bytes_exchanged.saturating_sub(node.before.bytes_exchanged),
    })
}
