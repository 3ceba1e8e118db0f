//! "Not attempted" is the truth: no node ever makes a write of an operation whose every attempt was refused that way,
//! before the refusal or after it.

use super::{Check, name, violation};
use crate::describe;
use crate::oracle::Oracle;

pub(super) fn check(oracle: &Oracle, operation: usize) -> Check {
    let record = &oracle.operations[operation];
    match (record.dots.first(), record.key) {
        (Some(&at), Some(key)) => Err(violation(
            "not_attempted",
            format!(
                "{} was refused as not attempted, and {} exists",
                describe::operation_name(oracle, operation),
                name(oracle, key, at)
            ),
        )),
        _ => Ok(()),
    }
}
