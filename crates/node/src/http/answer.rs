//! Answers: contexts, clocks and values as clients see them.

use axum::Json;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use quorate_protocol::operation::{Found, Written};
use quorate_protocol::version::{ContentType, Context, Sibling, peek};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// Carries the context beside a body that has no room for it, and beside every other, too.
pub(super) const CONTEXT_HEADER: HeaderName = HeaderName::from_static("x-quorate-context");
/// Carries the vector clock, as JSON, of a value that is answered as it is.
pub(super) const CLOCK_HEADER: HeaderName = HeaderName::from_static("x-quorate-vector-clock");

/// Carries the time from which on a value that is answered as it is will not be shown.
pub(super) const EXPIRY_HEADER: HeaderName = HeaderName::from_static("x-quorate-expires-at-ms");

/// A context as text: base64url without padding.
pub(super) fn context_text(token: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(token)
}

/// Reads a context's text.
pub(super) fn read_context(text: &str) -> Option<Bytes> {
    URL_SAFE_NO_PAD.decode(text).ok().map(Bytes::from)
}

/// The context's header, when there is a context.
pub(super) fn context_headers(token: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if !token.is_empty()
        && let Ok(value) = HeaderValue::try_from(context_text(token))
    {
        headers.insert(CONTEXT_HEADER, value);
    }
    headers
}

/// A key in an answer: text where it is text.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, ToSchema)]
pub(super) struct KeyText {
    /// The key, when it is UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// The key in base64, when it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
}

impl KeyText {
    /// Of these bytes.
    pub(super) fn new(key: &[u8]) -> Self {
        match std::str::from_utf8(key) {
            Ok(text) => Self { key: Some(text.to_owned()), key_base64: None },
            Err(_) => Self { key: None, key_base64: Some(STANDARD.encode(key)) },
        }
    }
}

/// A put or delete was carried out.
#[derive(Debug, serde::Serialize, ToSchema)]
pub(super) struct WrittenAnswer {
    /// `success`
    status: &'static str,
    #[serde(flatten)]
    key: KeyText,
    /// Replicas that hold the write durably, so far, fallbacks included: at least w.
    replicas_written: u32,
    /// Those of them that own the key.
    primaries: u32,
    /// Those of them that stand in for an owner that could not be reached; sloppy mode only.
    fallbacks: u32,
    /// Covers what the request's context covered, and this write. Empty: nothing to cover.
    context: String,
}

/// The answer to a put or delete.
pub(super) fn written(key: &[u8], written: &Written) -> Response {
    let answer = WrittenAnswer {
        status: "success",
        key: KeyText::new(key),
        replicas_written: written.primaries + written.fallbacks,
        primaries: written.primaries,
        fallbacks: written.fallbacks,
        context: context_text(&written.context),
    };
    (context_headers(&written.context), Json(answer)).into_response()
}

/// A key has no value.
#[derive(Debug, serde::Serialize, ToSchema)]
pub(super) struct AbsentAnswer {
    /// `not_found`
    status: &'static str,
    #[serde(flatten)]
    key: KeyText,
    /// Of a key that was deleted: what a later write sends to say that it has seen that.
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<String>,
}

/// One value of a key, and the write that stored it. Either `value` is there, or `value_base64` and `content_type`.
#[derive(Debug, serde::Serialize, ToSchema)]
pub(super) struct SiblingAnswer<'a> {
    /// The JSON value, byte for byte as it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    value: Option<&'a RawValue>,
    /// A value that is not JSON, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    /// What the bytes are.
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
    /// From when on it is not shown any more: milliseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at_ms: Option<u64>,
    /// The write's own actor and number.
    #[schema(value_type = Object)]
    vector_clock: VectorClock,
}

/// What a read found: one value (`success`), or several that were written concurrently (`conflict`).
#[derive(Debug, serde::Serialize, ToSchema)]
pub(super) struct FoundAnswer<'a> {
    /// `success` or `conflict`
    status: &'static str,
    /// The one JSON value, byte for byte as it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    value: Option<&'a RawValue>,
    /// The several values.
    #[serde(skip_serializing_if = "Option::is_none")]
    siblings: Option<Vec<SiblingAnswer<'a>>>,
    /// Covers all that was read: a write that sends it replaces that.
    context: String,
    /// What the context says: numbers by actor, and under `dots` single writes beyond them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    vector_clock: Option<VectorClock>,
    /// From when on the one value is not shown any more: milliseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at_ms: Option<u64>,
    /// Owners of the key that answered.
    primaries: u32,
    /// Others that answered in place of an owner that could not be reached; sloppy mode only.
    fallbacks: u32,
}

/// The answer to a get.
pub(super) fn found(key: &[u8], found: &Found) -> Response {
    let context = context_text(&found.context);
    let headers = context_headers(&found.context);
    match found.siblings.as_slice() {
        [] => {
            let context = Some(context).filter(|context| !context.is_empty());
            let answer = AbsentAnswer { status: "not_found", key: KeyText::new(key), context };
            (StatusCode::NOT_FOUND, headers, Json(answer)).into_response()
        }
        [one] => {
            let clock = VectorClock(peek(&found.context).unwrap_or_default());
            let Some(value) = json_value(one) else {
                return raw(one, headers, &clock);
            };
            let answer = FoundAnswer {
                status: "success",
                value: Some(value),
                expires_at_ms: one.expiry,
                siblings: None,
                primaries: found.primaries,
                fallbacks: found.fallbacks,
                context,
                vector_clock: Some(clock),
            };
            (headers, Json(answer)).into_response()
        }
        several => {
            let siblings = Some(several.iter().map(sibling).collect());
            let answer = FoundAnswer {
                status: "conflict",
                value: None,
                expires_at_ms: None,
                siblings,
                primaries: found.primaries,
                fallbacks: found.fallbacks,
                context,
                vector_clock: None,
            };
            (headers, Json(answer)).into_response()
        }
    }
}

/// The value as JSON text. None for what is not JSON, also when it claims to be: other surfaces do not check.
fn json_value(sibling: &Sibling) -> Option<&RawValue> {
    match sibling.content_type {
        ContentType::Json => serde_json::from_slice(&sibling.value).ok(),
        ContentType::OctetStream | ContentType::Other(_) => None,
    }
}

fn sibling(sibling: &Sibling) -> SiblingAnswer<'_> {
    let value = json_value(sibling);
    let mut own = Context::default();
    own.advance_vector(sibling.dot.actor, sibling.dot.seq);
    SiblingAnswer {
        value,
        value_base64: value.is_none().then(|| STANDARD.encode(&sibling.value)),
        content_type: value.is_none().then(|| sibling.content_type.as_str()),
        expires_at_ms: sibling.expiry,
        vector_clock: VectorClock(own),
    }
}

/// The value itself. A browser must not take what somebody stored for a page of this node.
fn raw(sibling: &Sibling, mut headers: HeaderMap, clock: &VectorClock) -> Response {
    let content_type = HeaderValue::from_str(sibling.content_type.as_str())
        .unwrap_or(HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    if let Some(expiry) = sibling.expiry {
        headers.insert(EXPIRY_HEADER, HeaderValue::from(expiry));
    }
    if let Ok(text) = serde_json::to_string(clock)
        && let Ok(value) = HeaderValue::try_from(text)
    {
        headers.insert(CLOCK_HEADER, value);
    }
    (headers, Body::from(sibling.value.clone())).into_response()
}

/// A context as people read it: `{"<actor>": seq, ..., "dots": [{"actor", "seq"}, ...]}`.
#[derive(Debug)]
struct VectorClock(Context);

#[derive(serde::Serialize)]
struct DotAnswer {
    actor: String,
    seq: u64,
}

impl Serialize for VectorClock {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (actor, seq) in self.0.vector() {
            map.serialize_entry(&actor.to_string(), seq)?;
        }
        let dots: Vec<DotAnswer> = self
            .0
            .cloud()
            .iter()
            .map(|dot| DotAnswer { actor: dot.actor.to_string(), seq: dot.seq })
            .collect();
        if !dots.is_empty() {
            map.serialize_entry("dots", &dots)?;
        }
        map.end()
    }
}
