//! The document that describes the surface, generated from the handlers.

use axum::Extension;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use utoipa::openapi::OpenApi;
use utoipa::{IntoParams, ToSchema};

/// The document as it is served.
#[derive(Clone, Debug)]
pub(super) struct Document(pub(super) Bytes);

/// The key in a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "it is there for the document: keys are read from the path as it was sent")]
pub(super) struct Key {
    /// 1 byte at least; percent-decoded once. Slashes may stand as they are.
    key: String,
}

/// What a read takes.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it is there for the document: parameters come from query and body alike")]
pub(super) struct ReadParameters {
    /// How many of the owners count: 1 to the bucket's n, which is the default.
    #[param(minimum = 1)]
    n: Option<u32>,
    /// How many must answer: 1 to n.
    #[param(minimum = 1)]
    r: Option<u32>,
    /// How many of those that answer must be primaries: 0 to n.
    pr: Option<u32>,
    /// Whether other nodes stand in for owners that cannot be reached: `strict` or `sloppy`; without, as the bucket says.
    mode: Option<String>,
    /// How long it may take, in milliseconds: 1 to the node's bound.
    #[param(minimum = 1)]
    timeout_ms: Option<u64>,
}

/// What a put takes beside that.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it is there for the document: parameters come from query and body alike")]
pub(super) struct TtlParameter {
    /// How long the value is shown, in milliseconds: at most ten years; 0: until it is replaced, whatever the bucket says;
    /// without: as the bucket says.
    ttl_ms: Option<u64>,
}

/// What a put or delete takes.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it is there for the document: parameters come from query and body alike")]
pub(super) struct WriteParameters {
    /// How many of the owners count: 1 to the bucket's n, which is the default.
    #[param(minimum = 1)]
    n: Option<u32>,
    /// Of a delete without context: how many must answer its read, 1 to n.
    #[param(minimum = 1)]
    r: Option<u32>,
    /// How many must acknowledge: 1 to n.
    #[param(minimum = 1)]
    w: Option<u32>,
    /// How many of those that answer its read must be primaries: 0 to n.
    pr: Option<u32>,
    /// How many of those that acknowledge must be primaries: 0 to n.
    pw: Option<u32>,
    /// Whether other nodes stand in for owners that cannot be reached: `strict` or `sloppy`; without, as the bucket says.
    mode: Option<String>,
    /// How long it may take, in milliseconds: 1 to the node's bound.
    #[param(minimum = 1)]
    timeout_ms: Option<u64>,
    /// What the client has seen of the key: a context that an answer gave.
    context: Option<String>,
}

/// What a listing takes.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it is there for the document")]
pub(super) struct ListParameters {
    /// How many of the owners count: 1 to the bucket's n, which is the default.
    #[param(minimum = 1)]
    n: Option<u32>,
    /// How many must answer: 1 to n.
    #[param(minimum = 1)]
    r: Option<u32>,
    /// How many of those that answer must be primaries: 0 to n.
    pr: Option<u32>,
    /// Whether other nodes stand in for owners that cannot be reached: `strict` or `sloppy`; without, as the bucket says.
    mode: Option<String>,
    /// How long the page may take, in milliseconds: 1 to the node's bound.
    #[param(minimum = 1)]
    timeout_ms: Option<u64>,
    /// Where to go on: what the page before gave.
    cursor: Option<String>,
    /// The most keys on the page.
    #[param(minimum = 1)]
    limit: Option<u32>,
}

/// Parameters in a body.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is there for the document: parameters come from query and body alike")]
pub(super) struct Quorums {
    /// How many of the owners count.
    #[schema(minimum = 1)]
    n: Option<u32>,
    /// How many must answer a read.
    #[schema(minimum = 1)]
    r: Option<u32>,
    /// How many must acknowledge a write.
    #[schema(minimum = 1)]
    w: Option<u32>,
    /// How many of those that answer must be primaries.
    pr: Option<u32>,
    /// How many of those that acknowledge must be primaries.
    pw: Option<u32>,
    /// Whether other nodes stand in for owners that cannot be reached: `strict` or `sloppy`; without, as the bucket says.
    mode: Option<String>,
    /// How long it may take, in milliseconds.
    #[schema(minimum = 1)]
    timeout_ms: Option<u64>,
    /// What the client has seen of the key.
    context: Option<String>,
}

/// A value with its parameters.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is there for the document: the value is kept as it was sent")]
pub(super) struct PutBody {
    /// Any JSON value, kept byte for byte; `null` is one.
    #[schema(required = true)]
    value: serde_json::Value,
    /// How long the value is shown, in milliseconds; 0: until it is replaced; absent: as the bucket says.
    ttl_ms: Option<u64>,
    /// Parameters, beside the value.
    #[serde(flatten)]
    #[schema(inline)]
    parameters: Quorums,
}

/// A value as it is.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "it is there for the document: the value is kept as it was sent")]
pub(super) struct Octets(Vec<u8>);

/// The document of the whole surface.
pub fn document() -> OpenApi {
    finished(super::router::routes().into_openapi())
}

/// The router's paths are not quite those of the document: where one takes the rest of a path, the other just has a name.
pub(super) fn finished(mut document: OpenApi) -> OpenApi {
    document.info.title = "Quorate".into();
    document.info.description = Some("A replicated key-value store that shows concurrent writes.".into());
    document.info.version = env!("CARGO_PKG_VERSION").into();
    let paths = std::mem::take(&mut document.paths.paths);
    document.paths.paths = paths.into_iter().map(|(path, item)| (path.replace("{*", "{"), item)).collect();
    document
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "node",
    responses((status = 200, description = "The document", body = Object, content_type = "application/json")))]
pub(super) async fn openapi(Extension(Document(text)): Extension<Document>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_there_once_and_well_named() {
        let document = serde_json::to_value(document()).expect("it serializes");
        let paths = document["paths"].as_object().expect("it has paths");
        let operations: Vec<String> = paths
            .iter()
            .flat_map(|(path, item)| {
                let methods = item.as_object().expect("a path has methods").keys();
                methods.map(move |method| format!("{method} {path}"))
            })
            .collect();
        let mut expected = [
            "delete /buckets/{bucket}/kv/{key}",
            "delete /kv/{key}",
            "get /buckets",
            "get /buckets/{bucket}/keys",
            "get /buckets/{bucket}/kv/{key}",
            "get /healthz",
            "get /kv/{key}",
            "get /metrics",
            "get /openapi.json",
            "get /readyz",
            "put /buckets/{bucket}/kv/{key}",
            "put /kv/{key}",
        ];
        expected.sort_by_key(|operation| operation.split_once(' ').map(|(method, path)| (path, method)));
        assert_eq!(operations, expected);
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = serde_json::to_value(document()).expect("it serializes");
        let text = document.to_string();
        let mut references: Vec<&str> = text
            .split("\"$ref\":\"#/components/schemas/")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        references.sort_unstable();
        references.dedup();
        assert!(references.contains(&"ErrorAnswer"), "{references:?}");
        for reference in references {
            assert!(document["components"]["schemas"][reference].is_object(), "{reference}");
        }
        assert!(text.contains("\"quorum_unavailable\""), "the codes are listed");
        assert_eq!(document["components"]["schemas"]["Octets"]["format"], "binary");
    }
}
