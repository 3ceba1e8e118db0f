//! The pod that writes and reads all the time, and knows what was acknowledged.

use std::time::Duration;

use axum::http::Request;
use serde::Deserialize;
use serde_json::json;

use super::commands::{Input, run};
use super::database::NAME;
use super::{Test, tell, until};

/// The last look at tens of thousands of keys, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);
const PORT: u16 = 8080;

/// What the checker says.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Verdict {
    pub(crate) working: bool,
    pub(crate) finished: bool,
    pub(crate) acknowledged: u64,
    pub(crate) keys: usize,
    pub(crate) live_bytes: u64,
    pub(crate) reads: u64,
    pub(crate) missing: u64,
    pub(crate) stale: u64,
    pub(crate) failed_after_retry: u64,
    pub(crate) retried: u64,
    pub(crate) slowest_ms: u64,
    pub(crate) complaints: Vec<String>,
}

impl Test {
    /// Starts it, and waits until it is at work on the cluster: so many keys are there then, 1 KiB each.
    pub(crate) async fn start_checker(&self, preload: u64) {
        let endpoint = format!("http://{NAME}.{}.svc:7700", self.namespace);
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": { "name": "checker" },
            "spec": {
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 0,
                "securityContext": {
                    "runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": { "type": "RuntimeDefault" },
                },
                "containers": [{
                    "name": "checker",
                    "image": self.image,
                    "imagePullPolicy": "Never",
                    "command": ["checker", "--endpoint", endpoint, "--preload", preload.to_string()],
                    "securityContext": {
                        "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] },
                    },
                }],
            },
        });
        run(self.kubectl().args(["apply", "-f", "-"]), Input::Json(&pod))
            .await
            .expect("the checker is taken");
        until("the checker works", PATIENCE, async || {
            let verdict = self.verdict().await?;
            if verdict.working && verdict.reads > 0 { Ok(()) } else { Err(format!("{verdict:?}")) }
        })
        .await;
    }

    /// How it is at this moment.
    pub(crate) async fn verdict(&self) -> Result<Verdict, String> {
        self.ask_checker("verdict").await
    }

    async fn ask_checker(&self, path: &str) -> Result<Verdict, String> {
        let uri = format!("/api/v1/namespaces/{}/pods/checker:{PORT}/proxy/{path}", self.namespace);
        let request = Request::get(uri).body(Vec::new()).map_err(|error| error.to_string())?;
        let answer = self.client.request_text(request).await.map_err(|error| error.to_string())?;
        serde_json::from_str(&answer).map_err(|error| format!("{error}: {answer}"))
    }

    /// Has it read everything back: nothing may be missing, and no read may have been stale.
    pub(crate) async fn finish_checker(&self) -> Verdict {
        until("the checker stops writing", PATIENCE, async || self.ask_checker("finish").await).await;
        let verdict = until("the checker reads everything back", PATIENCE, async || {
            let verdict = self.verdict().await?;
            if verdict.finished { Ok(verdict) } else { Err(format!("{verdict:?}")) }
        })
        .await;
        tell(format_args!(
            "{}: {} writes acknowledged, {} keys, {} reads; {} missing, {} stale, {} tried twice, {} failed twice; the slowest took {} ms",
            self.namespace,
            verdict.acknowledged,
            verdict.keys,
            verdict.reads,
            verdict.missing,
            verdict.stale,
            verdict.retried,
            verdict.failed_after_retry,
            verdict.slowest_ms,
        ));
        verdict.complaints.iter().for_each(|what| tell(format_args!("{}: {what}", self.namespace)));
        assert!(verdict.missing == 0 && verdict.stale == 0, "{verdict:?}");
        assert!(verdict.acknowledged > 100, "{verdict:?}: hardly anything happened");
        verdict
    }

    /// The same, and no operation failed that was tried once more.
    pub(crate) async fn finish_checker_without_failure(&self) -> Verdict {
        let verdict = self.finish_checker().await;
        assert_eq!(verdict.failed_after_retry, 0, "{verdict:?}");
        verdict
    }
}
