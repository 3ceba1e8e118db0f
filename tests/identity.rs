//! Directories that cannot be trusted: restored from old copies, cloned, wiped, or of nodes that have left. They are noticed at the first
//! contact, nothing stale is served, and their places are filled again.

mod command;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use command::{Dev, directory, eventually, run};
use serde_json::Value;

fn json(dev: &Dev, args: &[&str]) -> Value {
    let said = dev.run(args.iter().copied().chain(["--output", "json"]));
    assert_eq!(said.code, Some(0), "{args:?}: {said:?}");
    serde_json::from_str(said.out.lines().next().unwrap_or("null")).expect("a line of JSON")
}

fn put_all(dev: &Dev, value: &str) {
    for key in 0..20 {
        let said = dev.run(["put", &format!("k{key}"), value]);
        assert_eq!(said.code, Some(0), "{said:?}");
    }
}

/// All keys have this value, perhaps among others, when so many owners answer.
fn assert_all(dev: &Dev, value: &str, r: &str) {
    for key in 0..20 {
        let got = dev.run(["get", &format!("k{key}"), "--r", r]);
        assert!(got.out.lines().any(|line| line == value), "k{key}: {got:?}");
    }
}

/// What `dev` says of a node at present.
fn field(dev: &Dev, name: &str, field: &str) -> String {
    let nodes = json(dev, &["chaos", "show"]);
    let mut nodes = nodes["nodes"].as_array().expect("nodes").iter();
    let node = nodes.find(|node| node["name"] == name).expect("it is there");
    node[field].as_str().expect("a text").to_owned()
}

/// The id that the process of a node has now.
fn id_of(dev: &Dev, name: &str) -> String {
    field(dev, name, "id")
}

fn copy(from: &Path, to: &Path) {
    let copied = run(Command::new("cp").arg("-a").arg(from).arg(to));
    assert_eq!(copied.code, Some(0), "{copied:?}");
}

/// Puts the directory of a node that does not run back to a copy of it.
fn put_back(data: &Path, name: &str, copy_of: &Path) -> PathBuf {
    let node = data.join(name);
    fs::remove_dir_all(&node).expect("it is there");
    copy(copy_of, &node);
    node
}

/// Kills a node, puts its directory back, and starts it again: from the first moment on nothing old is read, and it gives up who it was.
fn roll_back(dev: &Dev, data: &Path, name: &str, copy_of: &Path, value: &str) {
    let before = id_of(dev, name);
    assert_eq!(dev.run(["chaos", "kill", name]).code, Some(0));
    let node = put_back(data, name, copy_of);
    assert_eq!(dev.run(["chaos", "revive", name]).code, Some(0));
    assert_all(dev, value, "2");
    gives_up(dev, &node, name, &before);
    assert_all(dev, value, "2");
}

/// Waits until a node has set its store aside and is another.
fn gives_up(dev: &Dev, node: &Path, name: &str, before: &str) {
    eventually("it gives up, and is another node", || {
        node.join("set-aside-1/DISTRUSTED").exists() && id_of(dev, name) != before
    });
}

/// The node that was found out takes the place of who it was, and everything is on all owners again.
fn replace(dev: &Dev, name: &str, value: &str) {
    let with = field(dev, name, "grpc");
    let replaced = json(dev, &["members", "replace", name, "--with", &with, "--lost"]);
    assert_eq!(replaced["outcome"], "done", "{replaced}");
    assert_all(dev, value, "3");
}

#[test]
fn a_copy_that_was_taken_while_it_ran_is_found_out_and_its_place_filled() {
    let data = directory();
    let dev = Dev::start(data.path(), &[]);
    put_all(&dev, "old");
    let old = data.path().join("old-copy");
    copy(&data.path().join("node-2"), &old);
    put_all(&dev, "new");
    roll_back(&dev, data.path(), "node-2", &old, "new");
    replace(&dev, "node-2", "new");
}

#[test]
fn a_copy_that_was_taken_after_a_clean_stop_is_found_out() {
    let data = directory();
    let dev = Dev::start(data.path(), &[]);
    put_all(&dev, "old");
    assert_eq!(dev.stop(), Some(0));
    let old = data.path().join("old-copy");
    copy(&data.path().join("node-3"), &old);
    let dev = Dev::start(data.path(), &[]);
    put_all(&dev, "new");
    roll_back(&dev, data.path(), "node-3", &old, "new");
    assert_eq!(dev.stop(), Some(0));
    // The cluster starts with it, and it waits for its place.
    let dev = Dev::start(data.path(), &[]);
    assert_all(&dev, "new", "2");
    replace(&dev, "node-3", "new");
}

/// All of them put back to the same clean stop lose what came after, and nobody can know: nothing betrays them.
#[test]
fn a_whole_cluster_that_is_put_back_together_goes_on() {
    let data = directory();
    let dev = Dev::start(data.path(), &[]);
    put_all(&dev, "old");
    assert_eq!(dev.stop(), Some(0));
    let copies: Vec<PathBuf> = (1..=3).map(|node| data.path().join(format!("copy-{node}"))).collect();
    for (node, to) in (1..).zip(&copies) {
        copy(&data.path().join(format!("node-{node}")), to);
    }
    let dev = Dev::start(data.path(), &[]);
    put_all(&dev, "new");
    assert_eq!(dev.stop(), Some(0));
    for (node, from) in (1..).zip(&copies) {
        let node = put_back(data.path(), &format!("node-{node}"), from);
        assert!(!node.join("set-aside-1").exists());
    }
    let dev = Dev::start(data.path(), &[]);
    assert_all(&dev, "old", "3");
}

#[test]
fn of_two_processes_on_copies_of_one_directory_one_stays_at_most() {
    let data = directory();
    let dev = Dev::start(data.path(), &[]);
    put_all(&dev, "old");
    assert_eq!(dev.run(["chaos", "kill", "2"]).code, Some(0));
    let clone = data.path().join("clone");
    copy(&data.path().join("node-2"), &clone);
    assert_eq!(dev.run(["chaos", "revive", "2"]).code, Some(0));
    let first = id_of(&dev, "node-2");
    put_all(&dev, "new");
    let layout = json(&dev, &["layout", "show"]);
    let members = layout["members"].as_array().expect("members").iter();
    let seeds: Vec<&str> = members.map(|member| member["peer"].as_str().expect("an address")).collect();
    let mut command = dev.command(["node", "--grpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"]);
    command.args(["--peer-listen", "127.0.0.1:0", "--data-dir"]).arg(&clone).env_remove("QUORATE_ENDPOINT");
    command.args(seeds.iter().flat_map(|seed| ["--seed", seed]));
    command.stderr(std::process::Stdio::null());
    let mut process = command.spawn().expect("it starts");
    eventually("the clone gives up", || clone.join("set-aside-1/DISTRUSTED").exists());
    process.kill().expect("it runs");
    process.wait().expect("it ends");
    eventually("the first one is there", || json(&dev, &["status"]).to_string().contains(&first));
    assert_all(&dev, "new", "2");
}

#[test]
fn a_node_that_has_left_is_refused_with_its_old_disk_and_comes_back_as_another() {
    let data = directory();
    let dev = Dev::start(data.path(), &["--nodes", "4", "--n", "3"]);
    put_all(&dev, "value");
    let before = id_of(&dev, "node-4");
    assert_eq!(dev.run(["chaos", "kill", "4"]).code, Some(0));
    // It was away during all of it.
    let removed = json(&dev, &["layout", "apply", "--lost", "node-4"]);
    assert_eq!(removed["outcome"], "done", "{removed}");
    put_all(&dev, "newer");
    assert_eq!(dev.run(["chaos", "revive", "4"]).code, Some(0));
    gives_up(&dev, &data.path().join("node-4"), "node-4", &before);
    let added = json(&dev, &["members", "add", &field(&dev, "node-4", "grpc")]);
    assert_eq!(added["outcome"], "done", "{added}");
    assert_all(&dev, "newer", "3");
    let layout = json(&dev, &["layout", "show"]);
    assert!(layout["departed"].as_array().expect("a list").iter().any(|id| *id == before), "{layout}");
}

#[test]
fn members_that_are_left_go_on_without_a_lost_majority_when_they_are_told_to() {
    let data = directory();
    let dev = Dev::start(data.path(), &["--w", "3", "--node-setting", "start_wait_s=1"]);
    put_all(&dev, "value");
    let lost = [id_of(&dev, "node-2"), id_of(&dev, "node-3")];
    for node in ["2", "3"] {
        assert_eq!(dev.run(["chaos", "kill", node]).code, Some(0));
    }
    let alter = [
        "layout",
        "apply",
        "--lost",
        "node-2",
        "--lost",
        "node-3",
        "--n",
        "1",
        "--r",
        "1",
        "--w",
        "1",
        "--no-wait",
    ];
    let stuck = dev.run(alter);
    assert!(stuck.code == Some(1) && stuck.err.contains("2 voters have to agree"), "{stuck:?}");
    assert_eq!(dev.run(["chaos", "kill", "1"]).code, Some(0));
    let node = data.path().join("node-1");
    let force = |extra: &[&str]| {
        let node = node.to_str().expect("a path");
        dev.run(["directory", "force-lost", node, &lost[0], &lost[1]].iter().chain(extra))
    };
    let warned = force(&[]);
    assert!(warned.code == Some(1) && warned.err.contains("gone for good"), "{warned:?}");
    let forced = force(&["--yes"]);
    assert!(forced.code == Some(0) && forced.out.contains("epoch 10"), "{forced:?}");
    assert!(fs::read_to_string(node.join("OFFLINE.log")).is_ok_and(|notes| notes.contains(&lost[0])));
    let again = force(&["--yes"]);
    assert!(again.code == Some(1) && again.err.contains("is a majority"), "{again:?}");

    // Nobody is there to be asked where the cluster is.
    let revived = dev.run(["chaos", "revive", "1", "--data", data.path().to_str().expect("a path")]);
    assert_eq!(revived.code, Some(0), "{revived:?}");
    // It waits for the others in vain, as long as it does.
    eventually("it takes part", || dev.run(alter).code == Some(0));
    eventually("it says what it waits for", || {
        json(&dev, &["layout", "show"])["change"]["waits"].to_string().contains("accept-loss")
    });
    assert_eq!(dev.run(["layout", "accept-loss", "--yes"]).code, Some(0));
    eventually("the change ends", || json(&dev, &["layout", "show"])["change"].is_null());
    assert_all(&dev, "value", "1");
}
