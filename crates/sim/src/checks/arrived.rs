//! What was acknowledged arrives, by whatever way: once replicas are equal, all owners of a key cover every write that an
//! acknowledgement covered, also one that only fallbacks gave.

use super::{Check, Disks, name, violation};
use crate::oracle::Oracle;

pub(super) fn check(oracle: &Oracle, key: usize, disks: &Disks<'_>) -> Check {
    let history = &oracle.keys[key];
    let holders = disks.durable(&history.store_key, history.bucket.n)?;
    for (copies, covered, _) in history.all_promises() {
        for at in covered.iter() {
            let dot = history.dots()[at].dot;
            if !holders.iter().all(|container| history.is_known_to(&container.context, dot)) {
                let what = name(oracle, key, at);
                let detail = format!("{what} was acknowledged by {copies} owners and has not come to all");
                return Err(violation("arrived", detail));
            }
        }
    }
    Ok(())
}
