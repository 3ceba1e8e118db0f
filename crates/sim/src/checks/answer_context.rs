//! The context in the answer to a write covers what the writer had seen, the write itself, and nothing that lives unseen.
//!
//! Were it to cover a concurrent write, the client's next write would silently replace that one.

use quorate_protocol::operation::Operation;

use super::{Check, answers, name, violation};
use crate::describe;
use crate::oracle::{DotSet, Oracle};

pub(super) fn of_write(oracle: &Oracle, operation: usize, covered: &DotSet) -> Check {
    let record = &oracle.operations[operation];
    let key = answers::key(oracle, operation)?;
    let history = &oracle.keys[key];
    let what = describe::operation_name(oracle, operation);
    let own = |at: usize| history.dots()[at].operation == operation;
    if matches!(record.operation, Operation::Put(_)) && !covered.iter().any(own) {
        return Err(violation(
            "answer_context",
            format!("the answer to {what} does not cover its own write"),
        ));
    }
    if let Some(at) = record.seen.iter().find(|&at| !covered.contains(at)) {
        return Err(violation(
            "answer_context",
            format!(
                "the answer to {what} does not cover {}, which its context covered",
                name(oracle, key, at)
            ),
        ));
    }
    // The answers of a last-writer-wins bucket cover all; there a clock decides.
    if history.last_writer_wins() {
        return Ok(());
    }
    let unseen =
        covered.iter().find(|&at| !own(at) && !record.seen.contains(at) && !history.may_be_replaced(at));
    match unseen {
        Some(at) => Err(violation(
            "answer_context",
            format!(
                "the answer to {what} covers {}, which its client never saw and which lives",
                name(oracle, key, at)
            ),
        )),
        None => Ok(()),
    }
}
