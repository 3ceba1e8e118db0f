//! The data plane's calls.

use std::time::{Duration, Instant};

use prost::Message as _;
use quorate_proto::convert::kv::{
    delete_from_wire, delete_written_to_wire, found_to_wire, get_from_wire, mismatch, operation_from_wire,
    put_from_wire, put_written_to_wire, response_to_wire,
};
use quorate_proto::v1::kv_server::Kv;
use quorate_proto::v1::{
    BatchRequest, BatchResponse, DeleteRequest, DeleteResponse, GetRequest, GetResponse, KeysRequest,
    KeysResponse, PutRequest, PutResponse, Response as Answer, SessionRequest, response,
};
use quorate_protocol::operation::{Failure, OperationError, OperationResult, Outcome, Timed};
use tokio::sync::{mpsc, watch};
use tonic::{Request, Response, Status, Streaming};

use super::session::Session;
use super::status::{absent, failed, refused};
use super::value::checked;
use super::{GrpcState, MALFORMED, mint};
use crate::listing;
use crate::observe::{operation_name, outcome_name};

/// The most operations of one batch.
const BATCH_MAX: usize = 1000;
/// The most bytes of one batch's answers; reads past it fail.
const BATCH_ANSWER_BYTES: usize = 64 << 20;

pub(super) struct KvService {
    state: GrpcState,
    /// True once the node stops: sessions take nothing more then.
    stopping: watch::Receiver<bool>,
}

impl KvService {
    pub(super) fn new(state: GrpcState, stopping: watch::Receiver<bool>) -> Self {
        Self { state, stopping }
    }

    fn observe(&self, operation: &'static str, outcome: &'static str, took: Duration) {
        self.state.observer.observed(operation, outcome, took, 1);
    }

    /// Carries out what a single call asks, unless that could not be read.
    async fn run(&self, name: &'static str, asked: Result<Timed, Failure>) -> Result<Outcome, Status> {
        let started = Instant::now();
        let result = match asked {
            Ok(timed) => self.state.driver.run(timed).await,
            Err(failure) => Err(OperationError::not_attempted(failure)),
        };
        self.observe(name, outcome_name(&result), started.elapsed());
        result.map_err(failed)
    }

    /// Hands all operations to the loop together; the answers come in the order of the requests.
    async fn run_all(&self, requests: Vec<quorate_proto::v1::Request>) -> Vec<Answer> {
        let started = Instant::now();
        let mut names = Vec::with_capacity(requests.len());
        let mut answers = Vec::with_capacity(requests.len());
        let mut operations = Vec::with_capacity(requests.len());
        for (at, request) in (0..).zip(requests) {
            let answer =
                match operation_from_wire(request.operation, mint).map_err(Failure::from).and_then(checked) {
                    Ok(timed) => {
                        // What the answer is until there is another: the loop has ended without one.
                        let unanswered = self.state.driver.gone(timed.operation.is_write());
                        names.push(operation_name(&timed.operation));
                        operations.push((at, timed));
                        response_to_wire(request.id, Err(unanswered))
                    }
                    Err(error) => {
                        let error = Err(OperationError::not_attempted(error));
                        self.observe(MALFORMED, outcome_name(&error), started.elapsed());
                        names.push(MALFORMED);
                        response_to_wire(request.id, error)
                    }
                };
            answers.push(answer);
        }
        let (sender, mut groups) = mpsc::unbounded_channel();
        if !operations.is_empty() {
            self.state.driver.submit(operations, &sender);
        }
        // With its last operation the loop lets go of its last sender.
        drop(sender);
        let mut bytes = 0;
        while let Some(group) = groups.recv().await {
            for (at, result) in group {
                let Some((name, answer)) =
                    usize::try_from(at).ok().and_then(|at| Some((*names.get(at)?, answers.get_mut(at)?)))
                else {
                    continue;
                };
                self.observe(name, outcome_name(&result), started.elapsed());
                *answer = bounded(&mut bytes, answer.id, result);
            }
        }
        answers
    }
}

#[tonic::async_trait]
impl Kv for KvService {
    type SessionStream = Session<Streaming<SessionRequest>>;

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        match self.run("get", Ok(get_from_wire(request.into_inner()))).await? {
            Outcome::Get(found) if found.siblings.is_empty() => Err(absent(found.context)),
            Outcome::Get(found) => Ok(Response::new(found_to_wire(found))),
            Outcome::Put(_) | Outcome::Delete(_) | Outcome::List(_) => Err(failed(mismatch())),
        }
    }

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        let asked = put_from_wire(request.into_inner(), mint).map_err(Failure::from).and_then(checked);
        match self.run("put", asked).await? {
            Outcome::Put(written) => Ok(Response::new(put_written_to_wire(written))),
            Outcome::Get(_) | Outcome::Delete(_) | Outcome::List(_) => Err(failed(mismatch())),
        }
    }

    async fn delete(&self, request: Request<DeleteRequest>) -> Result<Response<DeleteResponse>, Status> {
        match self.run("delete", Ok(delete_from_wire(request.into_inner()))).await? {
            Outcome::Delete(written) => Ok(Response::new(delete_written_to_wire(written))),
            Outcome::Get(_) | Outcome::Put(_) | Outcome::List(_) => Err(failed(mismatch())),
        }
    }

    async fn batch(&self, request: Request<BatchRequest>) -> Result<Response<BatchResponse>, Status> {
        let requests = request.into_inner().requests;
        if requests.len() > BATCH_MAX {
            let reason = format!("{} of them, and at most {BATCH_MAX} are taken", requests.len());
            return Err(refused(Failure::Invalid { field: "requests", reason }));
        }
        Ok(Response::new(BatchResponse { responses: self.run_all(requests).await }))
    }

    async fn keys(&self, request: Request<KeysRequest>) -> Result<Response<KeysResponse>, Status> {
        let started = Instant::now();
        let (driver, limits) = (&self.state.driver, &self.state.limits);
        let partitions = driver.layout().map(|layout| layout.partitions());
        let page = listing::page(partitions, limits, request.into_inner(), |timed| driver.run(timed)).await;
        let outcome = match &page {
            Ok(_) => "success",
            Err(error) => outcome_name(&Err(error.clone())),
        };
        self.observe("keys", outcome, started.elapsed());
        page.map(Response::new).map_err(failed)
    }

    async fn session(
        &self,
        request: Request<Streaming<SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let (driver, observer) = (self.state.driver.clone(), self.state.observer.clone());
        Ok(Response::new(Session::new(driver, observer, request.into_inner(), self.stopping.clone())))
    }
}

/// An answer as it travels, unless it is a read that makes all answers together too large.
fn bounded(bytes: &mut usize, id: u64, result: OperationResult) -> Answer {
    let answer = response_to_wire(id, result);
    let size = answer.encoded_len();
    if matches!(answer.result, Some(response::Result::Get(_))) && *bytes + size > BATCH_ANSWER_BYTES {
        let reason = format!("the batch's answers are larger than {BATCH_ANSWER_BYTES} bytes: ask for less");
        return response_to_wire(id, Err(OperationError::not_attempted(Failure::Overloaded(reason))));
    }
    *bytes += size;
    answer
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use quorate_protocol::id::{ActorId, Epoch, OperationId};
    use quorate_protocol::operation::Found;
    use quorate_protocol::time::Hlc;
    use quorate_protocol::version::{ContentType, Dot, Sibling};

    use super::*;

    #[test]
    fn reads_that_make_a_batch_too_large_fail_one_by_one() {
        let sibling = Sibling {
            dot: Dot { actor: ActorId(1), seq: 1 },
            hlc: Hlc::default(),
            operation: OperationId(1),
            expiry: None,
            content_type: ContentType::OctetStream,
            value: Bytes::from(vec![0; BATCH_ANSWER_BYTES / 2]),
        };
        let found = Found {
            siblings: vec![sibling],
            context: Bytes::new(),
            primaries: 1,
            fallbacks: 0,
            epoch: Epoch(1),
        };
        let mut bytes = 0;
        let mut answer = |result| bounded(&mut bytes, 3, result).result;
        assert!(matches!(answer(Ok(Outcome::Get(found.clone()))), Some(response::Result::Get(_))));
        assert!(matches!(answer(Ok(Outcome::Get(found.clone()))), Some(response::Result::Error(_))));
        let small = Found { siblings: Vec::new(), ..found };
        assert!(matches!(answer(Ok(Outcome::Get(small))), Some(response::Result::Get(_))));
    }
}
