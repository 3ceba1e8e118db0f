//! Damage in value files, and what compaction makes of them.

use std::fs;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quorate_protocol::store::{ScanPage, Store, StoreOp};
use quorate_storage::{SledStore, StoreHooks, StoreOptions};
use tempfile::TempDir;

use super::{base, delete, fill, find, flip, has, is_corrupt, key, names, open, readable, value_files};

#[test]
fn a_damaged_value_is_reported_with_its_key_and_others_can_be_read() {
    let directory = TempDir::new().expect("a temporary directory");
    let store = open(directory.path());
    fill(&store, 1..6, 50);
    fill(&store, 6..7, 200_000);
    store.checkpoint().expect("there is room");
    // Under the running store's hands: what it reads is the file.
    for number in [3, 6] {
        assert!(has(&store, number));
        assert_eq!(store.damage(key(number).as_bytes()), Ok(true));
        assert!(is_corrupt(&store, number));
    }
    assert_eq!(store.damage(b"absent"), Ok(false));
    drop(store);

    let store = open(directory.path());
    assert!(is_corrupt(&store, 3) && is_corrupt(&store, 6));
    for number in [1, 2, 4, 5] {
        assert!(store.get(key(number).as_bytes()).expect("undamaged").is_some());
    }
    let page = store.scan(b"", None, 100, 1 << 20).expect("damage does not end a scan");
    assert_eq!((readable(&page), page.damaged, page.more), (names(&[1, 2, 4, 5]), names(&[3, 6]), false));
    // Damaged keys have their place in the order, and in the number of entries.
    let page = store.scan(b"", None, 3, 1 << 20).expect("damage does not end a scan");
    assert_eq!((readable(&page), page.more), (names(&[1, 2]), true));
    assert_eq!(page.last(), Some(&Bytes::from(key(3))));
    let page = store.scan(b"", page.last().map(|last| &last[..]), 2, 1 << 20).expect("it goes on after it");
    assert_eq!((readable(&page), page.damaged.len(), page.more), (names(&[4, 5]), 0, true));
    let page = store.scan(b"", Some(key(5).as_bytes()), 2, 1 << 20).expect("damage does not end a scan");
    assert_eq!((readable(&page), page.damaged, page.more), (names(&[]), names(&[6]), false));

    fill(&store, 3..4, 10);
    store.submit(&[StoreOp::Delete { key: key(6).into() }]).expect("there is room");
    store.checkpoint().expect("there is room");
    let page = store.scan(b"", None, 100, 1 << 20).expect("all is well");
    assert_eq!(
        (readable(&page), page.damaged.len()),
        (names(&[1, 2, 3, 4, 5]), 0),
        "writes replace the damaged"
    );
    assert_eq!(store.get(key(6).as_bytes()), Ok(None));
}

fn churning() -> StoreOptions {
    StoreOptions { value_file_bytes: 16 << 10, ..StoreOptions::tiny() }
}

/// Overwrites other keys until compactions have been made.
fn compact(store: &SledStore, compactions: u64) {
    let until = Instant::now() + Duration::from_secs(60);
    while store.stats().compactions < compactions {
        assert!(Instant::now() < until, "no compaction is made: {:?}", store.stats());
        fill(store, 100..140, 400);
        store.checkpoint().expect("there is room");
    }
}

/// A compaction does not hide damage, nor does it trip over it; and what it leaves of a damaged record tells the key.
#[test]
fn a_compaction_carries_damage_along() {
    let directory = TempDir::new().expect("a temporary directory");
    let store =
        SledStore::open(directory.path(), churning(), StoreHooks::default()).expect("the store opens");
    fill(&store, 1..8, 50);
    fill(&store, 100..140, 400);
    store.checkpoint().expect("there is room");
    let file = value_files(directory.path()).remove(0);
    assert_eq!(store.damage(key(3).as_bytes()), Ok(true));
    // The head of a record: only the index can tell whose it is.
    flip(&file, find(&file, key(5).as_bytes()) - 10);
    compact(&store, 1);
    let until = Instant::now() + Duration::from_secs(60);
    while file.exists() {
        assert!(Instant::now() < until, "the damaged file is never compacted");
        compact(&store, store.stats().compactions + 1);
    }
    let check = |store: &SledStore| {
        assert!(is_corrupt(store, 3) && is_corrupt(store, 5));
        assert!([1, 2, 4, 6, 7, 100, 139].into_iter().all(|number| has(store, number)));
    };
    check(&store);
    drop(store);
    check(&open(directory.path()));
    fs::remove_dir_all(base(directory.path())).expect("removed");
    check(&open(directory.path()));
}

#[test]
fn of_a_value_file_that_is_cut_or_gone_only_its_records_are_damaged() {
    for is_gone in [false, true] {
        let directory = TempDir::new().expect("a temporary directory");
        let options = churning();
        let open_small = || SledStore::open(directory.path(), options.clone(), StoreHooks::default());
        let store = open_small().expect("the store opens");
        fill(&store, 1..50, 900);
        store.checkpoint().expect("there is room");
        drop(store);
        let all = value_files(directory.path());
        assert!(all.len() > 1, "{all:?}");
        let file = &all[0];
        let content = fs::read(file).expect("readable");
        let is_in = |number: u64, content: &[u8]| {
            content.windows(900).any(|window| window.iter().all(|byte| u64::from(*byte) == number))
        };
        let left = if is_gone { &content[..0] } else { &content[..content.len() / 2] };
        if is_gone {
            fs::remove_file(file).expect("removed");
        } else {
            fs::write(file, left).expect("written");
        }
        let store = open_small().expect("the index tells what is missing");
        assert_eq!(store.open_report().cut_files, 1);
        for number in 1..50 {
            let is_lost = is_in(number, &content) && !is_in(number, left);
            assert_eq!(is_corrupt(&store, number), is_lost, "key {number}");
        }
        let page = store.scan(b"", None, 100, usize::MAX).expect("damage does not end a scan");
        assert_eq!(page.entries.len() + page.damaged.len(), 49);
        // Healed, the file is dropped.
        fill(&store, 1..50, 900);
        let until = Instant::now() + Duration::from_secs(60);
        while store.stats().base_bytes > store.stats().index_bytes + 70_000 {
            assert!(Instant::now() < until, "{:?}", store.stats());
            store.checkpoint().expect("there is room");
        }
        drop(store);
        let store = open_small().expect("all is well");
        assert_eq!(store.open_report().cut_files, 0);
        assert!((1..50).all(|number| has(&store, number)));
    }
}

#[test]
fn what_is_deleted_gives_its_space_back() {
    let directory = TempDir::new().expect("a temporary directory");
    let store =
        SledStore::open(directory.path(), churning(), StoreHooks::default()).expect("the store opens");
    for _ in 0..3 {
        fill(&store, 1..400, 300);
        (1..400).for_each(|number| delete(&store, number));
    }
    let until = Instant::now() + Duration::from_secs(60);
    let bytes = |store: &SledStore| store.stats().base_bytes - store.stats().index_bytes;
    while bytes(&store) > 2 * (16 << 10) + (32 << 10) {
        assert!(Instant::now() < until, "{:?}", store.stats());
        store.checkpoint().expect("there is room");
    }
    // Deletions are kept for as long as they have anything to cover, and no longer.
    drop(store);
    fs::remove_dir_all(base(directory.path())).expect("removed");
    let store = open(directory.path());
    assert!(store.open_report().rebuilt.is_some());
    assert_eq!(store.scan(b"", None, 10, usize::MAX).expect("undamaged"), ScanPage::default());
}
