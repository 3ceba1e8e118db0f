//! The operator killed, taken away and brought back.

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::DeleteParams;
use serde_json::json;

use crate::harness::database::{PATIENCE, condition, node_ids};
use crate::harness::nodes::{Layout, pod};
use crate::harness::{Test, until};

/// In which nothing must happen that nobody is there to do.
const A_WHILE: Duration = Duration::from_secs(10);

/// Scenario 5: killed in every stage of growing and of shrinking. What moves is slowed down, so that stages last.
#[tokio::test]
async fn scenario_05_the_operator_is_killed_in_each_stage() {
    let Some(test) = Test::begin("05").await else { return };
    test.install_operator().await;
    test.create(&test.manifest(3, json!({ "transfer_bytes_per_s": 40_000 }))).await;
    test.start_checker(600).await;
    test.scenario("05", "the operator is killed in each stage of a change: it resumes", async {
        let epoch = test.layout().await.expect("it is told").epoch;
        test.scale(4).await.expect("four are taken");
        until("a pod more is asked for", PATIENCE, async || {
            let pods = test.stateful_set_replicas().await;
            if pods == 4 { Ok(()) } else { Err(format!("{pods} pods")) }
        })
        .await;
        test.kill_operator().await;
        test.reaches("the new member gathers", |layout| layout.stage.as_deref() == Some("gather")).await;
        test.kill_operator().await;
        test.reaches("the new members serve", |layout| layout.stage.as_deref() != Some("gather")).await;
        test.kill_operator().await;
        let of_four = node_ids(&test.settled().await);
        let grown = test.layout().await.expect("it is told").epoch;

        test.scale(3).await.expect("three are taken");
        test.reaches("a member leaves", |layout| layout.leaving == [pod(3)]).await;
        test.kill_operator().await;
        test.reaches("the member has left", |layout| layout.members.len() == 3 && layout.stage.is_none())
            .await;
        test.kill_operator().await;
        test.settled().await;
        let layout = test.layout().await.expect("it is told");
        assert_eq!(layout.departed, [of_four[&pod(3)].clone()], "one member has left, once");
        // A change that was asked for twice would have taken as many layouts again.
        assert_eq!(
            layout.epoch - grown,
            grown - epoch,
            "growing by one and shrinking by one take as many layouts"
        );
        let events = test.events().await;
        for (what, most) in [("AddingMembers", 1), ("RemovingMember", 1), ("Founded", 1)] {
            assert!(events.get(what).is_none_or(|times| *times <= most), "{what}: {events:?}");
        }
        for never in ["ReplacingLostMembers", "DeclaringMembersLost", "DeletedClaim", "RestartingPod"] {
            assert!(!events.contains_key(never), "{events:?}");
        }
    })
    .await;
    test.finish_checker_without_failure().await;
    test.converged().await;
}

/// Scenarios 13, 15 and 16 are one story of one cluster.
#[tokio::test]
async fn scenario_13_15_16_the_operator_is_away() {
    let Some(test) = Test::begin("13").await else { return };
    test.install_operator().await;
    test.create(&test.manifest(3, json!({}))).await;
    test.start_checker(200).await;
    test.scenario("13", "the operator is down: data plane unaffected, an edit is applied later", async {
        test.stop_operator().await;
        let before = test.verdict().await.expect("it answers");
        test.scale(4).await.expect("the API server takes it");
        tokio::time::sleep(A_WHILE).await;
        let after = test.verdict().await.expect("it answers");
        assert!(
            after.acknowledged > before.acknowledged && after.reads > before.reads,
            "{before:?}, {after:?}"
        );
        assert_eq!(after.failed_after_retry, 0, "{after:?}");
        assert_eq!(test.stateful_set_replicas().await, 3, "nobody was there to do it");
        test.start_operator().await;
        test.settled().await;
    })
    .await;
    test.scenario("15", "helm uninstall and reinstall: what is there is adopted", async {
        let (pods, claims) = (test.pod_uids().await, test.claim_uids().await);
        test.uninstall_operator().await;
        tokio::time::sleep(A_WHILE).await;
        assert_eq!(
            (test.pod_uids().await, test.claim_uids().await),
            (pods.clone(), claims.clone()),
            "all of it stays"
        );
        test.patch(json!({ "operation": { "paused": true } })).await;
        test.install_operator().await;
        until("the operator has seen it", PATIENCE, async || {
            let (is, why) = condition(&test.status().await, "Paused");
            if is == "True" { Ok(()) } else { Err(format!("Paused is {is:?}: {why}")) }
        })
        .await;
        test.patch(json!({ "operation": { "paused": false } })).await;
        test.settled().await;
        assert_eq!((test.pod_uids().await, test.claim_uids().await), (pods, claims), "nothing was made anew");
    })
    .await;
    test.finish_checker_without_failure().await;
    test.scenario("16", "the namespace is deleted while the operator is absent: it finishes", async {
        test.uninstall_operator().await;
        let namespaces: Api<Namespace> = Api::all(test.client.clone());
        namespaces.delete(&test.namespace, &DeleteParams::default()).await.expect("it is there");
        until("the namespace is gone", PATIENCE, async || {
            match namespaces.get_opt(&test.namespace).await.map_err(|error| error.to_string())? {
                None => Ok(()),
                Some(namespace) => Err(format!("{:?}", namespace.status)),
            }
        })
        .await;
    })
    .await;
}

impl Test {
    /// Waits until the layout is so.
    async fn reaches(&self, what: &str, is_so: impl Fn(&Layout) -> bool) {
        until(what, PATIENCE, async || {
            let layout = self.layout().await?;
            if is_so(&layout) { Ok(()) } else { Err(format!("{layout:?}")) }
        })
        .await;
    }
}
