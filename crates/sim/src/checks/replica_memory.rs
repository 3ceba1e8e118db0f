//! A replica never forgets but what all agreed to forget: what it writes over a container covers all else that the container
//! covered.

use bytes::Bytes;
use quorate_protocol::version::EncodedContainer;

use super::{Check, containers, violation};
use crate::oracle::KeyHistory;

pub(super) fn check(history: &KeyHistory, before: Option<Bytes>, after: &EncodedContainer) -> Check {
    let Some(before) = before else { return Ok(()) };
    if before == after.0 {
        return Ok(());
    }
    let before = containers::decode(&EncodedContainer(before))?;
    let after = containers::decode(after)?;
    let mut remembered = after.context.clone();
    remembered.join(history.purged());
    if !remembered.covers_all(&before.context) {
        return Err(violation(
            "replica_memory",
            format!("a replica replaced {before:?} by {after:?}, which does not cover it"),
        ));
    }
    // What comes back after having been covered here was merged wrongly.
    let back = after.siblings.iter().find(|sibling| {
        before.context.covers(sibling.dot) && before.siblings.iter().all(|other| other.dot != sibling.dot)
    });
    match back {
        Some(sibling) => {
            Err(violation("replica_memory", format!("a replica that had dropped {sibling:?} holds it again")))
        }
        None => Ok(()),
    }
}
