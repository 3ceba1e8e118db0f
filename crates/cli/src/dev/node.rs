//! One node of a cluster on this machine, whether it runs or not.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::ports::Ports;
use super::process::{Announcement, NodeProcess, NodeSpec};
use super::record::node_name;
use super::setting::NodeSetting;

pub(super) struct LocalNode {
    /// Counted from 0, and never used again.
    pub(super) number: u16,
    pub(super) spec: NodeSpec,
    /// None: it is not running.
    pub(super) process: Option<NodeProcess>,
    /// From its last start.
    /// What it said of itself when it was started last.
    last: Option<Announcement>,
}

/// How a node's process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum NodeState {
    Running,
    Paused,
    Dead,
}

/// A node that has run, for showing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NodeInfo {
    pub(crate) name: String,
    /// 16 hexadecimal digits.
    pub(crate) id: String,
    pub(crate) grpc: String,
    pub(crate) http: String,
    /// Of its last process.
    pub(crate) pid: u32,
    pub(crate) state: NodeState,
}

impl LocalNode {
    pub(super) fn new(
        directory: &Path,
        number: u16,
        ports: &Ports,
        unsafe_fault_injection: bool,
        settings: &[NodeSetting],
    ) -> Self {
        let name = node_name(number.into());
        let address = |port: u16| format!("127.0.0.1:{port}");
        let spec = NodeSpec {
            directory: directory.join(&name),
            log: directory.join(format!("{name}.log")),
            name,
            grpc: address(ports.grpc),
            http: address(ports.http),
            peer: address(ports.peer),
            seeds: Vec::new(),
            unsafe_fault_injection,
            settings: settings.to_vec(),
        };
        Self { number, spec, process: None, last: None }
    }

    /// Starts it where it was before, if it was, and returns when it listens.
    pub(super) async fn start(&mut self, seeds: Vec<String>) -> Result<()> {
        self.spec.seeds = seeds;
        if let Some(announcement) = &self.announcement() {
            // Where it was: clients and peers know it there.
            self.spec.grpc.clone_from(&announcement.grpc);
            self.spec.http.clone_from(&announcement.http);
            self.spec.peer.clone_from(&announcement.peer);
        }
        let process = NodeProcess::start(&self.spec).await?;
        self.last = Some(process.announcement());
        self.process = Some(process);
        Ok(())
    }

    /// What it has said of itself last; none: it has never run.
    pub(super) fn announcement(&self) -> Option<Announcement> {
        self.process.as_ref().map(NodeProcess::announcement).or_else(|| self.last.clone())
    }

    /// Its process, which is not its any more.
    pub(super) fn take_process(&mut self) -> Option<NodeProcess> {
        self.last = self.announcement();
        self.process.take()
    }

    /// Its process, if it runs.
    pub(super) fn running(&mut self) -> Result<&mut NodeProcess> {
        self.process.as_mut().with_context(|| format!("{} is not running", self.spec.name))
    }

    /// None: it has never run.
    pub(super) fn info(&self) -> Option<NodeInfo> {
        let announcement = self.announcement()?;
        let state = match &self.process {
            None => NodeState::Dead,
            Some(process) if process.is_paused() => NodeState::Paused,
            Some(_) => NodeState::Running,
        };
        Some(NodeInfo {
            name: self.spec.name.clone(),
            id: announcement.node.clone(),
            grpc: announcement.grpc.clone(),
            http: announcement.http.clone(),
            pid: announcement.pid,
            state,
        })
    }
}
