//! The operator, from the chart. Each test has its own, which sees the test's namespace only.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, ListParams};

use super::commands::{Input, helm, repository, run};
use super::{Test, until};

const PATIENCE: Duration = Duration::from_secs(120);
/// The operator's Deployment is called like its release.
const RELEASE: &str = "operator";
const SELECTOR: &str = "app.kubernetes.io/component=controller";

impl Test {
    /// Installs it for this namespace only. The resource's definition is there already.
    pub(crate) async fn install_operator(&self) {
        let watched = format!("watchNamespace={}", self.namespace);
        self.helm_install(&["--set", &watched, "--set", "crd.install=false"]).await;
    }

    /// Installs it for all namespaces, with the definition of the resource. The chart's own test is to use this Service.
    pub(crate) async fn install_operator_for_all(&self, service: &str) {
        let tested = format!("test.endpoint={service}");
        self.helm_install(&["--take-ownership", "--set", &tested]).await;
    }

    async fn helm_install(&self, arguments: &[&str]) {
        let (repository_, tag) = self.image.rsplit_once(':').expect("the image has a tag");
        let chart = repository().join("charts/quorate");
        let mut command = helm();
        command.args(["install", RELEASE]).arg(chart).args(["--namespace", &self.namespace]);
        command.args([
            "--set",
            &format!("image.repository={repository_},image.tag={tag},image.pullPolicy=Never"),
        ]);
        command.args(arguments).args(["--wait", "--timeout", "120s"]);
        run(&mut command, Input::Nothing).await.expect("the operator is installed");
    }

    /// Takes it away: what it made stays.
    pub(crate) async fn uninstall_operator(&self) {
        let mut command = helm();
        command.args(["uninstall", RELEASE, "--namespace", &self.namespace, "--wait", "--timeout", "120s"]);
        run(&mut command, Input::Nothing).await.expect("the operator is uninstalled");
    }

    /// The chart's own test.
    pub(crate) async fn helm_test(&self) -> String {
        let mut command = helm();
        command.args(["test", RELEASE, "--namespace", &self.namespace, "--logs", "--timeout", "120s"]);
        run(&mut command, Input::Nothing).await.expect("helm test passes")
    }

    /// Ends it wherever it stands, a second for its last words: another pod takes its place.
    pub(crate) async fn kill_operator(&self) {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let at_once = DeleteParams::default().grace_period(1);
        for name in self.operator_pods().await {
            match pods.delete(&name, &at_once).await {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.is_not_found() => {}
                Err(error) => panic!("{name}: {error}"),
            }
        }
    }

    /// Stops it, and waits until it is gone.
    pub(crate) async fn stop_operator(&self) {
        self.scale_operator(0).await;
        until("the operator is gone", PATIENCE, async || {
            let pods = self.operator_pods().await;
            if pods.is_empty() { Ok(()) } else { Err(pods.join(", ")) }
        })
        .await;
    }

    /// Starts it again.
    pub(crate) async fn start_operator(&self) {
        self.scale_operator(1).await;
    }

    async fn scale_operator(&self, replicas: u32) {
        let mut command = self.kubectl();
        command.args(["scale", "deployment", "-l", SELECTOR, &format!("--replicas={replicas}")]);
        run(&mut command, Input::Nothing).await.expect("the operator is scaled");
    }

    async fn operator_pods(&self) -> Vec<String> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let found = pods.list(&ListParams::default().labels(SELECTOR)).await.expect("pods are listed");
        found.items.into_iter().filter_map(|pod| pod.metadata.name).collect()
    }
}
