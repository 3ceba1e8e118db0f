//! `quorate chaos`: a cluster is broken on purpose, stays as safe as was promised, and is whole again afterwards.

mod command;

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use bytes::Bytes;
use command::writers::get_from;
use command::{Dev, Said, directory, eventually, is_running, quorate, run, signal};
use quorate_proto::convert::status::error_of_status;
use quorate_proto::v1::kv_client::KvClient;
use quorate_proto::v1::operation_error::Code;
use quorate_proto::v1::{PutRequest, Quorum};
use serde_json::Value;
use tonic::Status;

/// Asks this node and no other to store something on two owners.
async fn put(address: &str, key: &str, value: &str) -> Result<(), Status> {
    let mut kv = KvClient::connect(format!("http://{address}")).await.expect("the node listens");
    let request = PutRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: Bytes::copy_from_slice(value.as_bytes()),
        quorum: Some(Quorum { w: Some(2), ..Quorum::default() }),
        timeout_ms: 1_500,
        ..PutRequest::default()
    };
    kv.put(request).await.map(drop)
}

/// What this node and one other owner hold.
async fn get(address: &str, key: &str) -> Result<Vec<Bytes>, Status> {
    let mut values = get_from(address, "", key, Some(2)).await?;
    values.sort();
    Ok(values)
}

/// The nodes as `chaos show` finds them.
fn show(dev: &Dev) -> Vec<Value> {
    let shown = dev.run(["chaos", "show", "--output", "json"]).json();
    shown["nodes"].as_array().expect("nodes").clone()
}

fn states(dev: &Dev) -> Vec<String> {
    show(dev).iter().map(|node| node["state"].as_str().expect("a state").to_owned()).collect()
}

fn are_mended(dev: &Dev) -> bool {
    show(dev).iter().all(|node| node["state"] == "running" && node["faults"] == Value::Array(Vec::new()))
}

fn assert_said(said: &Said, code: i32, part: &str) {
    assert_eq!(said.code, Some(code), "{said:?}");
    assert!(said.out.contains(part) || said.err.contains(part), "{part:?}: {said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_refuses_what_lacks_a_quorum_and_heals() {
    let data = directory();
    let dev = Dev::start(data.path(), &["--unsafe-fault-injection"]);
    let addresses: Vec<String> = dev.addresses().into_iter().map(str::to_owned).collect();
    put(&addresses[0], "key", "before").await.expect("all is well");

    assert_said(&dev.run(["chaos", "partition", "1", "node-2,3"]), 0, "cut: node-1 | node-2, node-3");
    let refused = put(&addresses[0], "key", "alone").await.expect_err("one of three is no quorum");
    let refused = error_of_status(&refused).expect("it says why");
    assert!(matches!(refused.code(), Code::TimedOut | Code::QuorumUnavailable), "{refused:?}");
    get(&addresses[0], "key").await.expect_err("nor is it one for a read");
    put(&addresses[1], "key", "together").await.expect("two of three are one");
    let nodes = show(&dev);
    let cut_off: Vec<&Value> = nodes[0]["faults"].as_array().expect("faults").iter().collect();
    assert_eq!(cut_off.len(), 2);
    assert!(cut_off.iter().all(|fault| fault["drop"] == 1.0 && fault["receive_drop"] == 1.0));
    let lost = |node: &Value| node["lost_messages"].as_u64().expect("a number");
    assert!(nodes.iter().map(lost).sum::<u64>() > 0, "{nodes:?}");
    let said = dev.run(["chaos", "drop", "1", "0.3"]);
    assert_said(&said, 0, "node-1 cut off from node-2; cut off from node-3");

    assert_eq!(dev.run(["chaos", "heal"]).code, Some(0));
    assert!(are_mended(&dev));
    let mut healed = false;
    for _ in 0..100 {
        // Links that were given up meanwhile take a moment.
        healed = put(&addresses[0], "other", "x").await.is_ok();
        if healed {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(healed, "the cluster works again");
    // What nobody had seen is beside the rest, and what was not acknowledged may be there or not.
    let found = get(&addresses[0], "key").await.expect("the cluster works again");
    for value in ["before", "together"] {
        assert!(found.contains(&Bytes::from_static(value.as_bytes())), "{value}: {found:?}");
    }
}

#[test]
fn loss_and_delay_add_up_until_they_are_healed() {
    let data = directory();
    let dev = Dev::start(data.path(), &["--unsafe-fault-injection"]);
    assert_said(&dev.run(["chaos", "drop", "1", "0.3", "--to", "2"]), 0, "node-1 loses 30% to node-2");
    let said = dev.run(["chaos", "delay", dev.ids()[0], "50ms", "--jitter", "20ms"]);
    assert_said(&said, 0, "loses 30% to node-2, 50ms to 70ms late to node-2; 50ms to 70ms late to node-3");
    assert_eq!(dev.run(["put", "key", "value"]).code, Some(0));
    assert_said(&dev.run(["chaos", "delay", "1", "0s"]), 0, "node-1 loses 30% to node-2\n");
    assert_said(&dev.run(["chaos", "drop", "1", "0"]), 0, "node-1 works as it should");
    for (wrong, code, told) in [
        (&["drop", "1", "1.5"][..], 2, "1.5 is not from 0 to 1"),
        (&["delay", "1", "2m"], 2, "it is not from 0s to 60s"),
        (&["drop", "4", "1"], 1, "node 4: the nodes are 1 to 3"),
        (&["drop", "1", "1", "--to", "1"], 1, "a node sends itself nothing"),
        (&["partition", "1,2", "2,3"], 2, "node 2 is named twice"),
        (&["partition", "1,2,3"], 1, "no other node"),
    ] {
        assert_said(&dev.run(["chaos"].iter().chain(wrong)), code, told);
    }
    assert!(are_mended(&dev), "what is refused changes nothing");
}

#[test]
fn nodes_are_killed_paused_and_brought_back() {
    let data = directory();
    // Whatever is killed on purpose stays dead, and whatever dies otherwise comes back.
    let dev = Dev::start(data.path(), &["--restart"]);
    let pids = dev.pids();
    assert_said(&dev.run(["chaos", "kill", "2"]), 0, "node-2 is killed");
    assert!(!is_running(pids[1]));
    assert_said(&dev.run(["chaos", "kill", "2"]), 1, "node-2 is not running");
    assert_said(&dev.run(["chaos", "pause", "2"]), 1, "node-2 is not running");
    signal(pids[2], "-KILL");
    dev.wait_for_note("node-3 runs again");
    assert_eq!(states(&dev), ["running", "dead", "running"]);

    assert_said(&dev.run(["chaos", "revive", "node-2"]), 0, "node-2 is running");
    assert_said(&dev.run(["chaos", "pause", dev.ids()[2]]), 0, "node-3 is paused");
    assert_eq!(states(&dev), ["running", "running", "paused"]);
    eventually("two of three are enough", || dev.run(["put", "key", "value"]).code == Some(0));
    assert_said(&dev.run(["chaos", "resume", "3"]), 0, "node-3 is running");
    assert_said(&dev.run(["chaos", "resume", "3"]), 0, "node-3 is running");
    eventually("all three answer", || dev.run(["get", "key", "--r", "3"]).code == Some(0));
    let id = |node: &Value| node["id"].as_str().expect("an id").to_owned();
    assert_eq!(show(&dev).iter().map(id).collect::<Vec<_>>(), dev.ids());
}

#[test]
fn a_paused_node_does_not_keep_others_from_being_healed() {
    let data = directory();
    let dev = Dev::start(data.path(), &["--unsafe-fault-injection"]);
    assert_eq!(dev.run(["chaos", "partition", "1", "2"]).code, Some(0));
    assert_eq!(dev.run(["chaos", "pause", "2"]).code, Some(0));
    let said = dev.run(["chaos", "heal"]);
    assert_said(&said, 0, "no partitions, no loss, no delay\nnode-2 is paused, and cannot be told: ");
    assert_said(&dev.run(["chaos", "resume", "2"]), 0, "node-2 still cut off from node-1\n");
    assert_said(&dev.run(["chaos", "heal"]), 0, "no partitions, no loss, no delay\n");
    assert!(are_mended(&dev));
}

#[test]
fn a_cluster_comes_back_when_all_of_it_was_killed() {
    let data = directory();
    let dev = Dev::start(data.path(), &["--nodes", "2"]);
    let chaos = |action: &[&str]| run(quorate().arg("chaos").args(action).arg("--data").arg(data.path()));
    assert_eq!(dev.run(["put", "key", "value"]).code, Some(0));
    assert_said(&chaos(&["kill", "1"]), 0, "killed");
    for command in [&["status"][..], &["layout", "show"]] {
        assert_said(&dev.run(command), 0, "cannot be changed until 1 of these voters is back: node-1 (");
    }
    let alone = dev.run(["status", "--output", "json"]).json();
    assert_eq!(
        (&alone["nodes"][1]["name"], &alone["missing_votes"]["needed"]),
        (&"node-2".into(), &1.into())
    );
    assert_said(&chaos(&["kill", "2"]), 0, "killed");
    assert_said(&dev.run(["chaos", "revive", "1"]), 1, "--data");
    for node in ["1", "2"] {
        assert_said(&chaos(&["revive", node]), 0, "running");
    }
    eventually("the value is back", || dev.run(["get", "key"]).out.contains("value"));
    drop(dev);
    assert_said(&chaos(&["show"]), 1, "no `quorate dev` is running on");
}

#[test]
fn a_paused_node_does_not_outlive_its_cluster() {
    for kill in [false, true] {
        let data = directory();
        let dev = Dev::start(data.path(), &[]);
        let pids = dev.pids();
        assert_eq!(dev.run(["chaos", "pause", "2"]).code, Some(0));
        if kill {
            dev.kill();
        } else {
            assert_eq!(dev.stop(), Some(0));
        }
        eventually("the nodes end", || !pids.iter().copied().any(is_running));
    }
}

#[test]
fn without_the_flag_messages_cannot_be_touched() {
    let data = directory();
    let dev = Dev::start(data.path(), &[]);
    for action in [&["partition", "1", "2,3"][..], &["drop", "1", "0.5"], &["delay", "1", "5ms"], &["heal"]] {
        assert_said(&dev.run(["chaos"].iter().chain(action)), 1, "--unsafe-fault-injection");
    }
    assert_said(&dev.run(["chaos", "random"]), 1, "--unsafe-fault-injection");
    // Not even by a seed that happens to draw none of these faults: what may be drawn counts.
    let lucky = ["chaos", "random", "--seed", "444831", "--every", "1s", "--for", "1s"];
    assert_said(&dev.run(lucky), 1, "--unsafe-fault-injection");
    let status = dev.run(["status", "--output", "json"]).json();
    assert_eq!(status["nodes"][0]["details"]["unsafe_fault_injection"], false);
}

#[test]
fn a_schedule_is_carried_out_and_everything_is_mended_at_its_end() {
    let data = directory();
    let dev = Dev::start(data.path(), &["--unsafe-fault-injection"]);
    let schedule = data.path().join("schedule");
    let chaos = |text: &str| {
        std::fs::write(&schedule, text).expect("the schedule can be written");
        dev.run(["chaos", "run", "--output", "json", schedule.to_str().expect("a path of text")])
    };
    let said = chaos("at 300ms pause 3\nat 0s kill 2\nat 100ms delay 1 20ms\nat 200ms partition 1 2,3");
    assert_eq!(said.code, Some(0), "{said:?}");
    let told: Vec<Value> =
        said.out.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    let actions: Vec<&str> = told.iter().map(|told| told["action"].as_str().expect("an action")).collect();
    let planned = ["kill 2", "delay 1 20ms", "partition 1 2,3", "pause 3"];
    assert_eq!(actions, [&planned[..], &["revive 2", "resume 3", "heal"]].concat());
    let times: Vec<u64> = told.iter().map(|told| told["at_ms"].as_u64().expect("a time")).collect();
    assert!(times.iter().zip([0, 100, 200, 300]).all(|(at, planned)| *at >= planned), "{times:?}");
    assert!(are_mended(&dev));

    let said = chaos("at 0s kill 2\nat 0s kill 2");
    assert_said(&said, 1, "1 of the actions failed; everything is mended");
    assert!(are_mended(&dev));
    assert_said(&chaos("at 0s kill 2\nat 1s kill 4"), 1, "kill 4: node 4: the nodes are 1 to 3");
    assert_said(&chaos("at 0s kill 2\nat 1s kill"), 1, "schedule: line 2: ");
    assert!(are_mended(&dev), "a schedule that cannot work is not begun");
}

#[test]
fn an_interrupted_schedule_leaves_nothing_broken() {
    let data = directory();
    let dev = Dev::start(data.path(), &["--unsafe-fault-injection"]);
    let schedule = data.path().join("schedule");
    std::fs::write(&schedule, "at 0s partition 1\nat 0s kill 2\nat 0s pause 3\nat 1h heal").expect("written");
    let mut command = dev.command(["chaos", "run"]);
    let mut child = command
        .arg(&schedule)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the command starts");
    let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
    let mut lines = lines.skip_while(|line| !line.contains("node-3 is paused"));
    assert!(lines.next().is_some(), "all is broken");
    signal(child.id().into(), "-INT");
    assert_eq!(child.wait().expect("it was ours").code(), Some(1));
    assert!(lines.any(|line| line.contains("heal")));
    assert!(are_mended(&dev));
    eventually("all three take writes", || dev.run(["put", "key", "value", "--w", "3"]).code == Some(0));
}
