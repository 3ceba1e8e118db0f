//! Files that are not as they were left, and directories that should not be opened.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use quorate_protocol::store::{ScanPage, Store, StoreError, StoreOp};
use quorate_storage::{OpenError, SledStore, StoreHooks, StoreOptions};
use tempfile::TempDir;

fn try_open(path: &Path) -> Result<SledStore, OpenError> {
    SledStore::open(path, StoreOptions::tiny(), StoreHooks::default())
}

fn open(path: &Path) -> SledStore {
    try_open(path).expect("the store opens")
}

fn key(number: u64) -> String {
    format!("key-{number:06}")
}

/// Writes some keys, each in a record of its own.
fn fill(store: &SledStore, numbers: std::ops::Range<u64>, value_bytes: usize) {
    for number in numbers {
        let value = Bytes::from(vec![number as u8; value_bytes]);
        let batch = vec![StoreOp::Put { key: key(number).into(), value }];
        let number = store.submit(batch).expect("there is room");
        store.wait_durable(number).expect("the disk works");
    }
}

fn segments(path: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(path.join("log")).expect("the log is there");
    let paths = files.map(|file| file.expect("readable").path());
    let mut segments: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|end| end == "log")).collect();
    segments.sort();
    segments
}

fn base(path: &Path) -> PathBuf {
    let files = fs::read_dir(path).expect("the store is there");
    let mut paths = files.map(|file| file.expect("readable").path());
    paths.find(|path| path.to_string_lossy().contains("/base-")).expect("sled is there")
}

/// Where these bytes stand in the file.
fn find(file: &Path, bytes: &[u8]) -> usize {
    let content = fs::read(file).expect("readable");
    content.windows(bytes.len()).position(|window| window == bytes).expect("the bytes are there")
}

fn flip(file: &Path, offset: usize) {
    let file = OpenOptions::new().read(true).write(true).open(file).expect("the file is there");
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset as u64).expect("within the file");
    file.write_all_at(&[byte[0] ^ 0x10], offset as u64).expect("writable");
}

fn damaged(result: Result<SledStore, OpenError>) -> (PathBuf, u64, String) {
    match result {
        Err(error @ OpenError::Damaged { .. }) => {
            let text = error.to_string();
            let OpenError::Damaged { file, offset, .. } = error else { unreachable!("matched above") };
            assert!(
                text.contains(&file.display().to_string()) && text.contains(&offset.to_string()),
                "{text}"
            );
            (file, offset, text)
        }
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("the damage was not noticed"),
    }
}

#[test]
fn a_torn_tail_is_cut_wherever_it_is_torn() {
    let directory = TempDir::new().expect("a temporary directory");
    for (round, keep_bytes) in [0, 1, 10, 24, 30, 60].into_iter().enumerate() {
        let path = directory.path().join(round.to_string());
        let store = open(&path);
        fill(&store, 1..11, 40);
        drop(store);
        let segment = segments(&path).pop().expect("there is a segment");
        // The last record: a header of 24 bytes, 9 of an operation, the key, the value.
        let start = find(&segment, key(10).as_bytes()) - 9 - 24;
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
fn a_bad_record_before_good_ones_is_an_error_that_says_where() {
    let directory = TempDir::new().expect("a temporary directory");
    let store = open(directory.path());
    fill(&store, 1..11, 40);
    drop(store);
    let segment = segments(directory.path()).pop().expect("there is a segment");
    let at = find(&segment, key(5).as_bytes());
    flip(&segment, at);
    let (file, offset, text) = damaged(try_open(directory.path()));
    assert_eq!((file.as_path(), offset), (segment.as_path(), at as u64 - 9 - 24), "{text}");
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
    assert_eq!((file, offset), (all[1].clone(), at as u64 - 9 - 24));
    flip(&all[1], at);

    flip(&all[2], 3);
    assert_eq!(damaged(open_all()).0, all[2], "a header");
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
fn a_damaged_value_is_reported_with_its_key_and_others_can_be_read() {
    let directory = TempDir::new().expect("a temporary directory");
    let store = open(directory.path());
    fill(&store, 1..6, 50);
    fill(&store, 6..7, 200_000);
    store.checkpoint().expect("there is room");
    drop(store);

    let sled =
        sled::Config::new().path(base(directory.path())).segment_size(8 << 20).open().expect("sled opens");
    let stored_key = |number| [&[1], key(number).as_bytes()].concat();
    let mut stored = sled.get(stored_key(3)).expect("readable").expect("there").to_vec();
    let middle = stored.len() / 2;
    stored[middle] ^= 1;
    sled.insert(stored_key(3), stored).expect("writable");
    let (chunk_key, chunk) = sled.scan_prefix(b"\0c").nth(1).expect("a chunk").expect("readable");
    let mut chunk = chunk.to_vec();
    chunk[1000] ^= 1;
    sled.insert(chunk_key, chunk).expect("writable");
    sled.flush().expect("writable");
    drop(sled);

    let store = open(directory.path());
    for number in [3, 6] {
        match store.get(key(number).as_bytes()) {
            Err(StoreError::Corrupt { key: named, .. }) => assert_eq!(named, key(number)),
            other => panic!("the damage of key {number} was not noticed: {other:?}"),
        }
    }
    for number in [1, 2, 4, 5] {
        assert!(store.get(key(number).as_bytes()).expect("undamaged").is_some());
    }
    let names = |keys: &[u64]| keys.iter().map(|&number| Bytes::from(key(number))).collect::<Vec<_>>();
    let readable = |page: &ScanPage| page.entries.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>();
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
    store.submit(vec![StoreOp::Delete { key: key(6).into() }]).expect("there is room");
    store.checkpoint().expect("there is room");
    let page = store.scan(b"", None, 100, 1 << 20).expect("all is well");
    assert_eq!(
        (readable(&page), page.damaged.len()),
        (names(&[1, 2, 3, 4, 5]), 0),
        "writes replace the damaged"
    );
    assert_eq!(store.get(key(6).as_bytes()), Ok(None));
}

/// A rewrite copies what is stored as it is: neither does it hide damage, nor does it trip over it.
#[test]
fn a_rewrite_carries_damage_along() {
    let directory = TempDir::new().expect("a temporary directory");
    let store = open(directory.path());
    fill(&store, 1..6, 50);
    fill(&store, 6..8, 200_000);
    store.checkpoint().expect("there is room");
    drop(store);
    let sled =
        sled::Config::new().path(base(directory.path())).segment_size(8 << 20).open().expect("sled opens");
    for stored_key in [[&[1], key(3).as_bytes()].concat(), [&[1], key(6).as_bytes()].concat()] {
        let mut stored = sled.get(&stored_key).expect("readable").expect("there").to_vec();
        // The tag: a value in chunks no longer says that it has some.
        stored[0] ^= 0x40;
        sled.insert(stored_key, stored).expect("writable");
    }
    let (chunk_key, chunk) = sled.scan_prefix(b"\0c").last().expect("a chunk").expect("readable");
    let mut chunk = chunk.to_vec();
    chunk[1000] ^= 1;
    sled.insert(chunk_key, chunk).expect("writable");
    sled.flush().expect("writable");
    drop(sled);

    let options = StoreOptions { rewrite_min_bytes: 1, rewrite_factor: 2, ..StoreOptions::tiny() };
    let store = SledStore::open(directory.path(), options, StoreHooks::default()).expect("the store opens");
    let until = Instant::now() + Duration::from_secs(60);
    while store.stats().rewrites == 0 {
        assert!(Instant::now() < until, "no rewrite is made");
        // What sled does not give back.
        (0..10).for_each(|_| fill(&store, 9..10, 60_000));
        store.checkpoint().expect("there is room");
    }
    for number in [3, 6, 7] {
        match store.get(key(number).as_bytes()) {
            Err(StoreError::Corrupt { key: named, .. }) => assert_eq!(named, key(number)),
            other => panic!("the rewrite hid the damage of key {number}: {other:?}"),
        }
    }
    let page = store.scan(b"", None, 100, 1 << 20).expect("damage does not end a scan");
    assert_eq!((page.entries.len(), page.damaged.len()), (5, 3));
}

/// Sled itself keeps checksums of what it writes, a page of keys at a time, and does not open with what comes before a bad one:
/// a byte that changes in its file is noticed by the opening, which can no longer say which keys it took along.
#[test]
fn a_byte_that_changes_in_sled_s_file_is_noticed_and_never_read() {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("store");
    let store = open(&path);
    fill(&store, 1..50, 600);
    fill(&store, 50..51, 200_000);
    store.checkpoint().expect("there is room");
    drop(store);
    let file = base(&path).join("db");
    let whole = fs::read(&file).expect("readable");
    for number in [1_u8, 25, 49, 50] {
        let stretches =
            whole.windows(64).enumerate().filter(|(_, bytes)| bytes.iter().all(|byte| *byte == number));
        for (at, _) in stretches.step_by(5000) {
            let mut altered = whole.clone();
            altered[at] ^= 0x10;
            fs::write(&file, &altered).expect("writable");
            match try_open(&path) {
                Err(error) => {
                    assert!(matches!(error, OpenError::BaseBehind { .. } | OpenError::Base { .. }), "{error}")
                }
                Ok(store) => {
                    for number in 1..51 {
                        let value = store.get(key(number).as_bytes());
                        let wrong = |value: &Option<Bytes>| {
                            value
                                .as_ref()
                                .is_none_or(|value| value.iter().any(|byte| u64::from(*byte) != number))
                        };
                        assert!(
                            value.as_ref().map_or(true, |value| !wrong(value)),
                            "key {number}: {value:?}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn a_sled_that_lost_its_files_is_not_taken_for_an_empty_one() {
    let directory = TempDir::new().expect("a temporary directory");
    let store = open(directory.path());
    fill(&store, 1..50, 50);
    store.checkpoint().expect("there is room");
    drop(store);
    let base = base(directory.path());
    fs::remove_file(base.join("db")).expect("removed");
    for file in fs::read_dir(&base).expect("readable") {
        let path = file.expect("readable").path();
        if path.is_file() {
            fs::remove_file(path).expect("removed");
        }
    }
    let error = try_open(directory.path()).err().expect("the loss is noticed");
    assert!(matches!(error, OpenError::BaseBehind { found: 0, .. }), "{error}");
    fs::remove_dir_all(&base).expect("removed");
    assert!(matches!(try_open(directory.path()), Err(OpenError::Damaged { .. })));
}

#[test]
fn what_a_kill_leaves_beside_sled_is_cleared_away() {
    let directory = TempDir::new().expect("a temporary directory");
    fill(&open(directory.path()), 1..5, 50);
    let base = base(directory.path());
    fs::write(base.join("snap.00000000000000AB.generating"), b"unfinished").expect("written");
    fs::create_dir(directory.path().join("base-00000000000000ff")).expect("created");
    fs::write(directory.path().join("log/0000000000000077.draft"), b"unfinished").expect("written");
    fs::write(directory.path().join("log/0000000000000077.spare"), b"unfinished").expect("written");
    let store = open(directory.path());
    assert!((1..5).all(|number| { store.get(key(number).as_bytes()).is_ok_and(|value| value.is_some()) }));
    assert!(!directory.path().join("base-00000000000000ff").exists());
    assert!(!directory.path().join("log/0000000000000077.draft").exists());
}

#[test]
fn a_directory_is_opened_once_at_a_time_and_only_if_it_is_a_store_s() {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("store");
    let store = open(&path);
    assert!(matches!(try_open(&path), Err(OpenError::Locked { .. })));
    drop(store);
    drop(open(&path));

    fs::write(path.join("FORMAT"), "quorate-storage 99\n").expect("written");
    match try_open(&path) {
        Err(OpenError::Version { found, .. }) => assert_eq!(found, "quorate-storage 99"),
        other => panic!("another version was opened: {:?}", other.err()),
    }
    fs::remove_file(path.join("FORMAT")).expect("removed");
    assert!(
        matches!(try_open(&path), Err(OpenError::NotAStore { .. })),
        "a store without its marker is not made anew"
    );

    let foreign = directory.path().join("foreign");
    fs::create_dir_all(&foreign).expect("created");
    fs::write(foreign.join("thesis.txt"), "important").expect("written");
    assert!(matches!(try_open(&foreign), Err(OpenError::NotAStore { .. })));
    let mounted = directory.path().join("mounted");
    fs::create_dir_all(mounted.join("lost+found")).expect("created");
    drop(open(&mounted));

    let wrong = StoreOptions { unapplied_bytes_max: 1, ..StoreOptions::default() };
    assert!(matches!(SledStore::open(&path, wrong, StoreHooks::default()), Err(OpenError::Options { .. })));
}
