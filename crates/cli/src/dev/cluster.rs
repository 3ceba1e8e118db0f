//! A cluster of processes on this machine.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use futures::future::{join_all, select_all, try_join_all};
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use quorate_proto::v1;
use quorate_protocol::layout::DEFAULT_BUCKET;

use super::node::{LocalNode, NodeInfo};
use super::ports;
use super::process::NodeProcess;
use super::record::{self, MemberRecord, Record, node_name};
use super::setting::NodeSetting;
use crate::admin;
use crate::output;
use crate::settings::ClusterSettings;

/// Until every node sees every other one.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
const READY_LOOK: Duration = Duration::from_millis(20);

/// What a cluster is opened or made with.
pub(crate) struct ClusterOptions {
    pub(crate) directory: PathBuf,
    /// None: as the directory says, or 3.
    pub(crate) nodes: Option<u16>,
    pub(crate) settings: ClusterSettings,
    /// None: as in the last run, or 7700. 0: free ports.
    pub(crate) port_base: Option<u16>,
    /// Whether the nodes may be told to lose messages, in this run.
    pub(crate) unsafe_fault_injection: bool,
    /// Of all nodes, in this run.
    pub(crate) node_settings: Vec<NodeSetting>,
}

/// Nodes as child processes. Those still running when it is dropped are killed.
pub(crate) struct LocalCluster {
    directory: PathBuf,
    record: Record,
    /// Those that it has now, in the order of their numbers.
    nodes: Vec<LocalNode>,
    /// The default bucket's quorums, as they are when it starts.
    quorums: ClusterSettings,
    unsafe_fault_injection: bool,
    node_settings: Vec<NodeSetting>,
    /// Keeps others off the directory.
    _lock: File,
}

impl LocalCluster {
    /// Opens or makes the directory, starts all nodes, and returns when they are one cluster that serves.
    pub(crate) async fn start(options: ClusterOptions) -> Result<Self> {
        let directory = &options.directory;
        let lock = record::lock(directory)?;
        let directory =
            directory.canonicalize().with_context(|| format!("finding {}", directory.display()))?;
        let record = Record::open(&directory, options.nodes, &options.settings, options.port_base)?;
        let ports = ports::plan(record.port_base, record.nodes)?;
        let present =
            || record.present().filter_map(|number| Some((number, ports.get(usize::from(number))?)));
        ports::check_free(present())?;
        let faults = options.unsafe_fault_injection;
        let node =
            |(number, ports)| LocalNode::new(&directory, number, ports, faults, &options.node_settings);
        let nodes = present().map(node).collect();
        let quorums = record.settings.clone();
        let mut cluster = Self {
            directory,
            record,
            nodes,
            quorums,
            unsafe_fault_injection: faults,
            node_settings: options.node_settings,
            _lock: lock,
        };
        cluster.start_all().await?;
        cluster.bootstrap().await?;
        cluster.wait_ready().await?;
        cluster.look_at_quorums().await?;
        Ok(cluster)
    }

    /// They may have been changed since the cluster was made.
    async fn look_at_quorums(&mut self) -> Result<()> {
        let statuses = self.statuses().await?;
        let member = statuses.iter().find(|status| status.membership() == v1::Membership::Member);
        let layout = admin::layout(&member.context("no node is a member")?.grpc_address).await?;
        if let Some(default) = layout.buckets.iter().find(|bucket| bucket.name == DEFAULT_BUCKET) {
            let settings = &mut self.quorums;
            (settings.n, settings.r, settings.w) = (Some(default.n), Some(default.r), Some(default.w));
        }
        Ok(())
    }

    /// Starts one node more, on its own ports; it belongs to no cluster yet.
    pub(crate) async fn add(&mut self) -> Result<()> {
        let number = self.record.nodes;
        let ports = ports::plan(self.record.port_base, number + 1)?.pop().unwrap_or_default();
        ports::check_free([(number, &ports)])?;
        let mut node =
            LocalNode::new(&self.directory, number, &ports, self.unsafe_fault_injection, &self.node_settings);
        node.start(self.seeds()).await?;
        // A node that the record does not name is found again under the same number: it has not been added to anything.
        self.record.nodes += 1;
        self.record.save(&self.directory)?;
        self.nodes.push(node);
        Ok(())
    }

    /// Stops a node that is no member any more, for good; its data stays.
    pub(crate) async fn remove(&mut self, node: usize) -> Result<()> {
        let name = &self.nodes[node].spec.name;
        let id = self.nodes[node].announcement().map(|announcement| announcement.node);
        let others =
            self.nodes.iter().enumerate().filter(|(at, other)| *at != node && other.process.is_some());
        let mut told = false;
        for address in others.filter_map(|(_, other)| Some(other.announcement()?.grpc)) {
            let Ok(layout) = admin::layout(&address).await else { continue };
            told = true;
            let is_member =
                layout.members.iter().any(|member| Some(format!("{:016x}", member.node_id)) == id);
            ensure!(!is_member, "{name} is still a member of the cluster");
        }
        ensure!(told, "no other node tells whether {name} is still a member of the cluster");
        if let Some(process) = self.nodes[node].take_process() {
            process.stop().await;
        }
        self.record.removed.insert(self.nodes[node].number);
        self.record.save(&self.directory)?;
        self.nodes.remove(node);
        Ok(())
    }

    fn seeds(&self) -> Vec<String> {
        let running = self.nodes.iter().filter_map(LocalNode::announcement);
        running.map(|announcement| announcement.peer).collect()
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn settings(&self) -> &ClusterSettings {
        &self.quorums
    }

    /// The nodes that have ever run, in order.
    pub(crate) fn nodes(&self) -> Vec<NodeInfo> {
        self.nodes.iter().filter_map(LocalNode::info).collect()
    }

    /// Whether any node is running.
    pub(crate) fn is_alive(&self) -> bool {
        self.nodes.iter().any(|node| node.process.is_some())
    }

    /// Resolves when a node has died, and says which and how.
    pub(crate) async fn next_death(&mut self) -> (usize, Option<ExitStatus>) {
        let exits = self.nodes.iter().enumerate().filter_map(|(at, node)| {
            let process = node.process.as_ref()?;
            Some(async move { (at, process.exited().await) }.boxed())
        });
        let exits: Vec<_> = exits.collect();
        if exits.is_empty() {
            return std::future::pending().await;
        }
        let ((at, status), _, _) = select_all(exits).await;
        self.nodes[at].process = None;
        (at, status)
    }

    /// Whether this node's process is there, paused or not.
    pub(super) fn is_running(&self, node: usize) -> bool {
        self.nodes[node].process.is_some()
    }

    /// Kills a node with SIGKILL. [`Self::next_death`] does not speak of it.
    pub(crate) async fn kill(&mut self, node: usize) -> Result<()> {
        self.nodes[node].running()?;
        if let Some(process) = self.nodes[node].take_process() {
            process.kill().await;
        }
        Ok(())
    }

    /// Stops a node's process where it stands.
    pub(crate) async fn pause(&mut self, node: usize) -> Result<()> {
        self.nodes[node].running()?.pause().await;
        Ok(())
    }

    /// Lets it go on.
    pub(crate) async fn resume(&mut self, node: usize) -> Result<()> {
        self.nodes[node].running()?.resume().await;
        Ok(())
    }

    /// Starts a node that is not running, where it was before, and returns when it listens.
    pub(crate) async fn revive(&mut self, node: usize) -> Result<()> {
        let others = self.nodes.iter().enumerate().filter(|(at, _)| *at != node);
        let seeds = others.filter_map(|(_, other)| Some(other.announcement()?.peer)).collect();
        self.nodes[node].start(seeds).await
    }

    /// Stops all nodes; their data stays.
    pub(crate) async fn stop(mut self) {
        let processes = self.nodes.iter_mut().filter_map(|node| node.take_process());
        join_all(processes.map(NodeProcess::stop)).await;
    }

    async fn start_all(&mut self) -> Result<()> {
        if self.record.port_base == 0 {
            // Nobody knows yet where the later ones will listen: each is told of those before it, and finds them.
            let mut seeds = Vec::new();
            for node in &mut self.nodes {
                node.start(seeds.clone()).await?;
                seeds.extend(node.announcement().map(|announcement| announcement.peer));
            }
            return Ok(());
        }
        let peers: Vec<String> = self.nodes.iter().map(|node| node.spec.peer.clone()).collect();
        try_join_all(self.nodes.iter_mut().map(|node| {
            let own = node.spec.peer.clone();
            let seeds = peers.iter().filter(|peer| **peer != own).cloned().collect();
            node.start(seeds)
        }))
        .await?;
        Ok(())
    }

    /// Founds the cluster, unless it is.
    async fn bootstrap(&mut self) -> Result<()> {
        let cluster_id = self.record.cluster_id()?;
        let mut statuses = self.statuses().await?;
        for (node, status) in self.nodes.iter().zip(&statuses) {
            ensure!(
                status.cluster_id.is_empty() || status.cluster_id.as_ref() == cluster_id,
                "{} belongs to another cluster: {} was mixed up",
                node.spec.name,
                self.directory.display()
            );
        }
        let members = match self.record.members.clone() {
            Some(members) => members,
            None => {
                let members: Vec<MemberRecord> = statuses.iter().enumerate().map(member_record).collect();
                self.record.members = Some(members.clone());
                self.record.save(&self.directory)?;
                members
            }
        };
        // Nodes that came later are no founders, and get the layout from these.
        let founder = |name: &str| members.iter().find(|member| member.name == name);
        let is_founded = statuses.iter().any(|status| !status.cluster_id.is_empty());
        for (node, status) in self.nodes.iter().zip(&statuses) {
            let id = format!("{:016x}", status.node_id);
            let Some(member) = founder(&node.spec.name).filter(|member| member.node != id) else { continue };
            let name = &node.spec.name;
            ensure!(
                is_founded,
                "{name} is now node {id}, and was {}: its data in {} is not what it was",
                member.node,
                node.spec.directory.display()
            );
            if status.cluster_id.is_empty() {
                output::note(format!(
                    "{name} is another node than before, and holds nothing: `quorate members replace {name} --with {} --lost` puts it in the place of the old one",
                    status.grpc_address
                ));
            }
        }
        let ids: Vec<String> = members.iter().map(|member| member.node.clone()).collect();
        statuses.retain(|status| {
            status.cluster_id.is_empty() && ids.contains(&format!("{:016x}", status.node_id))
        });
        let members = members.iter().map(wire_member).collect::<Result<Vec<_>>>()?;
        let request = self.record.settings.bootstrap(cluster_id, members);
        for status in &statuses {
            admin::bootstrap(&status.grpc_address, request.clone()).await.context("bootstrap")?;
        }
        Ok(())
    }

    async fn statuses(&self) -> Result<Vec<v1::StatusResponse>> {
        let nodes = self.nodes.iter().filter(|node| node.process.is_some());
        let addresses = nodes.filter_map(|node| Some(node.announcement()?.grpc));
        let asked =
            stream::iter(addresses).map(|address| async move { admin::status(&address, false).await });
        asked.buffered(16).try_collect().await
    }

    /// Waits until all running nodes see each other and no partition lacks an owner that runs.
    pub(crate) async fn wait_ready(&mut self) -> Result<()> {
        let give_up = Instant::now() + READY_TIMEOUT;
        let all_run = self.nodes.iter().all(|node| node.process.is_some());
        loop {
            if let Some((at, status)) = self.next_death().now_or_never() {
                let status = status.map_or("unknown".into(), |status| status.to_string());
                bail!("{} died while the cluster was starting ({status})", self.nodes[at].spec.name);
            }
            let mut statuses = self.statuses().await?;
            // One that was started and never added, or that has left, waits for somebody to say what becomes of it.
            let all = statuses.len();
            statuses.retain(|status| {
                let founded = self.record.members.iter().flatten();
                let mut founders = founded.map(|member| member.node.as_str());
                let is_founder = founders.any(|node| node == format!("{:016x}", status.node_id));
                match status.membership() {
                    v1::Membership::Member => true,
                    v1::Membership::None => is_founder,
                    v1::Membership::Left => false,
                }
            });
            let ids: Vec<u64> = statuses.iter().map(|status| status.node_id).collect();
            let links_up = |status: &v1::StatusResponse| {
                let mut peers = status.peers.iter().filter(|peer| ids.contains(&peer.node_id));
                peers.all(|peer| peer.reachable)
            };
            // Perhaps in the place of a member.
            let is_whole = all_run && statuses.len() == all;
            let serves = |status: &v1::StatusResponse| {
                !status.cluster_id.is_empty() && (!is_whole || status.partitions_under_replicated == 0)
            };
            if statuses.iter().all(|status| links_up(status) && serves(status)) {
                return Ok(());
            }
            if Instant::now() >= give_up {
                bail!("the nodes do not find each other; their logs are in {}", self.directory.display());
            }
            tokio::time::sleep(READY_LOOK).await;
        }
    }
}

fn member_record((at, status): (usize, &v1::StatusResponse)) -> MemberRecord {
    MemberRecord {
        node: format!("{:016x}", status.node_id),
        name: node_name(at),
        peer_address: status.peer_address.clone(),
    }
}

fn wire_member(member: &MemberRecord) -> Result<v1::Member> {
    Ok(v1::Member {
        node_id: u64::from_str_radix(&member.node, 16).context("the record's node ids are damaged")?,
        name: member.name.clone(),
        peer_address: member.peer_address.clone(),
        zone: String::new(),
        weight: 1,
    })
}
