//! Operations on a key, whichever way they travel.

use std::time::{Duration, Instant};

use quorate_proto::v1;
use quorate_proto::v1::request::Operation;
use quorate_proto::v1::response::Result as Answer;

use crate::attempt::{self, Attempt, Failed};
use crate::cluster::Cluster;
use crate::error::{Error, Reason};
use crate::link::Link;
use crate::wire;

/// How much longer than its node an operation is waited for: the node's own verdict is worth more than "no answer".
pub(crate) const GRACE: Duration = Duration::from_millis(500);
/// The longest that a node gives an operation.
const TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// An attempt that carries one of the operations that sessions know.
pub(crate) trait OperationAttempt: Attempt<Answer = Answer> {
    fn operation(&self) -> &Operation;
}

/// Runs an operation at the owners of its key, and takes note of the epoch that comes back.
pub(crate) async fn run(
    cluster: &Cluster,
    timeout: Option<Duration>,
    attempt: &mut impl OperationAttempt,
) -> Result<Answer, Error> {
    let (bucket, key) = match attempt.operation() {
        Operation::Get(get) => (&get.bucket, &get.key),
        Operation::Put(put) => (&put.bucket, &put.key),
        Operation::Delete(delete) => (&delete.bucket, &delete.key),
    };
    let partition = cluster.routing().partition_of(bucket, key);
    let deadline = deadline(cluster, timeout);
    match attempt::run(cluster, partition, deadline, attempt).await {
        Ok(answer) => {
            cluster.saw_epoch(epoch_of(&answer));
            Ok(answer)
        }
        Err(Error::Indeterminate { reason, context, .. }) => {
            Err(Error::Indeterminate { reason, operation: wire::operation_id(attempt.operation()), context })
        }
        Err(error) => Err(error),
    }
}

pub(crate) fn deadline(cluster: &Cluster, timeout: Option<Duration>) -> Instant {
    Instant::now() + timeout.unwrap_or(cluster.options.timeout).min(TIMEOUT_MAX)
}

fn epoch_of(answer: &Answer) -> u64 {
    match answer {
        Answer::Get(get) => get.epoch,
        Answer::Put(put) => put.epoch,
        Answer::Delete(delete) => delete.epoch,
        Answer::Error(_) => 0,
    }
}

/// What an operation's failure means for trying it again; a delete learns the context that it has to carry then.
pub(crate) fn learn_from(operation: &mut Operation, failed: &Failed) {
    if let Operation::Delete(delete) = operation
        && let Error::Indeterminate { context: Some(context), .. } = &failed.error
    {
        delete.context = context.as_bytes().clone();
    }
}

/// Puts carry their operation id and take effect once; a delete without context would delete what came after it.
pub(crate) fn may_repeat_indeterminate(operation: &Operation) -> bool {
    match operation {
        Operation::Get(_) | Operation::Put(_) => true,
        Operation::Delete(delete) => !delete.context.is_empty(),
    }
}

pub(crate) fn expect_get(answer: Answer) -> Result<v1::GetResponse, Error> {
    match answer {
        Answer::Get(get) => Ok(get),
        Answer::Put(_) | Answer::Delete(_) | Answer::Error(_) => Err(Error::not_attempted(mismatch())),
    }
}

pub(crate) fn expect_put(answer: Answer) -> Result<v1::PutResponse, Error> {
    match answer {
        Answer::Put(put) => Ok(put),
        Answer::Get(_) | Answer::Delete(_) | Answer::Error(_) => Err(Error::indeterminate(mismatch())),
    }
}

pub(crate) fn expect_delete(answer: Answer) -> Result<v1::DeleteResponse, Error> {
    match answer {
        Answer::Delete(delete) => Ok(delete),
        Answer::Get(_) | Answer::Put(_) | Answer::Error(_) => Err(Error::indeterminate(mismatch())),
    }
}

fn mismatch() -> Reason {
    Reason::Protocol {
        address: "the node".into(),
        message: "the answer is to another kind of operation".into(),
    }
}

pub(crate) fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

pub(crate) fn unreachable(link: &Link, message: String) -> Error {
    Error::not_attempted(Reason::Unreachable { address: link.address.clone(), message })
}

pub(crate) fn unclear(read: bool, reason: Reason) -> Error {
    if read { Error::not_attempted(reason) } else { Error::indeterminate(reason) }
}

pub(crate) fn no_answer(link: &Link, read: bool) -> Error {
    let address = link.address.clone();
    unclear(read, Reason::NoAnswer { address })
}
