//! A dot names one write for ever, and no context covers it before the write is there.
//!
//! Proves that no two writers got one dot, in one life of an actor or over a crash, that values are those which a client
//! sent, and that no vector entry ran ahead of its actor (its next write would vanish in a merge).

use quorate_protocol::operation::Operation;
use quorate_protocol::version::{Container, Sibling};

use super::{Check, Violation, expiry, limits, name, operations, violation};
use crate::describe;
use crate::oracle::{Fate, Maker, Oracle};

pub(super) fn check(oracle: &mut Oracle, key: usize, container: &Container, by: Maker) -> Check {
    for sibling in &container.siblings {
        match oracle.keys[key].position(sibling.dot) {
            Some(at) => known(oracle, key, at, sibling)?,
            None => {
                let operation = new(oracle, key, sibling)?;
                limits::of_new_write(oracle, key, operation, container, by)?;
                expiry::of_new_write(oracle, key, operation, sibling, by)?;
                operations::made_once(oracle, key, container, operation, by)?;
                oracle.add_dot(key, sibling, operation, by);
            }
        }
    }
    oracle.keys[key].learn(&container.context);
    Ok(())
}

fn known(oracle: &Oracle, key: usize, at: usize, sibling: &Sibling) -> Check {
    let record = &oracle.keys[key].dots()[at];
    let operation = oracle.operation_of(sibling.operation);
    if operation != Some(record.operation) || (sibling.hlc, sibling.expiry) != (record.hlc, record.expiry) {
        return Err(violation(
            "dots",
            format!("{} is also the name of another write: {sibling:?}", name(oracle, key, at)),
        ));
    }
    value_is_the_operations(oracle, record.operation, sibling)
}

/// The operation that a write belongs to, of which nobody has heard before.
fn new(oracle: &Oracle, key: usize, sibling: &Sibling) -> Result<usize, Violation> {
    let dot = describe::dot(sibling.dot);
    let Some(operation) = oracle.operation_of(sibling.operation) else {
        return Err(violation("dots", format!("{dot} is a write that no client asked for: {sibling:?}")));
    };
    let record = &oracle.operations[operation];
    let what = describe::operation_name(oracle, operation);
    if record.key != Some(key) {
        return Err(violation("dots", format!("{dot} of {what} is in a container of another key")));
    }
    value_is_the_operations(oracle, operation, sibling)?;
    if record.fate == Fate::NotAttempted {
        return Err(violation(
            "not_attempted",
            format!("{what} got {dot} although its client was told that nothing was done"),
        ));
    }
    if oracle.keys[key].known().covers(sibling.dot) {
        return Err(violation(
            "dots",
            format!("{dot} of {what} was covered by a context before the write was there"),
        ));
    }
    Ok(operation)
}

fn value_is_the_operations(oracle: &Oracle, operation: usize, sibling: &Sibling) -> Check {
    match &oracle.operations[operation].operation {
        Operation::Put(put) if put.value == sibling.value && put.content_type == sibling.content_type => {
            Ok(())
        }
        other => Err(violation("dots", format!("{sibling:?} is not what was asked for: {other:?}"))),
    }
}
