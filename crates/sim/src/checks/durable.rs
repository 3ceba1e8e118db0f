//! An acknowledgement means disks: at the moment of the answer at least w owners, and as many as the answer claims, hold
//! the write durably, looked up on the simulated disks themselves.

use quorate_protocol::version::Context;

use super::{Check, Disks, answers, violation};
use crate::describe;
use crate::oracle::Oracle;

pub(super) fn check(
    oracle: &Oracle,
    operation: usize,
    claimed: u32,
    answer: &Context,
    disks: &Disks<'_>,
) -> Check {
    let record = &oracle.operations[operation];
    let history = &oracle.keys[answers::key(oracle, operation)?];
    let needed = claimed.max(record.quorum.w);
    let holders = disks.acknowledged(&history.store_key, record.quorum.n)?;
    // The answer's context covers what the client had seen and the write itself, and so does what was replicated.
    let covering = holders.iter().filter(|container| container.context.covers_all(answer)).count();
    if covering < needed as usize {
        return Err(violation(
            "durable",
            format!(
                "{} was acknowledged for {needed} primaries and is on {covering} disks",
                describe::operation_name(oracle, operation)
            ),
        ));
    }
    Ok(())
}
