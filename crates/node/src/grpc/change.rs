//! Giving the cluster another layout: requests in, refusals out with the code that says what to do about them.

use futures::future::join_all;
use quorate_proto::convert::change::{
    change_error_to_wire, expected_from_wire, order_from_wire, preview_to_wire,
};
use quorate_proto::convert::layout::{InvalidLayout, layout_to_wire};
use quorate_proto::convert::status::status_with_change_error;
use quorate_proto::v1;
use quorate_proto::v1::ChangeLayoutResponse;
use quorate_proto::v1::change_layout_error::Code as Why;
use quorate_protocol::effect::ChangeError;
use quorate_protocol::layout::{InvalidSettings, Order, OrderError};
use tonic::{Code, Response, Status};

use super::GrpcState;
use super::admin::stopping;
use crate::driver::ChangeFailure;

/// Carries an order out, or says what it would do.
pub(super) async fn change(
    state: &GrpcState,
    expected_epoch: u64,
    preview: bool,
    order: Option<v1::change_layout_request::Order>,
) -> Result<Response<ChangeLayoutResponse>, Status> {
    let order = order_from_wire(order).map_err(|InvalidLayout { field, reason }| invalid(field, reason))?;
    let expected = expected_from_wire(expected_epoch);
    if let Order::Alter(alteration) = &order {
        // The layout cannot name them yet.
        let introduced = alteration.add.iter();
        let introduced =
            introduced.map(|member| state.introducer.introduce(member.node, member.peer_address.clone()));
        join_all(introduced).await;
    }
    let answer = if preview {
        preview_to_wire(&state.driver.preview(expected, order).await.map_err(failed)?)
    } else {
        let layout = state.driver.change(expected, order).await.map_err(failed)?;
        ChangeLayoutResponse { layout: Some(layout_to_wire(&layout)), ..Default::default() }
    };
    Ok(Response::new(answer))
}

/// Carries out an alteration that has to name something.
pub(super) async fn alter(
    state: &GrpcState,
    expected_epoch: u64,
    field: &str,
    alteration: v1::Alteration,
) -> Result<Response<ChangeLayoutResponse>, Status> {
    if alteration == v1::Alteration::default() {
        return Err(invalid(field, "it is missing".into()));
    }
    let order = v1::change_layout_request::Order::Alter(alteration);
    change(state, expected_epoch, false, Some(order)).await
}

fn invalid(field: &str, reason: String) -> Status {
    let settings = InvalidSettings { field: field.into(), reason };
    refused(&ChangeError::Order(OrderError::Invalid(settings)))
}

fn failed(failure: ChangeFailure) -> Status {
    match failure {
        ChangeFailure::Refused(error) => refused(&error),
        // It may have reached the voters.
        ChangeFailure::Stopping { attempted: true } => {
            Status::aborted("the node is stopping, and the change may still happen")
        }
        ChangeFailure::Stopping { attempted: false } => stopping(),
    }
}

fn refused(error: &ChangeError) -> Status {
    let wire = change_error_to_wire(error);
    let code = match wire.code() {
        Why::Invalid => Code::InvalidArgument,
        Why::UnderWay
        | Why::NothingUnderWay
        | Why::TooLateToCancel
        | Why::Nothing
        | Why::ChangedMeanwhile
        | Why::NotBootstrapped
        | Why::NotAMember => Code::FailedPrecondition,
        // Clients may take "unavailable" for leave to try again.
        Why::Unreachable | Why::Busy | Why::Starting => Code::Unavailable,
        Why::NoMajority => Code::Aborted,
        Why::DiskFull => Code::ResourceExhausted,
        Why::Unspecified => Code::Unknown,
    };
    status_with_change_error(code, &wire)
}

#[cfg(test)]
mod tests {
    use quorate_proto::convert::status::change_error_of_status;
    use quorate_protocol::id::{Epoch, NodeId};

    use super::*;

    #[test]
    fn a_refused_change_says_whether_it_may_still_happen() {
        let silent = vec![NodeId(2)];
        let cases = [
            (ChangeError::NoMajority { needed: 2, silent }, Code::Aborted, true, "000000000000000002"),
            (
                ChangeError::ChangedMeanwhile { epoch: Epoch(4) },
                Code::FailedPrecondition,
                false,
                "changed meanwhile",
            ),
            (
                ChangeError::Order(OrderError::UnderWay(Epoch(3))),
                Code::FailedPrecondition,
                false,
                "under way",
            ),
            (ChangeError::Order(OrderError::TooLateToCancel), Code::FailedPrecondition, false, "cancelled"),
            (ChangeError::Unreachable(NodeId(9)), Code::Unavailable, false, "add: "),
            (ChangeError::DiskFull, Code::ResourceExhausted, false, "disk"),
        ];
        for (error, code, attempted, part) in cases {
            let status = refused(&error);
            assert_eq!(status.code(), code, "{error}");
            assert!(status.message().contains(part.trim_start_matches("00")), "{}", status.message());
            assert_eq!(change_error_of_status(&status).map(|detail| detail.attempted), Some(attempted));
        }
        let status = invalid("n", "0 is not from 1 to 3".into());
        assert_eq!((status.code(), status.message()), (Code::InvalidArgument, "n: 0 is not from 1 to 3"));
        assert_eq!(change_error_of_status(&status).map(|detail| detail.field), Some("n".into()));
    }
}
