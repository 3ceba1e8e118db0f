//! The commands for one key, for looking around, and for founding a cluster: what they print and how they exit.

mod command;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use command::{Dev, directory, quorate, run, run_with_input};
use serde_json::Value;

#[test]
fn a_key_from_the_first_put_to_the_delete() {
    let data = directory();
    let dev = Dev::start(data.path(), &[]);
    let put = dev.run(["put", "a key/ä", r#"{"n": 1.50}"#, "--output", "json"]).json();
    assert_eq!(put["status"], "success");
    assert_eq!(put["replicas_written"], 2);

    let text = dev.run(["get", "a key/ä", "--output", "json"]).out;
    assert!(text.contains(r#""value":{"n": 1.50}"#), "byte for byte: {text}");
    dev.run(["put", "a key/ä", "plain"]);
    let conflict = dev.run(["get", "a key/ä", "--output", "json"]).json();
    assert_eq!(conflict["status"], "conflict");
    assert_eq!(conflict["siblings"].as_array().map(Vec::len), Some(2));
    let context = conflict["context"].as_str().expect("a context");
    let merged = dev.run(["put", "a key/ä", "3", "--context", context, "--output", "json"]).json();
    let found = dev.run(["get", "a key/ä", "--output", "json"]).json();
    assert_eq!(found["status"], "success");
    assert_eq!(found["value"], 3);
    assert_eq!(found["vector_clock"], merged["vector_clock"]);

    assert_eq!(dev.run(["delete", "a key/ä", "--context", context]).code, Some(0));
    assert_eq!(dev.run(["get", "a key/ä"]).code, Some(0), "a context deletes only what it has seen");
    assert_eq!(dev.run(["delete", "a key/ä"]).code, Some(0));
    let gone = dev.run(["get", "a key/ä"]);
    assert_eq!(gone.code, Some(3));
    assert!(gone.err.contains("no value"), "{gone:?}");
}

#[test]
fn values_expire_and_answers_tell_who_holds_them() {
    let data = directory();
    let dev = Dev::start(data.path(), &["--nodes", "1", "--bucket", "sessions:mode=sloppy,ttl=1h"]);
    let put = dev.run(["put", "k", "1", "--ttl", "10m", "--mode", "strict", "--output", "json"]).json();
    assert_eq!((put["primaries"].as_u64(), put["fallbacks"].as_u64()), (Some(1), Some(0)));
    let found = dev.run(["get", "k", "--mode", "strict", "--output", "json"]).json();
    assert!(found["expires_at_ms"].is_u64(), "{found}");
    assert_eq!((found["primaries"].as_u64(), found["fallbacks"].as_u64()), (Some(1), Some(0)));
    let shown = dev.run(["get", "k"]);
    assert!(shown.err.contains(", expires in "), "{shown:?}");

    let in_sessions = |key, more: &[&str]| {
        let put = ["put", key, "1", "--bucket", "sessions"];
        assert_eq!(dev.run(put.iter().chain(more)).code, Some(0));
        dev.run(["get", key, "--bucket", "sessions", "--output", "json"]).json()["expires_at_ms"].is_u64()
    };
    assert!(in_sessions("expires", &[]));
    assert!(!in_sessions("stays", &["--ttl", "never"]));

    // What is exported keeps what is left of its time.
    let lines = dev.run(["export", "--bucket", "sessions"]).out;
    let left = |key: &str| {
        let line = lines.lines().find(|line| line.contains(key)).expect("it is exported");
        serde_json::from_str::<Value>(line).expect("it is JSON")["ttl_ms"].as_u64()
    };
    assert!(left("expires").is_some_and(|ms| (1..=3_600_000).contains(&ms)), "{lines}");
    assert_eq!(left("stays"), None, "{lines}");

    let endless = dev.run(["put", "k", "1", "--ttl", "4000d"]);
    assert!(endless.code == Some(1) && endless.err.contains("ttl: "), "{endless:?}");
    let soon = dev.run(["put", "k", "1", "--ttl", "0s"]);
    assert_eq!(soon.code, Some(2), "{soon:?}");
    let table = dev.run(["bucket", "list"]).out;
    let row = table.lines().find(|line| line.starts_with("sessions")).expect("it is there");
    assert!(row.contains("sloppy") && row.trim_end().ends_with("1h"), "{table}");
}

#[test]
fn values_come_from_files_and_standard_input() {
    let data = directory();
    let dev = Dev::start(data.path(), &["--nodes", "1"]);
    let file = data.path().join("value");
    std::fs::write(&file, b"\xff\0raw").expect("it can be written");
    let file = file.to_str().expect("a name");
    assert_eq!(dev.run(["put", "file", "--file", file]).code, Some(0));
    let found = dev.run(["get", "file", "--output", "json"]).json();
    assert_eq!(found["value_base64"], "/wByYXc=");
    assert_eq!(found["content_type"], "application/octet-stream");
    let put = &mut dev.command(["put", "input", "--file", "-", "--content-type", "text/x-odd"]);
    assert_eq!(run_with_input(put, b"typed").code, Some(0));
    let found = dev.run(["get", "input"]);
    assert!(found.err.contains("text/x-odd") && found.out == "typed\n", "{found:?}");
}

#[test]
fn any_bytes_can_be_a_key() {
    let data = directory();
    let dev = Dev::start(data.path(), &["--nodes", "1"]);
    // A line break in it, no UTF-8, and text that looks like the form in which those are shown.
    for (key, shown) in
        [("YQpi", "base64:YQpi"), ("/w==", "base64:/w=="), ("YmFzZTY0Og==", "base64:YmFzZTY0Og==")]
    {
        let put = dev.run(["put", "--key-base64", key, "value"]);
        assert!(put.code == Some(0) && put.out.starts_with(&format!("put {shown}: ")), "{put:?}");
        assert_eq!(dev.run(["keys"]).out, format!("{shown}\n"));
        assert!(dev.run(["get", "--key-base64", shown]).out.contains("value"));
        assert_eq!(dev.run(["get", shown]).code, Some(3), "that is another key");
        assert_eq!(dev.run(["delete", "--key-base64", shown]).code, Some(0));
    }
    let wrong = dev.run(["get", "--key-base64", "?"]);
    assert!(wrong.code == Some(1) && wrong.err.contains("KEY: not base64"), "{wrong:?}");
}

#[test]
fn the_wrong_port_is_told() {
    let data = directory();
    let dev = Dev::start(data.path(), &["--nodes", "1"]);
    let http = dev.ready["nodes"][0]["http"].as_str().expect("an address");
    for command in [&["status"][..], &["get", "key"], &["bucket", "list"], &["chaos", "show"]] {
        let refused = run(quorate().args(command).args(["--endpoint", &format!("http://{http}")]));
        let told = format!("this node takes gRPC at {}", dev.addresses()[0]);
        assert!(refused.code == Some(1) && refused.err.contains(&told), "{refused:?}");
    }
}

#[test]
fn keys_come_in_pages_or_all_at_once() {
    let data = directory();
    let dev = Dev::start(data.path(), &["--nodes", "1"]);
    let lines: String = (0..1234).map(|key| format!("{{\"key\":\"k{key:04}\",\"value\":{key}}}\n")).collect();
    let imported = run_with_input(&mut dev.command(["import", "-"]), lines.as_bytes());
    assert_eq!(imported.code, Some(0), "{imported:?}");
    let all = dev.run(["keys", "--all"]);
    let mut keys: Vec<&str> = all.out.lines().collect();
    assert_eq!(keys.len(), 1234);
    let first = dev.run(["keys", "--limit", "1100", "--output", "json"]).json();
    assert_eq!(first["keys"].as_array().map(Vec::len), Some(1100));
    let cursor = first["cursor"].as_str().expect("there are more");
    let rest = dev.run(["keys", "--cursor", cursor, "--output", "json"]).json();
    assert_eq!(rest["keys"].as_array().map(Vec::len), Some(134));
    assert_eq!(rest["cursor"], Value::Null);
    assert_eq!(rest["keys"][0]["key"], keys[1100]);
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 1234);
}

#[test]
fn bad_input_is_told_by_field_and_bound() {
    let data = directory();
    let dev = Dev::start(data.path(), &[]);
    let long_key = "k".repeat(1025);
    let context = dev.run(["put", "other", "1", "--output", "json"]).json();
    let foreign = context["context"].as_str().expect("a context");
    for (args, code, parts) in [
        (vec!["put", "", "v"], 1, ["key", "1 to 1024"]),
        (vec!["put", &long_key, "v"], 1, ["key", "1024"]),
        (vec!["put", "k", "v", "--w", "4"], 1, ["w: 4", "1 to 3"]),
        (vec!["get", "k", "--n", "2", "--r", "3"], 1, ["r: 3", "1 to 2"]),
        (vec!["get", "k", "--n", "4"], 1, ["n: 4", "1 to 3"]),
        (vec!["put", "k", "v", "--bucket", "nope"], 1, ["bucket", "nope"]),
        (vec!["put", "k", "v", "--context", foreign], 1, ["context", "not a context of this key"]),
        (vec!["put", "k", "v", "--context", "AAAA"], 1, ["context", "decoded"]),
        (vec!["put", "k", "v", "--context", "?"], 1, ["--context", "no context"]),
        (vec!["put", "k", "v", "--w", "0"], 2, ["--w", "1.."]),
        (vec!["put", "k", "v", "--w", "-1"], 2, ["--w", "1.."]),
        (vec!["put", "k", "v", "--timeout", "5"], 2, ["--timeout", "unit"]),
        (vec!["put", "k"], 2, ["VALUE", "required"]),
        (vec!["frobnicate"], 2, ["frobnicate", "unrecognized"]),
    ] {
        let refused = dev.run(&args);
        assert_eq!(refused.code, Some(code), "{args:?}: {refused:?}");
        for part in parts {
            assert!(refused.err.contains(part), "{args:?}: {part:?} is missing in {}", refused.err);
        }
    }
    assert_eq!(dev.run(["get", "k"]).code, Some(3), "none of it had an effect");
}

#[test]
fn without_a_cluster_there_is_an_error_and_no_panic() {
    for args in [vec!["get", "k"], vec!["status"], vec!["bucket", "list"], vec!["export"]] {
        let failed = run(quorate().args(&args));
        assert_eq!(failed.code, Some(1), "{args:?}");
        assert!(failed.err.starts_with("error: ") && failed.err.contains("127.0.0.1:1"), "{failed:?}");
    }
}

/// A node as an operator starts it.
struct Node {
    child: Child,
    grpc: String,
}

impl Node {
    fn start(data: &std::path::Path) -> Self {
        let mut child = quorate()
            .args(["node", "--announce", "--grpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"])
            .args(["--peer-listen", "127.0.0.1:0", "--data-dir"])
            .arg(data)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the node starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line).expect("it speaks");
        let announced: Value = serde_json::from_str(&line).expect("JSON");
        Self { child, grpc: announced["grpc"].as_str().expect("an address").to_owned() }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn bootstrap_makes_nodes_a_cluster_and_can_be_repeated() {
    let data = directory();
    let nodes: Vec<Node> = (0..3).map(|at| Node::start(&data.path().join(at.to_string()))).collect();
    let members: Vec<String> =
        nodes.iter().enumerate().map(|(at, node)| format!("{},name=n{at},zone=z{at}", node.grpc)).collect();
    let bootstrap = |flags: &[&str]| {
        let mut command = quorate();
        command
            .args(["bootstrap", "--output", "json", "--bucket", "b:conflict=lww"])
            .args(&members)
            .args(flags);
        run(&mut command)
    };
    let on_cluster = |args: &[&str]| run(quorate().args(args).args(["--endpoint", &nodes[0].grpc]));
    let early = on_cluster(&["get", "k"]);
    assert_eq!(early.code, Some(1));
    assert!(early.err.contains("not bootstrapped"), "{early:?}");

    let impossible = bootstrap(&["--n", "4"]);
    assert!(impossible.err.contains("n: 4 is not from 1 to 3"), "{impossible:?}");
    let first = bootstrap(&[]).json();
    assert_eq!(bootstrap(&[]).json(), first, "the same again is harmless");
    let other = bootstrap(&["--n", "2"]);
    assert_eq!(other.code, Some(1), "another layout is refused: {other:?}");

    command::eventually("the nodes find each other", || {
        on_cluster(&["put", "k", "v", "--w", "3", "--timeout", "1s"]).code == Some(0)
    });
    let status: Value = serde_json::from_str(&on_cluster(&["status", "--output", "json"]).out).expect("JSON");
    let names: Vec<_> = status["nodes"].as_array().expect("nodes").iter().map(|node| &node["name"]).collect();
    assert_eq!(names, ["n0", "n1", "n2"]);
    assert_eq!(status["cluster"], first["cluster"]);
}

#[test]
fn consistency_of_a_running_cluster_is_measured() {
    let data = directory();
    let dev = Dev::start(data.path(), &[]);
    let file = |name: &str| data.path().join(name).to_str().expect("a name").to_owned();
    let (csv, svg) = (file("figures.csv"), file("plot.svg"));
    let observe = ["bench", "--observe", "--seconds", "1", "--output", "json"];
    let flags = ["--keys", "both", "--csv", &csv, "--svg", &svg];
    let rows = dev.run(observe.iter().chain(&flags)).json();
    let rows = rows.as_array().expect("rows");
    let settings: Vec<_> = rows.iter().map(|row| [&row["keys"], &row["n"], &row["r"], &row["w"]]).collect();
    let setting = |keys: &str| [keys.into(), 3.into(), 2.into(), 2.into()];
    let expected = ["clustered", "spread"].map(setting);
    assert_eq!(settings, expected.iter().map(<[Value; 4]>::each_ref).collect::<Vec<_>>());
    for row in rows {
        for some in ["reads", "writes", "probes"] {
            assert!(row[some].as_u64() > Some(0), "{some}: {row}");
        }
        for none in ["stale", "stale_probes", "outdated", "unnamed", "refused"] {
            assert_eq!(row[none], 0, "{none}: {row}");
        }
        assert!(row["get_us"]["p50"].as_u64() > Some(0) && row["put_us"]["p50"].as_u64() > Some(0), "{row}");
    }
    let csv = std::fs::read_to_string(csv).expect("it is written");
    assert!(csv.starts_with("keys,") && csv.contains("\nspread,none,strict,3,2,2,true,"), "{csv}");
    assert!(std::fs::read_to_string(svg).expect("it is drawn").contains("spread keys, faults: none"));

    let weak = dev.run(observe.iter().chain(&["--r", "1", "--w", "1"])).json();
    assert_eq!([&weak[0]["r"], &weak[0]["w"]], [1, 1]);
    let sloppy = dev.run(observe.iter().chain(&["--mode", "sloppy"])).json();
    assert_eq!([&sloppy[0]["mode"], &sloppy[0]["r"]], [&Value::from("sloppy"), &Value::from(2)]);
    let refused = |flags: &[&str]| dev.run(["bench", "--observe"].iter().chain(flags));
    let faults = refused(&["--faults", "heavy"]);
    assert!(
        faults.code == Some(1) && faults.err.contains("--own"),
        "somebody else's nodes are not killed: {faults:?}"
    );
    let five = refused(&["--n", "5"]);
    assert!(five.code == Some(1) && five.err.contains("the bucket has N 3"), "{five:?}");
    assert_eq!(dev.run(["bench", "--seconds", "1"]).code, Some(2), "without --observe it is not asked for");
}

#[test]
fn consistency_is_measured_while_nodes_are_killed_and_stand_still() {
    let flags = ["--own", "--n", "3", "--r", "2", "--w", "2", "--faults", "heavy", "--seconds", "4"];
    let observe = ["bench", "--observe", "--output", "json", "--mode", "strict,sloppy"];
    let rows = run(quorate().args(observe).args(flags)).json();
    for (row, mode) in rows.as_array().expect("rows").iter().zip(["strict", "sloppy"]) {
        assert_eq!([&row["faults"], &row["mode"]], ["heavy", mode]);
        assert!(row["reads"].as_u64() > Some(0) && row["writes"].as_u64() > Some(0), "{row}");
        assert_eq!(row["unnamed"], 0, "{row}");
    }
    assert_eq!([&rows[0]["stale"], &rows[0]["stale_probes"]], [0, 0], "{rows}");
    let all = run(quorate().args(["bench", "--observe", "--own", "--n", "5", "--mode", "sloppy"]));
    assert!(all.code == Some(1) && all.err.contains("nobody is left to stand in"), "{all:?}");
}
