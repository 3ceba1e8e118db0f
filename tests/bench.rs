//! `quorate bench`: what it reports, and that it looks at what it is answered.

mod command;

use std::net::TcpListener;

use command::{Dev, directory, quorate, run};

/// A short run on few keys.
const SHORT: [&str; 8] = ["--keys", "200", "--seconds", "0.5", "--warm-up", "100ms", "--output", "json"];

#[test]
fn every_mix_is_answered_rightly() {
    let data = directory();
    let dev = Dev::start(data.path(), &["--nodes", "3"]);
    for mix in ["a", "b", "c", "f", "put"] {
        let report = dev.run(["bench", "ycsb", "--session", "--workload", mix].iter().chain(&SHORT)).json();
        assert_eq!(report["target"], "quorate");
        assert_eq!(report["distribution"], if mix == "put" { "uniform" } else { "zipf" });
        assert!(report["ops_per_second"].as_f64().is_some_and(|rate| rate > 0.0), "{report}");
        assert_eq!((report["errors"].as_u64(), report["stale"].as_u64()), (Some(0), Some(0)), "{report}");
        assert_eq!(report["wrong_answers"], serde_json::json!({}));
        assert!(report["series"].as_array().is_some_and(|series| !series.is_empty()), "{report}");
        assert_eq!(report["by_operation"].is_object(), ["a", "b", "f"].contains(&mix), "{report}");
    }
}

#[test]
fn an_open_loop_is_drawn_and_siblings_are_kept() {
    let data = directory();
    let dev = Dev::start(data.path(), &["--nodes", "1"]);
    let picture = data.path().join("bench.svg");
    let svg = picture.to_str().expect("a name");
    // All that is due in warm-up and measurement, and one more for the ends.
    let open = ["bench", "put", "--rate", "500", "--svg", svg];
    let report = dev.run(open.iter().chain(&SHORT)).json();
    assert!(report["ops_per_second"].as_f64().is_some_and(|rate| rate <= 610.0), "{report}");
    let drawn = std::fs::read_to_string(picture).expect("it was drawn");
    assert!(drawn.starts_with("<svg") && drawn.contains("latency in ms, by percentile"), "{drawn}");

    let report = dev.run(["bench", "get", "--siblings", "5"].iter().chain(&SHORT)).json();
    assert_eq!(report["several"], report["operations"]);
}

#[test]
fn a_wrong_answer_fails_the_bench() {
    let data = directory();
    let dev = Dev::start(data.path(), &["--nodes", "1"]);
    let get = ["bench", "get"];
    assert_eq!(dev.run(get.iter().chain(&SHORT)).code, Some(0));
    let found = dev.run(["get", "bench-0000000007", "--output", "json"]).json();
    let context = found["context"].as_str().expect("a context");
    assert_eq!(dev.run(["put", "bench-0000000007", "an intruder", "--context", context]).code, Some(0));
    let failed = dev.run(get.iter().chain(&SHORT));
    assert!(failed.code == Some(1) && failed.err.contains("answers were wrong"), "{failed:?}");
    assert!(failed.out.contains("no value of a bench, or a damaged one"), "{failed:?}");
}

#[test]
fn flags_and_servers_that_do_not_fit_are_refused() {
    let wrong = run(quorate().args(["bench", "put", "--target", "etcd", "--session"]));
    assert!(wrong.code == Some(2) && wrong.err.contains("--session is for --target quorate"), "{wrong:?}");
    let small = run(quorate().args(["bench", "put", "--value-bytes", "23"]));
    assert!(small.code == Some(2) && small.err.contains("--value-bytes"), "{small:?}");
    // Told before a server is looked for, or a cluster started.
    for bench in [&["put", "--svg"][..], &["--observe", "--csv"], &["--observe", "--own", "--svg"]] {
        let nowhere = run(quorate().arg("bench").args(bench).arg("/no/such/directory/file"));
        let told = "writing /no/such/directory/file: ";
        assert!(nowhere.code == Some(1) && nowhere.err.contains(told), "{nowhere:?}");
    }
    // Bound, and then let go: nobody listens there.
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    for (target, scheme) in [("etcd", "http"), ("redis", "redis")] {
        let endpoint = format!("{scheme}://{free}");
        let nobody = run(quorate().args(["bench", "get", "--target", target, "--endpoint", &endpoint]));
        let told = format!("connecting to {target} at {endpoint}");
        assert!(nobody.code == Some(1) && nobody.err.contains(&told), "{nobody:?}");
    }
}
