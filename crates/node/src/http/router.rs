//! The routes, and the server behind them.

use std::future::Future;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::serve::ListenerExt as _;
use axum::{Extension, Router};
use tokio::net::TcpListener;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::{ApiError, Code};
use super::openapi::Document;
use super::{HttpState, buckets, health, key, keys, kv, openapi};

/// All routes, with what the document says of them.
pub(super) fn routes() -> OpenApiRouter<HttpState> {
    OpenApiRouter::default()
        .routes(routes!(kv::put_key, kv::get_key, kv::delete_key))
        .routes(routes!(kv::put_key_in_bucket, kv::get_key_in_bucket, kv::delete_key_in_bucket))
        .routes(routes!(buckets::list_buckets))
        .routes(routes!(keys::list_keys))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
        .routes(routes!(openapi::openapi))
}

/// The surface as a service.
pub fn router(state: HttpState) -> Router {
    let (router, document) = routes().split_for_parts();
    let text = serde_json::to_vec(&openapi::finished(document)).unwrap_or_default();
    router
        .fallback(no_such_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(Extension(Document(text.into())))
        .with_state(state)
}

/// Serves until `shutdown` is done, then finishes the requests that are under way.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let listener = listener.tap_io(|stream| {
        // Answers are small and waited for. A connection that is already gone needs no setting.
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await
}

/// The router knows no path whose key is empty; the client is told that rather than that there is no such route.
async fn no_such_route(State(state): State<HttpState>, request: Request) -> Response {
    let content_type = request.headers().get(CONTENT_TYPE);
    if content_type.is_some_and(|name| name.as_bytes().starts_with(b"application/grpc")) {
        // For who has taken this port for the one beside it: in gRPC, or it would be shown as garbage.
        let text = format!("this port speaks HTTP and JSON; this node takes gRPC at {}", state.grpc_address);
        return tonic::Status::unimplemented(text).into_http::<Body>();
    }
    let path = request.uri().path();
    if let Some(Err(error)) = key::address(path) {
        return error.into_response();
    }
    let path: String = path.chars().take(100).collect();
    let message = format!("there is no route {path}; /openapi.json lists all");
    ApiError::new(Code::NoSuchRoute, message).into_response()
}

async fn method_not_allowed(request: Request) -> Response {
    let message = format!("{} is not for this route; /openapi.json lists what is", request.method());
    ApiError::new(Code::MethodNotAllowed, message).into_response()
}
