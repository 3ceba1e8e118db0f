//! The conformance suite on the store itself, and on the store over a disk that forgets what was not synced.

use std::path::PathBuf;

use quorate_storage::conformance::{self, Factory, ModelRun};
use quorate_storage::{SledStore, StoreHooks, StoreOptions};
use tempfile::TempDir;

struct InDirectory {
    directory: TempDir,
    stores: usize,
    options: StoreOptions,
}

impl InDirectory {
    fn new(options: StoreOptions) -> Self {
        Self { directory: TempDir::new().expect("a temporary directory"), stores: 0, options }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join(self.stores.to_string())
    }

    fn open(&self) -> SledStore {
        SledStore::open(self.path(), self.options.clone(), StoreHooks::default()).expect("the store opens")
    }
}

impl Factory for InDirectory {
    type Store = SledStore;

    fn fresh(&mut self) -> SledStore {
        self.stores += 1;
        self.open()
    }

    fn reopen(&mut self, store: SledStore) -> SledStore {
        drop(store);
        self.open()
    }
}

#[test]
fn with_ordinary_options() {
    let options = StoreOptions { segment_bytes: 1 << 20, free_reserve_bytes: 0, ..StoreOptions::default() };
    conformance::check_all(&mut InDirectory::new(options), 1);
}

#[test]
fn with_everything_small() {
    conformance::check_all(&mut InDirectory::new(StoreOptions::tiny()), 100);
}

#[test]
fn against_the_model_with_many_openings_and_long_values() {
    let mut factory = InDirectory::new(StoreOptions::tiny());
    let run = ModelRun { seed: 7, steps: 2000, keys: 60, long_value_one_in: 20, reopen_one_in: 60 };
    conformance::check_against_model(&mut factory, run);
}
