//! The client: unary calls, each to an owner of its key.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quorate_proto::convert::status::error_of_status;
use quorate_proto::v1;
use quorate_proto::v1::operation_error::Code;
use quorate_proto::v1::request::Operation;
use quorate_proto::v1::response::Result as Answer;
use quorate_protocol::id::PartitionId;
use quorate_protocol::layout::Layout;
use thiserror::Error;

use crate::attempt::{self, Attempt, Failed};
use crate::budget::RetryOptions;
use crate::cluster::{self, Cluster, Links, NoLayout};
use crate::error::{Error, Reason};
use crate::link::{self, Link};
use crate::operation::{Delete, Found, Get, KeysPage, ListKeys, Put, Written};
use crate::session::Session;
use crate::wire;

/// How much longer than its node an operation is waited for: the node's own verdict is worth more than "no answer".
pub(crate) const GRACE: Duration = Duration::from_millis(500);
/// The longest that a node gives an operation.
const TIMEOUT_MAX: Duration = Duration::from_secs(60);

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
                quorum: wire::quorum(list.quorum),
                timeout_ms: 0,
            },
        };
        let deadline = deadline(&self.cluster, timeout);
        let answer = attempt::run(&self.cluster, partition, deadline, &mut attempt).await?;
        Ok(KeysPage { keys: answer.keys, next: (!answer.cursor.is_empty()).then_some(answer.cursor) })
    }

    async fn unary(&self, operation: Operation, timeout: Option<Duration>) -> Result<Answer, Error> {
        let mut attempt = UnaryOperation { operation };
        run_operation(&self.cluster, timeout, &mut attempt).await
    }
}

/// An attempt that carries one of the operations that sessions know.
pub(crate) trait OperationAttempt: Attempt<Answer = Answer> {
    fn operation(&self) -> &Operation;
}

/// Runs an operation at the owners of its key, and takes note of the epoch that comes back.
pub(crate) async fn run_operation(
    cluster: &Cluster,
    timeout: Option<Duration>,
    attempt: &mut impl OperationAttempt,
) -> Result<Answer, Error> {
    let (bucket, key) = match attempt.operation() {
        Operation::Get(get) => (&get.bucket, &get.key),
        Operation::Put(put) => (&put.bucket, &put.key),
        Operation::Delete(delete) => (&delete.bucket, &delete.key),
    };
    let partition = cluster.routing().partition_of(bucket, key);
    let deadline = deadline(cluster, timeout);
    match attempt::run(cluster, partition, deadline, attempt).await {
        Ok(answer) => {
            cluster.saw_epoch(epoch_of(&answer));
            Ok(answer)
        }
        Err(Error::Indeterminate { reason, context, .. }) => {
            Err(Error::Indeterminate { reason, operation: wire::operation_id(attempt.operation()), context })
        }
        Err(error) => Err(error),
    }
}

fn deadline(cluster: &Cluster, timeout: Option<Duration>) -> Instant {
    Instant::now() + timeout.unwrap_or(cluster.options.timeout).min(TIMEOUT_MAX)
}

fn epoch_of(answer: &Answer) -> u64 {
    match answer {
        Answer::Get(get) => get.epoch,
        Answer::Put(put) => put.epoch,
        Answer::Delete(delete) => delete.epoch,
        Answer::Error(_) => 0,
    }
}

/// What an operation's failure means for trying it again; a delete learns the context that it has to carry then.
pub(crate) fn learn_from(operation: &mut Operation, failed: &Failed) {
    if let Operation::Delete(delete) = operation
        && let Error::Indeterminate { context: Some(context), .. } = &failed.error
    {
        delete.context = context.as_bytes().clone();
    }
}

/// Puts carry their operation id and take effect once; a delete without context would delete what came after it.
pub(crate) fn may_repeat_indeterminate(operation: &Operation) -> bool {
    match operation {
        Operation::Get(_) | Operation::Put(_) => true,
        Operation::Delete(delete) => !delete.context.is_empty(),
    }
}

pub(crate) fn expect_get(answer: Answer) -> Result<v1::GetResponse, Error> {
    match answer {
        Answer::Get(get) => Ok(get),
        Answer::Put(_) | Answer::Delete(_) | Answer::Error(_) => Err(Error::not_attempted(mismatch())),
    }
}

pub(crate) fn expect_put(answer: Answer) -> Result<v1::PutResponse, Error> {
    match answer {
        Answer::Put(put) => Ok(put),
        Answer::Get(_) | Answer::Delete(_) | Answer::Error(_) => Err(Error::indeterminate(mismatch())),
    }
}

pub(crate) fn expect_delete(answer: Answer) -> Result<v1::DeleteResponse, Error> {
    match answer {
        Answer::Delete(delete) => Ok(delete),
        Answer::Get(_) | Answer::Put(_) | Answer::Error(_) => Err(Error::indeterminate(mismatch())),
    }
}

fn mismatch() -> Reason {
    Reason::Protocol {
        address: "the node".into(),
        message: "the answer is to another kind of operation".into(),
    }
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

pub(crate) fn unreachable(link: &Link, message: String) -> Error {
    Error::not_attempted(Reason::Unreachable { address: link.address.clone(), message })
}

pub(crate) fn unclear(read: bool, reason: Reason) -> Error {
    if read { Error::not_attempted(reason) } else { Error::indeterminate(reason) }
}

struct UnaryOperation {
    operation: Operation,
}

impl OperationAttempt for UnaryOperation {
    fn operation(&self) -> &Operation {
        &self.operation
    }
}

impl Attempt for UnaryOperation {
    type Answer = Answer;

    async fn attempt(&mut self, link: &Arc<Link>, deadline: Instant) -> Result<Answer, Failed> {
        let read = matches!(self.operation, Operation::Get(_));
        let (channel, generation) = link.channel().await.map_err(|message| unreachable(link, message))?;
        let mut kv = link::kv(channel);
        let mut operation = self.operation.clone();
        wire::set_timeout(&mut operation, left(deadline));
        let call = async {
            match operation {
                Operation::Get(get) => match kv.get(get).await {
                    Ok(answer) => Ok(Answer::Get(answer.into_inner())),
                    Err(status) => absent(&status).map(Answer::Get).ok_or(status),
                },
                Operation::Put(put) => kv.put(put).await.map(|answer| Answer::Put(answer.into_inner())),
                Operation::Delete(delete) => {
                    kv.delete(delete).await.map(|answer| Answer::Delete(answer.into_inner()))
                }
            }
        };
        let failed = match tokio::time::timeout(left(deadline) + GRACE, call).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(status)) => wire::failed(&link.address, &status, read),
            Err(_) => no_answer(link, read).into(),
        };
        if matches!(failed.error.reason(), Reason::ConnectionLost { .. }) {
            link.drop_channel(generation).await;
        }
        learn_from(&mut self.operation, &failed);
        Err(failed)
    }

    fn may_repeat_indeterminate(&self) -> bool {
        may_repeat_indeterminate(&self.operation)
    }
}

pub(crate) fn no_answer(link: &Link, read: bool) -> Error {
    let address = link.address.clone();
    unclear(read, Reason::NoAnswer { address })
}

/// The answer to a get that comes as a status: the key has no value.
fn absent(status: &tonic::Status) -> Option<v1::GetResponse> {
    let detail = error_of_status(status)?;
    (detail.code() == Code::NotFound).then_some(v1::GetResponse {
        siblings: Vec::new(),
        context: detail.context,
        primaries: 0,
        epoch: 0,
    })
}

struct UnaryKeys {
    request: v1::KeysRequest,
}

impl Attempt for UnaryKeys {
    type Answer = v1::KeysResponse;

    async fn attempt(&mut self, link: &Arc<Link>, deadline: Instant) -> Result<v1::KeysResponse, Failed> {
        let (channel, generation) = link.channel().await.map_err(|message| unreachable(link, message))?;
        let mut request = self.request.clone();
        request.timeout_ms = wire::timeout_ms(left(deadline));
        let mut kv = link::kv(channel);
        let failed = match tokio::time::timeout(left(deadline) + GRACE, kv.keys(request)).await {
            Ok(Ok(answer)) => return Ok(answer.into_inner()),
            Ok(Err(status)) => wire::failed(&link.address, &status, true),
            Err(_) => no_answer(link, true).into(),
        };
        if matches!(failed.error.reason(), Reason::ConnectionLost { .. }) {
            link.drop_channel(generation).await;
        }
        Err(failed)
    }

    fn may_repeat_indeterminate(&self) -> bool {
        true
    }
}
