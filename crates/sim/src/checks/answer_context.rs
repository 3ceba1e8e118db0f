//! The context in the answer to a write covers what the writer had seen, the write itself, and nothing that lives unseen.
//!
//! Were it to cover a concurrent write, the client's next write would silently replace that one.

use quorate_protocol::operation::Operation;
use quorate_protocol::version::Container;

use super::{Check, Disks, answers, name, violation};
use crate::describe;
use crate::oracle::{DotSet, Oracle};

pub(super) fn of_write(
    oracle: &Oracle,
    operation: usize,
    covered: &DotSet,
    disks: Option<&Disks<'_>>,
) -> Check {
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
        None => disks.map_or(Ok(()), |disks| gone_for_good(oracle, operation, covered, disks)),
    }
}

/// What the client never saw and is covered all the same is gone on as many owners as a write of the bucket needs: if
/// whatever replaced it could still be lost, the client's next write would replace it by nothing.
fn gone_for_good(oracle: &Oracle, operation: usize, covered: &DotSet, disks: &Disks<'_>) -> Check {
    let record = &oracle.operations[operation];
    let key = answers::key(oracle, operation)?;
    let history = &oracle.keys[key];
    let mut holders = None;
    for at in covered.iter() {
        let dot = &history.dots()[at];
        if dot.operation == operation || record.seen.contains(at) {
            continue;
        }
        let without = |container: &Container| {
            history.is_known_to(&container.context, dot.dot)
                && container.siblings.iter().all(|sibling| sibling.dot != dot.dot)
        };
        let too_few = |gone: usize| {
            Err(violation(
                "answer_context",
                format!(
                    "the answer to {} covers {}, which its client never saw and which is replaced on {gone} disks only",
                    describe::operation_name(oracle, operation),
                    name(oracle, key, at)
                ),
            ))
        };
        if oracle.moves {
            // Of both sides of a change.
            for (gone, _, needed) in disks.on_sides(&history.store_key, without)? {
                if gone < needed {
                    return too_few(gone);
                }
            }
            continue;
        }
        let holders = match &holders {
            Some(holders) => holders,
            None => holders.insert(disks.acknowledged(&history.store_key, history.bucket.n)?),
        };
        let gone = holders.iter().filter(|container| without(container)).count();
        if gone < history.least_w() as usize {
            return too_few(gone);
        }
    }
    Ok(())
}
