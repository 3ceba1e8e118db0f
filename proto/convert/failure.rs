//! Failed operations.

use bytes::Bytes;
use quorate_protocol::id::NodeId;
use quorate_protocol::operation::{Attempted, Failure, OperationError};

use super::{ConvertError, narrow};
use crate::v1;
use crate::v1::operation_error::Code;

/// Before the bucket's name in a message about an unknown one.
const NO_BUCKET: &str = "there is no bucket named ";
/// What a failure can name as its field; see [`field`].
const FIELDS: [&str; 17] = [
    "key",
    "value",
    "content_type",
    "context",
    "n",
    "r",
    "w",
    "pr",
    "pw",
    "timeout",
    "ttl",
    "partition",
    "limit",
    "cursor",
    "operation_id",
    "bucket",
    "requests",
];

/// The static name of a request's field; `request` when it is none of those that failures name.
pub fn field(name: &str) -> &'static str {
    FIELDS.into_iter().find(|&known| known == name).unwrap_or("request")
}

/// The kind of a failure.
pub fn code(failure: &Failure) -> Code {
    match failure {
        Failure::Invalid { .. } => Code::Invalid,
        Failure::TooLarge { .. } => Code::TooLarge,
        Failure::UnknownBucket(_) => Code::UnknownBucket,
        Failure::NotBootstrapped => Code::NotBootstrapped,
        Failure::NotAMember => Code::NotAMember,
        Failure::Starting => Code::Starting,
        Failure::ReadFirst(_) => Code::ReadFirst,
        Failure::Overloaded(_) => Code::Overloaded,
        Failure::DiskFull => Code::DiskFull,
        Failure::QuorumUnavailable { .. } => Code::QuorumUnavailable,
        Failure::TimedOut { .. } => Code::TimedOut,
        Failure::CoordinatorLost(_) => Code::CoordinatorLost,
        Failure::Storage(_) => Code::Storage,
    }
}

/// A failed operation as it travels. Nothing is lost on the way, for the message is what the kind, the field and the figures do
/// not say; an empty context becomes none.
pub fn error_to_wire(error: OperationError) -> v1::OperationError {
    let mut wire = v1::OperationError {
        code: code(&error.failure).into(),
        attempted: error.attempted == Attempted::Indeterminate,
        context: error.context.unwrap_or_default(),
        ..Default::default()
    };
    wire.message = match error.failure {
        Failure::Invalid { field, reason } => {
            field.clone_into(&mut wire.field);
            reason
        }
        Failure::TooLarge { field, bytes, max_bytes } => {
            field.clone_into(&mut wire.field);
            (wire.had, wire.bound) = (bytes as u64, max_bytes as u64);
            error.failure.to_string()
        }
        Failure::UnknownBucket(name) => format!("{NO_BUCKET}{name}"),
        Failure::ReadFirst(reason) | Failure::Overloaded(reason) | Failure::Storage(reason) => reason,
        Failure::NotBootstrapped | Failure::NotAMember | Failure::Starting | Failure::DiskFull => {
            error.failure.to_string()
        }
        Failure::QuorumUnavailable { needed, reachable } => {
            (wire.had, wire.bound) = (reachable.into(), needed.into());
            error.failure.to_string()
        }
        Failure::TimedOut { needed, answered } => {
            (wire.had, wire.bound) = (answered.into(), needed.into());
            error.failure.to_string()
        }
        Failure::CoordinatorLost(node) => {
            wire.node = node.0;
            error.failure.to_string()
        }
    };
    wire
}

/// Reads what [`error_to_wire`] wrote. That a key has no value is no failure, so `NOT_FOUND` is refused here.
pub fn error_from_wire(wire: v1::OperationError) -> Result<OperationError, ConvertError> {
    let unknown = || ConvertError::new("error.code", format!("{} is no kind of failure", wire.code));
    let failure = match Code::try_from(wire.code).map_err(|_| unknown())? {
        Code::Unspecified | Code::NotFound => return Err(unknown()),
        Code::Invalid => Failure::Invalid { field: field(&wire.field), reason: wire.message },
        Code::TooLarge => Failure::TooLarge {
            field: field(&wire.field),
            bytes: narrow("error.had", wire.had)?,
            max_bytes: narrow("error.bound", wire.bound)?,
        },
        Code::UnknownBucket => {
            let name = wire.message.strip_prefix(NO_BUCKET).unwrap_or(&wire.message);
            Failure::UnknownBucket(name.to_owned())
        }
        Code::NotBootstrapped => Failure::NotBootstrapped,
        Code::NotAMember => Failure::NotAMember,
        Code::Starting => Failure::Starting,
        Code::ReadFirst => Failure::ReadFirst(wire.message),
        Code::Overloaded => Failure::Overloaded(wire.message),
        Code::DiskFull => Failure::DiskFull,
        Code::QuorumUnavailable => Failure::QuorumUnavailable {
            needed: narrow("error.bound", wire.bound)?,
            reachable: narrow("error.had", wire.had)?,
        },
        Code::TimedOut => Failure::TimedOut {
            needed: narrow("error.bound", wire.bound)?,
            answered: narrow("error.had", wire.had)?,
        },
        Code::CoordinatorLost => Failure::CoordinatorLost(NodeId(wire.node)),
        Code::Storage => Failure::Storage(wire.message),
    };
    Ok(OperationError {
        failure,
        attempted: if wire.attempted { Attempted::Indeterminate } else { Attempted::NotAttempted },
        context: (!wire.context.is_empty()).then_some(wire.context),
    })
}

/// The detail of a unary read that found no value; the context is not empty when the key was deleted.
pub fn not_found(context: Bytes) -> v1::OperationError {
    v1::OperationError {
        code: Code::NotFound.into(),
        message: "the key has no value".into(),
        context,
        ..Default::default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests stop where something is wrong")]
pub(super) mod tests {
    use super::*;

    pub(in crate::convert) fn failures() -> Vec<OperationError> {
        let mut invalid: Vec<_> = FIELDS
            .into_iter()
            .map(|field| Failure::Invalid { field, reason: format!("{field}: odd: very") })
            .collect();
        invalid.extend([
            Failure::TooLarge { field: "value", bytes: 9, max_bytes: 8 },
            Failure::UnknownBucket("\"odd\"\n\u{1F980}".into()),
            Failure::UnknownBucket(String::new()),
            Failure::NotBootstrapped,
            Failure::NotAMember,
            Failure::Starting,
            Failure::ReadFirst("100 siblings".into()),
            Failure::Overloaded(String::new()),
            Failure::DiskFull,
            Failure::QuorumUnavailable { needed: 2, reachable: 1 },
            Failure::TimedOut { needed: 3, answered: 0 },
            Failure::CoordinatorLost(NodeId(u64::MAX)),
            Failure::Storage("gone".into()),
        ]);
        let mut errors = Vec::new();
        for failure in invalid {
            errors.push(OperationError::not_attempted(failure.clone()));
            let context = Some(Bytes::from_static(b"seen"));
            errors.push(OperationError { context, ..OperationError::indeterminate(failure) });
        }
        errors
    }

    #[test]
    fn failures_come_back_as_they_went() {
        for error in failures() {
            assert_eq!(error_from_wire(error_to_wire(error.clone())).unwrap(), error);
        }
    }

    #[test]
    fn what_is_no_failure_is_refused() {
        let codes = [0, Code::NotFound.into(), 99];
        for code in codes {
            let wire = v1::OperationError { code, ..Default::default() };
            assert_eq!(error_from_wire(wire).unwrap_err().field, "error.code");
        }
        let mut wire =
            error_to_wire(OperationError::not_attempted(Failure::TimedOut { needed: 1, answered: 0 }));
        wire.bound = u64::MAX;
        assert_eq!(error_from_wire(wire).unwrap_err().field, "error.bound");
        assert_eq!((field("ttl"), field("nonsense")), ("ttl", "request"));
    }
}
