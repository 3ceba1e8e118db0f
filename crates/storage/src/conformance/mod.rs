//! What every [`Store`] has to do, as a suite that runs on any of them.
//!
//! ```text
//! #[test]
//! fn conforms() {
//!     quorate_storage::conformance::check_all(&mut MyFactory::default(), 1);
//! }
//! ```
//!
//! A check that fails panics with the promise that was broken.

mod durability;
mod model;
mod reads;
mod scans;

use bytes::Bytes;
use quorate_protocol::store::{Store, StoreOp};

pub use model::{ModelRun, check_against_model};

/// Makes stores for the suite.
pub trait Factory {
    /// The kind of store.
    type Store: Store;

    /// An empty store. Those made before are not used any more.
    fn fresh(&mut self) -> Self::Store;

    /// Closes this store, all batches of which are durable, and opens it again.
    fn reopen(&mut self, store: Self::Store) -> Self::Store;

    /// Opens again what a crash at this moment leaves of the store: all durable batches, perhaps some after them.
    /// Factories that cannot crash a store give it back.
    fn crash(&mut self, store: Self::Store) -> Result<Self::Store, Self::Store> {
        Err(store)
    }
}

/// Runs every check, the randomized one with a few seeds that start at `seed`.
pub fn check_all<F: Factory>(factory: &mut F, seed: u64) {
    reads::check(factory);
    scans::check(factory);
    durability::check(factory);
    for seed in seed..seed + 4 {
        check_against_model(factory, ModelRun { seed, ..ModelRun::default() });
    }
}

fn put(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> StoreOp {
    StoreOp::Put { key: Bytes::copy_from_slice(key.as_ref()), value: Bytes::copy_from_slice(value.as_ref()) }
}

fn delete(key: impl AsRef<[u8]>) -> StoreOp {
    StoreOp::Delete { key: Bytes::copy_from_slice(key.as_ref()) }
}

fn submit(store: &impl Store, batch: Vec<StoreOp>) -> quorate_protocol::store::CommitNumber {
    store.submit(&batch).expect("a store with room takes a batch")
}

fn get(store: &impl Store, key: impl AsRef<[u8]>) -> Option<Bytes> {
    store.get(key.as_ref()).expect("an undamaged key can be read")
}

fn all(store: &impl Store) -> Vec<(Bytes, Bytes)> {
    let mut entries: Vec<(Bytes, Bytes)> = Vec::new();
    loop {
        let after = entries.last().map(|(key, _)| key.clone());
        let page = store.scan(b"", after.as_deref(), 100, 1 << 20).expect("undamaged entries can be scanned");
        assert!(!page.entries.is_empty() || !page.more, "a page without entries must be the last");
        entries.extend(page.entries);
        if !page.more {
            return entries;
        }
    }
}

/// Makes the store take everything to its final place, so that reads come from there.
fn settle(store: &impl Store, last: quorate_protocol::store::CommitNumber) {
    store.wait_durable(last).expect("batches become durable");
    store.checkpoint().expect("a store with room makes checkpoints");
}
