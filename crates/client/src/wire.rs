//! Operations, answers and errors to the wire and back.

use std::time::Duration;

use bytes::Bytes;
use quorate_proto::convert::failure::error_from_wire;
use quorate_proto::convert::kv::{quorum_to_wire, ttl_to_wire};
use quorate_proto::convert::status::error_of_status;
use quorate_proto::v1;
use quorate_proto::v1::request::Operation;
use quorate_protocol::id::{ActorId, OperationId};
use quorate_protocol::operation::OperationError;
use quorate_protocol::version::Dot;
use tonic::Status;

use crate::attempt::Failed;
use crate::error::{Error, Reason};
use crate::operation::{Context, Delete, Found, Get, Put, Value, Written};

/// How a server says when to come back (gRPC's retry design, A6).
const PUSHBACK: &str = "grpc-retry-pushback-ms";

pub(crate) fn get(get: Get) -> Operation {
    Operation::Get(v1::GetRequest {
        bucket: get.bucket,
        key: get.key,
        quorum: quorum_to_wire(get.quorum),
        timeout_ms: 0,
    })
}

pub(crate) fn put(put: Put) -> Operation {
    Operation::Put(v1::PutRequest {
        bucket: put.bucket,
        key: put.key,
        value: put.value,
        content_type: put.content_type,
        context: put.context.as_bytes().clone(),
        ttl_ms: ttl_to_wire(put.ttl),
        operation_id: Bytes::copy_from_slice(&put.operation.0.to_be_bytes()),
        quorum: quorum_to_wire(put.quorum),
        timeout_ms: 0,
    })
}

pub(crate) fn delete(delete: Delete) -> Operation {
    Operation::Delete(v1::DeleteRequest {
        bucket: delete.bucket,
        key: delete.key,
        context: delete.context.as_bytes().clone(),
        quorum: quorum_to_wire(delete.quorum),
        timeout_ms: 0,
    })
}

/// Whole milliseconds, at least one: 0 would mean the node's default.
pub(crate) fn timeout_ms(left: Duration) -> u32 {
    u32::try_from(left.as_millis()).unwrap_or(u32::MAX).max(1)
}

pub(crate) fn set_timeout(operation: &mut Operation, left: Duration) {
    let field = match operation {
        Operation::Get(get) => &mut get.timeout_ms,
        Operation::Put(put) => &mut put.timeout_ms,
        Operation::Delete(delete) => &mut delete.timeout_ms,
    };
    *field = timeout_ms(left);
}

pub(crate) fn found(answer: v1::GetResponse) -> Found {
    let value = |sibling: v1::Sibling| Value {
        bytes: sibling.value,
        content_type: sibling.content_type,
        dot: sibling.dot.map(|dot| Dot { actor: ActorId(dot.actor), seq: dot.seq }),
        expires_at_ms: sibling.expires_at_ms,
    };
    Found {
        values: answer.siblings.into_iter().map(value).collect(),
        context: answer.context.into(),
        primaries: answer.primaries,
        fallbacks: answer.fallbacks,
        epoch: answer.epoch,
    }
}

pub(crate) fn put_written(answer: v1::PutResponse) -> Written {
    let v1::PutResponse { context, primaries, fallbacks, epoch } = answer;
    Written { context: context.into(), primaries, fallbacks, epoch }
}

pub(crate) fn delete_written(answer: v1::DeleteResponse) -> Written {
    let v1::DeleteResponse { context, primaries, fallbacks, epoch } = answer;
    Written { context: context.into(), primaries, fallbacks, epoch }
}

/// The name of a put, to be told with an error that leaves its outcome open.
pub(crate) fn operation_id(operation: &Operation) -> Option<OperationId> {
    let Operation::Put(put) = operation else {
        return None;
    };
    let bytes: [u8; 16] = put.operation_id.as_ref().try_into().ok()?;
    Some(OperationId(u128::from_be_bytes(bytes)))
}

/// A failure as a node tells it. `read`: of an operation that changes nothing whatever happens.
pub(crate) fn error(address: &str, error: v1::OperationError, read: bool) -> Error {
    let attempted = error.attempted && !read;
    let (reason, context) = match error_from_wire(error) {
        Ok(OperationError { failure, context, .. }) => (Reason::Node(failure), context),
        Err(wrong) => (Reason::Protocol { address: address.to_owned(), message: wrong.to_string() }, None),
    };
    if attempted {
        Error::Indeterminate { reason, operation: None, context: context.map(Context::from) }
    } else {
        Error::not_attempted(reason)
    }
}

/// A unary call that failed after it had gone out.
pub(crate) fn failed(address: &str, status: &Status, read: bool) -> Failed {
    let pushback = status.metadata().get(PUSHBACK);
    let pushback = pushback.and_then(|value| value.to_str().ok()?.parse().ok());
    let error = match error_of_status(status) {
        Some(detail) => error(address, detail, read),
        None => undetailed(address, status, read),
    };
    Failed { error, pushback: pushback.map(Duration::from_millis) }
}

/// A status that no operation of a node made: the transport's, or of something else on that port.
fn undetailed(address: &str, status: &Status, read: bool) -> Error {
    use tonic::Code::{
        Aborted, AlreadyExists, Cancelled, DataLoss, DeadlineExceeded, FailedPrecondition, Internal,
        InvalidArgument, NotFound, Ok, OutOfRange, PermissionDenied, ResourceExhausted, Unauthenticated,
        Unavailable, Unimplemented, Unknown,
    };
    let address = address.to_owned();
    let message = crate::link::describe(status);
    match status.code() {
        InvalidArgument | NotFound | AlreadyExists | PermissionDenied | FailedPrecondition | OutOfRange
        | Unimplemented | Unauthenticated | ResourceExhausted => {
            Error::not_attempted(Reason::Protocol { address, message })
        }
        Ok | Cancelled | Unknown | DeadlineExceeded | Aborted | Internal | Unavailable | DataLoss => {
            let reason = Reason::ConnectionLost { address, message };
            if read { Error::not_attempted(reason) } else { Error::indeterminate(reason) }
        }
    }
}
