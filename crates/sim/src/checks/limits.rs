//! What the limits forbid is not done: no write without a context on a key that has all the siblings it may have, no
//! write with a context more scattered than is taken, no write that was asked of a node after it had learned that its
//! disk is full.

use quorate_protocol::operation::Operation;
use quorate_protocol::version::{Container, peek};

use super::{Check, violation};
use crate::describe;
use crate::oracle::{Maker, Oracle};

/// A node makes a write: `container` is what it then holds.
pub(super) fn of_new_write(
    oracle: &Oracle,
    key: usize,
    operation: usize,
    container: &Container,
    by: Maker,
) -> Check {
    let record = &oracle.operations[operation];
    let Operation::Put(put) = &record.operation else { return Ok(()) };
    let what = describe::operation_name(oracle, operation);
    let forbidden = |why: String| Err(violation("limits", format!("{what} was carried out, {why}")));
    let before = container.siblings.len() - 1;
    let saw_nothing = put.context.is_empty() && !oracle.keys[key].last_writer_wins();
    if saw_nothing && before >= oracle.limits.siblings {
        return forbidden(format!("having seen nothing of {before} siblings"));
    }
    let scattered = peek(&put.context).map_or(0, |context| context.cloud().len());
    if scattered > oracle.limits.cloud_dots {
        return forbidden(format!("having seen {scattered} single dots"));
    }
    if by.full_since_us.is_some_and(|full_us| full_us < record.asked_us) {
        return forbidden("although the disk was known to be full".into());
    }
    Ok(())
}
