//! After a read that asked all owners and the repairs it caused, all owners hold equal containers durably; and when faults have
//! been over for a while, without any read.

use super::{Check, Disks, violation};
use crate::oracle::Oracle;

pub(super) fn check(oracle: &Oracle, key: usize, disks: &Disks<'_>) -> Check {
    let history = &oracle.keys[key];
    let holders = disks.durable(&history.store_key, history.bucket.n)?;
    match holders.iter().find(|container| **container != holders[0]) {
        Some(other) => Err(violation(
            "convergence",
            format!("all owners ought to be equal, and one holds {:?} and one {other:?}", holders[0]),
        )),
        None => Ok(()),
    }
}
