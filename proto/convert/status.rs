//! The detail of a failed call: a `google.rpc.Status` that holds one message that says why.

use bytes::Bytes;
use prost::Message;
use tonic::{Code, Status};

use crate::v1;

/// Names the type of the detail of a failed operation.
pub const TYPE_URL: &str = "type.googleapis.com/quorate.v1.OperationError";
/// Names the type of the detail of a refused change of the layout.
pub const CHANGE_TYPE_URL: &str = "type.googleapis.com/quorate.v1.ChangeLayoutError";

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
    status_with(code, message, TYPE_URL, error)
}

/// A refused change of the layout that says why in its detail.
pub fn status_with_change_error(code: Code, error: &v1::ChangeLayoutError) -> Status {
    status_with(code, error.message.clone(), CHANGE_TYPE_URL, error)
}

fn status_with(code: Code, message: String, type_url: &str, detail: &impl Message) -> Status {
    let detail = Any { type_url: type_url.into(), value: detail.encode_to_vec().into() };
    let status = RpcStatus { code: code.into(), message, details: vec![detail] };
    let encoded = status.encode_to_vec();
    Status::with_details(code, status.message, encoded.into())
}

/// What [`status_with_error`] put into a failed call; none when the call failed for a reason that a node has not given, such
/// as a broken connection.
pub fn error_of_status(status: &Status) -> Option<v1::OperationError> {
    detail_of(status, TYPE_URL)
}

/// What [`status_with_change_error`] put into a failed call, if it did.
pub fn change_error_of_status(status: &Status) -> Option<v1::ChangeLayoutError> {
    detail_of(status, CHANGE_TYPE_URL)
}

fn detail_of<T: Message + Default>(status: &Status, type_url: &str) -> Option<T> {
    let details = RpcStatus::decode(status.details()).ok()?.details;
    let detail = details.into_iter().find(|detail| detail.type_url == type_url)?;
    T::decode(detail.value).ok()
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
        let refused =
            v1::ChangeLayoutError { message: "why".into(), field: "n".into(), ..Default::default() };
        let status = status_with_change_error(Code::InvalidArgument, &refused);
        assert_eq!((status.message(), change_error_of_status(&status)), ("why", Some(refused)));
        assert_eq!(error_of_status(&status), None);
    }

    #[test]
    fn a_failed_call_never_says_nothing() {
        assert_eq!(said(&Status::unavailable("broken pipe")), "broken pipe");
        assert!(said(&Status::unimplemented("")).contains("gRPC port"));
        assert!(!said(&Status::internal("")).is_empty());
    }
}
