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
