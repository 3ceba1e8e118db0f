//! The side of a link that was dialed.

use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, StreamExt as _};
use quorate_proto::peer::v1::Frame;
use quorate_proto::peer::v1::peer_server::{Peer, PeerServer};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

use super::registry::queue;
use super::{PING_INTERVAL, PING_TIMEOUT, Shared, hello, link};

/// The largest frame: a chunk and what is around it.
pub(super) const FRAME_BYTES_MAX: usize = 8 << 20;

struct Service {
    shared: Arc<Shared>,
}

#[tonic::async_trait]
impl Peer for Service {
    type LinkStream = Pin<Box<dyn Stream<Item = Result<Frame, Status>> + Send>>;

    async fn link(&self, request: Request<Streaming<Frame>>) -> Result<Response<Self::LinkStream>, Status> {
        let mut incoming = request.into_inner();
        let first = incoming.message().await?;
        let who = hello::check(&self.shared, first, false)
            .map_err(|mismatch| Status::failed_precondition(mismatch.to_string()))?;
        if self.shared.registry.faults().is_cut(who.node) {
            return Err(Status::unavailable("an injected fault cuts the two off from each other"));
        }
        let (queue, queue_end) = queue();
        let registered = self.shared.registry.register(self.shared.node, who, queue).ok_or_else(|| {
            Status::already_exists("there is a link between the two already, dialed from the other side")
        })?;
        tokio::spawn(link::read(self.shared.clone(), who.node, registered, incoming));
        let frames =
            link::outgoing(hello::own(&self.shared), queue_end, self.shared.registry.faults().clone());
        Ok(Response::new(Box::pin(frames.map(Ok))))
    }
}

/// Takes links until told to stop.
pub(super) async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    mut shutdown: watch::Receiver<bool>,
) -> Result<(), tonic::transport::Error> {
    let service = PeerServer::new(Service { shared }).max_decoding_message_size(FRAME_BYTES_MAX);
    Server::builder()
        .http2_keepalive_interval(Some(PING_INTERVAL))
        .http2_keepalive_timeout(Some(PING_TIMEOUT))
        .initial_stream_window_size(8 << 20)
        .initial_connection_window_size(16 << 20)
        .add_service(service)
        .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), async move {
            let _ = shutdown.wait_for(|stop| *stop).await;
        })
        .await
}
