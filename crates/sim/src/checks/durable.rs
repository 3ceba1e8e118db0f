//! An acknowledgement means disks: at the moment of the answer as many owners as it claims hold the write durably, and as
//! many fallbacks as it claims keep it for another one, looked up on the simulated disks themselves.

use quorate_protocol::version::{Container, Context};

use super::{Check, Disks, answers, violation};
use crate::describe;
use crate::oracle::Oracle;

pub(super) fn check(
    oracle: &Oracle,
    operation: usize,
    (primaries, fallbacks): (u32, u32),
    answer: &Context,
    disks: &Disks<'_>,
) -> Check {
    let record = &oracle.operations[operation];
    let history = &oracle.keys[answers::key(oracle, operation)?];
    if oracle.moves {
        return on_both_sides(oracle, operation, answer, disks);
    }
    let needed = (primaries + fallbacks).max(record.quorum.w);
    let holders = disks.acknowledged(&history.store_key, record.quorum.n)?;
    // The answer's context covers what the client had seen and the write itself, and so does what was replicated.
    // An owner that has acknowledged may have forgotten it together with all others since.
    let covers = |container: &&Container| {
        let mut remembered = container.context.clone();
        remembered.join(history.purged());
        remembered.covers_all(answer)
    };
    let covering = holders.iter().filter(covers).count();
    let kept = disks.kept(history.bucket.id, history.partition, &history.key)?;
    let keeping = kept.iter().filter(covers).count();
    if covering < primaries as usize || covering + keeping < needed as usize {
        return Err(violation(
            "durable",
            format!(
                "{} was acknowledged for {primaries} primaries and {fallbacks} fallbacks of {needed}, \
                 and is on {covering} and {keeping} disks",
                describe::operation_name(oracle, operation)
            ),
        ));
    }
    Ok(())
}

/// In a change a write is on as many disks of each side as that side's quorum says; fallbacks stand in for owners.
fn on_both_sides(oracle: &Oracle, operation: usize, answer: &Context, disks: &Disks<'_>) -> Check {
    let history = &oracle.keys[answers::key(oracle, operation)?];
    let covers = |container: &Container| {
        let mut remembered = container.context.clone();
        remembered.join(history.purged());
        remembered.covers_all(answer)
    };
    let kept = disks.kept(history.bucket.id, history.partition, &history.key)?;
    let keeping = if oracle.operations[operation].quorum.sloppy {
        kept.iter().filter(|container| covers(container)).count()
    } else {
        0
    };
    for (covering, owners, needed) in disks.on_sides(&history.store_key, covers)? {
        if covering + keeping < needed {
            return Err(violation(
                "durable",
                format!(
                    "{} was acknowledged, and is on {covering} of {} disks of one side, {needed} needed, and on {keeping} others",
                    describe::operation_name(oracle, operation),
                    owners,
                ),
            ));
        }
    }
    Ok(())
}
