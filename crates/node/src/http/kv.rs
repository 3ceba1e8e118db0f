//! Putting, getting and deleting keys.

use std::time::Instant;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use quorate_protocol::operation::{Operation, OperationResult, Outcome, Timed};

use super::HttpState;
use super::answer::{self, AbsentAnswer, FoundAnswer, WrittenAnswer};
use super::error::{ApiError, Code, ErrorAnswer};
use super::key::{Address, address};
use super::openapi::{Key, Octets, PutBody, Quorums, ReadParameters, TtlParameter, WriteParameters};
use super::request;
use crate::observe::outcome_name;

/// Stores a value.
///
/// What the context covers is replaced; what it does not cover stays beside the value, as a sibling. Parameters are
/// taken from the query or from a JSON body, each from one of them only.
#[utoipa::path(put, path = "/kv/{*key}", tag = "kv", operation_id = "put",
    params(Key, WriteParameters, TtlParameter,
        ("x-quorate-context" = Option<String>, Header, description = "The context, for bodies that have no room for it"),
        ("idempotency-key" = Option<String>, Header, description = "Names the operation, 1 to 255 bytes: a retry under the same name takes effect once")),
    request_body(description = "The value: in a JSON object, or raw bytes as they are", content(
        (PutBody = "application/json"), (Octets = "application/octet-stream"))),
    responses((status = 200, description = "Stored", body = WrittenAnswer,
            headers(("x-quorate-context" = String, description = "The context of the body"))),
        (status = "default", description = "An error", body = ErrorAnswer)))]
pub(super) async fn put_key(State(state): State<HttpState>, request: Request) -> Response {
    put(&state, request).await
}

/// Reads a key.
///
/// One JSON value, or several values that were written concurrently (`conflict`), come in a JSON object; one value of
/// raw bytes comes as it is, with its context and clock in headers.
#[utoipa::path(get, path = "/kv/{*key}", tag = "kv", operation_id = "get",
    params(Key, ReadParameters),
    responses((status = 200, description = "One value, or several", content(
            (FoundAnswer<'static> = "application/json"), (Octets = "application/octet-stream")),
            headers(("x-quorate-context" = String, description = "The context"),
                ("x-quorate-vector-clock" = String, description = "Of raw bytes: what the context says, as JSON"),
                ("x-quorate-expires-at-ms" = u64, description = "Of raw bytes that expire: when, in milliseconds since the Unix epoch"))),
        (status = 404, description = "The key has no value (or there is no such bucket)", body = AbsentAnswer,
            headers(("x-quorate-context" = String, description = "The context, if the key was deleted"))),
        (status = "default", description = "An error", body = ErrorAnswer)))]
pub(super) async fn get_key(State(state): State<HttpState>, request: Request) -> Response {
    get(&state, request).await
}

/// Deletes what was seen of a key.
///
/// Without a context it deletes what a read at R shows. Parameters are taken from the query or from a JSON body.
#[utoipa::path(delete, path = "/kv/{*key}", tag = "kv", operation_id = "delete",
    params(Key, WriteParameters,
        ("x-quorate-context" = Option<String>, Header, description = "The context, for requests without a body")),
    request_body(description = "Parameters", content((Option<Quorums> = "application/json"))),
    responses((status = 200, description = "Deleted", body = WrittenAnswer,
            headers(("x-quorate-context" = String, description = "The context of the body"))),
        (status = "default", description = "An error", body = ErrorAnswer)))]
pub(super) async fn delete_key(State(state): State<HttpState>, request: Request) -> Response {
    delete(&state, request).await
}

/// Stores a value in a named bucket.
#[utoipa::path(put, path = "/buckets/{bucket}/kv/{*key}", tag = "kv", operation_id = "put_in_bucket",
    params(("bucket" = String, Path, description = "The bucket's name"), Key, WriteParameters, TtlParameter,
        ("x-quorate-context" = Option<String>, Header, description = "The context, for bodies that have no room for it"),
        ("idempotency-key" = Option<String>, Header, description = "Names the operation, 1 to 255 bytes: a retry under the same name takes effect once")),
    request_body(description = "The value: in a JSON object, or raw bytes as they are", content(
        (PutBody = "application/json"), (Octets = "application/octet-stream"))),
    responses((status = 200, description = "Stored", body = WrittenAnswer,
            headers(("x-quorate-context" = String, description = "The context of the body"))),
        (status = "default", description = "An error", body = ErrorAnswer)))]
pub(super) async fn put_key_in_bucket(State(state): State<HttpState>, request: Request) -> Response {
    put(&state, request).await
}

/// Reads a key of a named bucket.
#[utoipa::path(get, path = "/buckets/{bucket}/kv/{*key}", tag = "kv", operation_id = "get_in_bucket",
    params(("bucket" = String, Path, description = "The bucket's name"), Key, ReadParameters),
    responses((status = 200, description = "One value, or several", content(
            (FoundAnswer<'static> = "application/json"), (Octets = "application/octet-stream")),
            headers(("x-quorate-context" = String, description = "The context"),
                ("x-quorate-vector-clock" = String, description = "Of raw bytes: what the context says, as JSON"),
                ("x-quorate-expires-at-ms" = u64, description = "Of raw bytes that expire: when, in milliseconds since the Unix epoch"))),
        (status = 404, description = "The key has no value (or there is no such bucket)", body = AbsentAnswer,
            headers(("x-quorate-context" = String, description = "The context, if the key was deleted"))),
        (status = "default", description = "An error", body = ErrorAnswer)))]
pub(super) async fn get_key_in_bucket(State(state): State<HttpState>, request: Request) -> Response {
    get(&state, request).await
}

/// Deletes what was seen of a key of a named bucket.
#[utoipa::path(delete, path = "/buckets/{bucket}/kv/{*key}", tag = "kv", operation_id = "delete_in_bucket",
    params(("bucket" = String, Path, description = "The bucket's name"), Key, WriteParameters,
        ("x-quorate-context" = Option<String>, Header, description = "The context, for requests without a body")),
    request_body(description = "Parameters", content((Option<Quorums> = "application/json"))),
    responses((status = 200, description = "Deleted", body = WrittenAnswer,
            headers(("x-quorate-context" = String, description = "The context of the body"))),
        (status = "default", description = "An error", body = ErrorAnswer)))]
pub(super) async fn delete_key_in_bucket(State(state): State<HttpState>, request: Request) -> Response {
    delete(&state, request).await
}

async fn put(state: &HttpState, request: Request) -> Response {
    let start = Instant::now();
    let timed = match addressed(&request) {
        Ok(address) => request::put(&state.limits, address, request).await,
        Err(error) => Err(error),
    };
    carry_out(state, "put", start, timed).await
}

async fn get(state: &HttpState, request: Request) -> Response {
    let start = Instant::now();
    let timed = match addressed(&request) {
        Ok(address) => request::get(&state.limits, address, request).await,
        Err(error) => Err(error),
    };
    carry_out(state, "get", start, timed).await
}

async fn delete(state: &HttpState, request: Request) -> Response {
    let start = Instant::now();
    let timed = match addressed(&request) {
        Ok(address) => request::delete(&state.limits, address, request).await,
        Err(error) => Err(error),
    };
    carry_out(state, "delete", start, timed).await
}

fn addressed(request: &Request) -> Result<Address, ApiError> {
    let nowhere = || ApiError::new(Code::NoSuchRoute, "there is no such route");
    address(request.uri().path()).unwrap_or_else(|| Err(nowhere()))
}

/// Runs an operation, if the request made one, and answers.
async fn carry_out(
    state: &HttpState,
    name: &'static str,
    start: Instant,
    timed: Result<Timed, ApiError>,
) -> Response {
    let (outcome, response) = match timed {
        Ok(timed) => {
            let key = key_of(&timed.operation);
            let result = state.driver.run(timed).await;
            (outcome_name(&result), respond(&key, result))
        }
        Err(error) => (error.code.as_str(), error.into_response()),
    };
    state.observer.observed(name, outcome, start.elapsed(), 1);
    response
}

fn respond(key: &[u8], result: OperationResult) -> Response {
    match result {
        Ok(Outcome::Get(found)) => answer::found(key, &found),
        Ok(Outcome::Put(written) | Outcome::Delete(written)) => answer::written(key, &written),
        Ok(Outcome::List(_)) => {
            ApiError::new(Code::Storage, "the node gave an answer to another question").into_response()
        }
        Err(error) => ApiError::from(error).into_response(),
    }
}

fn key_of(operation: &Operation) -> Bytes {
    match operation {
        Operation::Put(put) => put.key.clone(),
        Operation::Get(get) => get.key.clone(),
        Operation::Delete(delete) => delete.key.clone(),
        Operation::List(_) => Bytes::new(),
    }
}
