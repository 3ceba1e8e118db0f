//! The client: unary calls, each to an owner of its key.

use std::sync::Arc;
use std::time::Duration;

use quorate_proto::v1;
use quorate_proto::v1::request::Operation;
use quorate_proto::v1::response::Result as Answer;
use quorate_protocol::id::PartitionId;
use quorate_protocol::layout::Layout;
use thiserror::Error;

use crate::attempt;
use crate::budget::RetryOptions;
use crate::cluster::{self, Cluster, Links, NoLayout};
use crate::error::Error;
use crate::link;
use crate::operate::{self, deadline, expect_delete, expect_get, expect_put};
use crate::operation::{Delete, Found, Get, KeysPage, ListKeys, Put, Written};
use crate::session::Session;
use crate::unary::{UnaryKeys, UnaryOperation};
use crate::wire;

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// For operations that name no time of their own, retries included.
    pub timeout: Duration,
    /// For a connection to be made.
    pub connect_timeout: Duration,
    /// Bounds on retries.
    pub retries: RetryOptions,
    /// Operations of one session that are under way at once; more wait for their turn.
    pub session_in_flight: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(1),
            retries: RetryOptions::default(),
            session_in_flight: 1024,
        }
    }
}

/// Why there is no client.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectError {
    /// There was no endpoint to start from.
    #[error("no endpoint is given")]
    NoEndpoints,
    /// An endpoint is no address.
    #[error("endpoint {endpoint:?}: {reason}")]
    InvalidEndpoint {
        /// Which.
        endpoint: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No endpoint answered with a layout.
    #[error("no node answers: {}", .attempts.join("; "))]
    Unreachable {
        /// What happened at each.
        attempts: Vec<String>,
    },
    /// The nodes answer, but belong to no cluster yet.
    #[error("the cluster is not bootstrapped")]
    NotBootstrapped,
}

/// A cluster's client. Cheap to clone; clones share connections, layout and retry budget.
#[derive(Clone, Debug)]
pub struct Client {
    cluster: Arc<Cluster>,
}

impl Client {
    /// Learns the layout from the first of these addresses (`http://host:port` or `host:port`) that answers, and
    /// from then on goes to the owners of each key.
    pub async fn connect<E: Into<String>>(
        endpoints: impl IntoIterator<Item = E>,
    ) -> Result<Self, ConnectError> {
        Self::connect_with(endpoints, Options::default()).await
    }

    /// [`connect`](Self::connect) with other than the usual options.
    pub async fn connect_with<E: Into<String>>(
        endpoints: impl IntoIterator<Item = E>,
        options: Options,
    ) -> Result<Self, ConnectError> {
        let seeds = endpoints
            .into_iter()
            .map(|endpoint| {
                let endpoint = endpoint.into();
                link::normalize(&endpoint)
                    .map_err(|reason| ConnectError::InvalidEndpoint { endpoint, reason })
            })
            .collect::<Result<Vec<_>, _>>()?;
        if seeds.is_empty() {
            return Err(ConnectError::NoEndpoints);
        }
        let links = Links::new(seeds, options.connect_timeout);
        let mut attempts = Vec::new();
        let mut all_unbootstrapped = true;
        for link in links.seeds() {
            let failed = match cluster::ask_layout(link).await {
                Ok(answer) => match links.routing(answer) {
                    Ok(routing) => {
                        return Ok(Self { cluster: Cluster::start(options, links, routing) });
                    }
                    Err(message) => message,
                },
                Err(NoLayout::NotBootstrapped) => {
                    attempts.push(format!("{}: not bootstrapped", link.address));
                    continue;
                }
                Err(NoLayout::Failed(message)) => message,
            };
            all_unbootstrapped = false;
            attempts.push(format!("{}: {failed}", link.address));
        }
        if all_unbootstrapped {
            return Err(ConnectError::NotBootstrapped);
        }
        Err(ConnectError::Unreachable { attempts })
    }

    /// Who owns what, as far as this client knows.
    pub fn layout(&self) -> Arc<Layout> {
        self.cluster.routing().layout.clone()
    }

    /// Many operations at once, over one stream per node.
    pub fn session(&self) -> Session {
        Session::new(self.cluster.clone())
    }

    /// The values of a key. An absent key is no error: it has no values.
    pub async fn get(&self, get: impl Into<Get>) -> Result<Found, Error> {
        let get = get.into();
        let timeout = get.timeout;
        let answer = self.unary(wire::get(get), timeout).await?;
        Ok(wire::found(expect_get(answer)?))
    }

    /// Stores a value in place of all that the put's context has seen.
    pub async fn put(&self, put: Put) -> Result<Written, Error> {
        let timeout = put.timeout;
        let answer = self.unary(wire::put(put), timeout).await?;
        Ok(wire::put_written(expect_put(answer)?))
    }

    /// Deletes all that the delete's context has seen; without one, all that a read shows.
    pub async fn delete(&self, delete: impl Into<Delete>) -> Result<Written, Error> {
        let delete = delete.into();
        let timeout = delete.timeout;
        let answer = self.unary(wire::delete(delete), timeout).await?;
        Ok(wire::delete_written(expect_delete(answer)?))
    }

    /// A page of a bucket's keys.
    pub async fn keys(&self, list: ListKeys) -> Result<KeysPage, Error> {
        let timeout = list.timeout;
        let first = list.partitions.as_ref().map_or(0, |partitions| partitions.start);
        let partition = PartitionId(u16::try_from(first).unwrap_or(0));
        let mut attempt = UnaryKeys {
            request: v1::KeysRequest {
                bucket: list.bucket,
                cursor: list.cursor,
                limit: list.limit,
                partitions: list
                    .partitions
                    .map(|partitions| v1::PartitionRange { first: partitions.start, end: partitions.end }),
                quorum: quorate_proto::convert::kv::quorum_to_wire(list.quorum),
                timeout_ms: 0,
            },
        };
        let deadline = deadline(&self.cluster, timeout);
        let answer = attempt::run(&self.cluster, partition, deadline, &mut attempt).await?;
        Ok(KeysPage { keys: answer.keys, next: (!answer.cursor.is_empty()).then_some(answer.cursor) })
    }

    async fn unary(&self, operation: Operation, timeout: Option<Duration>) -> Result<Answer, Error> {
        let mut attempt = UnaryOperation { operation };
        operate::run(&self.cluster, timeout, &mut attempt).await
    }
}
