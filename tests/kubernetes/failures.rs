//! Pods and volumes that are lost.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Api;
use kube::api::DeleteParams;
use serde_json::json;

use crate::harness::commands::{Input, run};
use crate::harness::database::{NAME, PATIENCE, condition, is_ready, node_ids};
use crate::harness::nodes::pod;
use crate::harness::{Test, is_long, tell, until};

/// Scenario 6. What moves is slowed down, so that the leaver dies in the middle of it.
#[tokio::test]
async fn scenario_06_the_leaver_is_killed_mid_transfer() {
    let Some(test) = Test::begin("06").await else { return };
    test.install_operator().await;
    test.create(&test.manifest(4, json!({ "transfer_bytes_per_s": 20_000 }))).await;
    test.start_checker(600).await;
    test.scenario("06", "the leaver is killed mid-transfer: nothing is lost", async {
        test.scale(3).await.expect("three are taken");
        until("the leaver hands over", PATIENCE, async || {
            let layout = test.layout().await?;
            if layout.leaving == [pod(3)] { Ok(()) } else { Err(format!("{layout:?}")) }
        })
        .await;
        test.delete_pod(&pod(3), Some(1)).await;
        test.settled().await;
        let layout = test.layout().await.expect("it is told");
        assert_eq!(layout.members, (0..3).map(pod).collect::<Vec<_>>());
        let events = test.events().await;
        assert_eq!(events.get("RemovingMember"), Some(&1), "{events:?}");
        assert!(!events.contains_key("DeclaringMembersLost"), "it came back with its volume: {events:?}");
    })
    .await;
    test.finish_checker().await;
    test.converged().await;
}

/// Scenarios 8 and 10 are one story of one cluster.
#[tokio::test]
async fn scenario_08_10_a_pod_is_deleted_and_two_are_evicted() {
    let Some(test) = Test::begin("08").await else { return };
    test.install_operator().await;
    test.create(&test.manifest(3, json!({}))).await;
    test.start_checker(200).await;
    test.scenario("08", "a pod is deleted: same node id, hints drain to zero", async {
        let (ids, claims) = (node_ids(&test.status().await), test.claim_uids().await);
        let before = test.pod_uids().await;
        test.delete_pod(&pod(1), Some(1)).await;
        test.replaced(&pod(1), &before[&pod(1)]).await;
        assert_eq!(node_ids(&test.settled().await), ids);
        assert_eq!(test.claim_uids().await, claims);
        until("no hints are left", PATIENCE, async || {
            let hints = test.metric("quorate_hints").await;
            if hints.len() == 3 && hints.values().all(|hints| *hints == 0.0) {
                Ok(())
            } else {
                Err(format!("{hints:?}"))
            }
        })
        .await;
        assert!(!test.events().await.contains_key("ReplacingLostMembers"), "nothing was lost");
    })
    .await;
    test.scenario("10", "two pods are evicted at once: the second gets 429", async {
        test.settled().await;
        let budgets: Api<PodDisruptionBudget> = Api::namespaced(test.client.clone(), &test.namespace);
        until("the budget allows one", PATIENCE, async || {
            let budget = budgets.get(NAME).await.map_err(|error| error.to_string())?;
            let allowed = budget.status.map(|status| status.disruptions_allowed);
            if allowed == Some(1) { Ok(()) } else { Err(format!("{allowed:?}")) }
        })
        .await;
        let (first, second) = (pod(0), pod(2));
        let before = test.pod_uids().await;
        let (evicted, refusal) = match futures::join!(test.evict(&first), test.evict(&second)) {
            (Ok(_), Err(refusal)) => (&first, refusal),
            (Err(refusal), Ok(_)) => (&second, refusal),
            other => panic!("not one of two is refused: {other:?}"),
        };
        assert!(refusal.contains("TooManyRequests") && refusal.contains("disruption budget"), "{refusal}");
        test.replaced(evicted, &before[evicted]).await;
        test.settled().await;
    })
    .await;
    test.finish_checker().await;
    test.converged().await;
}

/// Scenario 9; and the same while the spec is one that cannot be carried out.
#[tokio::test]
async fn scenario_09_a_volume_is_lost() {
    let Some(test) = Test::begin("09").await else { return };
    test.install_operator().await;
    test.create(&test.manifest(3, json!({}))).await;
    test.start_checker(300).await;
    test.scenario(
        "09",
        "a volume is lost: a new node replaces the lost one without help, checksums equal",
        async {
            let ids = node_ids(&test.status().await);
            lose_volume(&test, 2).await;
            let now = node_ids(&test.settled().await);
            assert_ne!(now[&pod(2)], ids[&pod(2)]);
            assert_eq!((&now[&pod(0)], &now[&pod(1)]), (&ids[&pod(0)], &ids[&pod(1)]));
            let layout = test.layout().await.expect("it is told");
            assert_eq!(layout.departed, [ids[&pod(2)].clone()]);
            let events = test.events().await;
            assert_eq!(events.get("ReplacingLostMembers"), Some(&1), "{events:?}");
        },
    )
    .await;
    test.scenario("--", "a volume is lost while a spec is refused: it is replaced all the same", async {
        let memory = json!({ "requests": { "memory": "512Mi" }, "limits": { "memory": "256Mi" } });
        test.patch(json!({ "resources": memory })).await;
        until("the spec is refused", PATIENCE, async || {
            let (_, why) = condition(&test.status().await, "Degraded");
            if why.starts_with("ActionFailed") { Ok(()) } else { Err(why) }
        })
        .await;
        lose_volume(&test, 1).await;
        test.patch(json!({ "resources": null })).await;
        test.settled().await;
    })
    .await;
    test.finish_checker().await;
    test.converged().await;
}

/// Deletes a pod's claim and the pod, and waits until another node has its place.
async fn lose_volume(test: &Test, ordinal: i32) {
    let (ids, claims) = (node_ids(&test.status().await), test.claim_uids().await);
    let claim = format!("data-{}", pod(ordinal));
    let of_namespace: Api<PersistentVolumeClaim> = Api::namespaced(test.client.clone(), &test.namespace);
    // The claim stays until its pod is gone.
    of_namespace.delete(&claim, &DeleteParams::default()).await.expect("it is there");
    test.delete_pod(&pod(ordinal), Some(1)).await;
    until("another volume is there", PATIENCE, async || {
        let now = test.claim_uids().await;
        if now.get(&claim).is_some_and(|uid| *uid != claims[&claim]) {
            Ok(())
        } else {
            Err(format!("{now:?}"))
        }
    })
    .await;
    until("another node has its place", PATIENCE, async || {
        let now = node_ids(&test.status().await);
        let id = now.get(&pod(ordinal)).filter(|id| !id.is_empty() && **id != ids[&pod(ordinal)]);
        id.map(|_| ()).ok_or_else(|| format!("{now:?}"))
    })
    .await;
}

/// Not one of the eighteen: what a bad day is like. One minute of it, five in the long form.
#[tokio::test]
async fn pods_are_deleted_at_random() {
    let Some(test) = Test::begin("random").await else { return };
    test.install_operator().await;
    test.create(&test.manifest(3, json!({}))).await;
    test.start_checker(200).await;
    let lasts = Duration::from_secs(if is_long() { 300 } else { 60 });
    test.scenario("--", "a pod is deleted at random every 10 s", async {
        let (begun, mut deleted) = (Instant::now(), 0);
        while begun.elapsed() < lasts {
            let grace_s = [None, Some(1), Some(0)][rand::random_range(0..3)];
            test.delete_pod(&pod(rand::random_range(0..3)), grace_s).await;
            deleted += 1;
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
        // Ten of the sixty seconds since the last have passed.
        let since = Instant::now();
        test.settled_within(Duration::from_secs(50)).await;
        let seconds = since.elapsed().as_secs() + 10;
        tell(format_args!(
            "{}: {deleted} deletions; all was well {seconds} s after the last",
            test.namespace
        ));
    })
    .await;
    test.finish_checker().await;
    test.converged().await;
}

impl Test {
    /// Asks for it once.
    async fn evict(&self, name: &str) -> Result<String, String> {
        let path = format!("/api/v1/namespaces/{}/pods/{name}/eviction", self.namespace);
        let eviction = json!({
            "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": name, "namespace": self.namespace },
        });
        let mut command = self.kubectl();
        run(command.args(["create", "--raw", &path, "-f", "-"]), Input::Json(&eviction)).await
    }

    /// Waits until another pod of this name is ready.
    pub(crate) async fn replaced(&self, name: &str, uid: &str) {
        until("another pod is ready", PATIENCE, async || {
            let pods = self.pods().await;
            let found = pods.iter().find(|pod| pod.metadata.name.as_deref() == Some(name));
            let new = found.filter(|pod| pod.metadata.uid.as_deref() != Some(uid) && is_ready(pod));
            new.map(|_| ()).ok_or_else(|| format!("{name} is {:?}", found.map(|pod| &pod.status)))
        })
        .await;
    }
}
