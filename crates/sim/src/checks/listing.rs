//! A listing is in order, makes progress, names only keys that were ever written, and, when all is at rest, names exactly
//! the keys that live.

use bytes::Bytes;
use quorate_protocol::operation::{List, Listed};
use quorate_protocol::version::Container;

use super::{Check, Disks, violation};
use crate::oracle::Oracle;

pub(super) fn page(oracle: &Oracle, list: &List, listed: &Listed) -> Check {
    let wrong = |detail: String| Err(violation("listing", format!("{detail}: {listed:?}")));
    if listed.keys.len() > list.limit as usize {
        return wrong(format!("a page has more than {} keys", list.limit));
    }
    let all_after = |key: &Bytes| list.after.as_ref().is_none_or(|after| key > after);
    if !listed.keys.iter().all(all_after) || !listed.keys.windows(2).all(|pair| pair[0] < pair[1]) {
        return wrong("keys are not in order".into());
    }
    if let Some(next) = &listed.next
        && (!all_after(next) || listed.keys.last().is_some_and(|last| last > next))
    {
        return wrong("the next page would go back".into());
    }
    let written = |key: &&Bytes| {
        oracle.keys.iter().any(|history| {
            history.key == *key && history.partition == list.partition && !history.dots().is_empty()
        })
    };
    match listed.keys.iter().find(|key| !written(key)) {
        Some(key) => wrong(format!("{} was never written", key.escape_ascii())),
        None => Ok(()),
    }
}

/// Compares a whole listing of a partition of a bucket with the disks of its owners.
pub(crate) fn exactly_live_keys(
    oracle: &Oracle,
    histories: &[usize],
    listed: &[Bytes],
    disks: &Disks<'_>,
) -> Check {
    let mut live = Vec::new();
    for &key in histories {
        let history = &oracle.keys[key];
        let mut merged = Container::default();
        for container in disks.durable(&history.store_key, history.bucket.n)? {
            merged.merge(&container);
        }
        if !merged.siblings.is_empty() {
            live.push(history.key.clone());
        }
    }
    live.sort();
    if live != listed {
        return Err(violation("listing", format!("the keys {live:?} live, and {listed:?} are listed")));
    }
    Ok(())
}
