//! What clients ask and are answered.

use std::time::Duration;

use quorate_protocol::id::{ActorId, Epoch, OperationId};
use quorate_protocol::layout::QuorumMode;
use quorate_protocol::operation::{
    Delete, Failure, Found, Get, Operation, OperationError, OperationResult, Outcome, Put, QuorumOptions,
    Timed, Ttl, Written,
};
use quorate_protocol::time::Hlc;
use quorate_protocol::version::{ContentType, Dot, Sibling};

use super::failure::{error_from_wire, error_to_wire};
use super::{ConvertError, own, wide_from_wire, wide_to_wire};
use crate::v1;
use crate::v1::{request, response};

/// A timeout as it travels. Rounded up, for zero means the node's default.
pub fn timeout_to_wire(timeout: Duration) -> u32 {
    u32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX)
}

/// Reads what [`timeout_to_wire`] wrote.
pub fn timeout_from_wire(timeout_ms: u32) -> Duration {
    Duration::from_millis(timeout_ms.into())
}

/// Quorum settings as they travel; none when all are the bucket's.
pub fn quorum_to_wire(quorum: QuorumOptions) -> Option<v1::Quorum> {
    let QuorumOptions { n, r, w, pr, pw, mode } = quorum;
    let mode = mode.map(|mode| mode_to_wire(mode).into());
    (quorum != QuorumOptions::default()).then_some(v1::Quorum { n, r, w, pr, pw, mode })
}

/// Reads what [`quorum_to_wire`] wrote. A mode that is not known is the bucket's.
pub fn quorum_from_wire(quorum: Option<v1::Quorum>) -> QuorumOptions {
    let v1::Quorum { n, r, w, pr, pw, mode } = quorum.unwrap_or_default();
    let mode = mode.and_then(mode_from_wire);
    QuorumOptions { n, r, w, pr, pw, mode }
}

/// Who may stand in for an owner, as it travels.
pub fn mode_to_wire(mode: QuorumMode) -> v1::QuorumMode {
    match mode {
        QuorumMode::Strict => v1::QuorumMode::Strict,
        QuorumMode::Sloppy => v1::QuorumMode::Sloppy,
    }
}

/// Reads what [`mode_to_wire`] wrote; none when it is not known.
pub fn mode_from_wire(mode: i32) -> Option<QuorumMode> {
    match v1::QuorumMode::try_from(mode) {
        Ok(v1::QuorumMode::Strict) => Some(QuorumMode::Strict),
        Ok(v1::QuorumMode::Sloppy) => Some(QuorumMode::Sloppy),
        Err(_) => None,
    }
}

/// A time to live as it travels: none means as the bucket says, 0 never. Rounded up, and at least 1 ms.
pub fn ttl_to_wire(ttl: Ttl) -> Option<u64> {
    match ttl {
        Ttl::Bucket => None,
        Ttl::Never => Some(0),
        Ttl::After(ttl) => {
            let ms = ttl.as_nanos().div_ceil(1_000_000).max(1);
            Some(u64::try_from(ms).unwrap_or(u64::MAX))
        }
    }
}

/// Reads what [`ttl_to_wire`] wrote.
pub fn ttl_from_wire(ttl_ms: Option<u64>) -> Ttl {
    match ttl_ms {
        None => Ttl::Bucket,
        Some(0) => Ttl::Never,
        Some(ms) => Ttl::After(Duration::from_millis(ms)),
    }
}

/// A read as it travels; a zero timeout is the node's default.
pub fn get_to_wire(get: Get, timeout: Duration) -> v1::GetRequest {
    v1::GetRequest {
        bucket: get.bucket,
        key: get.key,
        quorum: quorum_to_wire(get.quorum),
        timeout_ms: timeout_to_wire(timeout),
    }
}

/// Reads a read.
pub fn get_from_wire(get: v1::GetRequest) -> Timed {
    let timeout = timeout_from_wire(get.timeout_ms);
    let quorum = quorum_from_wire(get.quorum);
    Timed { operation: Operation::Get(Get { bucket: get.bucket, key: own(&get.key), quorum }), timeout }
}

/// A put as it travels; a zero timeout is the node's default.
pub fn put_to_wire(put: Put, timeout: Duration) -> v1::PutRequest {
    v1::PutRequest {
        bucket: put.bucket,
        key: put.key,
        value: put.value,
        content_type: content_type_to_wire(put.content_type),
        context: put.context,
        operation_id: wide_to_wire(put.operation.0),
        ttl_ms: ttl_to_wire(put.ttl),
        quorum: quorum_to_wire(put.quorum),
        timeout_ms: timeout_to_wire(timeout),
    }
}

/// Reads a put; `mint` names the operation when the client has not.
pub fn put_from_wire(put: v1::PutRequest, mint: impl FnOnce() -> OperationId) -> Result<Timed, ConvertError> {
    let operation = if put.operation_id.is_empty() {
        mint()
    } else {
        OperationId(wide_from_wire("operation_id", &put.operation_id)?)
    };
    let timeout = timeout_from_wire(put.timeout_ms);
    let operation = Operation::Put(Put {
        bucket: put.bucket,
        key: own(&put.key),
        value: own(&put.value),
        content_type: content_type_from_wire(put.content_type),
        context: put.context,
        operation,
        ttl: ttl_from_wire(put.ttl_ms),
        quorum: quorum_from_wire(put.quorum),
    });
    Ok(Timed { operation, timeout })
}

/// A delete as it travels; a zero timeout is the node's default.
pub fn delete_to_wire(delete: Delete, timeout: Duration) -> v1::DeleteRequest {
    v1::DeleteRequest {
        bucket: delete.bucket,
        key: delete.key,
        context: delete.context,
        quorum: quorum_to_wire(delete.quorum),
        timeout_ms: timeout_to_wire(timeout),
    }
}

/// Reads a delete.
pub fn delete_from_wire(delete: v1::DeleteRequest) -> Timed {
    let timeout = timeout_from_wire(delete.timeout_ms);
    let quorum = quorum_from_wire(delete.quorum);
    let (bucket, key, context) = (delete.bucket, own(&delete.key), delete.context);
    Timed { operation: Operation::Delete(Delete { bucket, key, context, quorum }), timeout }
}

/// One operation of a batch or session as it travels. None for a listing, which is no part of them.
pub fn request_to_wire(id: u64, timed: Timed) -> Option<v1::Request> {
    let operation = match timed.operation {
        Operation::Get(get) => request::Operation::Get(get_to_wire(get, timed.timeout)),
        Operation::Put(put) => request::Operation::Put(put_to_wire(put, timed.timeout)),
        Operation::Delete(delete) => request::Operation::Delete(delete_to_wire(delete, timed.timeout)),
        Operation::List(_) => return None,
    };
    Some(v1::Request { id, operation: Some(operation) })
}

/// Reads one operation of a batch or session, without its id; `mint` names a put that the client has not named.
pub fn operation_from_wire(
    operation: Option<request::Operation>,
    mint: impl FnOnce() -> OperationId,
) -> Result<Timed, ConvertError> {
    match operation {
        Some(request::Operation::Get(get)) => Ok(get_from_wire(get)),
        Some(request::Operation::Put(put)) => put_from_wire(put, mint),
        Some(request::Operation::Delete(delete)) => Ok(delete_from_wire(delete)),
        None => Err(ConvertError::new("request", "it carries no operation")),
    }
}

/// What a read found as it travels: without the hybrid clock and the operation's id of the siblings, which clients have
/// no use for.
pub fn found_to_wire(found: Found) -> v1::GetResponse {
    let sibling = |sibling: Sibling| v1::Sibling {
        value: sibling.value,
        content_type: content_type_to_wire(sibling.content_type),
        dot: Some(v1::Dot { actor: sibling.dot.actor.0, seq: sibling.dot.seq }),
        expires_at_ms: sibling.expiry,
    };
    v1::GetResponse {
        siblings: found.siblings.into_iter().map(sibling).collect(),
        context: found.context,
        primaries: found.primaries,
        fallbacks: found.fallbacks,
        epoch: found.epoch.0,
    }
}

/// Reads what [`found_to_wire`] wrote; what did not travel is zero.
pub fn found_from_wire(found: v1::GetResponse) -> Result<Found, ConvertError> {
    let sibling = |sibling: v1::Sibling| {
        let dot = sibling.dot.ok_or_else(|| ConvertError::missing("siblings.dot"))?;
        Ok(Sibling {
            dot: Dot { actor: ActorId(dot.actor), seq: dot.seq },
            hlc: Hlc::default(),
            operation: OperationId::default(),
            expiry: sibling.expires_at_ms,
            content_type: content_type_from_wire(sibling.content_type),
            value: sibling.value,
        })
    };
    Ok(Found {
        siblings: found.siblings.into_iter().map(sibling).collect::<Result<_, _>>()?,
        context: found.context,
        primaries: found.primaries,
        fallbacks: found.fallbacks,
        epoch: Epoch(found.epoch),
    })
}

/// A finished put as it travels.
pub fn put_written_to_wire(written: Written) -> v1::PutResponse {
    let Written { context, primaries, fallbacks, epoch } = written;
    v1::PutResponse { context, primaries, fallbacks, epoch: epoch.0 }
}

/// A finished delete as it travels.
pub fn delete_written_to_wire(written: Written) -> v1::DeleteResponse {
    let Written { context, primaries, fallbacks, epoch } = written;
    v1::DeleteResponse { context, primaries, fallbacks, epoch: epoch.0 }
}

/// Reads a finished put.
pub fn put_written_from_wire(put: v1::PutResponse) -> Written {
    let v1::PutResponse { context, primaries, fallbacks, epoch } = put;
    Written { context, primaries, fallbacks, epoch: Epoch(epoch) }
}

/// Reads a finished delete.
pub fn delete_written_from_wire(delete: v1::DeleteResponse) -> Written {
    let v1::DeleteResponse { context, primaries, fallbacks, epoch } = delete;
    Written { context, primaries, fallbacks, epoch: Epoch(epoch) }
}

/// How one operation of a batch or session ended, as it travels.
pub fn response_to_wire(id: u64, result: OperationResult) -> v1::Response {
    let result = match result {
        Ok(Outcome::Get(found)) => response::Result::Get(found_to_wire(found)),
        Ok(Outcome::Put(written)) => response::Result::Put(put_written_to_wire(written)),
        Ok(Outcome::Delete(written)) => response::Result::Delete(delete_written_to_wire(written)),
        Ok(Outcome::List(_)) => response::Result::Error(error_to_wire(mismatch())),
        Err(error) => response::Result::Error(error_to_wire(error)),
    };
    v1::Response { id, result: Some(result) }
}

/// Reads what [`response_to_wire`] wrote: the id, and how that operation ended.
pub fn response_from_wire(response: v1::Response) -> Result<(u64, OperationResult), ConvertError> {
    let result = match response.result {
        Some(response::Result::Get(found)) => Ok(Outcome::Get(found_from_wire(found)?)),
        Some(response::Result::Put(put)) => Ok(Outcome::Put(put_written_from_wire(put))),
        Some(response::Result::Delete(delete)) => Ok(Outcome::Delete(delete_written_from_wire(delete))),
        Some(response::Result::Error(error)) => Err(error_from_wire(error)?),
        None => return Err(ConvertError::missing("result")),
    };
    Ok((response.id, result))
}

/// What to say of an operation that was answered with the outcome of another kind.
pub fn mismatch() -> OperationError {
    OperationError::indeterminate(Failure::Storage("the answer is one to something else".into()))
}

/// Bytes of unknown meaning are so frequent that their name does not travel.
fn content_type_to_wire(content_type: ContentType) -> String {
    match content_type {
        ContentType::OctetStream => String::new(),
        ContentType::Json => ContentType::Json.as_str().to_owned(),
        ContentType::Other(name) => name.into_string(),
    }
}

fn content_type_from_wire(name: String) -> ContentType {
    ContentType::from(name.as_str())
}

#[cfg(test)]
#[path = "kv_tests.rs"]
pub(super) mod tests;
