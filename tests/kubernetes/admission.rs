//! What the API server refuses, and how it says so. No operator is needed for that: the rules are the schema's.

use serde_json::json;

use crate::bad_specs::{cases, edits, good_edits, names};
use crate::harness::Test;
use crate::harness::commands::{Input, run};
use crate::harness::database::NAME;

/// A resource as people write it, the spec (or status) as it is.
fn resource(name: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: quorate.dev/v1alpha1, kind: QuorateCluster, metadata: {{name: {name:?}}}, spec: {spec}}}"
    )
}

impl Test {
    /// `kubectl apply --dry-run=server`: the API server checks it, and keeps nothing.
    async fn try_out(&self, text: &str) -> Result<String, String> {
        let mut command = self.kubectl();
        command.args(["apply", "--dry-run=server", "--validate=strict", "-f", "-"]);
        run(&mut command, Input::Text(text)).await
    }

    async fn must_refuse(&self, what: &str, text: &str, says: &str) {
        match self.try_out(text).await {
            Ok(taken) => panic!("{what} is taken: {taken}"),
            Err(refusal) => assert!(refusal.contains(says), "{what}: {says:?} is not in: {refusal}"),
        }
    }

    async fn set_status(&self, status: &str) {
        let patch = format!("status: {status}");
        let mut command = self.kubectl();
        command.args(["patch", "qc", NAME, "--subresource=status", "--type=merge", "--patch", &patch]);
        run(&mut command, Input::Nothing).await.expect("the status is taken");
    }
}

/// Scenario 2, without a cluster under it: what is refused is refused before anybody sees it.
#[tokio::test]
async fn scenario_02_fewer_nodes_than_n_are_refused() {
    let Some(test) = Test::begin("02").await else { return };
    let what = "replicas 2 with n 3 are refused by apply and by kubectl scale";
    test.scenario("02", what, async {
        let mut manifest = test.manifest(3, json!({}));
        test.apply(&manifest).await.expect("three are taken");
        let why = "replicas must be replication.factor or more";
        let refusal = test.scale(2).await.expect_err("two are too few");
        assert!(refusal.contains(why), "{refusal}");
        manifest["spec"]["replicas"] = json!(2);
        let refusal = test.apply(&manifest).await.expect_err("two are too few");
        assert!(refusal.contains(why), "{refusal}");
        assert_eq!(test.cluster().await.expect("it is there").spec.replicas, 3);
    })
    .await;
}

#[tokio::test]
async fn bad_specs_are_refused_in_words() {
    let Some(test) = Test::begin("bad").await else { return };
    test.scenario("--", "a bad spec of every kind is refused in words", async {
        for (what, spec, says) in cases() {
            test.must_refuse(what, &resource(NAME, &spec), says).await;
        }
        for (name, says) in names() {
            let spec = "{replicas: 3, image: quorate, storage: {size: 1Gi}}";
            test.must_refuse(&name, &resource(&name, spec), says).await;
        }
        let before = edits().first().expect("there are some").before;
        run(test.kubectl().args(["apply", "-f", "-"]), Input::Text(&resource(NAME, before)))
            .await
            .expect("it is good");
        for edit in edits() {
            assert_eq!(edit.before, before, "one resource is enough for all");
            if let Some(status) = edit.status {
                test.set_status(status).await;
            }
            test.must_refuse(edit.name, &resource(NAME, edit.after), edit.says).await;
        }
        for (after, status) in good_edits() {
            test.set_status(status).await;
            test.try_out(&resource(NAME, after)).await.expect("it is good");
        }
    })
    .await;
}
