//! Damage in sled's files: time is lost, nothing else.

use std::fs;
use std::sync::{Arc, Mutex};

use quorate_protocol::store::{Store, StoreError};
use quorate_storage::{Rebuilding, SledStore, StoreHooks, StoreObserver, StoreOptions};
use tempfile::TempDir;

use super::{base, damaged, delete, fill, find, flip, has, is_corrupt, key, open, try_open, value_files};

/// A store with everything in it that an index has to get right: overwritten, deleted, deleted and written again, long; in files and
/// in the log.
fn filled(directory: &TempDir) {
    let options = StoreOptions { value_file_bytes: 16 << 10, ..StoreOptions::tiny() };
    let store = SledStore::open(directory.path(), options, StoreHooks::default()).expect("the store opens");
    fill(&store, 1..60, 300);
    store.checkpoint().expect("there is room");
    fill(&store, 1..10, 100);
    (10..20).for_each(|number| delete(&store, number));
    store.checkpoint().expect("there is room");
    fill(&store, 15..20, 70_000);
    store.checkpoint().expect("there is room");
    fill(&store, 60..65, 50);
    delete(&store, 20);
}

fn check(store: &SledStore) {
    for number in 1..65 {
        let length = match number {
            1..10 => Some(100),
            10..15 | 20 => None,
            15..20 => Some(70_000),
            60.. => Some(50),
            _ => Some(300),
        };
        let expected = length.map(|length| vec![number as u8; length]);
        let found = store.get(key(number).as_bytes()).expect("undamaged");
        assert!(found.as_deref() == expected.as_deref(), "key {number}");
    }
    let page = store.scan(b"", None, 1000, usize::MAX).expect("undamaged");
    assert_eq!((page.entries.len(), page.damaged.len(), page.more), (58, 0, false));
}

#[test]
fn an_index_that_is_lost_is_built_anew() {
    let directory = TempDir::new().expect("a temporary directory");
    filled(&directory);
    for round in 0..3 {
        let base = base(directory.path());
        match round {
            0 => fs::remove_dir_all(&base).expect("removed"),
            1 => fs::remove_file(base.join("db")).expect("removed"),
            _ => fs::write(base.join("db"), b"").expect("written"),
        }
        let store = open(directory.path());
        assert!(store.open_report().rebuilt.is_some(), "round {round}");
        check(&store);
        store.checkpoint().expect("there is room");
        drop(store);
        let store = open(directory.path());
        assert_eq!(store.open_report().rebuilt, None);
        check(&store);
        assert!(!base.exists(), "the old one is gone");
    }
}

struct Told(Arc<Mutex<Vec<(usize, usize, u64)>>>);

impl StoreObserver for Told {
    fn rebuilding(&self, progress: &Rebuilding<'_>) {
        assert!(progress.reason.contains("lost writes"), "{}", progress.reason);
        let told = (progress.files_done, progress.files, progress.records);
        self.0.lock().expect("no panic").push(told);
    }
}

#[test]
fn the_owner_hears_how_far_the_building_has_come() {
    let directory = TempDir::new().expect("a temporary directory");
    filled(&directory);
    fs::remove_dir_all(base(directory.path())).expect("removed");
    let told = Arc::new(Mutex::new(Vec::new()));
    let hooks = StoreHooks { observer: Box::new(Told(Arc::clone(&told))), ..StoreHooks::default() };
    drop(SledStore::open(directory.path(), StoreOptions::tiny(), hooks).expect("the store opens"));
    let told = told.lock().expect("no panic");
    let (done, files, records) = *told.last().expect("something was told");
    assert!(done == files && files > 1 && records > 60 && told.len() == files + 1, "{told:?}");
}

#[test]
fn a_damaged_value_is_still_one_of_a_known_key_without_an_index() {
    let directory = TempDir::new().expect("a temporary directory");
    let store = open(directory.path());
    fill(&store, 1..10, 300);
    assert_eq!(store.damage(key(4).as_bytes()), Ok(true));
    drop(store);
    fs::remove_dir_all(base(directory.path())).expect("removed");
    let store = open(directory.path());
    assert!(is_corrupt(&store, 4));
    assert!((1..10).filter(|number| *number != 4).all(|number| has(&store, number)));
}

#[test]
fn a_lost_index_and_a_lost_key_are_an_error_that_says_where() {
    let directory = TempDir::new().expect("a temporary directory");
    let store = open(directory.path());
    fill(&store, 1..10, 300);
    store.checkpoint().expect("there is room");
    drop(store);
    let file = value_files(directory.path()).remove(0);
    let at = find(&file, key(4).as_bytes());
    flip(&file, at);
    assert!(is_corrupt(&open(directory.path()), 4), "the index knows the key");
    fs::remove_dir_all(base(directory.path())).expect("removed");
    let (named, offset, _) = damaged(try_open(directory.path()));
    assert_eq!((named, offset), (file.clone(), at as u64 - 24));
    let (named, _, _) = damaged(try_open(directory.path()));
    assert_eq!(named, file, "again");
    flip(&file, at);
    assert!((1..10).all(|number| has(&open(directory.path()), number)), "nothing was given up");
}

/// Sled's pages are altered under the running store: it may fail, but says so, and is whole when it is opened anew.
#[test]
fn an_index_that_fails_in_use_is_built_anew_by_the_next_opening() {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("store");
    let options = StoreOptions { cache_bytes: StoreOptions::CACHE_BYTES_MIN, ..StoreOptions::tiny() };
    let open_small =
        || SledStore::open(&path, options.clone(), StoreHooks::default()).expect("the store opens");
    let store = open_small();
    let numbers = 0..40_000u64;
    let put = |number: u64| quorate_protocol::store::StoreOp::Put {
        key: format!("{number:032}").into(),
        value: number.to_le_bytes().to_vec().into(),
    };
    for start in numbers.clone().step_by(500) {
        store.submit(&(start..start + 500).map(put).collect::<Vec<_>>()).expect("there is room");
    }
    store.checkpoint().expect("there is room");
    drop(store);
    let store = open_small();
    // Every few kilobytes, so that whatever is not in memory is met.
    let db = base(&path).join("db");
    let length = fs::metadata(&db).expect("there").len() as usize;
    (0..length).step_by(500).for_each(|at| flip(&db, at));
    let failed = numbers.clone().find_map(|number| match store.get(format!("{number:032}").as_bytes()) {
        Ok(value) => {
            assert_eq!(value.as_deref(), Some(&number.to_le_bytes()[..]));
            None
        }
        Err(error) => Some(error),
    });
    let failed = failed.or_else(|| store.checkpoint().err()).expect("the index is read");
    assert!(
        matches!(&failed, StoreError::Failed { detail } if detail.contains("builds it anew")),
        "{failed}"
    );
    assert!(matches!(store.submit(&[put(1)]), Err(StoreError::Failed { .. })));
    drop(store);
    let store = open_small();
    assert!(store.open_report().rebuilt.is_some());
    for number in numbers {
        let value = store.get(format!("{number:032}").as_bytes()).expect("undamaged");
        assert_eq!(value.as_deref(), Some(&number.to_le_bytes()[..]));
    }
}
