//! Bytes of stored values change, while a node is down and while it runs: it notices, answers right all the same, and heals from its
//! peers. What is done to sled's files costs it nothing but time.

mod command;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use command::{Dev, directory, eventually, run_with_input};
use quorate_protocol::id::{NodeId, StartId};
use quorate_protocol::identity::recover;
use quorate_protocol::keys;
use quorate_protocol::store::{Store as _, StoreError};
use quorate_storage::{SledStore, StoreHooks, StoreOptions};

/// The stores of the nodes of a cluster that is not running.
fn open_store(data: &Path, node: usize) -> SledStore {
    let path = data.join(format!("node-{node}")).join("store");
    let options = StoreOptions { free_reserve_bytes: 0, ..StoreOptions::default() };
    SledStore::open(path, options, StoreHooks::default()).expect("the store opens")
}

/// Where a user's key is in a store.
fn record_of(store: &SledStore, key: &str) -> Bytes {
    let layout = recover(store, NodeId(0), StartId(0))
        .expect("it is a node's")
        .kept
        .layout
        .expect("it is bootstrapped");
    let bucket = layout.bucket("").expect("there is one").id;
    keys::data(layout.partition_of(bucket, key.as_bytes()), bucket, key.as_bytes())
}

/// A node's metrics by name, without labels.
fn metric(dev: &Dev, node: usize, name: &str) -> u64 {
    let http = dev.ready["nodes"][node]["http"].as_str().expect("an address").trim_start_matches("http://");
    let mut stream = TcpStream::connect(http).expect("it listens");
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {http}\r\nConnection: close\r\n\r\n").expect("it reads");
    let mut page = String::new();
    stream.read_to_string(&mut page).expect("it answers");
    let value = page.lines().find_map(|line| line.strip_prefix(&format!("quorate_{name} ")));
    value.unwrap_or_else(|| panic!("{name} is not in {page}")).parse().expect("a number")
}

#[test]
fn a_node_heals_what_its_disk_has_altered() {
    let data = directory();
    let dev = Dev::start(data.path(), &["--w", "3", "--r", "1"]);
    let long = "long ".repeat(40_000);
    for (key, value) in [("short", "hello"), ("long", long.as_str()), ("other", "untouched")] {
        let put = run_with_input(&mut dev.command(["put", key, "--file", "-"]), value.as_bytes());
        assert_eq!(put.code, Some(0), "{put:?}");
    }
    assert_eq!(dev.stop(), Some(0));

    let store = open_store(data.path(), 1);
    let records = ["short", "long"].map(|key| record_of(&store, key));
    for record in &records {
        assert_eq!(store.damage(record), Ok(true));
        assert!(matches!(store.get(record), Err(StoreError::Corrupt { .. })));
    }
    drop(store);

    let dev = Dev::start(data.path(), &[]);
    // All three have to answer: the damaged one refuses until it has got back what the others hold.
    for (key, value) in [("short", "hello"), ("long", long.as_str()), ("other", "untouched")] {
        let got = dev.run(["get", key, "--r", "3"]);
        assert!(got.code == Some(0) && got.out.contains(value), "{key}: {got:.200?}");
    }
    let listed = dev.run(["keys"]);
    assert!(["short", "long", "other"].iter().all(|key| listed.out.contains(key)), "{listed:?}");
    eventually("both records are met and healed", || metric(&dev, 0, "records_healed_total") == 2);
    assert_eq!(metric(&dev, 0, "damaged_records_total"), 2);
    assert_eq!(metric(&dev, 0, "damaged_keys"), 0);
    assert_eq!((metric(&dev, 0, "records_lost_total"), metric(&dev, 1, "damaged_records_total")), (0, 0));
    assert_eq!(dev.stop(), Some(0));

    let (healed, whole) = (open_store(data.path(), 1), open_store(data.path(), 2));
    for record in &records {
        assert_eq!(healed.get(record), whole.get(record));
        assert!(healed.get(record).is_ok_and(|value| value.is_some()));
    }
    assert_eq!(recover(&healed, NodeId(0), StartId(0)).expect("it is a node's").kept.holes, []);
}

/// The files of values of a node, with what they hold.
fn value_files(data: &Path, node: usize) -> Vec<(PathBuf, Vec<u8>)> {
    let directory = data.join(format!("node-{node}")).join("store/values");
    let names = fs::read_dir(directory).expect("the store is there");
    let paths = names.map(|name| name.expect("readable").path());
    // A compaction may have removed one since.
    paths.filter_map(|path| fs::read(&path).ok().map(|content| (path, content))).collect()
}

/// Alters a byte in the middle of the value in a node's file, if it has left the log. Returns whether it has.
fn alter(data: &Path, node: usize, value: &[u8]) -> bool {
    let mut altered = false;
    for (path, content) in value_files(data, node) {
        let places = content.windows(value.len()).enumerate().filter(|(_, bytes)| *bytes == value);
        for (place, _) in places {
            let at = place + value.len() / 2;
            let file = fs::OpenOptions::new().write(true).open(&path).expect("it is there");
            file.write_all_at(&[content[at] ^ 0x10], at as u64).expect("writable");
            altered = true;
        }
    }
    altered
}

/// Nodes that look at all they hold every second, and bring what they log to the files every second.
const RESTLESS: [(&str, &str); 2] =
    [("QUORATE_SWEEP_INTERVAL_S", "1"), ("QUORATE_CHECKPOINT_INTERVAL_S", "1")];

fn wait_healed(dev: &Dev, records: u64) {
    eventually("the sweep meets it, and it is healed", || metric(dev, 0, "records_healed_total") == records);
    assert_eq!(metric(dev, 0, "damaged_records_total"), records);
    assert_eq!((metric(dev, 0, "damaged_keys"), metric(dev, 0, "records_lost_total")), (0, 0));
}

/// Nobody asks for the key: it is the sweep that finds it, and what it reads is the file.
#[test]
fn the_sweep_finds_a_flipped_byte_and_the_disk_is_right_again() {
    let data = directory();
    let values: Vec<Vec<u8>> = (0..20u8).map(|key| format!("value {key} ").repeat(50).into_bytes()).collect();
    let dev = Dev::start_with(data.path(), &["--w", "3"], &RESTLESS);
    for (key, value) in values.iter().enumerate() {
        let put = run_with_input(&mut dev.command(["put", &format!("key-{key}"), "--file", "-"]), value);
        assert_eq!(put.code, Some(0), "{put:?}");
    }
    // While it runs, as soon as the value has left the log.
    eventually("the value is in a file", || alter(data.path(), 1, &values[3]));
    wait_healed(&dev, 1);
    assert_eq!(dev.stop(), Some(0));

    // While it is down.
    assert!(alter(data.path(), 1, &values[5]) && alter(data.path(), 1, &values[6]));
    let store = open_store(data.path(), 1);
    let records = ["key-3", "key-5", "key-6"].map(|key| record_of(&store, key));
    assert!(store.get(&records[0]).is_ok_and(|value| value.is_some()), "what was healed is on the disk");
    assert!(records[1..].iter().all(|key| matches!(store.get(key), Err(StoreError::Corrupt { .. }))));
    drop(store);
    let dev = Dev::start_with(data.path(), &[], &RESTLESS);
    wait_healed(&dev, 2);
    assert_eq!(dev.stop(), Some(0));

    let (healed, whole) = (open_store(data.path(), 1), open_store(data.path(), 2));
    for record in &records {
        assert_eq!(healed.get(record), whole.get(record));
        assert!(healed.get(record).is_ok_and(|value| value.is_some()));
    }
    let stored = value_files(data.path(), 1);
    for value in &values {
        let is_stored =
            stored.iter().any(|(_, content)| content.windows(value.len()).any(|bytes| bytes == value));
        assert!(is_stored, "the bytes themselves are in the files");
    }
}

/// The index is damaged, then gone: the node starts all the same, with all that it held.
#[test]
fn a_node_whose_index_is_damaged_starts_with_all_that_it_held() {
    let data = directory();
    let dev = Dev::start(data.path(), &["--w", "3"]);
    for key in 0..20 {
        let put = run_with_input(&mut dev.command(["put", &format!("key-{key}"), "--file", "-"]), b"hello");
        assert_eq!(put.code, Some(0), "{put:?}");
    }
    assert_eq!(dev.stop(), Some(0));
    for is_gone in [false, true] {
        let store = data.path().join("node-1/store");
        let names = fs::read_dir(&store).expect("it is there").map(|name| name.expect("readable").path());
        let base =
            names.into_iter().find(|path| path.to_string_lossy().contains("/base-")).expect("it has one");
        if is_gone {
            fs::remove_dir_all(&base).expect("removed");
        } else {
            let content = fs::read(base.join("db")).expect("readable");
            let altered: Vec<u8> =
                content.iter().map(|byte| if *byte == 0 { 0 } else { byte ^ 0x10 }).collect();
            fs::write(base.join("db"), altered).expect("writable");
        }
        let dev = Dev::start(data.path(), &[]);
        for key in 0..20 {
            let got = dev.run(["get", &format!("key-{key}"), "--r", "3"]);
            assert!(got.code == Some(0) && got.out.contains("hello"), "key {key}: {got:?}");
        }
        assert_eq!(metric(&dev, 0, "damaged_records_total"), 0);
        assert_eq!(dev.stop(), Some(0));
        assert!(!base.exists(), "it was built anew");
    }
}
