//! What a change of the layout moves, and when what it brings counts.
//!
//! `QUORATE_LONG=1` takes as many keys as the figure in docs/PERFORMANCE.md is of.
#![expect(clippy::print_stdout, reason = "the figures are for who runs the tests")]

mod command;

use command::ring::{Ring, assert_even, done, layout};
use command::writers::{Ballast, Writers};
use command::{Dev, directory};
use serde_json::{Value, json};

/// A layout's sizes of the default bucket, and the stage it is in.
fn sizes(layout: &Value) -> (Value, Value) {
    let default = &layout["buckets"][0];
    assert_eq!(default["name"], "default");
    let of = |sizes: &Value| json!([sizes["n"], sizes["r"], sizes["w"]]);
    (of(default), default.get("after").map_or(Value::Null, of))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_quorums_count_when_the_data_is_there_and_not_before() {
    let data = directory();
    let flags = ["--nodes", "4", "--n", "3", "--node-setting", "transfer_bytes_per_s=262144"];
    let dev = Dev::start(data.path(), &flags);
    let ballast = Ballast::put(&dev, 1_500, 1 << 10).await;
    let writers = Writers::start(&dev).await;
    let ring = Ring::of(&dev).await;
    let (old, new) = (json!([3, 2, 2]), json!([4, 2, 3]));
    done(&dev, &["layout", "apply", "--n", "4", "--r", "2", "--w", "3", "--no-wait"]).await;
    let mut seen = Vec::new();
    loop {
        let now = layout(&dev).await;
        let change = &now["change"];
        let (is, after) = sizes(&now);
        if change.is_null() {
            assert_eq!((is, after), (new, Value::Null), "{now}");
            break;
        }
        assert_eq!((&is, &after), (&old, &new), "{now}");
        let parts = change["nodes"].as_array().expect("parts").iter();
        let caught_up = parts.clone().all(|part| part["caught_up"] == part["gathers"]);
        // Each node takes the quarter of the partitions that it did not own: reads do not go to it before.
        if change["stage"] == "gather" && !caught_up {
            let owners = now["owners"].as_array().expect("owners");
            assert!(owners.iter().all(|owners| owners.as_array().is_some_and(|owners| owners.len() == 3)));
        }
        let stage = change["stage"].as_str().expect("a stage").to_owned();
        if seen.last() != Some(&stage) {
            seen.push(stage);
        }
    }
    // The second stage may be over before anybody looks; the first is too slow for that.
    assert!(seen.first().is_some_and(|stage| stage == "gather") && seen.len() <= 2, "{seen:?}");
    // Each node owns everything now, and has it: also those that were not its partitions before.
    for node in &ring.nodes {
        ballast.wait_held(&node.grpc).await;
    }
    assert_eq!(writers.finish().await.siblings, 0);
    ballast.check(&dev, 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_more_moves_its_share_and_nothing_else() {
    const NODES: u64 = 10;
    // With few keys, the partitions that move may have some more than their part of them.
    let long = std::env::var_os("QUORATE_LONG").is_some();
    let (keys, bytes_bound) = if long { (100_000, 1.05) } else { (6_000, 1.15) };
    let data = directory();
    let flags = [
        "--nodes",
        "10",
        "--n",
        "3",
        "--node-setting",
        "cache_bytes=16777216",
        "--node-setting",
        "store_cache_bytes=1048576",
    ];
    let dev = Dev::start(data.path(), &flags);
    let ballast = Ballast::put(&dev, keys, 64).await;
    // A write that is answered goes on to its last owner: what is on its way is no part of the change.
    ballast.check(&dev, 3).await;
    // With one owner instead of three, two thirds of all that the replicas hold would go.
    let fewer = done(&dev, &["layout", "plan", "--n", "1", "--r", "1", "--w", "1"]).await;
    let all = sum(&fewer["plan"], "bytes_lost") * 3 / 2;
    let added = done(&dev, &["dev", "add"]).await;
    let planned = sum(&added["plan"], "bytes_gained");
    let replicas = sum(&added["plan"], "partitions_gained");
    let mut taken = 0;
    for node in &Ring::of(&dev).await.nodes {
        taken += node.metric("quorate_transfer_bytes_total").await;
    }
    let share = |bytes: u64| bytes as f64 * (NODES + 1) as f64 / all as f64;
    println!(
        "{keys} keys, {all} bytes in all replicas; moved: {replicas} replicas of partitions; planned {planned} bytes, {:.3} of an \
         even share; taken {taken}, {:.3} of it",
        share(planned),
        share(taken)
    );
    assert!(replicas * (NODES + 1) * 100 <= 105 * 256 * 3, "{replicas}");
    assert!(share(planned) <= bytes_bound && share(taken) <= bytes_bound);
    assert!(taken as f64 >= 0.95 * planned as f64, "it cannot have all of its share");
    assert_even(&layout(&dev).await);
    ballast.check(&dev, 3).await;
}

/// Of all nodes in a plan.
fn sum(plan: &Value, field: &str) -> u64 {
    let nodes = plan["nodes"].as_array().expect("nodes");
    nodes.iter().map(|node| node[field].as_u64().expect("a number")).sum()
}
