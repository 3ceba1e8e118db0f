//! A node without a disk, served on a real socket.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use quorate_proto::convert::layout::cluster_id_to_wire;
use quorate_proto::v1;
use quorate_proto::v1::admin_client::AdminClient;
use quorate_proto::v1::kv_client::KvClient;
use quorate_protocol::id::{ClusterId, NodeId, StartId};
use quorate_protocol::identity::Kept;
use quorate_protocol::message::{Message, Stamp};
use quorate_protocol::store::{CommitNumber, ScanPage, Sequence, Store, StoreError, StoreOp};
use quorate_protocol::{Limits, Node, NodeConfig};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::Channel;

use crate::addresses::{Addresses, NodeAddresses};
use crate::draining::Draining;
use crate::driver::{self, Driver, Inputs, Outbox, StorePressure};
use crate::faults::Faults;
use crate::grpc::{Configured, DiskUse, GrpcState, ServeError, serve};
use crate::observe::Observer;
use crate::peers::Introducer;

pub(super) const NODE: u64 = 0xA11CE;
pub(super) const PARTITIONS: u32 = 8;

#[derive(Default)]
struct Memory {
    entries: BTreeMap<Bytes, Bytes>,
    batches: u64,
}

struct MemoryStore {
    memory: Mutex<Memory>,
    stalled: Arc<AtomicBool>,
    on_durable: Box<dyn Fn(CommitNumber) + Send + Sync>,
}

impl Store for MemoryStore {
    fn submit(&self, batch: &[StoreOp]) -> Result<CommitNumber, StoreError> {
        let mut memory = self.memory.lock();
        for op in batch {
            match op {
                StoreOp::Put { key, value } => drop(memory.entries.insert(key.clone(), value.clone())),
                StoreOp::Delete { key } => drop(memory.entries.remove(key)),
            }
        }
        memory.batches += 1;
        let number = CommitNumber(memory.batches);
        (self.on_durable)(number);
        Ok(number)
    }

    fn durable(&self) -> CommitNumber {
        CommitNumber(self.memory.lock().batches)
    }

    fn sequence(&self) -> Sequence {
        Sequence(self.memory.lock().batches)
    }

    fn wait_durable(&self, _number: CommitNumber) -> Result<(), StoreError> {
        Ok(())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        while self.stalled.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(self.memory.lock().entries.get(key).cloned())
    }

    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        entries_max: usize,
        _bytes_max: usize,
    ) -> Result<ScanPage, StoreError> {
        let memory = self.memory.lock();
        let mut found = memory
            .entries
            .iter()
            .filter(|(key, _)| key.starts_with(prefix) && after.is_none_or(|after| key[..] > *after))
            .map(|(key, value)| (key.clone(), value.clone()));
        let entries = found.by_ref().take(entries_max).collect();
        Ok(ScanPage { entries, damaged: Vec::new(), more: found.next().is_some() })
    }

    fn checkpoint(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

impl StorePressure for MemoryStore {
    fn fraction(&self) -> f64 {
        0.0
    }

    fn is_busy(&self) -> bool {
        false
    }
}

struct NoPeers;

impl Outbox for NoPeers {
    fn send(&mut self, _to: NodeId, _stamp: Stamp, _messages: Vec<Message>) {}
}

struct Nobody;

impl Introducer for Nobody {
    fn introduce(&self, _node: NodeId, _address: String) -> BoxFuture<'static, ()> {
        Box::pin(async {})
    }
}

struct Fixed(SocketAddr);

impl Addresses for Fixed {
    fn own(&self) -> NodeAddresses {
        NodeAddresses { peer: "peer:1".into(), grpc: self.0.to_string(), http: "host:7701".into() }
    }

    fn of(&self, _node: NodeId) -> Option<NodeAddresses> {
        None
    }
}

/// Counts what it hears.
#[derive(Default)]
pub(super) struct Heard(pub(super) Mutex<BTreeMap<(&'static str, &'static str), u64>>);

impl Observer for Heard {
    fn observed(&self, operation: &'static str, outcome: &'static str, _elapsed: Duration, count: u64) {
        *self.0.lock().entry((operation, outcome)).or_default() += count;
    }
}

pub(super) struct Rig {
    pub(super) address: SocketAddr,
    pub(super) channel: Channel,
    pub(super) heard: Arc<Heard>,
    pub(super) driver: Driver,
    /// Whether the store answers no reads for now.
    pub(super) stalled: Arc<AtomicBool>,
    /// Has the store fail.
    pub(super) fail: Box<dyn Fn(&StoreError) + Send + Sync>,
    pub(super) stop: oneshot::Sender<()>,
    pub(super) served: JoinHandle<Result<(), ServeError>>,
}

impl Rig {
    /// A node that has no layout yet.
    pub(super) async fn start() -> Self {
        Self::start_with(false).await
    }

    /// The same, where faults may be injected.
    pub(super) async fn start_with(fault_injection: bool) -> Self {
        let inputs = Inputs::new();
        let (stalled, fail) = (Arc::new(AtomicBool::new(false)), Box::new(inputs.on_failed()));
        let store = MemoryStore {
            memory: Mutex::default(),
            stalled: stalled.clone(),
            on_durable: Box::new(inputs.on_durable()),
        };
        let config = NodeConfig {
            node: NodeId(NODE),
            start: StartId(1),
            boot: 1,
            seed: [7; 32],
            limits: Limits::default(),
            token_secret: None,
        };
        let node = Node::new(config, Kept::default());
        let (driver, _) = driver::start(node, Arc::new(store), NoPeers, inputs, 1024).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Heard::default());
        let state = GrpcState {
            driver: driver.clone(),
            limits: Arc::new(Limits::default()),
            addresses: Arc::new(Fixed(address)),
            disk_use: Arc::new(|| DiskUse { log_bytes: 40, base_bytes: 2 }),
            observer: heard.clone(),
            faults: Arc::new(Faults::new(fault_injection)),
            data_dir: "somewhere".into(),
            introducer: Arc::new(Nobody),
            configured: Configured { name: "alice".into(), zone: "north".into(), weight: 2 },
            draining: Draining::default(),
        };
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(serve(listener, state, async {
            let _ = stopped.await;
        }));
        let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        Self { address, channel, heard, driver, stalled, fail, stop, served }
    }

    /// A cluster of one node.
    pub(super) async fn founded() -> Self {
        let rig = Self::start().await;
        rig.admin().bootstrap(founding()).await.unwrap();
        rig
    }

    pub(super) fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel.clone())
    }

    pub(super) fn admin(&self) -> AdminClient<Channel> {
        AdminClient::new(self.channel.clone())
    }
}

pub(super) fn founding() -> v1::BootstrapRequest {
    v1::BootstrapRequest {
        cluster_id: cluster_id_to_wire(ClusterId(9)),
        partitions: PARTITIONS,
        members: vec![v1::Member {
            node_id: NODE,
            name: "alice".into(),
            peer_address: "old:1".into(),
            ..Default::default()
        }],
        ..Default::default()
    }
}
