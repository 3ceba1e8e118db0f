//! etcd, through the gRPC of its version 3 API.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use super::{Target, Trouble};
use crate::bench::{LoadArgs, keys};

use api::kv_client::KvClient;
use api::maintenance_client::MaintenanceClient;

#[expect(clippy::allow_attributes_without_reason, reason = "generated code")]
#[allow(unreachable_pub, missing_docs, clippy::all, reason = "generated")]
mod api {
    tonic::include_proto!("etcdserverpb");
}

/// To each member, where nobody says how many: more than one, so that a member can use more than one core for them.
const CONNECTIONS: u16 = 2;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// As large as the other clients', so that none waits for a window.
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

pub(in crate::bench) struct EtcdTarget {
    clients: Vec<KvClient<Channel>>,
    turn: AtomicUsize,
    serializable: bool,
    leader: bool,
    timeout: Duration,
    version: String,
}

impl EtcdTarget {
    pub(in crate::bench) async fn connect(endpoints: &[String], args: &LoadArgs) -> Result<Self> {
        let (serializable, leader) = (args.target.serializable, args.target.leader);
        let mut clients = Vec::new();
        let mut version = String::new();
        let mut members = Vec::new();
        for address in endpoints {
            let channel = connect(address).await?;
            let status = MaintenanceClient::new(channel.clone()).status(api::StatusRequest {}).await;
            let status = status.with_context(|| format!("asking {address} for its status"))?.into_inner();
            version = status.version;
            members.push((address, channel, status.header.unwrap_or_default().member_id == status.leader));
        }
        if leader {
            members.retain(|(_, _, leads)| *leads);
            ensure!(!members.is_empty(), "none of {} leads", endpoints.join(", "));
        }
        let connections = args.target.connections.unwrap_or(CONNECTIONS);
        for (address, channel, _) in members {
            clients.push(KvClient::new(channel));
            for _ in 1..connections {
                clients.push(KvClient::new(connect(address).await?));
            }
        }
        let timeout = args.options.timeout;
        Ok(Self { clients, turn: AtomicUsize::new(0), serializable, leader, timeout, version })
    }

    /// The next connection in turn, and a request for it.
    fn next<T>(&self, message: T) -> (KvClient<Channel>, Request<T>) {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        (self.clients[turn % self.clients.len()].clone(), request)
    }
}

async fn connect(address: &str) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(address.to_owned())
        .with_context(|| format!("endpoint {address:?}"))?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    endpoint.connect().await.with_context(|| format!("connecting to etcd at {address}"))
}

impl Target for EtcdTarget {
    async fn get(&self, key: u32) -> Result<Vec<Bytes>, Trouble> {
        let range = api::RangeRequest { key: keys::name(key), serializable: self.serializable };
        let (mut client, request) = self.next(range);
        let found = client.range(request).await.map_err(|status| trouble(&status))?.into_inner();
        Ok(found.kvs.into_iter().map(|pair| pair.value).collect())
    }

    async fn put(&self, key: u32, value: Bytes) -> Result<u32, Trouble> {
        let (mut client, request) = self.next(api::PutRequest { key: keys::name(key), value });
        client.put(request).await.map_err(|status| trouble(&status))?;
        Ok(0)
    }

    fn may_be_stale(&self) -> bool {
        self.serializable
    }

    fn mode(&self) -> String {
        let reads = if self.serializable { "serializable" } else { "linearizable" };
        let of = if self.leader { "the leader" } else { "all members" };
        format!("{reads}, asking {of}")
    }

    fn version(&self) -> Option<&str> {
        Some(&self.version)
    }
}

fn trouble(status: &Status) -> Trouble {
    // The server says these of what it has not taken.
    let is_refused = matches!(
        status.code(),
        Code::InvalidArgument
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::Unimplemented
            | Code::Unauthenticated
            | Code::PermissionDenied
    );
    Trouble { text: format!("{}: {}", status.code(), status.message()), is_indeterminate: !is_refused }
}
