//! Keeps what the clients of a run saw.

use std::collections::BTreeMap;

use quorate_observe::{Ending, History, Read, Write, dot_of};
use quorate_protocol::operation::{Failure, Operation, OperationResult, Outcome};
use quorate_protocol::version::{Context, peek};

use crate::oracle::Oracle;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    history: History,
    /// Which of the oracle's operations each write of the history is.
    writes: Vec<usize>,
    /// Of each attempt that is under way: since when in microseconds, and whether it is a probe.
    under_way: BTreeMap<usize, (u64, bool)>,
}

impl Recorder {
    /// A client asks.
    pub(crate) fn began(&mut self, attempt: usize, now_us: u64, probe: bool) {
        self.under_way.insert(attempt, (now_us, probe));
    }

    /// A client is answered.
    pub(crate) fn answered(
        &mut self,
        oracle: &Oracle,
        attempt: usize,
        now_us: u64,
        result: &OperationResult,
    ) {
        let ending = match result {
            Ok(_) => Ending::Done,
            Err(error) => match &error.failure {
                Failure::TimedOut { .. } | Failure::CoordinatorLost(_) => Ending::TimedOut,
                Failure::Invalid { .. }
                | Failure::TooLarge { .. }
                | Failure::UnknownBucket(_)
                | Failure::NotBootstrapped
                | Failure::NotAMember
                | Failure::Starting
                | Failure::ReadFirst(_)
                | Failure::Overloaded(_)
                | Failure::DiskFull
                | Failure::QuorumUnavailable { .. }
                | Failure::Storage(_) => Ending::Refused,
            },
        };
        self.ended(oracle, attempt, now_us, ending, result.as_ref().ok());
    }

    /// A client waits no longer.
    pub(crate) fn gave_up(&mut self, oracle: &Oracle, attempt: usize, now_us: u64) {
        self.ended(oracle, attempt, now_us, Ending::TimedOut, None);
    }

    fn ended(
        &mut self,
        oracle: &Oracle,
        attempt: usize,
        ended_us: u64,
        ending: Ending,
        outcome: Option<&Outcome>,
    ) {
        let operation = oracle.attempts[attempt].operation;
        let record = &oracle.operations[operation];
        let (Some((began_us, probe)), Some(key)) = (self.under_way.remove(&attempt), record.key) else {
            return;
        };
        // What cannot be read covers nothing, and shows as stale.
        let context = |token: &[u8]| peek(token).unwrap_or_default();
        match &record.operation {
            Operation::Get(_) => {
                let covered = match outcome {
                    Some(Outcome::Get(found)) => context(&found.context),
                    _ => Context::default(),
                };
                self.history.reads.push(Read { key, began_us, ended_us, ending, covered, probe });
            }
            Operation::Put(put) => {
                let dot = match outcome {
                    Some(Outcome::Put(written)) => dot_of(&context(&put.context), &context(&written.context)),
                    _ => None,
                };
                self.writes.push(operation);
                self.history.writes.push(Write { key, began_us, ended_us, ending, dot });
            }
            Operation::Delete(_) | Operation::List(_) => {}
        }
    }

    /// All that was seen. Writes that were not acknowledged get the names that nodes gave them.
    pub(crate) fn into_history(mut self, oracle: &Oracle) -> History {
        for (write, &operation) in self.history.writes.iter_mut().zip(&self.writes) {
            if write.dot.is_none() && write.ending != Ending::Done {
                let given = oracle.operations[operation].dots.first();
                write.dot = given.map(|&at| oracle.keys[write.key].dots()[at].dot);
            }
        }
        self.history
    }
}
