//! The least that gRPC can be, a call each or a stream of messages: it answers with what it was asked.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::task::{Context, Poll};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use futures::Stream;
use tonic::body::Body;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::http::{Request as HttpRequest, Response as HttpResponse};
use tonic::codegen::{BoxFuture, Service};
use tonic::server::{NamedService, StreamingService, UnaryService};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

const UNARY: &str = "/quorate.bench.Echo/Echo";
const STREAM: &str = "/quorate.bench.Echo/EchoStream";
/// Large enough that a stream never waits for a window, as in the clients that are measured.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

#[derive(Clone)]
struct Echo;

impl NamedService for Echo {
    const NAME: &'static str = "quorate.bench.Echo";
}

impl UnaryService<Bytes> for Echo {
    type Response = Bytes;
    type Future = Ready<Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        ready(Ok(Response::new(request.into_inner())))
    }
}

impl StreamingService<Bytes> for Echo {
    type Response = Bytes;
    type ResponseStream = Streaming<Bytes>;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        ready(Ok(Response::new(request.into_inner())))
    }
}

impl Service<HttpRequest<Body>> for Echo {
    type Response = HttpResponse<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequest<Body>) -> Self::Future {
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(ProstCodec::<Bytes, Bytes>::default());
            Ok(if request.uri().path() == STREAM {
                grpc.streaming(Echo, request).await
            } else {
                grpc.unary(Echo, request).await
            })
        })
    }
}

/// Serves on a thread and a free port of its own, as long as this process lives.
pub(super) fn serve() -> Result<SocketAddr> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).context("listening")?;
    listener.set_nonblocking(true).context("listening")?;
    let address = listener.local_addr().context("listening")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("a runtime")?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
            let mut server = Server::builder()
                .initial_stream_window_size(STREAM_WINDOW_BYTES)
                .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
            server.add_service(Echo).serve_with_incoming(incoming).await?;
            anyhow::Ok(())
        })
    });
    Ok(address)
}

/// A connection to an echo.
#[derive(Clone)]
pub(super) struct EchoClient {
    grpc: tonic::client::Grpc<Channel>,
}

impl EchoClient {
    pub(super) async fn connect(address: SocketAddr) -> Result<Self> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?
            .tcp_nodelay(true)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        let channel = endpoint.connect().await.context("connecting to the echo")?;
        Ok(Self { grpc: tonic::client::Grpc::new(channel) })
    }

    pub(super) async fn echo(&mut self, message: Bytes) -> Result<Bytes> {
        self.grpc.ready().await.context("the echo")?;
        let path = PathAndQuery::from_static(UNARY);
        let codec = ProstCodec::<Bytes, Bytes>::default();
        Ok(self.grpc.unary(Request::new(message), path, codec).await?.into_inner())
    }

    /// Sends these messages over one stream; gives what comes back.
    pub(super) async fn stream(
        &mut self,
        messages: impl Stream<Item = Bytes> + Send + 'static,
    ) -> Result<Streaming<Bytes>> {
        self.grpc.ready().await.context("the echo")?;
        let path = PathAndQuery::from_static(STREAM);
        let codec = ProstCodec::<Bytes, Bytes>::default();
        Ok(self.grpc.streaming(Request::new(messages), path, codec).await?.into_inner())
    }
}
