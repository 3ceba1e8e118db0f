//! The layout changes under load: nothing that was acknowledged is lost, no strict read is stale, no request of a client that
//! retries fails.

mod command;

use std::time::Duration;

use command::ring::{assert_even, done, failed, layout, members, told};
use command::writers::{Writers, name};
use command::{Dev, directory, is_running};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_grows_and_shrinks_under_a_writer() {
    let data = directory();
    let dev = Dev::start(data.path(), &[]);
    let writers = Writers::start(&dev).await;
    for nodes in [4, 5] {
        let added = done(&dev, &["dev", "add"]).await;
        assert_eq!((&added["stable"], &added["outcome"]), (&true.into(), &"done".into()), "{added}");
        assert!(added["plan"]["partitions"].as_u64().is_some_and(|partitions| partitions > 0), "{added}");
        let layout = layout(&dev).await;
        assert_eq!(members(&layout).len(), nodes);
        assert_even(&layout);
    }
    // The one that drives changes is among those that leave.
    for (gone, nodes) in [("node-1", 4), ("node-5", 3)] {
        let pid = done(&dev, &["chaos", "show"]).await["nodes"]
            .as_array()
            .and_then(|nodes| nodes.iter().find(|node| node["name"] == gone)?["pid"].as_u64());
        done(&dev, &["dev", "remove", gone, "--data", data.path().to_str().expect("a path")]).await;
        let layout = layout(&dev).await;
        assert_eq!(members(&layout).len(), nodes);
        assert!(!members(&layout).contains(&gone));
        assert_even(&layout);
        assert!(pid.is_none_or(|pid| !is_running(pid)), "{gone} is stopped");
    }
    assert_eq!(writers.finish().await.siblings, 0);
    assert_eq!(dev.stop(), Some(0));
    // The next one starts those that are left, with all they hold.
    let dev = Dev::start(data.path(), &[]);
    assert_eq!(members(&layout(&dev).await), ["node-2", "node-3", "node-4"]);
    assert_eq!(told(&dev, &["get", &name(0, 0)]).await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quorums_and_buckets_change_under_a_writer() {
    let data = directory();
    let dev = Dev::start(data.path(), &["--nodes", "4", "--n", "3"]);
    let writers = Writers::start(&dev).await;
    for (n, r, w) in [("4", "2", "3"), ("3", "2", "2"), ("3", "1", "3"), ("3", "3", "1"), ("3", "2", "2")] {
        let changed = done(&dev, &["layout", "apply", "--n", n, "--r", r, "--w", w]).await;
        assert_eq!(changed["outcome"], "done", "{changed}");
        let layout = layout(&dev).await;
        let default = &layout["buckets"][0];
        let now = ["n", "r", "w"].map(|field| default[field].to_string());
        assert_eq!(now, [n, r, w]);
        assert_even(&layout);
    }
    done(&dev, &["bucket", "create", "carts:conflict=lww,w=3"]).await;
    assert_eq!(told(&dev, &["put", "--bucket", "carts", "k", "v"]).await.code, Some(0));
    let altered = done(&dev, &["bucket", "alter", "carts", "--w", "1", "--r", "3"]).await;
    assert_eq!(altered["outcome"], "done", "{altered}");
    let carts = done(&dev, &["bucket", "list"]).await;
    let carts = carts.as_array().expect("buckets").iter().find(|bucket| bucket["name"] == "carts").cloned();
    assert_eq!(carts.map(|carts| (carts["r"].clone(), carts["w"].clone())), Some((3.into(), 1.into())));
    failed(&dev, &["bucket", "create", "carts"], "there is a bucket \"carts\" already").await;
    done(&dev, &["bucket", "drop", "carts", "--yes"]).await;
    failed(&dev, &["get", "--bucket", "carts", "k"], "carts").await;
    // Its name is free, and nothing of it is left.
    done(&dev, &["bucket", "create", "carts"]).await;
    assert_eq!(told(&dev, &["get", "--bucket", "carts", "k"]).await.code, Some(3));
    assert_eq!(writers.finish().await.siblings, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_is_refused_and_what_is_begun_can_be_cancelled() {
    let data = directory();
    // So slow that nothing ends by itself.
    let dev =
        Dev::start(data.path(), &["--nodes", "4", "--n", "3", "--node-setting", "transfer_bytes_per_s=1"]);
    failed(&dev, &["layout", "apply", "--n", "5"], "n: 5 is not from 1 to 4").await;
    failed(&dev, &["layout", "apply", "--w", "4"], "buckets.default.w: 4 is not from 1 to 3").await;
    failed(&dev, &["layout", "apply"], "nothing would be different").await;
    failed(&dev, &["members", "remove", "node-9"], "there is no member of that name").await;
    failed(&dev, &["members", "remove", "1", "2"], "n: 3 is not from 1 to 2").await;
    failed(&dev, &["members", "add", "127.0.0.1:1"], "cannot connect").await;
    failed(&dev, &["members", "add", dev.addresses()[1]], "is a member already").await;
    failed(&dev, &["bucket", "drop", "default", "--yes"], "every cluster has the default bucket").await;
    for order in ["pause", "resume", "cancel"] {
        failed(&dev, &["layout", order], "no change is under way").await;
    }
    failed(&dev, &["layout", "accept-loss", "--yes"], "no change is under way").await;
    for weight in ["1000000000", "4294967295"] {
        told(&dev, &["members", "set", "node-2", "--weight", weight, "--plan"]).await;
    }
    let writers = Writers::start(&dev).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = layout(&dev).await;

    // Two at once: one of them is told.
    let asks = [["members", "remove", "node-4", "--no-wait"], ["members", "remove", "node-3", "--no-wait"]];
    let (one, other) = tokio::join!(told(&dev, &asks[0]), told(&dev, &asks[1]));
    let mut codes = [one.code, other.code];
    codes.sort_unstable();
    assert_eq!(codes, [Some(0), Some(1)], "{one:?} {other:?}");
    let refused = if one.code == Some(1) { one } else { other };
    let told_why = ["changed meanwhile", "under way"].iter().any(|why| refused.err.contains(why));
    assert!(told_why, "{refused:?}");

    let during = layout(&dev).await;
    assert_eq!(during["change"]["stage"], "gather", "{during}");
    assert!(during["change"]["nodes"].as_array().is_some_and(|nodes| !nodes.is_empty()), "{during}");
    failed(&dev, &["layout", "apply", "--r", "1"], "a change is under way").await;
    done(&dev, &["layout", "pause"]).await;
    let paused = layout(&dev).await;
    assert_eq!(paused["change"]["paused"], true);
    let waits = paused["change"]["waits"].to_string();
    assert!(waits.contains("somebody to resume it"), "{waits}");
    failed(&dev, &["layout", "pause"], "nothing would be different").await;
    failed(&dev, &["layout", "accept-loss", "--yes"], "no member is declared lost in this change").await;
    done(&dev, &["layout", "resume"]).await;
    done(&dev, &["layout", "cancel"]).await;
    let after = layout(&dev).await;
    assert_eq!((&after["owners"], &after["members"]), (&before["owners"], &before["members"]));
    assert!(after["change"].is_null());
    assert_eq!(writers.finish().await.siblings, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_change_was_cancelled_can_be_added_again() {
    let data = directory();
    let dev = Dev::start(data.path(), &["--nodes", "3", "--node-setting", "transfer_bytes_per_s=1000"]);
    let directory = data.path().to_str().expect("a path");
    done(&dev, &["put", "k", "v"]).await;
    done(&dev, &["dev", "add", "--no-wait", "--data", directory]).await;
    done(&dev, &["layout", "pause"]).await;
    done(&dev, &["layout", "cancel"]).await;
    let shown = done(&dev, &["chaos", "show", "--data", directory]).await;
    let newcomer = shown["nodes"].as_array().and_then(|nodes| nodes.last()).expect("it runs");
    let address = newcomer["grpc"].as_str().expect("an address");
    let added = done(&dev, &["members", "add", address]).await;
    assert_eq!(added["outcome"], "done", "{added}");
    assert!(layout(&dev).await["members"].to_string().contains(newcomer["id"].as_str().expect("an id")));
}

#[test]
fn the_ring_is_drawn() {
    let data = directory();
    let dev = Dev::start(data.path(), &["--nodes", "1", "--n", "1"]);
    let file = data.path().join("ring.svg");
    let said = dev.run(["layout", "show", "--svg", file.to_str().expect("a path")]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains("the first owner of each partition:"), "{said:?}");
    let picture = std::fs::read_to_string(file).expect("it is written");
    assert_eq!(picture.matches("<path").count(), 256);
    assert!(picture.contains("node-1: 100.0 %"));
}
