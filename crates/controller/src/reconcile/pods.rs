//! What matters of pods and claims.

use k8s_openapi::api::core::v1::{ContainerStatus, PersistentVolumeClaim, Pod};
use k8s_openapi::jiff::Timestamp;

use crate::observed::{Answer, ClaimSeen, PodSeen, Trouble};
use crate::render::CONTAINER;

/// A pod that cannot be placed at once may only wait for its volume.
const UNSCHEDULABLE_AFTER_S: i64 = 30;
/// A container that has ended so often is not about to run.
const RESTARTS: i32 = 3;
/// Of a container's last words so many characters are told.
const WORDS_MAX: usize = 300;

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
        let words = last_words(ended.message.as_deref().unwrap_or_default());
        let words = words.map_or_else(String::new, |words| format!(": {words}"));
        format!("it ended with code {} ({reason}){words}", ended.exit_code)
    })
}

/// What a program has said last, in one line: its error and what caused it, or else the last line of its log. Of a log in JSON only
/// errors are told, without their times: these would be others after every try.
fn last_words(log: &str) -> Option<String> {
    let lines: Vec<&str> = log.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let words = match lines.iter().rposition(|line| line.starts_with("Error: ")) {
        Some(at) => {
            let mut words = lines.get(at)?.trim_start_matches("Error: ").to_owned();
            let causes = lines.iter().skip(at + 1).filter(|line| **line != "Caused by:");
            for cause in causes.take_while(|line| !line.starts_with("Stack backtrace:")) {
                // Several causes are numbered.
                let numbered =
                    cause.split_once(": ").filter(|(at, _)| at.bytes().all(|c| c.is_ascii_digit()));
                let cause = numbered.map_or(*cause, |(_, cause)| cause);
                if !words.contains(cause) {
                    words = format!("{words}: {cause}");
                }
            }
            words
        }
        None => {
            // Of a panic the last line says how to see more.
            let last = lines.iter().rfind(|line| !line.starts_with("note: "))?;
            match serde_json::from_str::<serde_json::Value>(last) {
                Ok(entry) if entry["level"] == "ERROR" => {
                    let message = entry.pointer("/fields/message").or_else(|| entry.get("message"));
                    message?.as_str()?.to_owned()
                }
                Ok(_) => return None,
                Err(_) => (*last).to_owned(),
            }
        }
    };
    let cut = words.char_indices().nth(WORDS_MAX).map_or(words.len(), |(at, _)| at);
    Some(if cut < words.len() { format!("{}...", words.get(..cut)?) } else { words })
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
    fn a_pod_that_ends_says_why() {
        let told = |message: &str| {
            let container = json!({ "name": "node", "image": "", "imageID": "", "ready": false, "restartCount": 2,
                "state": { "waiting": { "reason": "CrashLoopBackOff" } },
                "lastState": { "terminated": { "exitCode": 1, "reason": "Error", "message": message } } });
            trouble(&pod(&container), 1).expect("it does not run").message
        };
        let setting =
            "configuration: invalid type: found string \"x\", expected u64 for key \"transfer_bytes_per_s\"";
        let log = r#"{"timestamp":"2026-12-01","level":"INFO","fields":{"message":"starts"}}"#;
        let cases = [
            (format!("Error: {setting}\n"), setting),
            (
                format!(
                    "{log}\nError: starting\n\nCaused by:\n    0: opening\n    1: starting\n    2: denied\n"
                ),
                "starting: opening: denied",
            ),
            (
                "thread 'main' panicked at src/a.rs:1:\nbroken\nnote: run with `RUST_BACKTRACE=1`".into(),
                "broken",
            ),
            (log.replace("INFO", "ERROR"), "starts"),
        ];
        for (message, expected) in cases {
            assert_eq!(told(&message), format!("it ended with code 1 (Error): {expected}"));
        }
        for nothing in ["", log] {
            assert_eq!(told(nothing), "it ended with code 1 (Error)", "{nothing}");
        }
        assert_eq!(
            told(&"é".repeat(1000)),
            format!("it ended with code 1 (Error): {}...", "é".repeat(WORDS_MAX))
        );
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
