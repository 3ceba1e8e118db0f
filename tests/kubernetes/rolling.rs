//! Pods that are made anew because their template is another.

use std::time::Duration;

use serde_json::json;

use crate::harness::database::{PATIENCE, condition, is_ready, node_ids};
use crate::harness::{Test, until, watching};

const LOOK_EVERY: Duration = Duration::from_millis(300);
const NODES: usize = 3;

/// Scenarios 12 and 11 are one story of one cluster.
#[tokio::test]
async fn scenario_11_12_rolls_and_recovers_from_a_bad_image() {
    let Some(test) = Test::begin("12").await else { return };
    test.install_operator().await;
    test.create(&test.manifest(3, json!({}))).await;
    test.start_checker(300).await;
    test.scenario("12", "rolling restart: at most one pod is not ready", roll(&test)).await;
    // Up to here every pod had the time to stop in good order.
    let verdict = test.verdict().await.expect("it answers");
    assert_eq!(verdict.failed_after_retry, 0, "{verdict:?}");
    test.scenario("11", "a bad image, then reverted: recovers unaided", bad_image(&test)).await;
    test.finish_checker_without_failure().await;
    test.converged().await;
}

async fn roll(test: &Test) {
    let (before, ids) = (test.pod_uids().await, node_ids(&test.status().await));
    test.patch(json!({ "podTemplate": { "annotations": { "example.com/restarted": "once" } } })).await;
    let rolled = async {
        let status = test.settled().await;
        let after = test.pod_uids().await;
        assert!(
            before.iter().all(|(name, uid)| after[name] != *uid),
            "every pod is another: {before:?}, {after:?}"
        );
        assert_eq!(node_ids(&status), ids, "and has the node that it had");
    };
    watching(rolled, LOOK_EVERY, async || {
        let pods = test.pods().await;
        let ready = pods.iter().filter(|pod| is_ready(pod)).count();
        assert!(ready + 1 >= NODES, "{ready} of {NODES} pods are ready");
    })
    .await;
    let events = test.events().await;
    assert_eq!(events.get("RestartingPod"), Some(&3), "{events:?}");
}

async fn bad_image(test: &Test) {
    let before = test.pod_uids().await;
    test.patch(json!({ "image": "quorate:there-is-no-such-image" })).await;
    let pod = until("the bad image is told of", PATIENCE, async || {
        let status = test.status().await;
        let (is, why) = condition(&status, "Degraded");
        let pod = before.keys().find(|pod| why.contains(pod.as_str()));
        let told = is == "True" && why.contains("Image");
        pod.filter(|_| told).cloned().ok_or_else(|| format!("Degraded is {is:?}: {why}"))
    })
    .await;
    // Some time in which the operator must not go on to the next pod.
    tokio::time::sleep(Duration::from_secs(8)).await;
    let during = test.pod_uids().await;
    let touched: Vec<&String> =
        before.iter().filter(|(name, uid)| during.get(*name) != Some(uid)).map(|(name, _)| name).collect();
    assert_eq!(touched, [&pod], "one pod has the bad image, and the others are as they were");
    assert_eq!(condition(&test.status().await, "Available").0, "True");
    test.patch(json!({ "image": test.image })).await;
    test.settled().await;
    let after = test.pod_uids().await;
    let kept = before.iter().filter(|(name, uid)| after.get(*name) == Some(uid)).count();
    assert_eq!(
        kept,
        NODES - 1,
        "those with the good image are not restarted for nothing: {before:?}, {after:?}"
    );
}
