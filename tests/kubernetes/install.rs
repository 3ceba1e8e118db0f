//! The way of a new user: the chart, the example, a key through the Service.

use std::time::Duration;

use crate::harness::Test;
use crate::harness::commands::{Input, repository, run};

const EXAMPLE: &str = "example";

/// Scenario 1. The operator sees all namespaces here, as it does by default.
#[tokio::test]
async fn scenario_01_installs_and_serves() {
    let Some(test) = Test::begin_alone("01").await else { return };
    let what = "helm install, apply, Available within 120 s, put and get, helm test";
    test.scenario("01", what, async {
        let service = format!("http://{EXAMPLE}.{}.svc:7700", test.namespace);
        test.install_operator_for_all(&service).await;
        let example = repository().join("manifests/example.yaml");
        let example = std::fs::read_to_string(example).expect("the example is there");
        let example = test.with_image(&example);
        run(test.kubectl().args(["apply", "-f", "-"]), Input::Text(&example))
            .await
            .expect("the example is good");
        let begun = std::time::Instant::now();
        let mut wait = test.kubectl();
        wait.args(["wait", "--for=condition=Available", "qc/example", "--timeout=120s"]);
        run(&mut wait, Input::Nothing).await.expect("it is available within 120 s");
        assert!(begun.elapsed() < Duration::from_secs(121), "{:?}", begun.elapsed());
        let listed = run(test.kubectl().args(["get", "qc"]), Input::Nothing).await.expect("it is listed");
        for column in ["READY", "DESIRED", "N", "R", "W", "EPOCH", "AVAILABLE", "VERSION", "AGE"] {
            assert!(listed.split_whitespace().any(|word| word == column), "{column}: {listed}");
        }
        for (what, wanted) in
            [(&["put", "greeting", "hello"] as &[&str], ""), (&["get", "greeting"], "hello")]
        {
            let mut command = test.kubectl();
            command
                .args(["exec", "example-0", "-c", "node", "--", "quorate", "--endpoint", &service])
                .args(what);
            let said = run(&mut command, Input::Nothing).await.expect("it is served");
            assert!(said.contains(wanted), "{said}");
        }
        test.helm_test().await;
    })
    .await;
    test.uninstall_operator().await;
}

impl Test {
    /// The manifest as it is, but for the image, which only this cluster has.
    fn with_image(&self, manifest: &str) -> String {
        let mut lines = Vec::new();
        for line in manifest.lines() {
            let indent = line.len() - line.trim_start().len();
            if line.trim_start().starts_with("image:") {
                lines.push(format!("{:indent$}image: {}", "", self.image));
                lines.push(format!("{:indent$}imagePullPolicy: Never", ""));
            } else if !line.trim_start().starts_with("imagePullPolicy:") {
                lines.push(line.to_owned());
            }
        }
        lines.join("\n")
    }
}
