//! What an acknowledged write or delete has covered never comes back: not in a read that begins later (r + w > n), and not
//! on the disks when all is at rest.

use super::{Check, Disks, name, violation};
use crate::describe;
use crate::oracle::{DotSet, Oracle};

pub(super) fn in_answer(oracle: &Oracle, attempt: usize, shown: &DotSet) -> Check {
    let attempt = &oracle.attempts[attempt];
    for expected in &attempt.expectations {
        if let Some(at) = shown.iter().find(|&at| expected.must_not_show.contains(at)) {
            return Err(violation(
                "resurrection",
                format!(
                    "{} shows {}, whose replacement was acknowledged before it began",
                    describe::operation_name(oracle, attempt.operation),
                    name(oracle, expected.key, at)
                ),
            ));
        }
    }
    Ok(())
}

/// As many owners as acknowledged still cover what was replaced, and do not hold it.
pub(super) fn on_disks(oracle: &Oracle, key: usize, disks: &Disks<'_>) -> Check {
    let history = &oracle.keys[key];
    let holders = disks.durable(&history.store_key, history.bucket.n)?;
    for (copies, _, gone) in history.all_promises() {
        for at in gone.iter() {
            let dot = history.dots()[at].dot;
            let right = holders
                .iter()
                .filter(|container| {
                    history.is_known_to(&container.context, dot)
                        && container.siblings.iter().all(|sibling| sibling.dot != dot)
                })
                .count();
            let copies = history.copies_kept(copies);
            if right < copies {
                return Err(violation(
                    "resurrection",
                    format!(
                        "the replacement of {} was acknowledged by {copies} owners, and {right} know of it",
                        name(oracle, key, at)
                    ),
                ));
            }
        }
    }
    Ok(())
}
