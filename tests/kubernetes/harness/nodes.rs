//! The nodes, asked themselves: through `quorate` in their pods, and over HTTP through the API server, as both work on any cluster.

use std::collections::BTreeMap;

use axum::http::Request;
use kube::client::Body;
use serde_json::{Value, json};

use super::commands::{Input, run};
use super::database::{NAME, PATIENCE, is_ready};
use super::{Test, until};

/// The layout, as `quorate layout show` tells it.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) epoch: u64,
    pub(crate) members: Vec<String>,
    pub(crate) departed: Vec<String>,
    /// `gather` or `hand over`; none: no change is under way.
    pub(crate) stage: Option<String>,
    /// Of members that are leaving, the names.
    pub(crate) leaving: Vec<String>,
}

impl Test {
    /// `quorate` in a pod, with JSON as its output.
    pub(crate) async fn quorate(&self, pod: &str, arguments: &[&str]) -> Result<Value, String> {
        let mut command = self.kubectl();
        command.args(["exec", pod, "-c", "node", "--", "quorate", "--endpoint", "http://127.0.0.1:7700"]);
        let output = run(command.args(["--output", "json"]).args(arguments), Input::Nothing).await?;
        serde_json::from_str(&output).map_err(|error| format!("{error}: {output}"))
    }

    /// `quorate` in the first pod that is ready.
    pub(crate) async fn ask(&self, arguments: &[&str]) -> Result<Value, String> {
        let pods = self.pods().await;
        let ready = pods.iter().filter(|pod| is_ready(pod)).find_map(|pod| pod.metadata.name.as_deref());
        self.quorate(ready.ok_or("no pod is ready")?, arguments).await
    }

    pub(crate) async fn layout(&self) -> Result<Layout, String> {
        let shown = self.ask(&["layout", "show"]).await?;
        let texts = |of: &Value| -> Vec<String> {
            of.as_array().into_iter().flatten().filter_map(|text| Some(text.as_str()?.to_owned())).collect()
        };
        let members = shown["members"].as_array().ok_or("no members")?;
        let name = |member: &&Value| Some(member["name"].as_str()?.to_owned());
        let mut names: Vec<String> = members.iter().filter_map(|member| name(&member)).collect();
        names.sort();
        Ok(Layout {
            epoch: shown["epoch"].as_u64().ok_or("no epoch")?,
            members: names,
            departed: texts(&shown["departed"]),
            stage: shown["change"]["stage"].as_str().map(str::to_owned),
            leaving: members
                .iter()
                .filter(|member| member["becomes"] == "leaving")
                .filter_map(|m| name(&m))
                .collect(),
        })
    }

    /// Waits until no node keeps anything for another, and every replica is the same as the others.
    pub(crate) async fn converged(&self) {
        until("no hints are left", PATIENCE, async || {
            let status = self.ask(&["status"]).await?;
            let nodes = status["nodes"].as_array().cloned().unwrap_or_default();
            let left = |node: &Value| node["details"]["hints"].as_u64().is_none_or(|hints| hints > 0);
            if !nodes.is_empty() && !nodes.iter().any(left) { Ok(()) } else { Err(status.to_string()) }
        })
        .await;
        until("all replicas are equal", PATIENCE, async || {
            let partitions = self.ask(&["status", "--partitions"]).await?;
            let partitions = partitions.as_array().cloned().unwrap_or_default();
            let unequal: Vec<&Value> =
                partitions.iter().filter(|partition| partition["equal"] != true).collect();
            if !partitions.is_empty() && unequal.is_empty() { Ok(()) } else { Err(format!("{unequal:?}")) }
        })
        .await;
    }

    /// A metric, by pod.
    pub(crate) async fn metric(&self, name: &str) -> BTreeMap<String, f64> {
        let mut values = BTreeMap::new();
        for pod in self.pods().await.into_iter().filter_map(|pod| pod.metadata.name) {
            let request = Request::get(self.http(&pod, "metrics")).body(Vec::new()).expect("a request");
            let text = self.client.request_text(request).await.unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            if let Some(value) = line.and_then(|value| value.trim().parse().ok()) {
                values.insert(pod, value);
            }
        }
        values
    }

    /// Puts a key over the HTTP of one node. The status in case of a refusal; else how many nodes that are no owners counted.
    pub(crate) async fn put(&self, pod: &str, key: &str, mode: &str) -> Result<u64, u16> {
        let body = json!({ "value": key, "mode": mode, "timeout_ms": 3000 });
        let request =
            Request::put(self.http(pod, &format!("kv/{key}"))).header("content-type", "application/json");
        let request = request.body(Body::from(body.to_string().into_bytes())).expect("a request");
        let answer = self.client.send(request).await.expect("the node answers");
        let status = answer.status().as_u16();
        if !answer.status().is_success() {
            return Err(status);
        }
        let answer = answer.into_body().collect_bytes().await.expect("the answer is whole");
        let answer: Value = serde_json::from_slice(&answer).expect("the answer is JSON");
        Ok(answer["fallbacks"].as_u64().unwrap_or_default())
    }

    /// Reads a key through one node, strictly.
    pub(crate) async fn get(&self, pod: &str, key: &str) -> Result<Value, String> {
        let request = Request::get(self.http(pod, &format!("kv/{key}?mode=strict"))).body(Vec::new());
        let request = request.map_err(|error| error.to_string())?;
        self.client.request::<Value>(request).await.map_err(|error| error.to_string())
    }

    fn http(&self, pod: &str, path: &str) -> String {
        format!("/api/v1/namespaces/{}/pods/{pod}:7701/proxy/{path}", self.namespace)
    }
}

/// The name of the pod with this ordinal.
pub(crate) fn pod(ordinal: i32) -> String {
    format!("{NAME}-{ordinal}")
}
