//! Clients that try everything twice, and writers that remember what was acknowledged.

use std::time::Duration;

use bytes::Bytes;
use quorate_proto::v1::kv_client::KvClient;
use quorate_proto::v1::operation_error::Code;
use quorate_proto::v1::{DeleteRequest, GetRequest, GetResponse, PutRequest, PutResponse};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::Status;
use tonic::transport::Channel;

use super::Cluster;
use super::ledger::{Ledger, lines};
use quorate_proto::convert::status::error_of_status;

/// What an operation is given by the node, and a little more by the client: a node that stands still answers nothing.
const TIMEOUT_MS: u32 = 1_500;
const CLIENT_TIMEOUT: Duration = Duration::from_millis(2_500);
/// As clients do before they try again: in the same moment the next node may not have noticed what became of the first.
const BACKOFF: Duration = Duration::from_millis(200);
/// Elements of one cart.
const CART_PUTS: u64 = 40;
/// Writers that share carts.
const CART_WRITERS: u64 = 3;

/// Connections to some nodes.
#[derive(Clone)]
pub(crate) struct Clients(Vec<KvClient<Channel>>);

impl Clients {
    pub(crate) fn of(cluster: &Cluster, nodes: impl IntoIterator<Item = usize>) -> Self {
        Self(nodes.into_iter().map(|at| cluster.nodes[at].kv()).collect())
    }

    fn at(&self, turn: usize) -> KvClient<Channel> {
        self.0[turn % self.0.len()].clone()
    }

    /// One attempt, at the first node from this one on that takes connections: where none is to be had nothing was tried.
    async fn attempt<T, F>(&self, turn: usize, call: impl Fn(KvClient<Channel>) -> F) -> Result<T, Status>
    where
        F: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        let mut last = Status::unavailable("there is no node");
        for next in 0..self.0.len() {
            match in_time(call(self.at(turn + next))).await {
                Err(status) if status.message().contains("tcp connect error") => last = status,
                answered => return answered,
            }
        }
        Err(last)
    }

    /// One attempt at one node, one more at the next. Says whether the first was enough.
    pub(crate) async fn put(&self, turn: usize, mut put: PutRequest) -> Result<(PutResponse, bool), Status> {
        put.operation_id = Bytes::copy_from_slice(&rand::random::<[u8; 16]>());
        put.timeout_ms = TIMEOUT_MS;
        let at = |mut node: KvClient<Channel>| {
            let put = put.clone();
            async move { node.put(put).await }
        };
        match self.attempt(turn, at).await {
            Ok(written) => Ok((written, true)),
            Err(first) => {
                tokio::time::sleep(BACKOFF).await;
                match self.attempt(turn + 1, at).await {
                    Ok(written) => Ok((written, false)),
                    // The last word, with what came before it.
                    Err(second) => {
                        let message = format!("{} | {}", first.message(), second.message());
                        let details = Bytes::copy_from_slice(second.details());
                        Err(Status::with_details(second.code(), message, details))
                    }
                }
            }
        }
    }

    /// None: it has no value.
    pub(crate) async fn get(&self, turn: usize, bucket: &str, key: &str) -> Result<GetResponse, Status> {
        let get = GetRequest {
            bucket: bucket.into(),
            key: Bytes::copy_from_slice(key.as_bytes()),
            timeout_ms: TIMEOUT_MS,
            ..GetRequest::default()
        };
        match in_time(self.at(turn).get(get)).await {
            Err(status) => match error_of_status(&status) {
                Some(error) if error.code() == Code::NotFound => {
                    Ok(GetResponse { context: error.context, ..GetResponse::default() })
                }
                _ => Err(status),
            },
            found => found,
        }
    }

    pub(crate) async fn delete(
        &self,
        turn: usize,
        bucket: &str,
        key: &str,
        context: Bytes,
    ) -> Result<(), Status> {
        let delete = DeleteRequest {
            bucket: bucket.into(),
            key: Bytes::copy_from_slice(key.as_bytes()),
            context,
            timeout_ms: TIMEOUT_MS,
            ..DeleteRequest::default()
        };
        let at = |mut node: KvClient<Channel>| {
            let delete = delete.clone();
            async move { node.delete(delete).await }
        };
        if self.attempt(turn, at).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(BACKOFF).await;
        self.attempt(turn + 1, at).await.map(drop)
    }
}

async fn in_time<T>(call: impl Future<Output = Result<tonic::Response<T>, Status>>) -> Result<T, Status> {
    match tokio::time::timeout(CLIENT_TIMEOUT, call).await {
        Ok(answered) => answered.map(tonic::Response::into_inner),
        Err(_) => Err(Status::deadline_exceeded("the node does not answer")),
    }
}

pub(crate) fn put(bucket: &str, key: &str, value: impl Into<Bytes>) -> PutRequest {
    let key = Bytes::copy_from_slice(key.as_bytes());
    PutRequest { bucket: bucket.into(), key, value: value.into(), ..PutRequest::default() }
}

/// Writers at work until they are stopped.
pub(crate) struct Load {
    stop: watch::Sender<bool>,
    writers: JoinSet<Ledger>,
}

impl Load {
    /// A third of the writers put new keys, a third keeps carts (reads one, adds to all siblings at once, several writers to
    /// each), a third deletes what it has put.
    pub(crate) fn start(clients: &Clients, bucket: &str, writers: u64, name: &str) -> Self {
        let (stop, stopping) = watch::channel(false);
        let mut set = JoinSet::new();
        for id in 0..writers {
            let (clients, bucket, stopping) = (clients.clone(), bucket.to_owned(), stopping.clone());
            let writer = Writer { id, name: name.to_owned(), bucket, clients, ledger: Ledger::default() };
            set.spawn(writer.run(stopping));
        }
        Self { stop, writers: set }
    }

    /// Stops them, and returns what they were told.
    pub(crate) async fn stop(mut self) -> Ledger {
        self.stop.send_replace(true);
        let mut all = Ledger::default();
        while let Some(ledger) = self.writers.join_next().await {
            all.add(ledger.expect("a writer ends"));
        }
        all
    }
}

struct Writer {
    id: u64,
    name: String,
    bucket: String,
    clients: Clients,
    ledger: Ledger,
}

impl Writer {
    async fn run(mut self, stopping: watch::Receiver<bool>) -> Ledger {
        for number in 0.. {
            if *stopping.borrow() {
                break;
            }
            let turn = (self.id + number) as usize;
            match self.id % 3 {
                0 => self.put_new(turn, number).await,
                1 => self.add_to_cart(turn, number).await,
                _ => self.put_and_delete(turn, number).await,
            }
        }
        self.ledger
    }

    async fn put_new(&mut self, turn: usize, number: u64) {
        let key = format!("{}-new-{}-{number}", self.name, self.id);
        let done = self.clients.put(turn, put(&self.bucket, &key, key.clone())).await;
        if self.ledger.put(done).is_some() {
            self.ledger.expect(&self.bucket, &key, &key);
        }
    }

    async fn add_to_cart(&mut self, turn: usize, number: u64) {
        let group = self.id / 3 / CART_WRITERS;
        let key = format!("{}-cart-{group}-{}", self.name, number / CART_PUTS);
        let Ok(found) = self.clients.get(turn, &self.bucket, &key).await else { return };
        let mut cart = lines(&found);
        let line = format!("{}-{number}", self.id);
        cart.insert(line.clone());
        let value = cart.into_iter().collect::<Vec<_>>().join("\n");
        let request = PutRequest { context: found.context, ..put(&self.bucket, &key, value) };
        let done = self.clients.put(turn, request).await;
        if self.ledger.put(done).is_some() {
            self.ledger.expect(&self.bucket, &key, &line);
        }
    }

    async fn put_and_delete(&mut self, turn: usize, number: u64) {
        let key = format!("{}-gone-{}-{number}", self.name, self.id);
        let done = self.clients.put(turn, put(&self.bucket, &key, key.clone())).await;
        // After a second attempt the first may still be on its way, and would be a write of its own.
        let Some((written, true)) = self.ledger.put(done) else { return };
        match self.clients.delete(turn, &self.bucket, &key, written.context).await {
            Ok(()) => {
                self.ledger.acknowledged += 1;
                self.ledger.absent.insert((self.bucket.clone(), key));
            }
            Err(status) => self.ledger.failures.push(format!("{:?}: {}", status.code(), status.message())),
        }
    }
}
