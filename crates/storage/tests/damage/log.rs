//! Damage in the commit log.

use std::fs::{self, OpenOptions};

use quorate_protocol::store::Store;
use quorate_storage::{SledStore, StoreHooks, StoreOptions};
use tempfile::TempDir;

use super::{base, damaged, fill, find, flip, has, is_corrupt, key, open, segments, try_open};

#[test]
fn a_torn_tail_is_cut_wherever_it_is_torn() {
    let directory = TempDir::new().expect("a temporary directory");
    for (round, keep_bytes) in [0, 1, 10, 24, 30, 60].into_iter().enumerate() {
        let path = directory.path().join(round.to_string());
        let store = open(&path);
        fill(&store, 1..11, 40);
        drop(store);
        let segment = segments(&path).pop().expect("there is a segment");
        // The last record: a header of 24 bytes, 17 of an operation, the key, the value.
        let start = find(&segment, key(10).as_bytes()) - 17 - 24;
        let file = OpenOptions::new().write(true).open(&segment).expect("the file is there");
        file.set_len((start + keep_bytes) as u64).expect("writable");
        for _ in 0..2 {
            let store = open(&path);
            for number in 1..10 {
                assert!(store.get(key(number).as_bytes()).expect("undamaged").is_some(), "key {number}");
            }
            assert_eq!(store.get(key(10).as_bytes()), Ok(None), "the torn batch is gone");
            drop(store);
        }
        fill(&open(&path), 10..12, 40);
        assert!(open(&path).get(key(11).as_bytes()).expect("undamaged").is_some(), "the log goes on");
    }
}

#[test]
fn a_last_record_with_a_wrong_byte_counts_as_torn() {
    let directory = TempDir::new().expect("a temporary directory");
    let store = open(directory.path());
    fill(&store, 1..11, 40);
    drop(store);
    let segment = segments(directory.path()).pop().expect("there is a segment");
    flip(&segment, find(&segment, key(10).as_bytes()));
    let store = open(directory.path());
    assert!(store.open_report().torn_bytes > 0);
    assert_eq!(store.get(key(10).as_bytes()), Ok(None));
    assert!(store.get(key(9).as_bytes()).expect("undamaged").is_some());
}

#[test]
fn a_bad_key_before_good_records_is_an_error_that_says_where() {
    let directory = TempDir::new().expect("a temporary directory");
    let store = open(directory.path());
    fill(&store, 1..11, 40);
    drop(store);
    let segment = segments(directory.path()).pop().expect("there is a segment");
    let at = find(&segment, key(5).as_bytes());
    flip(&segment, at);
    let (file, offset, text) = damaged(try_open(directory.path()));
    assert_eq!((file.as_path(), offset), (segment.as_path(), at as u64 - 17 - 24), "{text}");
    flip(&segment, at);
    assert!(
        open(directory.path()).get(key(10).as_bytes()).expect("undamaged").is_some(),
        "nothing was given up"
    );
}

#[test]
fn damage_in_an_earlier_segment_or_a_missing_one_is_an_error() {
    let directory = TempDir::new().expect("a temporary directory");
    // Never enough for a checkpoint; records of 8 KiB in segments of 64.
    let options = StoreOptions { checkpoint_log_bytes: 1 << 30, ..StoreOptions::tiny() };
    let open_all = || SledStore::open(directory.path(), options.clone(), StoreHooks::default());
    fill(&open_all().expect("the store opens"), 1..40, 8000);
    let all = segments(directory.path());
    assert!(all.len() > 3, "{all:?}");

    // The last record of a segment: nothing valid follows in the file, but a segment does.
    let content = fs::read(&all[1]).expect("readable");
    let last_key =
        (1..40).rev().map(key).find(|key| content.windows(10).any(|window| window == key.as_bytes()));
    let at = find(&all[1], last_key.expect("the segment holds keys").as_bytes());
    flip(&all[1], at);
    let (file, offset, _) = damaged(open_all());
    assert_eq!((file, offset), (all[1].clone(), at as u64 - 17 - 24));
    flip(&all[1], at);

    flip(&all[2], 3);
    drop(open_all().expect("the first record of a segment tells what its header does"));
    flip(&all[2], 3);

    for (missing, named) in [(0, 1), (1, 0)] {
        let aside = directory.path().join("aside");
        fs::rename(&all[missing], &aside).expect("renamed");
        assert_eq!(damaged(open_all()).0, all[named], "segment {missing} is missing");
        fs::rename(&aside, &all[missing]).expect("renamed");
    }
    let store = open_all().expect("with everything in its place it opens");
    assert!((1..40).all(|number| { store.get(key(number).as_bytes()).is_ok_and(|value| value.is_some()) }));
}

#[test]
fn a_bad_value_before_good_records_is_a_damaged_record_of_its_key_for_good() {
    let directory = TempDir::new().expect("a temporary directory");
    let store = open(directory.path());
    fill(&store, 1..11, 40);
    drop(store);
    let segment = segments(directory.path()).pop().expect("there is a segment");
    flip(&segment, find(&segment, &[5; 40]) + 20);
    // Again and again, also when the index is built from what the value files say of it.
    for round in 0..4 {
        if round == 3 {
            fs::remove_dir_all(base(directory.path())).expect("removed");
        }
        let store = open(directory.path());
        assert_eq!(store.open_report().lost_values, u64::from(round == 0));
        assert!(is_corrupt(&store, 5));
        assert!((1..11).filter(|number| *number != 5).all(|number| has(&store, number)));
        store.checkpoint().expect("there is room");
    }
    fill(&open(directory.path()), 5..6, 10);
    assert!(has(&open(directory.path()), 5), "a write replaces it");
}
