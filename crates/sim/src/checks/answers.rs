//! Every request is answered once, in its time, and counts enough primaries, and fallbacks only in sloppy mode.

use quorate_protocol::operation::Operation;

use super::{Check, Violation, violation};
use crate::describe;
use crate::oracle::{AttemptState, Oracle};

pub(super) fn once_and_in_time(oracle: &Oracle, attempt: usize, late_us: u64) -> Check {
    let Some(record) = oracle.attempts.get(attempt) else {
        return Err(violation("answers", format!("request {attempt} was never asked")));
    };
    let what = describe::operation_name(oracle, record.operation);
    if record.state != AttemptState::Open {
        return Err(violation("answers", format!("{what} was answered twice")));
    }
    if late_us > 0 {
        return Err(violation("answers", format!("{what} was answered {late_us} us after its deadline")));
    }
    Ok(())
}

pub(super) fn none_open(oracle: &Oracle) -> Check {
    match oracle.attempts.iter().find(|attempt| attempt.state == AttemptState::Open) {
        Some(attempt) => Err(violation(
            "answers",
            format!("{} was never answered", describe::operation_name(oracle, attempt.operation)),
        )),
        None => Ok(()),
    }
}

/// The answer claims at least as many primaries and fallbacks as it needs, and no more than count.
pub(super) fn enough(oracle: &Oracle, operation: usize, primaries: u32, fallbacks: u32) -> Check {
    let record = &oracle.operations[operation];
    let quorum = record.quorum;
    let (needed, of_primaries) = match &record.operation {
        Operation::Put(_) | Operation::Delete(_) => (quorum.w, quorum.primaries.1),
        Operation::Get(_) | Operation::List(_) => (quorum.r, quorum.primaries.0),
    };
    if oracle.moves {
        // How many are needed is another matter from epoch to epoch: the disks of both sides are looked at instead.
        return Ok(());
    }
    let in_bounds = (needed..=quorum.n).contains(&(primaries + fallbacks)) && primaries >= of_primaries;
    if in_bounds && (fallbacks == 0 || quorum.sloppy) {
        return Ok(());
    }
    Err(violation(
        "answers",
        format!(
            "{} claims {primaries} primaries and {fallbacks} fallbacks, with {needed} needed of {}",
            describe::operation_name(oracle, operation),
            quorum.n
        ),
    ))
}

/// The key of an operation that has one.
pub(super) fn key(oracle: &Oracle, operation: usize) -> Result<usize, Violation> {
    oracle.operations[operation].key.ok_or_else(|| {
        let what = describe::operation_name(oracle, operation);
        violation("answers", format!("{what} has no key and was answered as if it had"))
    })
}
