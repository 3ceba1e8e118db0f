//! No acknowledged write is lost: when all is at rest, as many owners as acknowledged it cover it durably, so the merged
//! state of any read quorum does; and where it lives no more, a write or delete that had seen it has replaced it.

use quorate_protocol::version::Container;

use super::{Check, Disks, hidden, name, violation};
use crate::oracle::Oracle;

pub(super) fn check(oracle: &Oracle, key: usize, disks: &Disks<'_>) -> Check {
    let history = &oracle.keys[key];
    let holders = disks.durable(&history.store_key, history.bucket.n)?;
    for (copies, covered, _) in history.all_promises() {
        for at in covered.iter() {
            let dot = history.dots()[at].dot;
            let covering =
                holders.iter().filter(|container| history.is_known_to(&container.context, dot)).count();
            let copies = history.copies_kept(copies);
            if covering < copies {
                return Err(violation(
                    "acknowledged",
                    format!(
                        "{} was acknowledged by {copies} owners and is covered on {covering} disks",
                        name(oracle, key, at)
                    ),
                ));
            }
        }
    }
    let kept = disks.kept(history.bucket.id, history.partition, &history.key)?;
    for (copies, covered) in history.promises_with_fallbacks() {
        for at in covered.iter() {
            let dot = history.dots()[at].dot;
            let copies = history.copies_kept(copies);
            let all = holders.iter().chain(&kept);
            let covering = all.filter(|container| history.is_known_to(&container.context, dot)).count();
            if covering < copies {
                return Err(violation(
                    "acknowledged",
                    format!(
                        "{} was acknowledged by {copies} owners and fallbacks and is covered on {covering} disks",
                        name(oracle, key, at)
                    ),
                ));
            }
        }
    }
    let mut merged = Container::default();
    for container in &holders {
        merged.merge(container);
    }
    hidden::in_container(oracle, key, &merged)
}
