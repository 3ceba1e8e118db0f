//! Reading a bucket: slices of its partitions side by side, each listed page by page and its keys read.

use std::ops::Range;

use anyhow::Result;
use bytes::Bytes;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use quorate_client::{Client, Error, Found, Get, ListKeys, Session};

use super::ExportArgs;
use crate::patience::patiently;

/// Slices that are read side by side.
const SIDE_BY_SIDE: usize = 4;
/// Into how many slices a bucket is divided: more than run at once, so that none is left alone with the end, and so
/// that an export that goes on has little to repeat.
const SLICES: u32 = 64;

/// What comes out of a scan.
pub(super) enum Item {
    /// A key of a slice, and its values; none when it was deleted since it was listed.
    Key { slice: u32, key: Bytes, found: Found },
    /// All keys of this slice have come.
    Done { slice: u32 },
}

/// Divides so many partitions; a slice is known by its first one.
pub(super) fn slices(partitions: u32) -> Vec<Range<u32>> {
    let length = partitions.div_ceil(SLICES).max(1);
    let slice = |first: u32| first..(first + length).min(partitions);
    (0..partitions).step_by(length as usize).map(slice).collect()
}

/// Everything in these slices, in any order.
pub(super) fn scan<'a>(
    client: &'a Client,
    session: &'a Session,
    args: &'a ExportArgs,
    slices: Vec<Range<u32>>,
) -> impl Stream<Item = Result<Item, Error>> + 'a {
    let in_flight = usize::from(args.in_flight).div_ceil(SIDE_BY_SIDE);
    let scan_one = move |slice: Range<u32>| {
        let first = slice.start;
        let items = keys(client, args, slice).map_ok(move |key| async move {
            let found = read(session, args, key.clone()).await?;
            Ok(Item::Key { slice: first, key, found })
        });
        let done = stream::once(async move { Ok(Item::Done { slice: first }) });
        Box::pin(items.try_buffer_unordered(in_flight).chain(done))
    };
    stream::iter(slices).map(scan_one).flatten_unordered(SIDE_BY_SIDE)
}

fn keys<'a>(
    client: &'a Client,
    args: &'a ExportArgs,
    slice: Range<u32>,
) -> impl Stream<Item = Result<Bytes, Error>> + 'a {
    let list = ListKeys::new()
        .bucket(&args.options.bucket)
        .quorum(args.options.quorum())
        .timeout(args.options.timeout)
        .partitions(slice);
    let pages = stream::try_unfold(Some(list), move |list| async move {
        let Some(list) = list else { return Ok(None) };
        let page = patiently(args.give_up_after, async || client.keys(list.clone()).await, |_| {}).await?;
        let next = page.next.map(|cursor| list.after(cursor));
        Ok(Some((stream::iter(page.keys.into_iter().map(Ok)), next)))
    });
    pages.try_flatten()
}

async fn read(session: &Session, args: &ExportArgs, key: Bytes) -> Result<Found, Error> {
    let get = Get::new(key)
        .bucket(&args.options.bucket)
        .quorum(args.options.quorum())
        .timeout(args.options.timeout);
    patiently(args.give_up_after, async || session.get(get.clone()).await, |_| {}).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_cover_all_partitions_once() {
        for partitions in [1, 2, 64, 100, 256, 1 << 15] {
            let slices = slices(partitions);
            assert!(slices.len() <= SLICES as usize);
            assert_eq!(slices.into_iter().flatten().collect::<Vec<_>>(), (0..partitions).collect::<Vec<_>>());
        }
    }
}
