//! After a read that asked all owners, and the repairs it caused, all owners hold equal bytes durably.

use super::{Check, Disks, violation};
use crate::oracle::Oracle;

pub(super) fn check(oracle: &Oracle, key: usize, disks: &Disks<'_>) -> Check {
    let history = &oracle.keys[key];
    let holders = disks.durable(&history.store_key, history.bucket.n)?;
    match holders.iter().find(|container| **container != holders[0]) {
        Some(other) => Err(violation(
            "convergence",
            format!("after a read of all owners one holds {:?} and one {other:?}", holders[0]),
        )),
        None => Ok(()),
    }
}
