//! What a put or delete asks for, put together from path, query, headers and body.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName};
use bytes::Bytes;
use quorate_protocol::Limits;
use quorate_protocol::id::OperationId;
use quorate_protocol::operation::{Delete, Get, Operation, Put, Timed};
use quorate_protocol::version::ContentType;

use super::answer::CONTEXT_HEADER;
use super::body::{self, Kind, Members};
use super::error::ApiError;
use super::key::Address;
use super::parameters::{Given, OF_DELETES, OF_PUTS, OF_READS, Parameters};

/// Names the operation: the same on every retry.
pub(super) const IDEMPOTENCY_HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// The longest name of an operation, in bytes.
const IDEMPOTENCY_KEY_BYTES: usize = 255;

/// A put.
pub(super) async fn put(limits: &Limits, address: Address, request: Request) -> Result<Timed, ApiError> {
    let (head, body) = request.into_parts();
    let mut parameters = Parameters::of_query(OF_PUTS, limits, head.uri.query())?;
    header_context(&head.headers, &mut parameters)?;
    let operation = operation_id(&head.headers)?;
    let kind = Kind::of(&head.headers)?;
    let body = body::read(&head.headers, body, kind, limits).await?;
    let (value, content_type) = match kind {
        Kind::Raw => (body, ContentType::OctetStream),
        Kind::Json => (json_value(&body, &mut parameters)?, ContentType::Json),
    };
    let operation = Operation::Put(Put {
        bucket: address.bucket,
        key: address.key,
        value,
        content_type,
        context: parameters.context,
        operation,
        ttl: parameters.ttl,
        quorum: parameters.quorum,
    });
    Ok(Timed { operation, timeout: parameters.timeout })
}

/// A delete.
pub(super) async fn delete(limits: &Limits, address: Address, request: Request) -> Result<Timed, ApiError> {
    let parameters = with_optional_body(OF_DELETES, limits, request).await?;
    let operation = Operation::Delete(Delete {
        bucket: address.bucket,
        key: address.key,
        context: parameters.context,
        quorum: parameters.quorum,
    });
    Ok(Timed { operation, timeout: parameters.timeout })
}

/// A get.
pub(super) async fn get(limits: &Limits, address: Address, request: Request) -> Result<Timed, ApiError> {
    let parameters = with_optional_body(OF_READS, limits, request).await?;
    let operation =
        Operation::Get(Get { bucket: address.bucket, key: address.key, quorum: parameters.quorum });
    Ok(Timed { operation, timeout: parameters.timeout })
}

/// The parameters of the query and of a JSON body, should there be one.
async fn with_optional_body(
    known: &'static [&'static str],
    limits: &Limits,
    request: Request,
) -> Result<Parameters, ApiError> {
    let (head, body) = request.into_parts();
    let mut parameters = Parameters::of_query(known, limits, head.uri.query())?;
    if known.contains(&"context") {
        header_context(&head.headers, &mut parameters)?;
    }
    let body = body::read(&head.headers, body, Kind::Json, limits).await?;
    if body.is_empty() {
        return Ok(parameters);
    }
    if Kind::of(&head.headers)? == Kind::Raw {
        return Err(ApiError::field(
            super::error::Code::UnsupportedContentType,
            "content-type",
            "content-type: application/octet-stream is for values to put; here application/json is taken",
        ));
    }
    for (name, given) in Members::parse(&body)?.0 {
        parameters.set(&name, Given::Json(given))?;
    }
    Ok(parameters)
}

/// Takes the value out of a JSON body and sets the parameters beside it.
fn json_value(body: &[u8], parameters: &mut Parameters) -> Result<Bytes, ApiError> {
    let mut value = None;
    for (name, given) in Members::parse(body)?.0 {
        if name != "value" {
            parameters.set(&name, Given::Json(given))?;
        } else if value.replace(given).is_some() {
            return Err(ApiError::invalid("value", "it is given twice"));
        }
    }
    // Copied, so that what is kept of a small value is not a large body.
    value
        .map(|raw| Bytes::copy_from_slice(raw.get().as_bytes()))
        .ok_or_else(|| ApiError::invalid("value", "it is missing"))
}

fn header_context(headers: &HeaderMap, parameters: &mut Parameters) -> Result<(), ApiError> {
    match header(headers, &CONTEXT_HEADER)? {
        Some(text) => parameters.set("context", Given::Text(text)),
        None => Ok(()),
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ApiError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(ApiError::invalid(name.as_str(), "it is given twice"));
    }
    let text = std::str::from_utf8(value.as_bytes());
    text.map(Some).map_err(|_| ApiError::invalid(name.as_str(), "it is not UTF-8"))
}

/// The operation's name: what the client says, or a random one. 32 hexadecimal digits are what other surfaces call
/// it, too; any other text stands for its hash.
fn operation_id(headers: &HeaderMap) -> Result<OperationId, ApiError> {
    let name = IDEMPOTENCY_HEADER;
    let Some(text) = header(headers, &name)? else {
        return Ok(OperationId(rand::random()));
    };
    if text.is_empty() || text.len() > IDEMPOTENCY_KEY_BYTES {
        let reason = format!("{} bytes, and 1 to {IDEMPOTENCY_KEY_BYTES} are taken", text.len());
        return Err(ApiError::invalid(name.as_str(), reason));
    }
    if text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return text.parse().map_err(|_| ApiError::invalid(name.as_str(), "it is not hexadecimal"));
    }
    let mut id = [0; 16];
    // Clients share the space of names: none must be able to make one that collides with another's.
    id.copy_from_slice(&blake3::derive_key("quorate 2026 idempotency key", text.as_bytes())[..16]);
    Ok(OperationId(u128::from_le_bytes(id)))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use quorate_protocol::operation::Ttl;

    use super::*;

    fn address() -> Address {
        Address { bucket: String::new(), key: Bytes::from_static(b"k") }
    }

    async fn put_json(query: &str, body: &'static str) -> Result<Put, ApiError> {
        let request = Request::put(format!("/kv/k{query}")).body(Body::from(body)).expect("it is a request");
        match put(&Limits::default(), address(), request).await?.operation {
            Operation::Put(put) => Ok(put),
            other => panic!("{other:?} is not a put"),
        }
    }

    #[tokio::test]
    async fn values_are_taken_as_they_stand() {
        for value in
            ["null", "1.0", "123456789012345678901234567890", "\"\\u00e9 é\"", "{\"b\": 1,\n\"a\":[ ]}"]
        {
            let body = format!("{{\"w\":1, \"value\":  {value} }}");
            let put = put_json("", Box::leak(body.into_boxed_str())).await.expect("it is well-formed");
            assert_eq!(put.value, value.as_bytes());
            assert_eq!(put.content_type, ContentType::Json);
            assert_eq!((put.quorum.w, put.ttl), (Some(1), Ttl::Bucket));
        }
    }

    #[tokio::test]
    async fn a_value_expires_as_query_or_body_say() {
        let hour = Ttl::After(std::time::Duration::from_secs(3600));
        for (query, body, ttl) in [
            ("?ttl_ms=3600000", r#"{"value":1}"#, hour),
            ("", r#"{"value":1,"ttl_ms":3600000,"mode":"sloppy"}"#, hour),
            ("", r#"{"value":1,"ttl_ms":0}"#, Ttl::Never),
            ("", r#"{"value":1,"ttl_ms":null}"#, Ttl::Bucket),
        ] {
            assert_eq!(put_json(query, body).await.expect("it is well-formed").ttl, ttl, "{query} {body}");
        }
    }

    #[tokio::test]
    async fn the_same_parameter_in_query_and_body_is_one_too_many() {
        assert!(put_json("?w=1", r#"{"value":1,"r":1}"#).await.is_ok());
        for (query, body, field) in [
            ("?w=1", r#"{"value":1,"w":1}"#, "w"),
            ("", r#"{"value":1,"value":1}"#, "value"),
            ("", r#"{"w":1}"#, "value"),
            ("", r#"{"value":1,"ttl":1}"#, "ttl"),
            ("", r#"{"value":1,"ttl_ms":"1"}"#, "ttl_ms"),
            ("", r#"{"value":1,"mode":1}"#, "mode"),
            ("?ttl_ms=1", r#"{"value":1,"ttl_ms":1}"#, "ttl_ms"),
            ("", r#"{"value":1"#, "body"),
        ] {
            let error = put_json(query, body).await.expect_err(body);
            assert_eq!(error.field.as_deref(), Some(field), "{query} {body}");
        }
    }

    #[tokio::test]
    async fn a_delete_needs_no_body() {
        for (body, content_type, taken) in [
            ("", "application/x-www-form-urlencoded", true),
            (r#"{"w":2,"context":"AQ"}"#, "application/json", true),
            (r#"{"w":2}"#, "application/x-www-form-urlencoded", false),
            (r#"{"w":2}"#, "application/octet-stream", false),
            (r#"{"value":2}"#, "application/json", false),
            (r#"{"ttl_ms":2}"#, "application/json", false),
        ] {
            let request = Request::delete("/kv/k").header("content-type", content_type);
            let request = request.body(Body::from(body)).expect("it is a request");
            let result = delete(&Limits::default(), address(), request).await;
            assert_eq!(result.is_ok(), taken, "{body} {content_type}");
        }
    }

    fn id(text: &str) -> Result<OperationId, ApiError> {
        let mut headers = HeaderMap::new();
        headers.insert(IDEMPOTENCY_HEADER, text.parse().expect("it is a header's value"));
        operation_id(&headers)
    }

    #[test]
    fn operations_are_named_by_hex_or_by_hash() {
        let hex = "000102030405060708090A0B0C0D0E0F";
        assert_eq!(id(hex), Ok(OperationId(0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f)));
        assert_eq!(id("order-7"), id("order-7"));
        assert_ne!(id("order-7"), id("order-8"));
        assert!(id("").is_err());
        assert!(id(&"x".repeat(255)).is_ok());
        assert!(id(&"x".repeat(256)).is_err());
        assert_ne!(operation_id(&HeaderMap::new()), operation_id(&HeaderMap::new()));
    }

    #[test]
    fn a_hash_stays_what_it_was() {
        // Retries may span versions of the node.
        assert_eq!(id("order-7").map(|id| id.to_string()).as_deref(), Ok("19d952bc12cf5d37b9fb4d324152b2ac"));
    }
}
