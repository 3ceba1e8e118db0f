//! One call, one answer, over a connection that all calls to a node share.

use std::sync::Arc;
use std::time::Instant;

use quorate_proto::convert::status::error_of_status;
use quorate_proto::v1;
use quorate_proto::v1::operation_error::Code;
use quorate_proto::v1::request::Operation;
use quorate_proto::v1::response::Result as Answer;

use crate::attempt::{Attempt, Failed};
use crate::error::Reason;
use crate::link::{self, Link};
use crate::operate::{
    GRACE, OperationAttempt, learn_from, left, may_repeat_indeterminate, no_answer, unreachable,
};
use crate::wire;

/// An operation as a call of its own.
pub(crate) struct UnaryOperation {
    pub(crate) operation: Operation,
}

impl OperationAttempt for UnaryOperation {
    fn operation(&self) -> &Operation {
        &self.operation
    }
}

impl Attempt for UnaryOperation {
    type Answer = Answer;

    async fn attempt(&mut self, link: &Arc<Link>, deadline: Instant) -> Result<Answer, Failed> {
        let read = matches!(self.operation, Operation::Get(_));
        let (channel, generation) = link.channel().await.map_err(|message| unreachable(link, message))?;
        let mut kv = link::kv(channel);
        let mut operation = self.operation.clone();
        wire::set_timeout(&mut operation, left(deadline));
        let call = async {
            match operation {
                Operation::Get(get) => match kv.get(get).await {
                    Ok(answer) => Ok(Answer::Get(answer.into_inner())),
                    Err(status) => absent(&status).map(Answer::Get).ok_or(status),
                },
                Operation::Put(put) => kv.put(put).await.map(|answer| Answer::Put(answer.into_inner())),
                Operation::Delete(delete) => {
                    kv.delete(delete).await.map(|answer| Answer::Delete(answer.into_inner()))
                }
            }
        };
        let failed = match tokio::time::timeout(left(deadline) + GRACE, call).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(status)) => wire::failed(&link.address, &status, read),
            Err(_) => no_answer(link, read).into(),
        };
        if matches!(failed.error.reason(), Reason::ConnectionLost { .. }) {
            link.drop_channel(generation).await;
        }
        learn_from(&mut self.operation, &failed);
        Err(failed)
    }

    fn may_repeat_indeterminate(&self) -> bool {
        may_repeat_indeterminate(&self.operation)
    }
}

/// The answer to a get that comes as a status: the key has no value.
fn absent(status: &tonic::Status) -> Option<v1::GetResponse> {
    let detail = error_of_status(status)?;
    (detail.code() == Code::NotFound).then_some(v1::GetResponse {
        siblings: Vec::new(),
        context: detail.context,
        primaries: 0,
        fallbacks: 0,
        epoch: 0,
    })
}

/// A page of a listing.
pub(crate) struct UnaryKeys {
    pub(crate) request: v1::KeysRequest,
}

impl Attempt for UnaryKeys {
    type Answer = v1::KeysResponse;

    async fn attempt(&mut self, link: &Arc<Link>, deadline: Instant) -> Result<v1::KeysResponse, Failed> {
        let (channel, generation) = link.channel().await.map_err(|message| unreachable(link, message))?;
        let mut request = self.request.clone();
        request.timeout_ms = wire::timeout_ms(left(deadline));
        let mut kv = link::kv(channel);
        let failed = match tokio::time::timeout(left(deadline) + GRACE, kv.keys(request)).await {
            Ok(Ok(answer)) => return Ok(answer.into_inner()),
            Ok(Err(status)) => wire::failed(&link.address, &status, true),
            Err(_) => no_answer(link, true).into(),
        };
        if matches!(failed.error.reason(), Reason::ConnectionLost { .. }) {
            link.drop_channel(generation).await;
        }
        Err(failed)
    }

    fn may_repeat_indeterminate(&self) -> bool {
        true
    }
}
