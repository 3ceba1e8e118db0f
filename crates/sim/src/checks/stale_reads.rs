//! No stale read: when r + w > n, a read that begins after a write was acknowledged returns a context that covers it.
//!
//! Compared with the number of durable copies that each acknowledgement claimed, so that larger quorums promise more.
//! The read half of a delete that chooses itself what to delete is such a read.

use super::{Check, name, violation};
use crate::describe;
use crate::oracle::{DotSet, Oracle};

pub(super) fn covers(oracle: &Oracle, attempt: usize, covered: &DotSet) -> Check {
    let attempt = &oracle.attempts[attempt];
    for expected in &attempt.expectations {
        let history = &oracle.keys[expected.key];
        let missed = |&at: &usize| !covered.contains(at) && !history.is_forgotten(at);
        if let Some(at) = expected.must_cover.iter().find(missed) {
            return Err(violation(
                "stale_reads",
                format!(
                    "{} does not cover {}, which was acknowledged before it began",
                    describe::operation_name(oracle, attempt.operation),
                    name(oracle, expected.key, at)
                ),
            ));
        }
    }
    Ok(())
}
