//! More nodes, fewer nodes, and other quorums.

use std::collections::BTreeSet;
use std::time::Duration;

use quorate_controller::crd::TopologyState;
use serde_json::json;

use crate::harness::database::node_ids;
use crate::harness::nodes::pod;
use crate::harness::{Test, tell, watching};

/// Keys of 1 KiB before anything is moved.
const PRELOAD: u64 = 600;
const LOOK_EVERY: Duration = Duration::from_millis(700);

/// Scenarios 3, 4 and 7 are one story of one cluster.
#[tokio::test]
async fn scenario_03_04_07_grows_shrinks_and_grows_again() {
    let Some(test) = Test::begin("03").await else { return };
    test.install_operator().await;
    test.create(&test.manifest(3, json!({}))).await;
    test.start_checker(PRELOAD).await;
    test.scenario("03", "3 -> 5: moved bytes near the fair share, no operation failed", grow(&test)).await;
    let of_five = node_ids(&test.status().await);
    test.scenario("04", "5 -> 3: one leaver at a time, claims kept", shrink(&test)).await;
    test.scenario("07", "3 -> 5 again: fresh node ids on the kept claims", async {
        test.scale(5).await.expect("five are taken");
        let again = node_ids(&test.settled().await);
        for ordinal in 3..5 {
            assert_ne!(again[&pod(ordinal)], of_five[&pod(ordinal)], "an id is never used again");
        }
        for ordinal in 0..3 {
            assert_eq!(again[&pod(ordinal)], of_five[&pod(ordinal)], "those that stayed are who they were");
        }
        let departed: BTreeSet<String> =
            test.layout().await.expect("it is told").departed.into_iter().collect();
        assert_eq!(departed, (3..5).map(|ordinal| of_five[&pod(ordinal)].clone()).collect());
    })
    .await;
    let refusal = test.scale(2).await.expect_err("two are too few");
    assert!(refusal.contains("replicas must be replication.factor or more"), "{refusal}");
    test.finish_checker_without_failure().await;
    test.converged().await;
}

async fn grow(test: &Test) {
    let live_bytes = test.verdict().await.expect("it answers").live_bytes;
    test.scale(5).await.expect("five are taken");
    test.settled().await;
    assert_eq!(test.verdict().await.expect("it answers").failed_after_retry, 0);
    let moved: f64 = test.metric("quorate_transfer_bytes_total").await.values().sum();
    // Of all copies, three of each key, two nodes of five are to have two fifths. What was written meanwhile moves, too.
    let fair = 0.4 * 3.0 * live_bytes as f64;
    tell(format_args!("{}: moved {moved:.0} bytes, the fair share is {fair:.0}", test.namespace));
    assert!((0.6..1.8).contains(&(moved / fair)), "moved {moved}, fair would be {fair}");
    let events = test.events().await;
    assert_eq!(events.get("AddingMembers"), Some(&1), "both at once: {events:?}");
}

async fn shrink(test: &Test) {
    let claims = test.claim_uids().await;
    test.scale(3).await.expect("three are taken");
    watching(test.settled(), LOOK_EVERY, async || {
        // Read before the layout: a layout that is read later has no more members than one that was true then.
        let pods = test.stateful_set_replicas().await;
        let Ok(layout) = test.layout().await else { return };
        assert!(layout.leaving.len() <= 1, "{layout:?}");
        assert!(pods as usize >= layout.members.len(), "{pods} pods are asked for, with {layout:?}");
        let (highest, leaver) = (layout.members.iter().max(), layout.leaving.first());
        assert!(leaver.is_none() || leaver == highest, "{layout:?}");
    })
    .await;
    assert_eq!(test.claim_uids().await, claims, "claims are kept");
    let members = test.layout().await.expect("it is told").members;
    assert_eq!(members, (0..3).map(pod).collect::<Vec<_>>());
    let events = test.events().await;
    assert_eq!(events.get("RemovingMember"), Some(&2), "{events:?}");
    assert!(!events.contains_key("DeletedClaim"), "{events:?}");
}

/// Scenario 14.
#[tokio::test]
async fn scenario_14_changes_n_and_back() {
    let Some(test) = Test::begin("14").await else { return };
    test.install_operator().await;
    test.create(&test.manifest(4, json!({}))).await;
    test.start_checker(PRELOAD / 2).await;
    let pods = test.pod_uids().await;
    test.scenario("14", "n 3 -> 4 -> 3", async {
        for (from, to, w) in [(3, 4, 3), (4, 3, 2)] {
            test.patch(json!({ "replication": { "factor": to, "readQuorum": 2, "writeQuorum": w } })).await;
            watching(test.settled(), LOOK_EVERY, async || {
                let status = test.status().await;
                let Some(effective) = status.effective_replication else { return };
                if to > from && status.topology == TopologyState::ChangingN && effective.factor == to {
                    // Reads go by the new n from the second stage on, and by then its owners hold the data.
                    let stage = test.layout().await.ok().and_then(|layout| layout.stage);
                    assert_ne!(
                        stage.as_deref(),
                        Some("gather"),
                        "n {to} is told of before its owners hold the data"
                    );
                }
            })
            .await;
        }
        let counted = test.events().await;
        assert_eq!(counted.get("ChangingReplication"), Some(&2), "{counted:?}");
    })
    .await;
    assert_eq!(test.pod_uids().await, pods, "no pod was restarted for that");
    test.finish_checker_without_failure().await;
    test.converged().await;
}
