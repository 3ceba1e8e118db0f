//! Does what is due, one thing after the other, until one fails.

use futures::future::join_all;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::jiff::SignedDuration;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use quorate_proto::v1;
use serde_json::json;

use super::memory::Memory;
use super::observe::Seen;
use super::{Context, FIELD_MANAGER, ReconcileError, apply};
use crate::nodes;
use crate::observed::Observed;
use crate::plan::{Action, Notice};
use crate::render;

/// While a cluster is looked at every other second, its objects need not be.
const COMPARE_AGAIN: SignedDuration = SignedDuration::from_secs(6);

/// What became of the actions.
#[derive(Debug)]
pub(super) enum Outcome {
    /// There was nothing to do.
    Nothing,
    /// Something is different now.
    Did,
    /// One could not be done, and those after it were not tried.
    Failed {
        /// Which one, as metrics name it.
        action: &'static str,
        /// Why.
        error: ReconcileError,
    },
}

pub(super) async fn all(
    context: &Context,
    observed: &Observed,
    seen: &Seen,
    actions: &[Action],
    memory: &mut Memory,
) -> Outcome {
    let mut outcome = Outcome::Nothing;
    let mut refused = None;
    for action in actions {
        // The layout needs nothing of the objects: a lost member is replaced also while a spec is refused. All else waits.
        if refused.is_some() && !matches!(action, Action::ChangeLayout { .. }) {
            continue;
        }
        match Box::pin(one(context, observed, seen, action, memory)).await {
            Ok(false) => {}
            Ok(true) => {
                context.metrics.acted(action.name());
                outcome = Outcome::Did;
                if let Some(notice) = action.notice(&observed.cluster.name_any()) {
                    tracing::info!(
                        namespace = observed.cluster.namespace(),
                        cluster = observed.cluster.name_any(),
                        reason = notice.reason,
                        "{}",
                        notice.message
                    );
                    context.publish(&observed.cluster, &notice).await;
                }
            }
            Err(error) if matches!(action, Action::Apply { .. }) => {
                refused = Some(Outcome::Failed { action: action.name(), error });
            }
            Err(error) => return refused.unwrap_or(Outcome::Failed { action: action.name(), error }),
        }
    }
    refused.unwrap_or(outcome)
}

/// Whether something is different now.
async fn one(
    context: &Context,
    observed: &Observed,
    seen: &Seen,
    action: &Action,
    memory: &mut Memory,
) -> Result<bool, ReconcileError> {
    let namespace = observed.cluster.namespace().unwrap_or_default();
    let name = observed.cluster.name_any();
    match action {
        Action::Apply { pods } => make_so(context, observed, seen, *pods, memory).await,
        Action::Found { pods, request } => found(seen, pods, request).await,
        Action::ChangeLayout { ask, expected_epoch, order, .. } => {
            let request = v1::ChangeLayoutRequest {
                expected_epoch: *expected_epoch,
                preview: false,
                order: Some(order.clone()),
            };
            change_layout(seen, ask, &request).await
        }
        Action::DeletePod { uid, ordinal, .. } => {
            let pods: Api<Pod> = Api::namespaced(context.client.clone(), &namespace);
            let pod = observed.pod_name(*ordinal);
            let deleted = pods.delete(&pod, &apply::precisely(Some(uid.clone()))).await;
            unless_gone(deleted, &format!("delete pod {pod}"))
        }
        Action::DeleteClaim { uid, ordinal } => {
            let claims: Api<PersistentVolumeClaim> = Api::namespaced(context.client.clone(), &namespace);
            let claim = render::claim_name(&name, *ordinal);
            let deleted = claims.delete(&claim, &apply::precisely(Some(uid.clone()))).await;
            unless_gone(deleted, &format!("delete claim {claim}"))
        }
        // The one before was refused, and so would this one be.
        Action::GrowClaim { .. } if memory.growth_refused.is_some() => Ok(false),
        Action::GrowClaim { ordinal, uid, size } => {
            let claims: Api<PersistentVolumeClaim> = Api::namespaced(context.client.clone(), &namespace);
            let claim = render::claim_name(&name, *ordinal);
            let patch = json!({
                "metadata": { "uid": uid },
                "spec": { "resources": { "requests": { "storage": size } } },
            });
            let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..Default::default() };
            match claims.patch(&claim, &parameters, &Patch::Merge(&patch)).await {
                Ok(_) => Ok(true),
                // Its storage class does not allow it. That is for people to know, and no reason to try again at once.
                Err(kube::Error::Api(status)) if status.code == 403 || status.code == 422 => {
                    let why = format!("claim {claim} cannot grow to {size}: {}", status.message);
                    memory.growth_refused = Some((observed.now, why));
                    Ok(false)
                }
                Err(error) => Err(ReconcileError::of(format!("have claim {claim} grow"))(error)),
            }
        }
    }
}

/// What was to be deleted may be gone, or another one by now: the next look tells.
fn unless_gone<T>(deleted: kube::Result<T>, what: &str) -> Result<bool, ReconcileError> {
    match deleted {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(false),
        Err(error) => Err(ReconcileError::of(what)(error)),
    }
}

async fn make_so(
    context: &Context,
    observed: &Observed,
    seen: &Seen,
    pods: i32,
    memory: &mut Memory,
) -> Result<bool, ReconcileError> {
    let objects = render::objects(&observed.cluster, pods, seen.claim_size())
        .map_err(|error| ReconcileError::Node(error.to_string()))?;
    let before = observed.stateful_set.as_ref().map(|set| set.replicas);
    let wanted = super::short_hash(&format!("{objects:?}"));
    let compared = memory.compared.as_ref().filter(|(_, hash)| *hash == wanted).map(|(when, _)| *when);
    memory.uncompared = before == Some(pods)
        && compared.is_some_and(|when| observed.now.duration_since(when) < COMPARE_AGAIN);
    if memory.uncompared {
        return Ok(false);
    }
    let written = apply::all(&context.client, &objects, memory).await?;
    memory.compared = Some((observed.now, wanted));
    let mut notices = Vec::new();
    if !written.created.is_empty() {
        notices.push(("Created", format!("created {}", written.created.join(", "))));
    }
    match before {
        Some(before) if before != pods => {
            notices.push(("Scaled", format!("scaled StatefulSet from {before} to {pods} pods")));
        }
        _ if !written.changed.is_empty() => {
            notices.push(("Updated", format!("updated {}", written.changed.join(", "))));
        }
        _ => {}
    }
    let changed = written != apply::Written::default();
    if !changed && crate::plan::all_are_newest(observed) {
        return apply::drop_older(&context.client, &objects.config_map, memory).await;
    }
    for (reason, message) in notices.into_iter().filter(|_| changed) {
        tracing::info!(
            namespace = observed.cluster.namespace(),
            cluster = observed.cluster.name_any(),
            "{message}"
        );
        context.publish(&observed.cluster, &Notice { warning: false, reason: reason.into(), message }).await;
    }
    Ok(changed)
}

/// The first one founds the cluster; the others get the same from it, too, only later.
async fn found(seen: &Seen, pods: &[i32], request: &v1::BootstrapRequest) -> Result<bool, ReconcileError> {
    let mut hosts = pods.iter().filter_map(|pod| seen.hosts.get(pod));
    let Some(first) = hosts.next() else {
        return Err(ReconcileError::Node("no node to found the cluster with answers".into()));
    };
    let founded = nodes::bootstrap(first, request.clone()).await;
    founded.map_err(|why| ReconcileError::Node(format!("the cluster cannot be founded: {why}")))?;
    let others = join_all(hosts.map(|host| nodes::bootstrap(host, request.clone()))).await;
    for why in others.into_iter().filter_map(Result::err) {
        tracing::info!(why, "a node learns of the cluster from the others");
    }
    Ok(true)
}

async fn change_layout(
    seen: &Seen,
    ask: &[(i32, u64)],
    request: &v1::ChangeLayoutRequest,
) -> Result<bool, ReconcileError> {
    let mut last = None;
    for &(ordinal, id) in ask {
        let Some(host) = seen.hosts.get(&ordinal) else { continue };
        match nodes::change_layout(host, id, request.clone()).await {
            Ok(()) => return Ok(true),
            Err(refused) if refused.ask_another => last = Some(refused),
            Err(refused) => {
                last = Some(refused);
                break;
            }
        }
    }
    match last {
        Some(refused) if refused.passes => {
            tracing::info!(why = refused.message, "the layout is not changed yet");
            Ok(false)
        }
        Some(refused) => Err(ReconcileError::Node(format!("the layout is not changed: {refused}"))),
        None => Err(ReconcileError::Node("no member answers that could change the layout".into())),
    }
}
