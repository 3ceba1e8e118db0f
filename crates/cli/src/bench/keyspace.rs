//! The keys of a load, and the values.

use anyhow::Result;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use quorate_client::{Context, Get, Put, Session};

use super::{LoadArgs, Operation};
use crate::progress::{Progress, Unit};

/// Random bytes beside a value's own, so that values cut out at random places differ. Few enough to stay in a cache.
const POOL_BYTES: usize = 1 << 16;
/// Operations of the preparation that are under way at once.
const PREPARE_IN_FLIGHT: usize = 256;
const SHOW_EVERY: u64 = 500;

/// Values that differ: stores may skip a write that changes nothing.
#[derive(Clone)]
pub(super) struct Values {
    pool: Bytes,
    bytes: usize,
}

impl Values {
    pub(super) fn new(bytes: u32) -> Self {
        use rand::Rng as _;
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let mut pool = vec![0; POOL_BYTES + bytes];
        rand::rng().fill_bytes(&mut pool);
        Self { pool: pool.into(), bytes }
    }

    pub(super) fn next(&self) -> Bytes {
        let from = rand::random_range(0..POOL_BYTES);
        self.pool.slice(from..from + self.bytes)
    }
}

/// A key and what its writer last saw of it.
pub(super) struct Key {
    pub(super) name: Bytes,
    pub(super) context: Context,
}

/// Reads all keys, so that puts know what is there from earlier runs, and stores those that gets would miss.
pub(super) async fn prepare(
    session: &Session,
    operation: Operation,
    args: &LoadArgs,
    values: &Values,
) -> Result<Vec<Key>> {
    let mut progress = Progress::new("prepare", Unit::Of(args.keys.into()));
    let prepare_one = |number: u32| async move {
        let name = Bytes::from(format!("bench-{number:010}"));
        let found = session.get(get(name.clone(), args)).await?;
        let mut context = found.context;
        if found.values.is_empty() && operation == Operation::Get {
            let put = put(Key { name: name.clone(), context }, values.next(), args);
            context = session.put(put).await?.context;
        }
        Ok::<_, quorate_client::Error>(Key { name, context })
    };
    let mut prepared = stream::iter(0..args.keys).map(prepare_one).buffer_unordered(PREPARE_IN_FLIGHT);
    let mut keys = Vec::new();
    while let Some(key) = prepared.try_next().await? {
        keys.push(key);
        let count = keys.len() as u64;
        if count.is_multiple_of(SHOW_EVERY) {
            progress.set(count, &String::new);
        }
    }
    progress.finish();
    Ok(keys)
}

pub(super) fn get(name: Bytes, args: &LoadArgs) -> Get {
    Get::new(name).bucket(&args.options.bucket).quorum(args.options.quorum()).timeout(args.options.timeout)
}

pub(super) fn put(key: Key, value: Bytes, args: &LoadArgs) -> Put {
    Put::new(key.name, value)
        .context(key.context)
        .bucket(&args.options.bucket)
        .quorum(args.options.quorum())
        .timeout(args.options.timeout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_their_size_and_differ() {
        let values = Values::new(128);
        let (a, b) = (values.next(), values.next());
        assert_eq!((a.len(), b.len()), (128, 128));
        assert_ne!(a, b);
    }
}
