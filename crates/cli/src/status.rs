//! `quorate status`: every node, as it sees itself.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail};
use futures::future::join_all;
use quorate_proto::v1;
use serde::Serialize;

use crate::admin;
use crate::args::Global;
use crate::output::{self, Done, Format, Table};

/// One node, as it was found.
#[derive(Serialize)]
struct NodeState {
    id: String,
    name: String,
    state: &'static str,
    grpc: String,
    http: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
}

#[derive(Serialize)]
struct Details {
    version: String,
    epoch: u64,
    peers: usize,
    peers_reachable: usize,
    partitions_owned: u32,
    partitions_unavailable: u32,
    partitions_under_replicated: u32,
    storage_bytes: u64,
    uptime_ms: u64,
    storage_refusal: String,
    damaged_keys: u64,
}

#[derive(Serialize)]
struct ClusterState {
    cluster: String,
    nodes: Vec<NodeState>,
}

pub(crate) async fn run(global: &Global) -> Result<Done> {
    let state = ask(&global.endpoint).await?;
    match global.output {
        Format::Json => output::json(&state)?,
        Format::Table => show(&state)?,
    }
    Ok(Done::Ok)
}

/// Asks the endpoints, and then all nodes that they name.
async fn ask(endpoints: &[String]) -> Result<ClusterState> {
    let mut answers = BTreeMap::new();
    let mut errors = Vec::new();
    for (endpoint, answer) in endpoints.iter().zip(join_all(endpoints.iter().map(|e| admin::status(e))).await)
    {
        match answer {
            Ok(status) => {
                answers.insert(status.node_id, status);
            }
            Err(error) => errors.push(format!("{endpoint}: {error:#}")),
        }
    }
    if answers.is_empty() {
        bail!("no node answers: {}", errors.join("; "));
    }
    let mut peers: BTreeMap<u64, v1::Peer> = BTreeMap::new();
    for peer in answers.values().flat_map(|status| &status.peers) {
        let known = peers.entry(peer.node_id).or_insert_with(|| peer.clone());
        // Whoever reaches it knows its addresses best.
        if peer.reachable && !known.reachable {
            *known = peer.clone();
        }
    }
    let unasked: Vec<&v1::Peer> =
        peers.values().filter(|peer| !answers.contains_key(&peer.node_id)).collect();
    let asked = join_all(unasked.iter().map(|peer| ask_peer(peer))).await;
    let names: BTreeMap<u64, String> = peers.iter().map(|(id, peer)| (*id, peer.name.clone())).collect();
    let mut nodes: Vec<NodeState> = Vec::new();
    for (peer, answer) in unasked.iter().zip(asked) {
        match answer {
            Ok(status) => {
                answers.insert(status.node_id, status);
            }
            Err(error) => nodes.push(unreachable(peer, &error)),
        }
    }
    // A node's own name is known to the others.
    let names = names_from(answers.values(), names);
    let cluster = answers.values().map(|status| &status.cluster_id).max_by_key(|id| id.len());
    let cluster = cluster.map_or(String::new(), |id| id.iter().map(|byte| format!("{byte:02x}")).collect());
    nodes.extend(answers.values().map(|status| answered(status, &names)));
    nodes.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    Ok(ClusterState { cluster, nodes })
}

async fn ask_peer(peer: &v1::Peer) -> Result<v1::StatusResponse> {
    if peer.grpc_address.is_empty() {
        bail!("nobody knows where clients reach it");
    }
    let status = admin::status(&peer.grpc_address).await?;
    if status.node_id != peer.node_id {
        bail!("{} is now node {:016x}", peer.grpc_address, status.node_id);
    }
    Ok(status)
}

fn names_from<'a>(
    answers: impl Iterator<Item = &'a v1::StatusResponse>,
    mut names: BTreeMap<u64, String>,
) -> BTreeMap<u64, String> {
    for peer in answers.flat_map(|status| &status.peers) {
        names.entry(peer.node_id).or_insert_with(|| peer.name.clone());
    }
    names
}

fn unreachable(peer: &v1::Peer, error: &anyhow::Error) -> NodeState {
    NodeState {
        id: format!("{:016x}", peer.node_id),
        name: peer.name.clone(),
        state: "unreachable",
        grpc: peer.grpc_address.clone(),
        http: peer.http_address.clone(),
        error: Some(format!("{error:#}")),
        details: None,
    }
}

fn answered(status: &v1::StatusResponse, names: &BTreeMap<u64, String>) -> NodeState {
    let state = if status.cluster_id.is_empty() {
        "not bootstrapped"
    } else if !status.storage_refusal.is_empty() {
        "read-only"
    } else {
        "up"
    };
    NodeState {
        id: format!("{:016x}", status.node_id),
        name: names.get(&status.node_id).cloned().unwrap_or_default(),
        state,
        grpc: status.grpc_address.clone(),
        http: status.http_address.clone(),
        error: None,
        details: Some(Details {
            version: status.version.clone(),
            epoch: status.epoch,
            peers: status.peers.len(),
            peers_reachable: status.peers.iter().filter(|peer| peer.reachable).count(),
            partitions_owned: status.partitions_owned,
            partitions_unavailable: status.partitions_unavailable,
            partitions_under_replicated: status.partitions_under_replicated,
            storage_bytes: status.storage_bytes,
            uptime_ms: status.uptime_ms,
            storage_refusal: status.storage_refusal.clone(),
            damaged_keys: status.damaged_keys,
        }),
    }
}

fn show(state: &ClusterState) -> Result<()> {
    if !state.cluster.is_empty() {
        output::line(format!("cluster {}", state.cluster))?;
    }
    let mut table = Table::new([
        "NODE",
        "ID",
        "STATE",
        "EPOCH",
        "PEERS UP",
        "OWNED",
        "UNAVAILABLE",
        "UNDER-REPLICATED",
        "STORAGE",
        "UPTIME",
        "GRPC",
        "HTTP",
        "VERSION",
    ]);
    for node in &state.nodes {
        let detail = |show: &dyn Fn(&Details) -> String| node.details.as_ref().map_or("-".into(), show);
        table.row([
            node.name.clone(),
            node.id.clone(),
            node.state.to_owned(),
            detail(&|details| details.epoch.to_string()),
            detail(&|details| format!("{}/{}", details.peers_reachable, details.peers)),
            detail(&|details| details.partitions_owned.to_string()),
            detail(&|details| details.partitions_unavailable.to_string()),
            detail(&|details| details.partitions_under_replicated.to_string()),
            detail(&|details| output::bytes(details.storage_bytes)),
            detail(&|details| format!("{:?}", Duration::from_secs(details.uptime_ms / 1000))),
            node.grpc.clone(),
            node.http.clone(),
            detail(&|details| details.version.clone()),
        ]);
    }
    table.print()?;
    for node in &state.nodes {
        let refusal = node.details.as_ref().map(|details| &details.storage_refusal);
        for trouble in node.error.iter().chain(refusal.filter(|refusal| !refusal.is_empty())) {
            output::note(format!("{} {}: {trouble}", node.name, node.id));
        }
        let damaged = node.details.as_ref().map_or(0, |details| details.damaged_keys);
        if damaged > 0 {
            output::note(format!(
                "{} {}: {damaged} keys are damaged there, and are being healed from their other owners",
                node.name, node.id
            ));
        }
    }
    Ok(())
}
