//! A listing is in order and makes progress. It names every key of its range that holds an acknowledged write which
//! nobody can have replaced and whose time is not over, and none whose every write was replaced for good (r + w > n); when all is at rest, exactly
//! the keys that live.

use std::ops::RangeInclusive;

use bytes::Bytes;
use quorate_protocol::operation::{List, Listed};
use quorate_protocol::version::Container;

use super::{Check, Disks, violation};
use crate::oracle::Oracle;

pub(super) fn page(oracle: &Oracle, attempt: usize, list: &List, listed: &Listed) -> Check {
    let attempt = &oracle.attempts[attempt];
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
    let in_range = |key: &Bytes| all_after(key) && listed.next.as_ref().is_none_or(|next| key <= next);
    for expected in &attempt.expectations {
        let history = &oracle.keys[expected.key];
        let is_listed = listed.keys.contains(&history.key);
        let lives = expected
            .must_cover
            .iter()
            .filter(|&at| !history.is_forgotten(at))
            .any(|at| !history.was_seen_by_a_writer(at) && !history.may_show_nothing_of(at));
        if lives && !is_listed && in_range(&history.key) {
            return wrong(format!("{} lives", history.key.escape_ascii()));
        }
        let mut writes = 0..history.dots().len();
        if is_listed && writes.all(|at| expected.must_not_show.contains(at)) {
            return wrong(format!("{} does not live", history.key.escape_ascii()));
        }
    }
    let known =
        |key: &Bytes| attempt.expectations.iter().any(|expected| oracle.keys[expected.key].key == key);
    match listed.keys.iter().find(|key| !known(key)) {
        Some(key) => wrong(format!("{} is no key of that partition", key.escape_ascii())),
        None => Ok(()),
    }
}

/// Compares a whole listing of a partition of a bucket with the disks of its owners. `wall_ms`: what the nodes' wall clocks
/// showed, from the earliest when it began to the latest when it ended; a value that expires in
/// between, or that one owner has dropped and another not, may be listed.
pub(crate) fn exactly_live_keys(
    oracle: &Oracle,
    histories: &[usize],
    listed: &[Bytes],
    disks: &Disks<'_>,
    wall_ms: &RangeInclusive<u64>,
) -> Check {
    let (mut live, mut unsure) = (Vec::new(), Vec::new());
    for &key in histories {
        let history = &oracle.keys[key];
        let mut merged = Container::default();
        let mut longest_ms = 0;
        for container in disks.durable(&history.store_key, history.bucket.n)? {
            longest_ms = longest_ms.max(container.live_until(history.last_writer_wins()));
            merged.merge(&container);
        }
        if *wall_ms.end() < merged.live_until(history.last_writer_wins()) {
            live.push(history.key.clone());
        } else if *wall_ms.start() < longest_ms && longest_ms < u64::MAX {
            unsure.push(history.key.clone());
        }
    }
    live.sort();
    let sure: Vec<_> = listed.iter().filter(|key| !unsure.contains(key)).cloned().collect();
    if live != sure {
        return Err(violation("listing", format!("the keys {live:?} live, and {listed:?} are listed")));
    }
    Ok(())
}
