//! Failures as gRPC statuses.

use bytes::Bytes;
use quorate_proto::convert::failure::{error_to_wire, not_found};
use quorate_proto::convert::status::status_with_error;
use quorate_protocol::operation::{Attempted, Failure, OperationError};
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

/// When a client whose operation was one too many should try again, in milliseconds.
const PUSHBACK_MS: &str = "100";
/// The longest context that a status carries: it travels in a header, and clients bound those. The operations of a session have
/// no such bound.
const CONTEXT_BYTES_MAX: usize = 4096;

/// What a unary call says of a failed operation; the whole of it is in the detail.
pub(super) fn failed(mut error: OperationError) -> Status {
    error.context = error.context.filter(|context| context.len() <= CONTEXT_BYTES_MAX);
    let (code, message) = (code(&error), error.to_string());
    let overloaded = matches!(error.failure, Failure::Overloaded(_));
    let mut status = status_with_error(code, message, &error_to_wire(error));
    if overloaded {
        let pushback = MetadataValue::from_static(PUSHBACK_MS);
        status.metadata_mut().insert("grpc-retry-pushback-ms", pushback);
    }
    status
}

/// What a unary call says of a request that nothing was done for.
pub(super) fn refused(failure: impl Into<Failure>) -> Status {
    failed(OperationError::not_attempted(failure.into()))
}

/// What a unary read says of a key without a value.
pub(super) fn absent(context: Bytes) -> Status {
    let context = if context.len() <= CONTEXT_BYTES_MAX { context } else { Bytes::new() };
    let detail = not_found(context);
    status_with_error(Code::NotFound, detail.message.clone(), &detail)
}

fn code(error: &OperationError) -> Code {
    let may_have_happened = error.attempted == Attempted::Indeterminate;
    match error.failure {
        // A bucket that is not there is a wrong argument, so that "not found" always speaks of the key.
        Failure::Invalid { .. } | Failure::TooLarge { .. } | Failure::UnknownBucket(_) => {
            Code::InvalidArgument
        }
        Failure::NotBootstrapped | Failure::NotAMember | Failure::ReadFirst(_) => Code::FailedPrecondition,
        Failure::Overloaded(_) | Failure::DiskFull => Code::ResourceExhausted,
        // Clients may take "unavailable" for leave to try again.
        Failure::QuorumUnavailable { .. } | Failure::CoordinatorLost(_) if may_have_happened => Code::Aborted,
        Failure::QuorumUnavailable { .. } | Failure::CoordinatorLost(_) | Failure::Starting => {
            Code::Unavailable
        }
        Failure::TimedOut { .. } => Code::DeadlineExceeded,
        Failure::Storage(_) => Code::Internal,
    }
}

#[cfg(test)]
mod tests {
    use quorate_proto::convert::failure::error_from_wire;
    use quorate_proto::convert::status::error_of_status;
    use quorate_protocol::id::NodeId;

    use super::*;

    #[test]
    fn statuses_say_whether_to_try_again_and_carry_the_whole_failure() {
        let shortfall = Failure::QuorumUnavailable { needed: 2, reachable: 1 };
        let lost = Failure::CoordinatorLost(NodeId(7));
        let cases = [
            (OperationError::not_attempted(shortfall.clone()), Code::Unavailable),
            (OperationError::indeterminate(shortfall), Code::Aborted),
            (OperationError::not_attempted(lost.clone()), Code::Unavailable),
            (OperationError::indeterminate(lost), Code::Aborted),
            (
                OperationError::indeterminate(Failure::TimedOut { needed: 2, answered: 1 }),
                Code::DeadlineExceeded,
            ),
            (OperationError::not_attempted(Failure::UnknownBucket("b".into())), Code::InvalidArgument),
            (OperationError::not_attempted(Failure::NotBootstrapped), Code::FailedPrecondition),
            (OperationError::not_attempted(Failure::NotAMember), Code::FailedPrecondition),
            (OperationError::not_attempted(Failure::Starting), Code::Unavailable),
            (OperationError::not_attempted(Failure::DiskFull), Code::ResourceExhausted),
            (OperationError::not_attempted(Failure::Overloaded("much".into())), Code::ResourceExhausted),
        ];
        for (error, code) in cases {
            let status = failed(error.clone());
            assert_eq!(status.code(), code);
            let overloaded = matches!(error.failure, Failure::Overloaded(_));
            assert_eq!(status.metadata().contains_key("grpc-retry-pushback-ms"), overloaded);
            let read = error_of_status(&status).and_then(|wire| error_from_wire(wire).ok());
            assert_eq!(read, Some(error));
        }
    }

    #[test]
    fn the_context_of_a_deleted_key_comes_with_the_status_unless_it_would_break_the_headers() {
        let status = absent(Bytes::from_static(b"seen"));
        assert_eq!(status.code(), Code::NotFound);
        let context = |status| error_of_status(&status).map(|error| error.context);
        assert_eq!(context(status), Some(Bytes::from_static(b"seen")));
        assert_eq!(context(absent(Bytes::from(vec![0; CONTEXT_BYTES_MAX + 1]))), Some(Bytes::new()));
    }
}
