//! An operation takes effect once: an answer shows it once however often it was retried; one that was sent once gets one
//! dot; no life of a node makes a second one within the time that it remembers, nor does a node that holds a sibling of
//! it; what has to be refused is.

use std::collections::BTreeSet;

use quorate_protocol::version::{Container, Sibling};

use super::{Check, Violation, violation};
use crate::describe;
use crate::oracle::{DotSet, Maker, Oracle};

/// A coordinator remembers for a minute what it has made; its clock may run a little fast.
const REMEMBERED_US: u64 = 55_000_000;

/// The positions of what an answer shows.
pub(super) fn shown(oracle: &Oracle, key: usize, siblings: &[Sibling]) -> Result<DotSet, Violation> {
    let history = &oracle.keys[key];
    let mut positions = DotSet::default();
    let mut operations = BTreeSet::new();
    for sibling in siblings {
        let Some(at) = history.position(sibling.dot) else {
            return Err(violation(
                "operations",
                format!("a read shows {sibling:?}, which no node has stored"),
            ));
        };
        let operation = history.dots()[at].operation;
        if oracle.operation_of(sibling.operation) != Some(operation) {
            return Err(violation(
                "operations",
                format!("a read shows {sibling:?} under another write's dot"),
            ));
        }
        if !operations.insert(operation) {
            return Err(violation(
                "operations",
                format!("a read shows {} twice", describe::operation_name(oracle, operation)),
            ));
        }
        positions.insert(at);
    }
    Ok(positions)
}

/// A write that is about to be made is not one that its coordinator has made already, or holds.
pub(super) fn made_once(
    oracle: &Oracle,
    key: usize,
    container: &Container,
    operation: usize,
    by: Maker,
) -> Check {
    let what = describe::operation_name(oracle, operation);
    let before =
        container.siblings.iter().filter(|sibling| oracle.operation_of(sibling.operation) == Some(operation));
    if before.count() > 1 {
        return Err(violation("operations", format!("a coordinator that holds {what} makes it again")));
    }
    let again = |&at: &usize| {
        let first = oracle.keys[key].dots()[at].maker;
        (first.node, first.life) == (by.node, by.life)
            && by.at_us - first.at_us < REMEMBERED_US
            && !oracle.keys[key].has_forgotten(by.node, first.at_us)
            // Bounds are as short as they never are in earnest: what was purged may be put again by a retry.
            && !oracle.keys[key].is_forgotten(at)
    };
    // A fallback that has given away what it kept has it no more, and makes it anew for a retry: answers show both as one.
    let sloppy = oracle.operations[operation].quorum.sloppy;
    if !sloppy && oracle.operations[operation].dots.iter().any(again) {
        return Err(violation(
            "operations",
            format!("one life of {} makes {what} twice", describe::node(by.node)),
        ));
    }
    Ok(())
}

/// What was sent once has at most one dot, and what had to be refused was not carried out.
pub(super) fn may_succeed(oracle: &Oracle, operation: usize) -> Check {
    let record = &oracle.operations[operation];
    let what = describe::operation_name(oracle, operation);
    if record.foreign {
        return Err(violation(
            "operations",
            format!("{what} has a context of another key and was carried out"),
        ));
    }
    if record.attempts == 1 && record.dots.len() > 1 {
        return Err(violation(
            "operations",
            format!("{what} was sent once and got {} dots", record.dots.len()),
        ));
    }
    Ok(())
}

/// Clients here send nothing invalid but foreign contexts.
pub(super) fn may_be_invalid(oracle: &Oracle, operation: usize, field: &str, reason: &str) -> Check {
    if oracle.operations[operation].foreign {
        return Ok(());
    }
    Err(violation(
        "operations",
        format!("{} was refused as invalid: {field}: {reason}", describe::operation_name(oracle, operation)),
    ))
}
