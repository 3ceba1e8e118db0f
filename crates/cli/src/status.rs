//! `quorate status`: every node, as it sees itself.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail};
use futures::future::join_all;
use quorate_proto::v1;
use serde::Serialize;

use crate::admin;
use crate::args::Global;
use crate::layout::MissingVotes;
use crate::output::{self, Done, Format, Table};
use crate::text::natural;

/// One node, as it was found.
#[derive(Serialize)]
struct NodeState {
    id: String,
    name: String,
    state: &'static str,
    grpc: String,
    http: String,
    seen: Seen,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
}

/// What the nodes that answer hold another to be.
#[derive(Clone, Default, Serialize)]
struct Seen {
    alive: usize,
    suspect: usize,
    down: usize,
    /// For how long the first of them has held it to be down; 0 when none does.
    down_ms: u64,
}

impl Seen {
    fn by<'a>(answers: impl Iterator<Item = &'a v1::StatusResponse>, node_id: u64) -> Self {
        let mut seen = Self::default();
        for peer in answers.flat_map(|status| &status.peers).filter(|peer| peer.node_id == node_id) {
            match peer.state() {
                v1::PeerState::Unknown => {}
                v1::PeerState::Alive => seen.alive += 1,
                v1::PeerState::Suspect => seen.suspect += 1,
                v1::PeerState::Down => {
                    seen.down += 1;
                    seen.down_ms = seen.down_ms.max(peer.state_ms);
                }
            }
        }
        seen
    }

    fn in_words(&self) -> String {
        let down_s = self.down_ms / 1000;
        let parts = [
            (self.alive, format!("alive by {}", self.alive)),
            (self.suspect, format!("suspect by {}", self.suspect)),
            (self.down, format!("down by {} for {down_s}s", self.down)),
        ];
        let parts: Vec<String> =
            parts.into_iter().filter(|(count, _)| *count > 0).map(|(_, words)| words).collect();
        if parts.is_empty() { "-".into() } else { parts.join(", ") }
    }
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
    /// Of these, what the commit log's files take, space that is kept ready for use included.
    storage_log_bytes: u64,
    uptime_ms: u64,
    storage_refusal: String,
    partitions_building: u32,
    oldest_clean_ms: u64,
    keys_exchanged: u64,
    unsafe_fault_injection: bool,
    damaged_keys: u64,
    hints: u64,
    fallback_bytes: u64,
    hints_delivered: u64,
    hints_dropped: u64,
    tombstones: u64,
    set_aside_directories: u32,
    /// Whether a change of the layout is under way, as far as the node knows.
    changing: bool,
}

#[derive(Serialize)]
struct ClusterState {
    cluster: String,
    /// When too few voters answer for the layout to be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing_votes: Option<MissingVotes>,
    nodes: Vec<NodeState>,
}

/// Show how the nodes are.
#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    /// Show each partition, and whether all its owners hold the same.
    #[arg(long)]
    partitions: bool,
}

pub(crate) async fn run(args: StatusArgs, global: &Global) -> Result<Done> {
    if args.partitions {
        return crate::partitions::run(global).await;
    }
    let mut gathered = gather(&global.endpoint, false).await?;
    let mut missing_votes = None;
    if !gathered.silent.is_empty()
        && let Some(layout) = newest_layout(&gathered).await
    {
        missing_votes = MissingVotes::of(&layout, |node| gathered.answers.contains_key(&node));
        // Of a node that is left alone nobody else tells the name.
        for member in layout.members {
            gathered.names.entry(member.node_id).or_insert(member.name);
        }
    }
    let state = ClusterState { missing_votes, ..state_of(&gathered) };
    match global.output {
        Format::Json => output::json(&state)?,
        Format::Table => show(&state)?,
    }
    Ok(Done::Ok)
}

/// What all nodes say.
pub(crate) struct Gathered {
    /// By id.
    pub(crate) answers: BTreeMap<u64, v1::StatusResponse>,
    /// Of all nodes, by id.
    pub(crate) names: BTreeMap<u64, String>,
    /// Who does not answer, and why.
    pub(crate) silent: Vec<(v1::Peer, anyhow::Error)>,
}

/// Asks the endpoints, and then all nodes that they name.
pub(crate) async fn gather(endpoints: &[String], partitions: bool) -> Result<Gathered> {
    let mut answers = BTreeMap::new();
    let mut errors = Vec::new();
    for (endpoint, answer) in
        endpoints.iter().zip(join_all(endpoints.iter().map(|e| admin::status(e, partitions))).await)
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
    let asked = join_all(unasked.iter().map(|peer| ask_peer(peer, partitions))).await;
    let names: BTreeMap<u64, String> = peers.iter().map(|(id, peer)| (*id, peer.name.clone())).collect();
    let mut silent = Vec::new();
    for (peer, answer) in unasked.iter().zip(asked) {
        match answer {
            Ok(status) => {
                answers.insert(status.node_id, status);
            }
            Err(error) => silent.push(((*peer).clone(), error)),
        }
    }
    // A node's own name is known to the others.
    let names = names_from(answers.values(), names);
    Ok(Gathered { answers, names, silent })
}

/// The newest layout that one who answers knows.
async fn newest_layout(gathered: &Gathered) -> Option<v1::Layout> {
    let newest = gathered.answers.values().max_by_key(|status| status.epoch)?;
    admin::layout(&newest.grpc_address).await.ok()
}

fn state_of(gathered: &Gathered) -> ClusterState {
    let Gathered { answers, names, silent } = gathered;
    let cluster = answers.values().map(|status| &status.cluster_id).max_by_key(|id| id.len());
    let cluster = cluster.map_or(String::new(), |id| id.iter().map(|byte| format!("{byte:02x}")).collect());
    let seen = |node_id| Seen::by(answers.values(), node_id);
    let mut nodes: Vec<NodeState> = Vec::new();
    nodes.extend(silent.iter().map(|(peer, error)| unreachable(peer, seen(peer.node_id), error)));
    nodes.extend(answers.values().map(|status| answered(status, seen(status.node_id), names)));
    nodes.sort_by(|a, b| (natural(&a.name), &a.id).cmp(&(natural(&b.name), &b.id)));
    ClusterState { cluster, missing_votes: None, nodes }
}

async fn ask_peer(peer: &v1::Peer, partitions: bool) -> Result<v1::StatusResponse> {
    if peer.grpc_address.is_empty() {
        bail!("nobody knows where clients reach it");
    }
    let status = admin::status(&peer.grpc_address, partitions).await?;
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

fn unreachable(peer: &v1::Peer, seen: Seen, error: &anyhow::Error) -> NodeState {
    NodeState {
        id: format!("{:016x}", peer.node_id),
        name: peer.name.clone(),
        state: "unreachable",
        grpc: peer.grpc_address.clone(),
        http: peer.http_address.clone(),
        seen,
        error: Some(format!("{error:#}")),
        details: None,
    }
}

fn answered(status: &v1::StatusResponse, seen: Seen, names: &BTreeMap<u64, String>) -> NodeState {
    let state = if status.cluster_id.is_empty() {
        "not bootstrapped"
    } else if status.membership() == v1::Membership::Left {
        "left"
    } else if status.membership() == v1::Membership::None {
        "no member"
    } else if !status.storage_refusal.is_empty() {
        "read-only"
    } else if status.draining {
        "draining"
    } else {
        "up"
    };
    let anti_entropy = status.anti_entropy.clone().unwrap_or_default();
    let hints = status.hints.unwrap_or_default();
    NodeState {
        id: format!("{:016x}", status.node_id),
        name: names.get(&status.node_id).cloned().unwrap_or_default(),
        state,
        grpc: status.grpc_address.clone(),
        http: status.http_address.clone(),
        seen,
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
            storage_log_bytes: status.storage_log_bytes,
            uptime_ms: status.uptime_ms,
            storage_refusal: status.storage_refusal.clone(),
            partitions_building: anti_entropy.partitions_building,
            oldest_clean_ms: anti_entropy.oldest_clean_ms,
            keys_exchanged: anti_entropy.keys_exchanged,
            unsafe_fault_injection: status.unsafe_fault_injection,
            damaged_keys: status.damaged_keys,
            hints: hints.count,
            fallback_bytes: hints.fallback_bytes,
            hints_delivered: hints.delivered,
            hints_dropped: hints.dropped,
            tombstones: status.tombstones,
            set_aside_directories: status.set_aside_directories,
            changing: status.change.is_some(),
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
        "SEEN",
        "EPOCH",
        "PEERS UP",
        "OWNED",
        "UNAVAILABLE",
        "UNDER-REPLICATED",
        "COMPARED",
        "HINTS",
        "TOMBSTONES",
        "STORAGE",
        "LOG",
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
            node.seen.in_words(),
            detail(&|details| details.epoch.to_string()),
            detail(&|details| format!("{}/{}", details.peers_reachable, details.peers)),
            detail(&|details| details.partitions_owned.to_string()),
            detail(&|details| details.partitions_unavailable.to_string()),
            detail(&|details| details.partitions_under_replicated.to_string()),
            detail(&|details| format!("{:?} ago", Duration::from_secs(details.oldest_clean_ms / 1000))),
            detail(&|details| details.hints.to_string()),
            detail(&|details| details.tombstones.to_string()),
            detail(&|details| output::bytes(details.storage_bytes)),
            detail(&|details| output::bytes(details.storage_log_bytes)),
            detail(&|details| format!("{:?}", Duration::from_secs(details.uptime_ms / 1000))),
            node.grpc.clone(),
            node.http.clone(),
            detail(&|details| details.version.clone()),
        ]);
    }
    table.print()?;
    if let Some(missing) = &state.missing_votes {
        output::note(missing.in_words());
    }
    if state.nodes.iter().filter_map(|node| node.details.as_ref()).any(|details| details.changing) {
        output::note("the layout is being changed: `quorate layout show` tells how far that is");
    }
    if state
        .nodes
        .iter()
        .filter_map(|node| node.details.as_ref())
        .any(|details| details.unsafe_fault_injection)
    {
        output::note("unsafe fault injection is on: `quorate chaos show` tells what is broken on purpose");
    }
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
        let aside = node.details.as_ref().map_or(0, |details| details.set_aside_directories);
        if aside > 0 {
            output::note(format!(
                "{} {}: {aside} stores were set aside there, for you to look at: docs/OPERATIONS.md",
                node.name, node.id
            ));
        }
    }
    Ok(())
}
