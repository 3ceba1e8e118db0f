//! Files that are not as they were left, and directories that should not be opened.
//!
//! * `log`: the commit log. * `values`: value files. * `index`: sled's files. * `flips`: any byte of any file.

mod flips;
mod index;
mod log;
mod values;

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

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
        let number = store.submit(&batch).expect("there is room");
        store.wait_durable(number).expect("the disk works");
    }
}

fn delete(store: &SledStore, number: u64) {
    let number = store.submit(&[StoreOp::Delete { key: key(number).into() }]).expect("there is room");
    store.wait_durable(number).expect("the disk works");
}

/// The files in a part of the store's directory that end so, in order.
fn files(path: &Path, part: &str, end: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(path.join(part)).expect("the part is there");
    let paths = files.map(|file| file.expect("readable").path());
    let mut files: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|extension| extension == end)).collect();
    files.sort();
    files
}

fn segments(path: &Path) -> Vec<PathBuf> {
    files(path, "log", "log")
}

fn value_files(path: &Path) -> Vec<PathBuf> {
    files(path, "values", "values")
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

fn is_corrupt(store: &SledStore, number: u64) -> bool {
    match store.get(key(number).as_bytes()) {
        Err(StoreError::Corrupt { key: named, .. }) => {
            assert_eq!(named, key(number));
            true
        }
        Ok(_) => false,
        Err(error) => panic!("key {number}: {error}"),
    }
}

fn has(store: &SledStore, number: u64) -> bool {
    store.get(key(number).as_bytes()).expect("undamaged").is_some()
}

fn names(numbers: &[u64]) -> Vec<Bytes> {
    numbers.iter().map(|&number| Bytes::from(key(number))).collect()
}

fn readable(page: &ScanPage) -> Vec<Bytes> {
    page.entries.iter().map(|(key, _)| key.clone()).collect()
}

#[test]
fn what_a_kill_leaves_beside_sled_is_cleared_away() {
    let directory = TempDir::new().expect("a temporary directory");
    fill(&open(directory.path()), 1..5, 50);
    let base = base(directory.path());
    fs::write(base.join("snap.00000000000000AB.generating"), b"unfinished").expect("written");
    fs::create_dir(directory.path().join("base-00000000000000ff")).expect("created");
    fs::write(directory.path().join("values/00000077.values"), b"unfinished").expect("written");
    fs::write(directory.path().join("log/0000000000000077.draft"), b"unfinished").expect("written");
    fs::write(directory.path().join("log/0000000000000077.spare"), b"unfinished").expect("written");
    let store = open(directory.path());
    assert!((1..5).all(|number| { store.get(key(number).as_bytes()).is_ok_and(|value| value.is_some()) }));
    assert!(!directory.path().join("base-00000000000000ff").exists());
    assert!(!directory.path().join("log/0000000000000077.draft").exists());
    assert!(!directory.path().join("values/00000077.values").exists());
}

#[test]
fn a_directory_is_opened_once_at_a_time_and_only_if_it_is_a_store_s() {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("store");
    let store = open(&path);
    assert!(matches!(try_open(&path), Err(OpenError::Locked { .. })));
    drop(store);
    drop(open(&path));

    for former in ["quorate-storage 1\n", "quorate-storage 3\n"] {
        fs::write(path.join("FORMAT"), former).expect("written");
        assert!(matches!(try_open(&path), Err(OpenError::Version { .. })), "{former}");
    }
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

    for wrong in [
        StoreOptions { unapplied_bytes_max: 1, ..StoreOptions::default() },
        StoreOptions { cache_bytes: 0, ..StoreOptions::default() },
        StoreOptions { cache_bytes: StoreOptions::CACHE_BYTES_MIN - 1, ..StoreOptions::default() },
        StoreOptions { value_file_bytes: 0, ..StoreOptions::default() },
    ] {
        let refused = SledStore::open(&path, wrong, StoreHooks::default());
        assert!(matches!(refused, Err(OpenError::Options { .. })));
    }
}
