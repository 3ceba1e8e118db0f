//! A cart in the store, and shoppers who reach it through a node of their choice.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, anyhow, ensure};
use bytes::Bytes;
use quorate_proto::v1;
use quorate_proto::v1::kv_client::KvClient;
use quorate_protocol::version::peek;
use tonic::transport::{Channel, Endpoint};

use crate::text::JSON;

const KEY: &str = "cart/alice-and-bob";
const TIMEOUT_MS: u32 = 10_000;

pub(super) type Items = BTreeSet<String>;

/// What a shopper saw.
pub(super) struct Seen {
    /// One for each sibling.
    pub(super) carts: Vec<Items>,
    pub(super) context: Bytes,
}

/// One node, and nothing else: the story is about who goes through which.
pub(super) struct Door {
    pub(super) node: String,
    kv: KvClient<Channel>,
}

impl Door {
    pub(super) fn new(node: &str, address: &str) -> Result<Self> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
        Ok(Self { node: node.to_owned(), kv: KvClient::new(endpoint.connect_lazy()) })
    }

    /// Reads the cart: `r` nodes must answer.
    pub(super) async fn read(&mut self, r: u32) -> Result<Seen> {
        let request = v1::GetRequest {
            key: KEY.into(),
            quorum: Some(v1::Quorum { r: Some(r), ..Default::default() }),
            timeout_ms: TIMEOUT_MS,
            ..Default::default()
        };
        let answer = self.kv.get(request).await.map_err(|status| self.failed("read", &status))?.into_inner();
        let cart = |sibling: &v1::Sibling| -> Result<Items> {
            serde_json::from_slice(&sibling.value).context("what is in the store is no cart")
        };
        let mut carts = answer.siblings.iter().map(cart).collect::<Result<Vec<_>>>()?;
        // An order that does not depend on who wrote first.
        carts.sort();
        Ok(Seen { carts, context: answer.context })
    }

    /// Stores a cart in place of all that the context has seen; the answer's context covers that and this.
    pub(super) async fn write(&mut self, items: &Items, context: &Bytes) -> Result<Bytes> {
        let request = v1::PutRequest {
            key: KEY.into(),
            value: serde_json::to_vec(items)?.into(),
            content_type: JSON.into(),
            context: context.clone(),
            timeout_ms: TIMEOUT_MS,
            ..Default::default()
        };
        let answer = self.kv.put(request).await.map_err(|status| self.failed("write", &status))?.into_inner();
        ensure!(answer.primaries >= 2, "acknowledged by {} nodes, not by two", answer.primaries);
        Ok(answer.context)
    }

    fn failed(&self, what: &str, status: &tonic::Status) -> anyhow::Error {
        anyhow!("the {what} through {} failed: {}", self.node, status.message())
    }
}

/// Names for those who write: an actor is random, and new with every start of a node.
#[derive(Default)]
pub(super) struct Writers {
    names: BTreeMap<String, String>,
}

impl Writers {
    /// What a context covers, as a vector clock with names; an actor seen for the first time wrote through this node.
    pub(super) fn clock(&mut self, context: &Bytes, through: &str) -> Result<String> {
        let seen = peek(context).context("the context cannot be read")?;
        let vector = seen.vector().iter().map(|(actor, seq)| (*actor, *seq));
        let dots = seen.cloud().iter().map(|dot| (dot.actor, dot.seq));
        let mut entries: Vec<String> = Vec::new();
        for (actor, seq) in vector.chain(dots) {
            entries.push(format!("{}:{seq}", self.name(&actor.to_string(), through)));
        }
        entries.sort();
        Ok(format!("{{{}}}", entries.join(", ")))
    }

    fn name(&mut self, actor: &str, through: &str) -> String {
        if let Some(name) = self.names.get(actor) {
            return name.clone();
        }
        let mut name = through.to_owned();
        // A second life of the same node.
        while self.names.values().any(|used| *used == name) {
            name.push('\'');
        }
        self.names.insert(actor.to_owned(), name.clone());
        name
    }
}

pub(super) fn items<const N: usize>(names: [&str; N]) -> Items {
    names.into_iter().map(str::to_owned).collect()
}

pub(super) fn show(items: &Items) -> String {
    format!("[{}]", items.iter().cloned().collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that meets the unexpected stops there")]
mod tests {
    use quorate_protocol::id::{ActorId, BucketId, ClusterId};
    use quorate_protocol::version::{Context, TokenKey};

    use super::*;

    #[test]
    fn writers_get_the_name_of_their_node() {
        let key = TokenKey::new(ClusterId(1), None);
        let mut writers = Writers::default();
        let mut context = Context::default();
        let token = |context: &Context| key.seal(BucketId(1), b"k", context);
        context.advance_vector(ActorId(9), 1);
        assert_eq!(writers.clock(&token(&context), "node-1").unwrap(), "{node-1:1}");
        context.advance_vector(ActorId(5), 2);
        assert_eq!(writers.clock(&token(&context), "node-2").unwrap(), "{node-1:1, node-2:2}");
        context.advance_vector(ActorId(7), 1);
        assert_eq!(writers.clock(&token(&context), "node-1").unwrap(), "{node-1':1, node-1:1, node-2:2}");
        assert_eq!(writers.clock(&Bytes::new(), "node-1").unwrap(), "{}");
    }
}
