//! A cluster of real processes on loopback, each node killed, stopped and started again as a test wants it.

#![allow(dead_code, reason = "every test uses a part of it")]

pub(crate) mod changes;
pub(crate) mod ledger;
pub(crate) mod load;
pub(crate) mod scrape;
pub(crate) mod trouble;
pub(crate) mod watch;

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use quorate_proto::convert::layout::cluster_id_to_wire;
use quorate_proto::convert::status::error_of_status;
use quorate_proto::v1::admin_client::AdminClient;
use quorate_proto::v1::kv_client::KvClient;
use quorate_proto::v1::{
    BootstrapRequest, BucketSettings, ConflictPolicy, OperationError, QuorumMode, StatusRequest,
};
use quorate_protocol::id::ClusterId;
use tempfile::TempDir;
use tonic::Status;
use tonic::transport::Channel;

/// How long anything that must come true may take, on a machine that is busy with something else.
const PATIENCE: Duration = Duration::from_secs(60);

/// One node's process.
pub(crate) struct Process {
    directory: PathBuf,
    ports: [u16; 3],
    seed: String,
    /// Of the node: name and value.
    settings: Vec<(&'static str, String)>,
    child: Option<Child>,
    pub(crate) id: u64,
}

/// A process that has been told to stand goes on until the thread that hears of it first runs, which takes a while on a busy machine.
fn wait_until_stopped(pid: &str) {
    let started = Instant::now();
    loop {
        let told = Command::new("ps").args(["-o", "state=", "-p", pid]).output().expect("ps exists");
        if told.stdout.trim_ascii().starts_with(b"T") {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "it does not stop");
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl Process {
    fn start(&mut self) {
        let listen = |port: u16| format!("127.0.0.1:{port}");
        let log = File::options().create(true).append(true).open(self.directory.with_extension("log"));
        let mut child = Command::new(env!("CARGO_BIN_EXE_quorate"))
            .args(["node", "--announce", "--stop-with-stdin", "--seed", &self.seed])
            .args(["--grpc-listen", &listen(self.ports[0]), "--http-listen", &listen(self.ports[1])])
            .args(["--peer-listen", &listen(self.ports[2]), "--data-dir"])
            .arg(&self.directory)
            .env("QUORATE_FREE_RESERVE_BYTES", "0")
            .env("QUORATE_UNSAFE_FAULT_INJECTION", "true")
            .envs(
                self.settings.iter().map(|(name, value)| (format!("QUORATE_{}", name.to_uppercase()), value)),
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log.expect("the log can be written"))
            .spawn()
            .expect("the node starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("the node speaks");
        let announced: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|_| {
            let log = std::fs::read_to_string(self.directory.with_extension("log")).unwrap_or_default();
            panic!("the node did not start: {line:?}\n{log}")
        });
        let port = |surface: &str| {
            let address = announced[surface].as_str().expect("an address");
            address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")
        };
        self.ports = [port("grpc"), port("http"), port("peer")];
        self.id = u64::from_str_radix(announced["node"].as_str().expect("an id"), 16).expect("an id");
        self.child = Some(child);
    }

    /// SIGKILL: nothing more is written or said.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it is ours");
            child.wait().expect("it was ours");
        }
    }

    /// Starts it again, on its data and its addresses.
    pub(crate) fn revive(&mut self) {
        assert!(self.child.is_none(), "it is running");
        self.start();
    }

    /// SIGSTOP or SIGCONT: the process is there and does nothing, its links seem alive for a while.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().expect("it is running").id().to_string();
        let status = Command::new("kill").args([signal, &pid]).status().expect("kill exists");
        assert!(status.success());
        if signal == "-STOP" {
            wait_until_stopped(&pid);
        }
    }

    /// Waits for it to end by itself; returns its code, and none if a signal ended it.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        let mut child = self.child.take().expect("it is running");
        let started = Instant::now();
        loop {
            if let Some(status) = child.try_wait().expect("it is ours") {
                return status.code();
            }
            assert!(started.elapsed() < PATIENCE, "it does not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Whether there is a process, standing or not.
    pub(crate) fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// Of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("it is running").id()
    }

    /// Where its data is.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Its key-value service.
    pub(crate) fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel())
    }

    /// Its administration.
    pub(crate) fn admin(&self) -> AdminClient<Channel> {
        AdminClient::new(self.channel())
    }

    pub(crate) fn grpc_address(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    pub(crate) fn http_address(&self) -> String {
        format!("127.0.0.1:{}", self.ports[1])
    }

    fn channel(&self) -> Channel {
        let endpoint = Channel::from_shared(format!("http://{}", self.grpc_address())).expect("an address");
        endpoint.connect_lazy()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Some nodes that are one cluster.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Process>,
    _directory: TempDir,
}

impl Cluster {
    /// Starts and bootstraps: N = 3 (or all, if fewer), R and W majorities, and the buckets `lww` and `sloppy`.
    pub(crate) async fn start(nodes: usize) -> Self {
        Self::start_with(nodes, &[]).await
    }

    /// The same with these settings of all nodes.
    pub(crate) async fn start_with(nodes: usize, settings: &[(&'static str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut cluster = Self { nodes: Vec::new(), _directory: directory };
        for at in 0..nodes {
            let seed = cluster
                .nodes
                .first()
                .map_or_else(String::new, |first| format!("127.0.0.1:{}", first.ports[2]));
            let mut process = Process {
                directory: cluster._directory.path().join(format!("n{at}")),
                ports: [0; 3],
                // A node's own address as its seed is as good as none.
                seed: if seed.is_empty() { "127.0.0.1:1".into() } else { seed },
                settings: settings.iter().map(|&(name, value)| (name, value.to_owned())).collect(),
                child: None,
                id: 0,
            };
            process.start();
            cluster.nodes.push(process);
        }
        let request = BootstrapRequest {
            cluster_id: cluster_id_to_wire(ClusterId(rand::random())),
            partitions: 16,
            members: cluster.nodes.iter().map(Process::member).collect(),
            buckets: vec![
                BucketSettings {
                    name: "lww".into(),
                    conflict: ConflictPolicy::LastWriterWins.into(),
                    ..BucketSettings::default()
                },
                BucketSettings {
                    name: "sloppy".into(),
                    mode: QuorumMode::Sloppy.into(),
                    ..BucketSettings::default()
                },
            ],
            ..BootstrapRequest::default()
        };
        for node in &cluster.nodes {
            node.admin().bootstrap(request.clone()).await.expect("a fresh node takes its first layout");
        }
        cluster.wait_linked().await;
        cluster
    }

    /// Waits until every running node reaches every other running one.
    pub(crate) async fn wait_linked(&self) {
        let running: Vec<&Process> = self.nodes.iter().filter(|node| node.child.is_some()).collect();
        let started = Instant::now();
        for node in &running {
            loop {
                assert!(started.elapsed() < PATIENCE, "the nodes do not find each other");
                if let Ok(status) = node.admin().status(StatusRequest::default()).await {
                    let reachable = status.get_ref().peers.iter().filter(|peer| peer.reachable).count();
                    if reachable + 1 == running.len() {
                        break;
                    }
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// Waits until the other nodes have noticed that this one is gone.
    pub(crate) async fn wait_noticed(&self, gone: &[usize]) {
        let started = Instant::now();
        for (at, node) in self.nodes.iter().enumerate().filter(|(at, _)| !gone.contains(at)) {
            loop {
                assert!(started.elapsed() < PATIENCE, "node {at} does not notice");
                let status = node.admin().status(StatusRequest::default()).await.expect("it is running");
                let reachable = status.get_ref().peers.iter().filter(|peer| peer.reachable).count();
                if reachable + 1 + gone.len() == self.nodes.len() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// What a failed call says of itself.
pub(crate) fn detail(status: &Status) -> OperationError {
    error_of_status(status).unwrap_or_else(|| panic!("{status:?} has no detail"))
}
