//! `quorate dev`: from start to stop, and what happens when something dies.

mod command;

use std::net::TcpListener;

use command::{Dev, directory, eventually, is_running, quorate, run, signal};

#[test]
fn a_cluster_stops_with_its_data_and_goes_on_with_it() {
    let data = directory();
    let dev = Dev::start(data.path(), &["--bucket", "last:conflict=lww"]);
    assert_eq!(dev.addresses().len(), 3);
    assert_eq!(dev.run(["put", "greeting", "hello"]).code, Some(0));
    let (ids, pids) = (dev.ids().join(" "), dev.pids());
    assert_eq!(dev.stop(), Some(0));
    assert!(!pids.into_iter().any(is_running), "the nodes have stopped before it did");

    // On other ports, for these are free ones again: the nodes find each other all the same.
    let dev = Dev::start(data.path(), &[]);
    assert_eq!(dev.ids().join(" "), ids);
    let found = dev.run(["get", "greeting"]);
    assert!(found.out.contains("hello"), "{found:?}");
    let buckets = dev.run(["bucket", "list", "--output", "json"]).json();
    assert_eq!(buckets[1]["name"], "last");
    assert_eq!(buckets[1]["conflict"], "lww");
}

#[test]
fn a_cluster_is_what_it_was_made_as() {
    let data = directory();
    let dev = Dev::start(data.path(), &["--nodes", "2", "--w", "1"]);
    assert_eq!(dev.addresses().len(), 2);
    let again = || {
        let mut command = quorate();
        command.args(["dev", "--port-base", "0", "--data"]).arg(data.path());
        command
    };
    let refused = run(&mut again());
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("in use by another"), "{refused:?}");
    assert_eq!(dev.stop(), Some(0));
    let refused = run(again().args(["--w", "2"]));
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("--w 2") && refused.err.contains("made with 1"), "{refused:?}");
    let refused = run(again().args(["--w", "-1"]));
    assert_eq!(refused.code, Some(2), "{refused:?}");
    let impossible = directory();
    for (flags, told) in [
        (["--nodes", "2", "--n", "3"], "n: 3 is not from 1 to 2"),
        (["--nodes", "3", "--r", "4"], "r: 4 is not from 1 to 3"),
    ] {
        let refused = run(quorate().arg("dev").args(flags).arg("--data").arg(impossible.path()));
        assert!(refused.code == Some(2) && refused.err.contains(told), "{flags:?}: {refused:?}");
    }
}

#[test]
fn nodes_die_with_whoever_started_them() {
    let data = directory();
    let dev = Dev::start(data.path(), &[]);
    let pids = dev.pids();
    dev.kill();
    eventually("the nodes end", || !pids.iter().copied().any(is_running));
    // And the data is whole.
    let dev = Dev::start(data.path(), &[]);
    assert_eq!(dev.run(["get", "nothing"]).code, Some(3));
}

#[test]
fn a_dead_node_is_reported_and_stays_dead_unless_asked() {
    let data = directory();
    let dev = Dev::start(data.path(), &[]);
    signal(dev.pids()[1], "-KILL");
    let note = dev.wait_for_note("died");
    assert!(note.contains("node-2") && note.contains("SIGKILL"), "{note}");
    assert_eq!(dev.run(["put", "key", "value"]).code, Some(0), "two of three are enough");
    let status = dev.run(["status", "--output", "json"]).json();
    let states: Vec<_> =
        status["nodes"].as_array().expect("nodes").iter().map(|node| &node["state"]).collect();
    assert_eq!(states, ["up", "unreachable", "up"]);
    signal(dev.pids()[0], "-KILL");
    signal(dev.pids()[2], "-KILL");
    dev.wait_for_note("no node is left");
}

#[test]
fn a_dead_node_is_restarted_when_asked() {
    let data = directory();
    let dev = Dev::start(data.path(), &["--restart"]);
    assert_eq!(dev.run(["put", "key", "value"]).code, Some(0));
    signal(dev.pids()[1], "-KILL");
    dev.wait_for_note("node-2 runs again");
    eventually("all see each other", || {
        let status = dev.run(["status", "--output", "json"]).json();
        let nodes = status["nodes"].as_array().expect("nodes").clone();
        nodes.iter().all(|node| node["details"]["peers_reachable"] == 2)
    });
    let found = dev.run(["get", "key", "--r", "3"]);
    assert!(found.out.contains("value"), "{found:?}");
}

#[test]
fn a_taken_port_is_named() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = taken.local_addr().expect("an address").port();
    let temporary = directory();
    let base = (port - 11).to_string();
    let refused = run(quorate().args(["dev", "--port-base", &base]).env("TMPDIR", temporary.path()));
    assert_eq!(refused.code, Some(1));
    let told = refused.err.contains(&format!("port {port} (node-2, HTTP) is taken"));
    // Something else may sit on a neighbouring port.
    assert!(told || refused.err.contains("is taken"), "{refused:?}");
    let left = std::fs::read_dir(temporary.path()).expect("it is there").count();
    assert_eq!(left, 0, "what was not asked for is not left behind");
}

#[test]
fn a_node_that_does_not_start_shows_its_log() {
    let data = directory();
    let mut command = quorate();
    command.args(["dev", "--port-base", "0", "--data"]).arg(data.path());
    let refused = run(command.env("QUORATE_KEY_BYTES_MAX", "0"));
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("did not start") && refused.err.contains("key_bytes_max"), "{refused:?}");
}
