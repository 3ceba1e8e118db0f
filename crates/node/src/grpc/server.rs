//! Listens for gRPC clients.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::{StatusCode, Version, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use quorate_proto::DESCRIPTORS;
use quorate_proto::v1::admin_server::AdminServer;
use quorate_proto::v1::kv_server::KvServer;
use quorate_protocol::layout::Layout;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::server::NamedService as _;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, health_reporter};

use super::GrpcState;
use super::admin::AdminService;
use super::kv::KvService;
use crate::draining::Draining;

/// The largest message of the data plane: a batch or a session's message carries many values.
const KV_MESSAGE_BYTES: usize = 64 << 20;
/// How much a client may send on one stream before it is read.
const STREAM_WINDOW_BYTES: u32 = 2 << 20;
/// How much a client may send on one connection before it is read.
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;
/// Calls under way on one connection.
const STREAMS_MAX: u32 = 4096;
/// How often a connection without traffic is asked whether its client is still there.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// What a stop leaves for calls under way, should whoever stops the server not end it before.
const GRACE: Duration = Duration::from_secs(15);

/// Why clients are no longer served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// What the services are could not be described.
    #[error("reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The listener or the connections failed.
    #[error("gRPC server: {0}")]
    Transport(#[from] tonic::transport::Error),
}

/// Serves gRPC clients until `shutdown` resolves; then takes nothing more and gives the calls under way a little time.
pub async fn serve(
    listener: TcpListener,
    state: GrpcState,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let (stop, stopping) = watch::channel(false);
    let (health, health_service) = health_reporter();
    let http_address: Arc<str> = state.addresses.own().http.into();
    let (layouts, draining) = (state.driver.layouts(), state.draining.clone());
    let kv = KvServer::new(KvService::new(state.clone(), stopping.clone()))
        .max_decoding_message_size(KV_MESSAGE_BYTES)
        .max_encoding_message_size(usize::MAX);
    let admin = AdminServer::new(AdminService::new(state)).max_encoding_message_size(usize::MAX);
    let router = Routes::new(kv)
        .add_service(admin)
        .add_service(health_service)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .into_axum_router()
        .layer(from_fn(move |request: Request, next: Next| {
            let http_address = http_address.clone();
            async move { if is_grpc(&request) { next.run(request).await } else { misdirected(&http_address) } }
        }));
    let server = Server::builder()
        .accept_http1(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(STREAMS_MAX)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .add_routes(Routes::from(router).prepare())
        .serve_with_incoming_shutdown(
            TcpIncoming::from(listener).with_nodelay(Some(true)),
            stopped(stopping),
        );
    tokio::select! {
        served = server => Ok(served?),
        () = live(health, layouts, draining, shutdown, stop) => Ok(()),
    }
}

/// Keeps the health service up to date, stops the server, and ends when the time for calls under way is over.
async fn live(
    mut health: HealthReporter,
    mut layouts: watch::Receiver<Option<Arc<Layout>>>,
    draining: Draining,
    shutdown: impl Future<Output = ()>,
    stop: watch::Sender<bool>,
) {
    let mut shutdown = std::pin::pin!(shutdown);
    health.set_serving::<AdminServer<AdminService>>().await;
    health.set_not_serving::<KvServer<KvService>>().await;
    let founded = async { layouts.wait_for(Option::is_some).await.is_ok() };
    let stopped = {
        let mut leaving = std::pin::pin!(async {
            tokio::select! {
                () = draining.begun() => false,
                () = &mut shutdown => true,
            }
        });
        tokio::select! {
            stopped = &mut leaving => stopped,
            // An error means that the loop has ended, which the shutdown follows.
            founded = founded => {
                if founded {
                    health.set_serving::<KvServer<KvService>>().await;
                }
                leaving.await
            }
        }
    };
    health.set_not_serving::<KvServer<KvService>>().await;
    health.set_service_status("", ServingStatus::NotServing).await;
    if !stopped {
        shutdown.await;
    }
    health.set_not_serving::<AdminServer<AdminService>>().await;
    stop.send_replace(true);
    // Who watches the health would hold the stop up: a watch ends with what it watches.
    for service in ["", KvServer::<KvService>::NAME, AdminServer::<AdminService>::NAME] {
        health.clear_service_status(service).await;
    }
    tokio::time::sleep(GRACE).await;
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

fn is_grpc(request: &Request) -> bool {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    request.version() == Version::HTTP_2
        && content_type.is_some_and(|name| name.as_bytes().starts_with(b"application/grpc"))
}

/// For who has taken this port for the one beside it.
fn misdirected(http_address: &str) -> Response {
    let text = format!("This port speaks gRPC only. This node's HTTP API is at http://{http_address}\n");
    (StatusCode::MISDIRECTED_REQUEST, text).into_response()
}
