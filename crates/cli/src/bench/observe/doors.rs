//! All nodes of a cluster, each by itself: who asks chooses through which.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use quorate_client::{Layout, NodeId};
use quorate_proto::v1::kv_client::KvClient;
use tonic::transport::{Channel, Endpoint};

use crate::admin;

/// See the module.
pub(super) struct Doors {
    pub(super) layout: Arc<Layout>,
    clients: BTreeMap<NodeId, KvClient<Channel>>,
}

impl Doors {
    /// Asks the first of these nodes that answers where the others are.
    pub(super) async fn find(endpoints: &[String], layout: Arc<Layout>) -> Result<Self> {
        let mut answer = None;
        for endpoint in endpoints {
            match admin::status(endpoint, false).await {
                Ok(status) => {
                    answer = Some(Ok(status));
                    break;
                }
                Err(error) => answer = Some(Err(error)),
            }
        }
        let status = answer.context("no endpoint is given")??;
        let peers = status.peers.into_iter().map(|peer| (peer.node_id, peer.grpc_address));
        let known = std::iter::once((status.node_id, status.grpc_address)).chain(peers);
        let mut clients = BTreeMap::new();
        for (node, address) in known.filter(|(_, address)| !address.is_empty()) {
            let url = if address.contains("://") { address } else { format!("http://{address}") };
            let endpoint =
                Endpoint::from_shared(url.clone()).with_context(|| format!("{url} is no address"))?;
            clients.insert(NodeId(node), KvClient::new(endpoint.connect_lazy()));
        }
        Ok(Self { layout, clients })
    }

    /// Those of a key's first `n` owners that can be reached, in order of preference.
    pub(super) fn owners(&self, bucket: &str, key: &[u8], n: u32) -> Result<Vec<KvClient<Channel>>> {
        let bucket = self.layout.bucket(bucket).with_context(|| format!("there is no bucket {bucket:?}"))?;
        let owners = self.layout.owners(self.layout.partition_of(bucket.id, key)).iter().take(n as usize);
        let clients: Vec<_> = owners.filter_map(|owner| self.clients.get(owner).cloned()).collect();
        anyhow::ensure!(!clients.is_empty(), "nobody says where the owners of a key are");
        Ok(clients)
    }
}
