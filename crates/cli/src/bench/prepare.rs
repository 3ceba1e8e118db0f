//! Before a load: all its keys are there. After it: what was acknowledged is.

use anyhow::{Context as _, Result};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::ledger::{Ending, Ledger};
use super::target::Target;
use super::value::Values;
use crate::progress::{Progress, Unit};

/// Operations that are under way at once.
const IN_FLIGHT: usize = 256;
const SHOW_EVERY: u64 = 500;
/// Written keys that are read again in the end.
const VERIFIED: usize = 10_000;

/// Reads all keys, so that writers know what is there from earlier runs, and stores what is missing.
pub(super) async fn prepare<T: Target>(
    target: &T,
    ledger: &Ledger,
    values: &Values,
    keys: u32,
) -> Result<()> {
    let one = |key: u32| async move {
        let found = target.get(key).await?;
        ledger.check(key, ledger.floor(key), &found, target.may_be_stale());
        if !found.is_empty() {
            ledger.was_there(key);
        }
        // Of siblings that are there nobody knows whose they are: the first of their new writers replaces them.
        let puts = if found.is_empty() || target.siblings() > 1 { target.siblings() } else { 0 };
        for _ in 0..puts {
            let begun = ledger.begin(key);
            target.put(key, values.of(key, begun.sequence)).await?;
            ledger.end(begun, Ending::Acknowledged);
        }
        anyhow::Ok(())
    };
    each("prepare", 0..keys, one).await.context("preparing the keys")
}

/// Reads some of the keys that were written.
pub(super) async fn verify<T: Target>(target: &T, ledger: &Ledger) -> Result<()> {
    let one = |key: u32| async move {
        let floor = ledger.floor(key);
        let found = target.get(key).await?;
        ledger.check(key, floor, &found, target.may_be_stale());
        anyhow::Ok(())
    };
    let keys = ledger.some_written(VERIFIED).into_iter();
    each("verify", keys, one).await.context("reading what was written")
}

async fn each<F: Future<Output = Result<()>>>(
    what: &'static str,
    keys: impl ExactSizeIterator<Item = u32>,
    one: impl Fn(u32) -> F,
) -> Result<()> {
    let mut progress = Progress::new(what, Unit::Of(keys.len() as u64));
    let mut under_way = stream::iter(keys).map(one).buffer_unordered(IN_FLIGHT);
    let mut count = 0_u64;
    while let Some(()) = under_way.try_next().await? {
        count += 1;
        if count.is_multiple_of(SHOW_EVERY) {
            progress.set(count, &String::new);
        }
    }
    progress.finish();
    Ok(())
}
