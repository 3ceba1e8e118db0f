//! What matters of pods and claims.

use k8s_openapi::api::core::v1::{ContainerStatus, PersistentVolumeClaim, Pod};
use k8s_openapi::jiff::Timestamp;

use crate::observed::{Answer, ClaimSeen, PodSeen, Trouble};
use crate::render::CONTAINER;

/// A pod that cannot be placed at once may only wait for its volume.
const UNSCHEDULABLE_AFTER_S: i64 = 30;
/// A container that has ended so often is not about to run.
const RESTARTS: i32 = 3;

pub(super) fn pod_seen(pod: &Pod, zone: String, node: Answer, now: Timestamp) -> PodSeen {
    let created = pod.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0);
    PodSeen {
        uid: pod.metadata.uid.clone().unwrap_or_default(),
        ready: condition(pod, "Ready").is_some_and(|(status, ..)| status == "True"),
        deleting: pod.metadata.deletion_timestamp.is_some(),
        revision: pod
            .metadata
            .labels
            .as_ref()
            .and_then(|labels| labels.get("controller-revision-hash").cloned())
            .unwrap_or_default(),
        trouble: trouble(pod, now.as_second() - created.as_second()),
        created,
        zone,
        node,
    }
}

/// The pod's address, while its node may answer there.
pub(super) fn address(pod: &Pod) -> Option<&str> {
    let status = pod.status.as_ref()?;
    let runs = status.phase.as_deref() == Some("Running");
    status.pod_ip.as_deref().filter(|address| runs && !address.is_empty())
}

pub(super) fn claim_seen(claim: &PersistentVolumeClaim) -> ClaimSeen {
    let status = claim.status.as_ref();
    let requests = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref()?.requests.as_ref());
    let storage = |quantities: Option<&std::collections::BTreeMap<String, _>>| {
        let quantity: Option<&k8s_openapi::apimachinery::pkg::api::resource::Quantity> =
            quantities?.get("storage");
        quantity.map(|quantity| quantity.0.clone())
    };
    ClaimSeen {
        uid: claim.metadata.uid.clone().unwrap_or_default(),
        bound: status.and_then(|status| status.phase.as_deref()) == Some("Bound"),
        deleting: claim.metadata.deletion_timestamp.is_some(),
        requested: storage(requests).unwrap_or_default(),
        capacity: storage(status.and_then(|status| status.capacity.as_ref())).unwrap_or_default(),
    }
}

fn condition<'a>(pod: &'a Pod, name: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let condition = conditions.iter().find(|condition| condition.type_ == name)?;
    let text = |text: &'a Option<String>| text.as_deref().unwrap_or_default();
    Some((&condition.status, text(&condition.reason), text(&condition.message)))
}

/// Why a pod does not run. The words stay the same while nothing changes: how long the next try is away is not among them.
fn trouble(pod: &Pod, age_s: i64) -> Option<Trouble> {
    if let Some(("False", "Unschedulable", message)) = condition(pod, "PodScheduled")
        && age_s >= UNSCHEDULABLE_AFTER_S
    {
        return Some(Trouble { reason: "Unschedulable".into(), message: message.into() });
    }
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    statuses.iter().find(|status| status.name == CONTAINER).and_then(of_container)
}

fn of_container(status: &ContainerStatus) -> Option<Trouble> {
    let waiting = status.state.as_ref().and_then(|state| state.waiting.as_ref());
    let reason = waiting.and_then(|waiting| waiting.reason.as_deref());
    let message = waiting.and_then(|waiting| waiting.message.as_deref()).unwrap_or_default();
    let trouble = |reason: &str, message: String| Some(Trouble { reason: reason.into(), message });
    match reason {
        Some("ContainerCreating" | "PodInitializing") => None,
        // These two take turns.
        Some("ErrImagePull" | "ImagePullBackOff") => {
            trouble("ImagePullBackOff", format!("image {} cannot be pulled", status.image))
        }
        Some("CrashLoopBackOff") => trouble("CrashLoopBackOff", last_end(status)),
        None if !status.ready && status.restart_count >= RESTARTS => {
            trouble("CrashLoopBackOff", last_end(status))
        }
        Some(reason) => trouble(reason, message.into()),
        None => None,
    }
}

fn last_end(status: &ContainerStatus) -> String {
    let ended = status.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    ended.map_or_else(String::new, |ended| {
        let reason = ended.reason.as_deref().unwrap_or("Error");
        format!("it ended with code {} ({reason})", ended.exit_code)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(container: &serde_json::Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": { "name": "a-0", "uid": "u", "labels": { "controller-revision-hash": "r" } },
            "status": {
                "phase": "Running", "podIP": "10.0.0.7",
                "conditions": [{ "type": "Ready", "status": "True" }],
                "containerStatuses": [container],
            },
        }))
        .expect("a pod")
    }

    #[test]
    fn a_pod_says_why_it_does_not_run_and_says_the_same_until_that_changes() {
        let container = |state: serde_json::Value, restarts: i32| {
            json!({ "name": "node", "image": "quorate:bad", "imageID": "", "ready": false, "restartCount": restarts,
                    "state": state, "lastState": { "terminated": { "exitCode": 1, "reason": "Error" } } })
        };
        let waiting =
            |reason: &str, message: &str| json!({ "waiting": { "reason": reason, "message": message } });
        let cases = [
            (waiting("ContainerCreating", ""), 0, None),
            (waiting("ErrImagePull", "for 10 s"), 0, Some("image quorate:bad cannot be pulled")),
            (waiting("ImagePullBackOff", "for 20 s"), 0, Some("image quorate:bad cannot be pulled")),
            (waiting("CrashLoopBackOff", "back-off 40s"), 2, Some("it ended with code 1 (Error)")),
            (json!({ "running": {} }), 3, Some("it ended with code 1 (Error)")),
            (json!({ "running": {} }), 1, None),
            (waiting("ErrImageNeverPull", "not present"), 0, Some("not present")),
        ];
        for (state, restarts, expected) in cases {
            let found = trouble(&pod(&container(state.clone(), restarts)), 1);
            assert_eq!(found.map(|trouble| trouble.message).as_deref(), expected, "{state}");
        }
    }

    #[test]
    fn a_pod_is_asked_while_it_runs() {
        let container =
            json!({ "name": "node", "image": "", "imageID": "", "ready": true, "restartCount": 0 });
        let mut pod = pod(&container);
        assert_eq!(address(&pod), Some("10.0.0.7"));
        let now = Timestamp::UNIX_EPOCH;
        let seen = pod_seen(&pod, String::new(), Answer::Silent(String::new()), now);
        assert!(seen.ready && !seen.deleting && seen.revision == "r" && seen.trouble.is_none());
        if let Some(status) = &mut pod.status {
            status.phase = Some("Succeeded".into());
        }
        assert_eq!(address(&pod), None);
    }
}
