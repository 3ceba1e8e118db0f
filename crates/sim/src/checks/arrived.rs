//! What was acknowledged arrives, by whatever way: once replicas are equal, every acknowledged put is covered by all owners
//! of its key, also when only fallbacks had acknowledged it.

use super::{Check, Disks, violation};
use crate::describe;
use crate::oracle::{Fate, Oracle};

pub(super) fn check(oracle: &Oracle, key: usize, disks: &Disks<'_>) -> Check {
    let history = &oracle.keys[key];
    let holders = disks.durable(&history.store_key, history.bucket.n)?;
    for (operation, record) in oracle.operations.iter().enumerate() {
        if record.key != Some(key) || record.fate != Fate::Acknowledged || record.dots.is_empty() {
            continue;
        }
        let covered = |container: &quorate_protocol::version::Container| {
            record.dots.iter().any(|&at| history.is_known_to(&container.context, history.dots()[at].dot))
        };
        if !holders.iter().all(covered) {
            let what = describe::operation_name(oracle, operation);
            return Err(violation(
                "arrived",
                format!("{what} was acknowledged and has not come to all owners"),
            ));
        }
    }
    Ok(())
}
