//! What the surfaces tell of the operations that they serve.

use std::sync::Arc;
use std::time::Duration;

use quorate_proto::convert::failure::code;
use quorate_protocol::operation::{Operation, OperationResult, Outcome};

/// Hears of every operation that was answered.
pub trait Observer: Send + Sync + 'static {
    /// `count` operations of this kind came together and ended together: like this, after this time.
    fn observed(&self, operation: &'static str, outcome: &'static str, elapsed: Duration, count: u64);
}

/// An observer that several surfaces share.
pub type SharedObserver = Arc<dyn Observer>;

/// The name of a kind of operation in metrics.
pub fn operation_name(operation: &Operation) -> &'static str {
    match operation {
        Operation::Put(_) => "put",
        Operation::Get(_) => "get",
        Operation::Delete(_) => "delete",
        Operation::List(_) => "keys",
    }
}

/// The name of how an operation ended in metrics: `success`, `not_found`, or the failure's code in lower case.
pub fn outcome_name(result: &OperationResult) -> &'static str {
    use quorate_proto::v1::operation_error::Code;
    let error = match result {
        Ok(Outcome::Get(found)) if found.siblings.is_empty() => return "not_found",
        Ok(_) => return "success",
        Err(error) => error,
    };
    match code(&error.failure) {
        Code::Unspecified => "unspecified",
        Code::Invalid => "invalid",
        Code::TooLarge => "too_large",
        Code::UnknownBucket => "unknown_bucket",
        Code::NotBootstrapped => "not_bootstrapped",
        Code::NotAMember => "not_a_member",
        Code::Starting => "starting",
        Code::ReadFirst => "read_first",
        Code::Overloaded => "overloaded",
        Code::DiskFull => "disk_full",
        Code::QuorumUnavailable => "quorum_unavailable",
        Code::TimedOut => "timed_out",
        Code::CoordinatorLost => "coordinator_lost",
        Code::Storage => "storage",
        Code::NotFound => "not_found",
    }
}
