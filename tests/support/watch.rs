//! What nodes say of themselves and of each other, and waiting until it is so.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use quorate_proto::v1::{
    InjectFaultsRequest, PartitionState, PeerFault, PeerState, StatusRequest, StatusResponse,
};

use super::{Cluster, Process, scrape};

/// Between two looks at something that is to come about.
const LOOK: Duration = Duration::from_millis(50);

impl Process {
    /// What it says of itself, its partitions included.
    pub(crate) async fn status(&self) -> StatusResponse {
        let request = StatusRequest { partitions: true };
        self.admin().status(request).await.expect("it is running").into_inner()
    }

    /// One of its metrics without labels, by its full name.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        scrape::metric(&self.http_address(), name).await
    }

    /// Resident memory of its process, in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it is running");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
        let kib = line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok());
        kib.expect("a number of KiB") << 10
    }

    /// What its store takes on the disk, in bytes: the whole and, of that, the files behind the log.
    pub(crate) fn store_bytes(&self) -> (u64, u64) {
        let store = self.directory().join("store");
        let all = bytes_under(&store);
        (all, all - bytes_under(&store.join("log")))
    }
}

/// Blocks in use, for files may have holes.
fn bytes_under(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(metadata) = path.symlink_metadata() else { return 0 };
    if !metadata.is_dir() {
        return metadata.blocks() * 512;
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| bytes_under(&entry.path())).sum()
}

impl Cluster {
    /// The nodes that have a process.
    pub(crate) fn running(&self) -> impl Iterator<Item = &Process> {
        self.nodes.iter().filter(|node| node.is_running())
    }

    /// Waits until all the other running nodes hold this one to be down; returns for how long.
    pub(crate) async fn wait_down(&self, gone: usize, within: Duration) -> Duration {
        let id = self.nodes[gone].id;
        let is_down = |status: &StatusResponse| {
            let mut peers = status.peers.iter();
            peers.any(|peer| peer.node_id == id && peer.state() == PeerState::Down && !peer.reachable)
        };
        let others = || self.nodes.iter().enumerate().filter(|(at, node)| *at != gone && node.is_running());
        until("it is held to be down", within, async || {
            for (_, node) in others() {
                if !is_down(&node.status().await) {
                    return Err(format!("not by {:x}", node.id));
                }
            }
            Ok(())
        })
        .await
    }

    /// Whether every node of each group knows that it reaches nobody outside.
    pub(crate) async fn have_noticed(&self, groups: &[&[usize]]) -> bool {
        for group in groups {
            for &at in *group {
                let status = self.nodes[at].status().await;
                let reachable = status.peers.iter().filter(|peer| peer.reachable).count();
                if reachable + 1 != group.len() {
                    return false;
                }
            }
        }
        true
    }

    /// Waits until all owners of all partitions hold the same and no hints are left; returns for how long. All nodes are running.
    pub(crate) async fn wait_equal(&self, within: Duration) -> Duration {
        until("all owners are equal", within, async || self.are_equal().await).await
    }

    async fn are_equal(&self) -> Result<(), String> {
        let mut partitions: BTreeMap<u32, Vec<PartitionState>> = BTreeMap::new();
        let mut hints = Vec::new();
        for node in &self.nodes {
            let status = node.status().await;
            let kept = status.hints.expect("it says");
            if kept.count > 0 {
                hints.push(format!("{:x} keeps {} ({} bytes)", node.id, kept.count, kept.fallback_bytes));
            }
            for partition in status.anti_entropy.expect("it says").partitions {
                partitions.entry(partition.partition).or_default().push(partition);
            }
        }
        let equal = |states: &Vec<PartitionState>| {
            let first = &states[0];
            states.len() == self.nodes.len().min(3)
                && states.iter().all(|state| !state.root.is_empty() && state.root == first.root)
        };
        let unequal: Vec<_> = partitions.values().filter(|states| !equal(states)).collect();
        if hints.is_empty() && unequal.is_empty() && !partitions.is_empty() {
            return Ok(());
        }
        Err(format!(
            "hints: {hints:?}; of {} partitions {} differ: {unequal:?}",
            partitions.len(),
            unequal.len()
        ))
    }

    /// Keys that the nodes hold in all, tombstones included, each counted for each owner.
    pub(crate) async fn keys_held(&self) -> u64 {
        let mut keys = 0;
        for node in &self.nodes {
            let anti_entropy = node.status().await.anti_entropy.expect("it says");
            keys += anti_entropy.partitions.iter().map(|partition| partition.keys).sum::<u64>();
        }
        keys
    }

    /// From now on each of these loses everything to and from all that are not in its group; nothing else is lost.
    pub(crate) async fn cut(&self, groups: &[&[usize]]) {
        for (at, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.is_running()) {
            let of = |at: &usize| groups.iter().position(|group| group.contains(at));
            let cut = (0..self.nodes.len()).filter(|other| of(other) != of(&at) && *other != at);
            let faults = cut.map(|other| PeerFault {
                node_id: self.nodes[other].id,
                drop: 1.0,
                receive_drop: 1.0,
                ..PeerFault::default()
            });
            node.inject(faults.collect()).await;
        }
    }

    /// Nothing is lost any more.
    pub(crate) async fn heal(&self) {
        for node in self.running() {
            node.inject(Vec::new()).await;
        }
    }
}

impl Process {
    /// Has it lose messages like this, and no others.
    pub(crate) async fn inject(&self, faults: Vec<PeerFault>) {
        let request = InjectFaultsRequest { faults, replace: true };
        self.admin().inject_faults(request).await.expect("it may be told to");
    }

    /// Has it lose messages to and from all its peers; false: these are others now.
    pub(crate) async fn inject_for_peers(&self, fault: impl Fn(u64) -> PeerFault) -> bool {
        let peers = self.status().await.peers;
        let faults = peers.iter().map(|peer| fault(peer.node_id)).collect();
        self.admin().inject_faults(InjectFaultsRequest { faults, replace: true }).await.is_ok()
    }

    /// Messages that it was told to lose, since its start.
    pub(crate) async fn lost_messages(&self) -> u64 {
        let answer = self.admin().inject_faults(InjectFaultsRequest::default()).await;
        answer.expect("it may be told to").into_inner().lost_messages
    }
}

/// Waits for something that other processes bring about; returns for how long. The error says how far it is.
pub(crate) async fn until(
    what: &str,
    within: Duration,
    condition: impl AsyncFn() -> Result<(), String>,
) -> Duration {
    let begun = Instant::now();
    loop {
        match condition().await {
            Ok(()) => return begun.elapsed(),
            Err(state) => assert!(begun.elapsed() < within, "not within {within:?}: {what}: {state}"),
        }
        tokio::time::sleep(LOOK).await;
    }
}
