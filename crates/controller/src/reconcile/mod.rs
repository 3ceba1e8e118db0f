//! Reading what there is, having it judged, and doing what is due. Nothing is decided here.
//!
//! All that is judged is read anew each time, past any cache: what watches tell only says when to look.
//!
//! | file | what it does |
//! | --- | --- |
//! | [`run`] | watches, and calls `reconcile` when something happens |
//! | `observe` | reads Kubernetes and asks the nodes |
//! | `pods` | what matters of pods and claims |
//! | `apply` | makes objects so, and writes nothing where they are |
//! | `carry_out` | does what is due |
//! | `memory` | what is kept between two looks; all of it can be lost |

mod apply;
mod carry_out;
mod memory;
mod observe;
mod pods;
pub mod run;

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::runtime::events::{Event, EventType, Recorder};
use kube::{Api, Client, Resource as _, ResourceExt as _};
use serde_json::json;

use crate::crd::{QuorateCluster, QuorateClusterStatus};
use crate::metrics::Metrics;
use crate::plan::{self, Failure, Notice, Pace};
use carry_out::Outcome;
use memory::{Memories, Memory};

/// As whom objects are applied.
pub const FIELD_MANAGER: &str = "quorate-controller";

const QUIET: Duration = Duration::from_secs(30);
const UNEASY: Duration = Duration::from_secs(5);
const BUSY: Duration = Duration::from_secs(2);
/// After something was done, there is mostly something to see soon.
const DONE: Duration = Duration::from_millis(500);
const BACKOFF_MIN: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(120);

/// What every look needs.
pub struct Context {
    client: Client,
    recorder: Recorder,
    metrics: Arc<Metrics>,
    memories: Memories,
}

/// Why a look did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The API server has not done what was asked.
    #[error("{what}: {}", said(source))]
    Kubernetes {
        /// What was asked.
        what: String,
        /// Its answer.
        source: kube::Error,
    },
    /// A node has not done what was asked.
    #[error("{0}")]
    Node(String),
}

impl ReconcileError {
    fn of(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let what = what.into();
        move |source| Self::Kubernetes { what, source }
    }

    /// Whether it will be the same the next time, as far as is known.
    fn lasts(&self) -> bool {
        match self {
            // A conflict, too many requests, or one that took too long.
            Self::Kubernetes { source: kube::Error::Api(status), .. } => {
                (400..500).contains(&status.code) && ![408, 409, 429].contains(&status.code)
            }
            Self::Kubernetes { .. } => false,
            Self::Node(_) => true,
        }
    }
}

impl Context {
    /// `instance`: the name of the operator's pod, for events.
    pub fn new(client: Client, instance: String, metrics: Arc<Metrics>) -> Self {
        let reporter = kube::runtime::events::Reporter {
            controller: "quorate.dev/controller".into(),
            instance: Some(instance),
        };
        let recorder = Recorder::new(client.clone(), reporter);
        Self { client, recorder, metrics, memories: Memories::default() }
    }

    async fn publish(&self, cluster: &QuorateCluster, notice: &Notice) {
        let event = Event {
            type_: if notice.warning { EventType::Warning } else { EventType::Normal },
            reason: notice.reason.clone(),
            note: Some(notice.message.chars().take(1000).collect()),
            // The recorder takes events of one action and reason for the same: those that say something else are not.
            action: format!("{}-{}", notice.reason, short_hash(&notice.message)),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, &cluster.object_ref(&())).await {
            tracing::warn!(%error, reason = notice.reason, "an event could not be recorded");
        }
    }
}

/// What the API server says, or why it says nothing, for people: its own words, or those of all that has led to the error.
fn said(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        let said = [&status.message, &status.reason].into_iter().find(|text| !text.is_empty());
        return said.cloned().unwrap_or_else(|| format!("refused with code {}", status.code));
    }
    let mut words = error.to_string();
    let mut error: &dyn std::error::Error = error;
    while let Some(source) = error.source() {
        error = source;
        let source = source.to_string();
        if !words.contains(&source) {
            words = format!("{words}: {source}");
        }
    }
    words
}

/// Looks at one resource, and does what is due.
pub async fn reconcile(
    cluster: Arc<QuorateCluster>,
    context: Arc<Context>,
) -> Result<Action, ReconcileError> {
    let began = Instant::now();
    let key = (cluster.namespace().unwrap_or_default(), cluster.name_any());
    let mut memory = context.memories.take(&key, cluster.uid().as_deref().unwrap_or_default());
    let result = Box::pin(look(&key, &context, &mut memory)).await;
    memory.failures = match &result {
        Ok(_) => 0,
        Err(_) if memory.busy => 1,
        Err(_) => memory.failures.saturating_add(1),
    };
    context.metrics.reconciled(began.elapsed(), result.is_ok());
    match result {
        Ok(Some(again)) => {
            context.metrics.members_absent(&key, memory.members_absent);
            context.memories.put(key, memory);
            Ok(Action::requeue(again))
        }
        Ok(None) => {
            context.metrics.forget(&key);
            Ok(Action::await_change())
        }
        Err(error) => {
            context.memories.put(key, memory);
            Err(error)
        }
    }
}

/// How long to wait after a failure: longer after each.
pub fn after_failure(cluster: Arc<QuorateCluster>, error: &ReconcileError, context: Arc<Context>) -> Action {
    let key = (cluster.namespace().unwrap_or_default(), cluster.name_any());
    let failures = context.memories.failures(&key);
    let wait = BACKOFF_MIN.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(BACKOFF_MAX);
    tracing::warn!(namespace = key.0, cluster = key.1, %error, wait_s = wait.as_secs_f64(), "a look has failed");
    Action::requeue(wait)
}

/// When to look again; none when the resource is gone.
async fn look(
    (namespace, name): &(String, String),
    context: &Context,
    memory: &mut Memory,
) -> Result<Option<Duration>, ReconcileError> {
    let api: Api<QuorateCluster> = Api::namespaced(context.client.clone(), namespace);
    let cluster = api.get_opt(name).await.map_err(ReconcileError::of("read the resource"))?;
    let Some(cluster) = cluster.filter(|cluster| cluster.metadata.deletion_timestamp.is_none()) else {
        return Ok(None);
    };
    if memory.is_of_another(cluster.uid().as_deref().unwrap_or_default()) {
        *memory = Memory::of(cluster.uid().unwrap_or_default());
    }
    memory.uncompared = false;
    let (seen, observed) = observe::observe(&context.client, cluster, memory).await?;
    let mut plan = plan::plan(&observed);
    memory.members_absent = plan::members_absent(&plan.status);
    memory.busy = plan.pace == Pace::Busy;
    let outcome = carry_out::all(context, &observed, &seen, &plan.actions, memory).await;
    if let Outcome::Failed { action, error } = &outcome {
        let before = observed.cluster.status.as_ref();
        let failure = Failure { message: format!("{action}: {error}"), lasts: error.lasts() };
        plan.status = plan::failing(before, plan.status, &failure, observed.now);
    }
    // Objects were made other than they were seen: whether that is all is not known before the next look, and until then
    // nobody is told that the newest spec has come true.
    let too_early = matches!(outcome, Outcome::Did) && plan.says_done();
    let told = if too_early { Ok(()) } else { tell(&api, &observed.cluster, &plan.status).await };
    for notice in &plan.notices {
        context.publish(&observed.cluster, notice).await;
    }
    if let Outcome::Failed { action, error } = outcome {
        let notice =
            Notice { warning: true, reason: "ActionFailed".into(), message: format!("{action}: {error}") };
        context.publish(&observed.cluster, &notice).await;
        return Err(error);
    }
    told?;
    Ok(Some(match outcome {
        Outcome::Did => DONE,
        _ => match plan.pace {
            Pace::Quiet if memory.uncompared => UNEASY,
            Pace::Quiet => QUIET,
            Pace::Uneasy => UNEASY,
            Pace::Busy => BUSY,
        },
    }))
}

/// Writes the status, where it says something else than before.
async fn tell(
    api: &Api<QuorateCluster>,
    cluster: &QuorateCluster,
    status: &QuorateClusterStatus,
) -> Result<(), ReconcileError> {
    if cluster.status.as_ref() == Some(status) {
        return Ok(());
    }
    let patch = json!({
        "apiVersion": QuorateCluster::api_version(&()),
        "kind": QuorateCluster::kind(&()),
        "metadata": { "name": cluster.name_any(), "uid": cluster.uid() },
        "status": status,
    });
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    let written = api.patch_status(&cluster.name_any(), &parameters, &Patch::Apply(&patch)).await;
    written.map(|_| ()).map_err(ReconcileError::of("write the status"))
}

fn short_hash(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().chars().take(8).collect()
}

fn now() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_the_api_server_said_and_whether_it_lasts() {
        let answer = |code: u16, message: &str| {
            let status =
                json!({ "status": "Failure", "code": code, "message": message, "reason": "Invalid" });
            let status = serde_json::from_value(status).expect("a status");
            ReconcileError::of("apply StatefulSet ex")(kube::Error::Api(status))
        };
        let refused = answer(422, "requests: Invalid value: \"2\": must be less than or equal to cpu limit");
        let told =
            "apply StatefulSet ex: requests: Invalid value: \"2\": must be less than or equal to cpu limit";
        assert_eq!((refused.to_string().as_str(), refused.lasts()), (told, true));
        assert_eq!(answer(403, "").to_string(), "apply StatefulSet ex: Invalid");
        for (code, lasts) in [(403, true), (409, false), (429, false), (500, false)] {
            assert_eq!(answer(code, "why").lasts(), lasts, "{code}");
        }
        let broken = std::io::Error::other("connection refused");
        let broken = ReconcileError::of("list the pods")(kube::Error::ReadEvents(broken));
        assert_eq!(broken.to_string(), "list the pods: Error reading events stream: connection refused");
        assert!(!broken.lasts());
    }
}
