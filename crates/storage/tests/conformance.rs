//! The conformance suite on the store itself, and on the store over a disk that forgets what was not synced.

use std::path::PathBuf;

use quorate_storage::conformance::{self, Factory, ModelRun};
use quorate_storage::{SledStore, StoreHooks, StoreOptions};
use tempfile::TempDir;

struct InDirectory {
    directory: TempDir,
    stores: usize,
    options: StoreOptions,
    /// Each opening finds no index.
    loses_index: bool,
}

impl InDirectory {
    fn new(options: StoreOptions) -> Self {
        Self {
            directory: TempDir::new().expect("a temporary directory"),
            stores: 0,
            options,
            loses_index: false,
        }
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
        if self.loses_index {
            for name in std::fs::read_dir(self.path()).expect("the store is there") {
                let path = name.expect("readable").path();
                if path.to_string_lossy().contains("/base-") {
                    std::fs::remove_dir_all(path).expect("removed");
                }
            }
        }
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

/// Overwritten, deleted and compacted all the time, in files of a few records: what is dead must not come back from any of them.
#[test]
fn against_the_model_with_the_index_built_anew_at_each_opening() {
    for (seed, keys) in [(21, 40), (22, 400)] {
        let options =
            StoreOptions { value_file_bytes: 4 << 10, generation_bytes: 4 << 10, ..StoreOptions::tiny() };
        let mut factory = InDirectory { loses_index: true, ..InDirectory::new(options) };
        let run = ModelRun { seed, steps: 6000, keys, long_value_one_in: 400, reopen_one_in: 100 };
        conformance::check_against_model(&mut factory, run);
    }
}
