//! The detail of a failed call: a `google.rpc.Status` that holds one `quorate.v1.OperationError`.

use bytes::Bytes;
use prost::Message;
use tonic::{Code, Status};

use crate::v1;

/// Names the type of the detail.
pub const TYPE_URL: &str = "type.googleapis.com/quorate.v1.OperationError";

/// `google.rpc.Status`: what tools expect in `grpc-status-details-bin`.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

/// A failed call that says why in its detail.
pub fn status_with_error(code: Code, message: String, error: &v1::OperationError) -> Status {
    let detail = Any { type_url: TYPE_URL.into(), value: error.encode_to_vec().into() };
    let status = RpcStatus { code: code.into(), message, details: vec![detail] };
    let encoded = status.encode_to_vec();
    Status::with_details(code, status.message, encoded.into())
}

/// What [`status_with_error`] put into a failed call; none when the call failed for a reason that a node has not given, such
/// as a broken connection.
pub fn error_of_status(status: &Status) -> Option<v1::OperationError> {
    let details = RpcStatus::decode(status.details()).ok()?.details;
    let detail = details.into_iter().find(|detail| detail.type_url == TYPE_URL)?;
    v1::OperationError::decode(detail.value).ok()
}

/// What a failed call says of itself, for people. Who does not know a call says nothing, and it is hardly a node's gRPC port then.
pub fn said(status: &Status) -> String {
    match (status.message(), status.code()) {
        ("", Code::Unimplemented) => "it does not know this call: is it the gRPC port of a node?".into(),
        ("", code) => code.description().into(),
        (message, _) => message.into(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests stop where something is wrong")]
mod tests {
    use super::*;

    #[test]
    fn the_detail_comes_back_as_it_went() {
        for error in crate::convert::failure::tests::failures() {
            let wire = crate::convert::failure::error_to_wire(error);
            let status = status_with_error(Code::Aborted, "why".into(), &wire);
            assert_eq!((status.code(), status.message()), (Code::Aborted, "why"));
            assert_eq!(error_of_status(&status).unwrap(), wire);
        }
        assert_eq!(error_of_status(&Status::unavailable("broken pipe")), None);
    }

    #[test]
    fn a_failed_call_never_says_nothing() {
        assert_eq!(said(&Status::unavailable("broken pipe")), "broken pipe");
        assert!(said(&Status::unimplemented("")).contains("gRPC port"));
        assert!(!said(&Status::internal("")).is_empty());
    }
}
