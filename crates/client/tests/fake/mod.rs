//! Nodes that speak the wire format in this process, do as told, and remember what they were asked.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use quorate_proto::convert::layout::layout_to_wire;
use quorate_proto::convert::status::status_with_error;
use quorate_proto::v1::admin_server::{Admin, AdminServer};
use quorate_proto::v1::kv_server::{Kv, KvServer};
use quorate_proto::v1::operation_error::Code as ErrorCode;
use quorate_proto::v1::request::Operation;
use quorate_proto::v1::response::Result as Answer;
use quorate_proto::v1::*;
use quorate_protocol::id::{ClusterId, NodeId};
use quorate_protocol::layout;
use tokio::runtime::Runtime;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Code, Request, Response, Status, Streaming};

/// What a node does with the next operation instead of carrying it out.
#[derive(Clone)]
pub(crate) enum Order {
    /// Carries it out and answers with this error.
    DoAndFail(OperationError),
    /// Answers with this error.
    Fail(OperationError),
    /// Takes it and never answers.
    Hang,
    /// Carries it out and breaks all connections.
    DoAndDie,
}

/// An error as a node makes it.
pub(crate) fn error(code: ErrorCode, attempted: bool) -> OperationError {
    OperationError { code: code.into(), message: "as ordered".into(), attempted, ..Default::default() }
}

/// An operation that a node was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) node: usize,
    pub(crate) operation: Operation,
}

#[derive(Default)]
struct Shared {
    values: Mutex<BTreeMap<Bytes, (Bytes, u64)>>,
    seen: Mutex<Vec<Seen>>,
    orders: Mutex<Vec<VecDeque<Order>>>,
    /// Session messages received.
    messages: AtomicU64,
    addresses: Mutex<Vec<String>>,
    layout: Mutex<Option<layout::Layout>>,
}

/// A cluster of such nodes over one map of values.
pub(crate) struct Fake {
    shared: Arc<Shared>,
    nodes: Vec<Option<Runtime>>,
}

fn member(node: usize) -> layout::Member {
    layout::Member {
        node: NodeId(node as u64 + 1),
        name: format!("node-{node}"),
        peer_address: "127.0.0.1:1".into(),
        zone: String::new(),
        weight: 1,
    }
}

impl Fake {
    pub(crate) fn start(nodes: usize) -> Self {
        Self::start_with(nodes, nodes as u32)
    }

    /// The node leaves: all others hold the layout in which it is no member.
    pub(crate) fn remove(&self, node: usize) {
        let mut held = self.shared.layout.lock().unwrap();
        let alteration = layout::Alteration { remove: vec![member(node).node], ..Default::default() };
        let begun = held.as_ref().unwrap().ordered(&layout::Order::Alter(alteration)).unwrap();
        *held = begun.advanced().and_then(|handing_over| handing_over.advanced());
    }

    /// With so many owners of each key.
    pub(crate) fn start_with(nodes: usize, n: u32) -> Self {
        let settings = layout::Bootstrap {
            cluster: ClusterId(1),
            partitions: 8,
            n,
            r: 1,
            w: 1,
            members: (0..nodes).map(member).collect(),
            buckets: Vec::new(),
        };
        let shared = Shared::default();
        *shared.layout.lock().unwrap() = Some(layout::Layout::first(&settings).unwrap());
        *shared.orders.lock().unwrap() = vec![VecDeque::new(); nodes];
        let mut fake = Self { shared: Arc::new(shared), nodes: (0..nodes).map(|_| None).collect() };
        for node in 0..nodes {
            let address = fake.serve(node, "127.0.0.1:0".parse().unwrap());
            fake.shared.addresses.lock().unwrap().push(address.to_string());
        }
        fake
    }

    fn serve(&mut self, node: usize, address: SocketAddr) -> SocketAddr {
        // A runtime of its own: shutting it down cuts its connections, as the death of a process does.
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let service = Service { node, shared: self.shared.clone() };
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            tonic::transport::Server::builder()
                .add_service(KvServer::new(service.clone()))
                .add_service(AdminServer::new(service))
                .serve_with_incoming(TcpListenerStream::new(listener))
                .await
                .unwrap();
        });
        self.nodes[node] = Some(runtime);
        address
    }

    pub(crate) fn kill(&mut self, node: usize) {
        let runtime = self.nodes[node].take().unwrap();
        // On another thread, for a runtime's end may not be waited for within a runtime; and waited for it is, so that the
        // port is free again.
        std::thread::spawn(|| runtime.shutdown_timeout(Duration::from_secs(20))).join().unwrap();
    }

    /// Something takes connections there, and never says a word.
    pub(crate) fn fall_silent(&mut self, node: usize) -> std::net::TcpListener {
        self.kill(node);
        let address = self.shared.addresses.lock().unwrap()[node].clone();
        std::net::TcpListener::bind(address).unwrap()
    }

    pub(crate) fn revive(&mut self, node: usize) {
        let address = self.shared.addresses.lock().unwrap()[node].parse().unwrap();
        self.serve(node, address);
    }

    pub(crate) fn endpoints(&self) -> Vec<String> {
        self.shared.addresses.lock().unwrap().clone()
    }

    pub(crate) fn order(&self, node: usize, order: Order) {
        self.shared.orders.lock().unwrap()[node].push_back(order);
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    pub(crate) fn session_messages(&self) -> u64 {
        self.shared.messages.load(Ordering::Relaxed)
    }

    pub(crate) fn raise_epoch(&self) {
        let mut layout = self.shared.layout.lock().unwrap();
        layout.as_mut().unwrap().epoch.0 += 1;
    }

    pub(crate) fn forget_layout(&self) {
        *self.shared.layout.lock().unwrap() = None;
    }

    /// A key's owners, the preferred first.
    pub(crate) fn owners(&self, key: &[u8]) -> Vec<usize> {
        let layout = self.shared.layout.lock().unwrap();
        let layout = layout.as_ref().unwrap();
        let bucket = layout.bucket("").unwrap().id;
        let owners = layout.owners(layout.partition_of(bucket, key)).iter();
        owners.map(|owner| owner.0 as usize - 1).collect()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        for node in self.nodes.iter_mut().filter_map(Option::take) {
            node.shutdown_background();
        }
    }
}

#[derive(Clone)]
struct Service {
    node: usize,
    shared: Arc<Shared>,
}

impl Service {
    /// An error ends the session's stream.
    async fn run(&self, operation: Operation) -> Result<Answer, Status> {
        self.shared.seen.lock().unwrap().push(Seen { node: self.node, operation: operation.clone() });
        let order = self.shared.orders.lock().unwrap()[self.node].pop_front();
        match order {
            None => Ok(self.carry_out(operation)),
            Some(Order::Fail(error)) => Ok(Answer::Error(error)),
            Some(Order::DoAndFail(error)) => {
                self.carry_out(operation);
                Ok(Answer::Error(error))
            }
            Some(Order::Hang) => std::future::pending().await,
            Some(Order::DoAndDie) => {
                self.carry_out(operation);
                Err(Status::unavailable("gone"))
            }
        }
    }

    fn carry_out(&self, operation: Operation) -> Answer {
        let epoch = self.shared.layout.lock().unwrap().as_ref().unwrap().epoch.0;
        let mut values = self.shared.values.lock().unwrap();
        let context = |version: u64| Bytes::copy_from_slice(&version.to_be_bytes());
        match operation {
            Operation::Get(get) => {
                let found = values.get(&get.key);
                Answer::Get(GetResponse {
                    siblings: found
                        .map(|(value, seq)| Sibling {
                            value: value.clone(),
                            content_type: "text/plain".into(),
                            dot: Some(Dot { actor: 1, seq: *seq }),
                            expires_at_ms: None,
                        })
                        .into_iter()
                        .collect(),
                    context: found.map_or(Bytes::new(), |(_, version)| context(*version)),
                    primaries: 1,
                    fallbacks: 0,
                    epoch,
                })
            }
            Operation::Put(put) => {
                let version = values.get(&put.key).map_or(1, |(_, version)| version + 1);
                values.insert(put.key, (put.value, version));
                Answer::Put(PutResponse { context: context(version), primaries: 1, fallbacks: 0, epoch })
            }
            Operation::Delete(delete) => {
                values.remove(&delete.key);
                Answer::Delete(DeleteResponse {
                    context: Bytes::from_static(b"deleted"),
                    primaries: 1,
                    fallbacks: 0,
                    epoch,
                })
            }
        }
    }
}

/// A failed operation as the status of a unary call.
fn status(error: OperationError) -> Status {
    status_with_error(Code::Unavailable, error.message.clone(), &error)
}

#[tonic::async_trait]
impl Kv for Service {
    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        match self.run(Operation::Get(request.into_inner())).await? {
            Answer::Get(get) if get.siblings.is_empty() => Err(status(OperationError {
                context: Bytes::from_static(b"seen"),
                ..error(ErrorCode::NotFound, false)
            })),
            Answer::Get(get) => Ok(Response::new(get)),
            Answer::Error(error) => Err(status(error)),
            _ => unreachable!(),
        }
    }

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        match self.run(Operation::Put(request.into_inner())).await? {
            Answer::Put(put) => Ok(Response::new(put)),
            Answer::Error(error) => Err(status(error)),
            _ => unreachable!(),
        }
    }

    async fn delete(&self, request: Request<DeleteRequest>) -> Result<Response<DeleteResponse>, Status> {
        match self.run(Operation::Delete(request.into_inner())).await? {
            Answer::Delete(delete) => Ok(Response::new(delete)),
            Answer::Error(error) => Err(status(error)),
            _ => unreachable!(),
        }
    }

    async fn batch(&self, _: Request<BatchRequest>) -> Result<Response<BatchResponse>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }

    async fn keys(&self, request: Request<KeysRequest>) -> Result<Response<KeysResponse>, Status> {
        let request = request.into_inner();
        let values = self.shared.values.lock().unwrap();
        let after = values.keys().filter(|key| **key > request.cursor);
        let keys: Vec<Bytes> = after.take(request.limit as usize).cloned().collect();
        let cursor = keys.last().cloned().unwrap_or_default();
        Ok(Response::new(KeysResponse { keys, cursor }))
    }

    type SessionStream = Pin<Box<dyn Stream<Item = Result<SessionResponse, Status>> + Send>>;

    async fn session(
        &self,
        request: Request<Streaming<SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let mut requests = request.into_inner();
        let (answers, stream) = tokio::sync::mpsc::channel(16);
        let service = self.clone();
        tokio::spawn(async move {
            while let Some(Ok(message)) = requests.next().await {
                service.shared.messages.fetch_add(1, Ordering::Relaxed);
                // The last first, for answers come in any order.
                for request in message.requests.into_iter().rev() {
                    let (service, answers) = (service.clone(), answers.clone());
                    tokio::spawn(async move {
                        let result = service.run(request.operation.unwrap()).await;
                        let id = request.id;
                        let message = result.map(|result| SessionResponse {
                            responses: vec![quorate_proto::v1::Response { id, result: Some(result) }],
                        });
                        let _ = answers.send(message).await;
                    });
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

#[tonic::async_trait]
impl Admin for Service {
    async fn bootstrap(&self, _: Request<BootstrapRequest>) -> Result<Response<BootstrapResponse>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }

    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }

    async fn repair(&self, _: Request<RepairRequest>) -> Result<Response<RepairResponse>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }

    async fn get_layout(&self, _: Request<GetLayoutRequest>) -> Result<Response<GetLayoutResponse>, Status> {
        let layout = self.shared.layout.lock().unwrap();
        let layout = layout.as_ref().ok_or_else(|| Status::failed_precondition("not bootstrapped"))?;
        let addresses = self.shared.addresses.lock().unwrap();
        let peer = |(node, address): (usize, &String)| Peer {
            node_id: node as u64 + 1,
            grpc_address: address.clone(),
            ..Default::default()
        };
        Ok(Response::new(GetLayoutResponse {
            layout: Some(layout_to_wire(layout)),
            addresses: addresses.iter().enumerate().map(peer).collect(),
        }))
    }

    async fn change_layout(
        &self,
        _: Request<ChangeLayoutRequest>,
    ) -> Result<Response<ChangeLayoutResponse>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }

    async fn create_bucket(
        &self,
        _: Request<CreateBucketRequest>,
    ) -> Result<Response<ChangeLayoutResponse>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }

    async fn alter_bucket(
        &self,
        _: Request<AlterBucketRequest>,
    ) -> Result<Response<ChangeLayoutResponse>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }

    async fn drop_bucket(
        &self,
        _: Request<DropBucketRequest>,
    ) -> Result<Response<ChangeLayoutResponse>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }

    async fn list_buckets(
        &self,
        _: Request<ListBucketsRequest>,
    ) -> Result<Response<ListBucketsResponse>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }

    async fn inject_faults(
        &self,
        _: Request<InjectFaultsRequest>,
    ) -> Result<Response<InjectFaultsResponse>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }
    async fn drain(&self, _: Request<DrainRequest>) -> Result<Response<DrainResponse>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }
}
