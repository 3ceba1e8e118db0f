//! Bodies of requests: what they claim to be, how much of them is read, and the members of JSON ones.

use std::fmt;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use quorate_protocol::Limits;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::error::{ApiError, Code};

/// Room in a JSON body for what is not the value: parameters, a context, white space.
const JSON_SLACK_BYTES: usize = 64 << 10;
/// How many times its bound is read, and thrown away, of a body that is too large, so that a client which sends
/// first and reads then gets to see why it is refused.
const DISCARD_FACTOR: usize = 8;

/// What a body claims to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A JSON object with parameters and, of a put, the value.
    Json,
    /// The value itself.
    Raw,
}

impl Kind {
    /// Reads the content type; none is taken for JSON.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let Some(header) = headers.get(header::CONTENT_TYPE) else {
            return Ok(Self::Json);
        };
        let text = String::from_utf8_lossy(header.as_bytes());
        let (essence, parameters) = text.split_once(';').unwrap_or((&text, ""));
        let essence = essence.trim();
        let utf8 = |parameter: &str| match parameter.split_once('=') {
            Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
                value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
            }
            _ => true,
        };
        if essence.eq_ignore_ascii_case("application/octet-stream") {
            Ok(Self::Raw)
        } else if essence.eq_ignore_ascii_case("application/json") && parameters.split(';').all(utf8) {
            Ok(Self::Json)
        } else {
            let shown: String = text.chars().take(100).collect();
            let message = format!(
                "content-type: {shown:?} is not taken; application/json (in UTF-8) and, of a value to put, \
                 application/octet-stream are"
            );
            Err(ApiError::field(Code::UnsupportedContentType, "content-type", message))
        }
    }

    /// The most bytes that are read of such a body.
    fn bytes_max(self, limits: &Limits) -> usize {
        match self {
            Self::Json => limits.value_bytes / 3 * 4 + JSON_SLACK_BYTES,
            Self::Raw => limits.value_bytes,
        }
    }
}

/// Reads a whole body into memory of its own.
pub(super) async fn read(
    headers: &HeaderMap,
    body: Body,
    kind: Kind,
    limits: &Limits,
) -> Result<Bytes, ApiError> {
    let too_slow = || {
        let message = format!("the body did not arrive within {} seconds", limits.timeout.as_secs());
        ApiError::new(Code::BodyTimeout, message)
    };
    tokio::time::timeout(limits.timeout, read_all(headers, body, kind, limits))
        .await
        .unwrap_or_else(|_| Err(too_slow()))
}

async fn read_all(headers: &HeaderMap, body: Body, kind: Kind, limits: &Limits) -> Result<Bytes, ApiError> {
    let bytes_max = kind.bytes_max(limits);
    let announced = announced_bytes(headers);
    let mut stream = body.into_data_stream();
    if announced.is_some_and(|bytes| bytes > bytes_max) {
        // Who asks before sending is told now, by not being asked to go on.
        if !headers.contains_key(header::EXPECT) {
            discard(stream, bytes_max).await;
        }
        return Err(too_large(kind, bytes_max, limits));
    }
    let mut read = BytesMut::with_capacity(announced.unwrap_or(0));
    while let Some(chunk) = stream.next().await {
        let chunk =
            chunk.map_err(|error| ApiError::new(Code::Invalid, format!("the body is truncated: {error}")))?;
        if read.len() + chunk.len() > bytes_max {
            discard(stream, bytes_max).await;
            return Err(too_large(kind, bytes_max, limits));
        }
        read.extend_from_slice(&chunk);
    }
    Ok(read.freeze())
}

fn announced_bytes(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn discard(mut stream: BodyDataStream, bytes_max: usize) {
    let discarding = async {
        let mut left = bytes_max.saturating_mul(DISCARD_FACTOR);
        while let Some(Ok(chunk)) = stream.next().await
            && left > 0
        {
            left = left.saturating_sub(chunk.len());
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(2), discarding).await;
}

fn too_large(kind: Kind, bytes_max: usize, limits: &Limits) -> ApiError {
    let of = match kind {
        Kind::Json => format!("the body is larger than {bytes_max} bytes, and "),
        Kind::Raw => String::new(),
    };
    let message = format!("value: {of}at most {} bytes are taken", limits.value_bytes);
    ApiError::field(Code::TooLarge, "value", message)
}

/// The members of a JSON object, in their order and as they stand there.
#[derive(Debug)]
pub(super) struct Members<'a>(pub(super) Vec<(String, &'a RawValue)>);

impl<'a> Members<'a> {
    /// Reads a body.
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, ApiError> {
        serde_json::from_slice(body).map_err(|error| {
            let message = format!("the body is not a JSON object: {error}");
            ApiError::field(Code::Invalid, "body", message)
        })
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Collect)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn kind(content_type: &'static str) -> Result<Kind, ApiError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        Kind::of(&headers)
    }

    #[test]
    fn content_types_are_told_apart() {
        assert_eq!(Kind::of(&HeaderMap::new()), Ok(Kind::Json));
        assert_eq!(kind("application/json"), Ok(Kind::Json));
        assert_eq!(kind("Application/JSON ; Charset=\"UTF-8\""), Ok(Kind::Json));
        assert_eq!(kind("application/octet-stream"), Ok(Kind::Raw));
        for other in
            ["application/json; charset=latin1", "text/plain", "", "application/x-www-form-urlencoded"]
        {
            assert_eq!(kind(other).map_err(|error| error.code), Err(Code::UnsupportedContentType), "{other}");
        }
    }

    #[test]
    fn members_stay_as_they_stand() {
        let body = br#" {"value" : {"b":1.0, "a":[ 1e400 ]}, "w":2} "#;
        let members = Members::parse(body).expect("it is an object").0;
        let texts: Vec<_> = members.iter().map(|(name, raw)| (name.as_str(), raw.get())).collect();
        assert_eq!(texts, [("value", r#"{"b":1.0, "a":[ 1e400 ]}"#), ("w", "2")]);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for body in ["", "[]", "null", "{", "{\"value\":1", "{\"value\":1}x", "{\"value\":tru}", "\u{feff}{}"]
        {
            assert!(Members::parse(body.as_bytes()).is_err(), "{body}");
        }
        assert!(Members::parse(b"{\"value\":\"\xff\"}").is_err());
    }

    #[tokio::test]
    async fn no_more_than_the_bound_is_kept() {
        let limits = Limits { value_bytes: 10, ..Limits::default() };
        let read_raw =
            async |body: &'static str| read(&HeaderMap::new(), Body::from(body), Kind::Raw, &limits).await;
        assert_eq!(read_raw("0123456789").await, Ok(Bytes::from_static(b"0123456789")));
        assert_eq!(read_raw("0123456789a").await.map_err(|error| error.code), Err(Code::TooLarge));
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("11"));
        headers.insert(header::EXPECT, HeaderValue::from_static("100-continue"));
        let refused = read(&headers, Body::from("0123456789a"), Kind::Raw, &limits).await;
        assert_eq!(refused.map_err(|error| error.code), Err(Code::TooLarge));
    }
}
