//! After a read that asked all owners, and the repairs it caused, all owners hold equal bytes durably, but for siblings
//! whose time is over by the clock of some of them, and for what they are forgetting just now.

use quorate_protocol::version::Container;

use super::{Check, Disks, violation};
use crate::oracle::Oracle;

pub(super) fn check(oracle: &Oracle, key: usize, disks: &Disks<'_>) -> Check {
    let history = &oracle.keys[key];
    let holders = disks.durable(&history.store_key, history.bucket.n)?;
    let lasting = |container: &Container| {
        let mut lasting = container.clone();
        lasting.siblings.retain(|sibling| {
            history.position(sibling.dot).is_none_or(|at| !history.may_show_nothing_of(at))
        });
        // Owners forget one after the other.
        lasting.context.join(history.purged());
        lasting
    };
    match holders.iter().find(|container| lasting(container) != lasting(&holders[0])) {
        Some(other) => Err(violation(
            "convergence",
            format!("all owners ought to be equal, and one holds {:?} and one {other:?}", holders[0]),
        )),
        None => Ok(()),
    }
}
