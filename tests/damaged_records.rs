//! Bytes of stored values change while a node is down: it notices, answers right all the same, and heals from its peers.

mod command;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use bytes::Bytes;
use command::{Dev, directory, eventually, run_with_input};
use quorate_protocol::id::NodeId;
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
    let layout = recover(store, NodeId(0)).expect("it is a node's").kept.layout.expect("it is bootstrapped");
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
    assert_eq!(recover(&healed, NodeId(0)).expect("it is a node's").kept.holes, []);
}
