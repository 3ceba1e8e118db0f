//! What does not happen when nothing is to be done.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::commands::{Input, run};
use crate::harness::{Test, is_long, tell};

/// Everything that the operator, the chart or Kubernetes makes of a cluster.
const KINDS: &str = "configmaps,endpointslices,persistentvolumeclaims,pods,serviceaccounts,services,controllerrevisions,\
                     deployments,replicasets,statefulsets,poddisruptionbudgets,quorateclusters,roles,rolebindings,\
                     events.events.k8s.io,leases";

/// Scenario 17. Clients write and read meanwhile: that is no reason to write anything to Kubernetes.
#[tokio::test]
async fn scenario_17_writes_nothing_but_the_lease() {
    let Some(test) = Test::begin("17").await else { return };
    test.install_operator().await;
    test.create(&test.manifest(3, json!({}))).await;
    test.start_checker(100).await;
    test.settled().await;
    // The last events of the start may still be on their way, Kubernetes' own among them.
    tokio::time::sleep(Duration::from_secs(15)).await;
    let minutes = if is_long() { 10 } else { 2 };
    let what = format!("{minutes} quiet minutes: nothing is written but the Lease");
    test.scenario("17", &what, async {
        let before = test.all_objects().await;
        tokio::time::sleep(Duration::from_secs(60 * minutes)).await;
        let after = test.all_objects().await;
        let (mut leases, mut written) = (0, Vec::new());
        for (name, object) in &after {
            let same = before.get(name).is_some_and(|was| {
                was["metadata"]["resourceVersion"] == object["metadata"]["resourceVersion"]
            });
            if name.starts_with("Lease/") {
                leases += u32::from(!same);
            } else if !same {
                written.push(format!("{name}: {} | before: {:?}", object, before.get(name)));
            }
        }
        let gone: Vec<&String> = before.keys().filter(|name| !after.contains_key(*name)).collect();
        tell(format_args!("{}: {} objects were looked at", test.namespace, after.len()));
        assert!(written.is_empty(), "{}", written.join("\n"));
        assert!(gone.is_empty(), "{gone:?}");
        assert_eq!(leases, 1, "the operator lives");
    })
    .await;
    test.finish_checker_without_failure().await;
}

impl Test {
    /// By kind and name.
    async fn all_objects(&self) -> BTreeMap<String, Value> {
        let mut command = self.kubectl();
        command.args(["get", KINDS, "--output", "json", "--show-managed-fields"]);
        let listed = run(&mut command, Input::Nothing).await.expect("everything is listed");
        let listed: Value = serde_json::from_str(&listed).expect("it is JSON");
        let named = |object: &Value| {
            let kind = object["kind"].as_str().unwrap_or_default();
            (format!("{kind}/{}", object["metadata"]["name"].as_str().unwrap_or_default()), object.clone())
        };
        listed["items"].as_array().into_iter().flatten().map(named).collect()
    }
}
