//! A last-writer-wins bucket never shows two values, and what it shows is not older, by (hlc, dot), than any write
//! that was acknowledged before the read began, except those that a later write or delete had seen, and those whose time
//! may be over: these leave nothing shown that is older, as long as no node has dropped them.

use super::{Check, name, violation};
use crate::describe;
use crate::oracle::{DotSet, Oracle};

pub(super) fn check(oracle: &Oracle, attempt: usize, shown: &DotSet) -> Check {
    let attempt = &oracle.attempts[attempt];
    let Some(key) = oracle.operations[attempt.operation].key else {
        return Ok(());
    };
    let history = &oracle.keys[key];
    if !history.last_writer_wins() {
        return Ok(());
    }
    let what = describe::operation_name(oracle, attempt.operation);
    if shown.iter().count() > 1 {
        return Err(violation("last_writer", format!("{what} shows {}", super::names(oracle, key, shown))));
    }
    let winner = shown.iter().next().map(|at| history.rank(at));
    let mut acknowledged = attempt.expectations.iter().flat_map(|expected| expected.must_cover.iter());
    let is_right = |at: usize| {
        history.was_seen_by_a_writer(at)
            || history.is_forgotten(at)
            || winner >= Some(history.rank(at))
            || (history.may_show_nothing_of(at) && (winner.is_none() || history.dots()[at].was_dropped))
    };
    let greater = { acknowledged }.find(|&at| !is_right(at));
    match greater {
        Some(at) => Err(violation(
            "last_writer",
            format!(
                "{what} shows {}, and not {}, which is later",
                super::names(oracle, key, shown),
                name(oracle, key, at)
            ),
        )),
        None => Ok(()),
    }
}
