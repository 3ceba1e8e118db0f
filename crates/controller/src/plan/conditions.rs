//! Conditions: each with a reason in one word and a sentence. When one became what it is moves only when it becomes something else.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::Notice;
use crate::crd::{Condition, QuorateClusterStatus};

/// Every member serves, and all is as asked for.
pub(super) const READY: &str = "Ready";
/// Every partition reaches R and W.
pub(super) const AVAILABLE: &str = "Available";
/// Something is being changed.
pub(super) const PROGRESSING: &str = "Progressing";
/// Something is wrong.
pub(super) const DEGRADED: &str = "Degraded";
/// No change of the layout is under way.
pub(super) const LAYOUT_STABLE: &str = "LayoutStable";
/// Fewer pods are asked for than can be had.
pub(super) const SCALE_DOWN_BLOCKED: &str = "ScaleDownBlocked";
/// Every claim has a volume of the size asked for.
pub(super) const STORAGE_READY: &str = "StorageReady";
/// The operator only watches.
pub(super) const PAUSED: &str = "Paused";

/// What a condition says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// None: unknown.
    pub(super) holds: Option<bool>,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Verdict {
    pub(super) fn yes(reason: &'static str, message: impl Into<String>) -> Self {
        Self { holds: Some(true), reason, message: message.into() }
    }

    pub(super) fn no(reason: &'static str, message: impl Into<String>) -> Self {
        Self { holds: Some(false), reason, message: message.into() }
    }

    pub(super) fn unknown(reason: &'static str, message: impl Into<String>) -> Self {
        Self { holds: None, reason, message: message.into() }
    }

    pub(super) fn is(&self, holds: bool) -> bool {
        self.holds == Some(holds)
    }

    /// The condition of this name that follows the one before.
    pub(super) fn condition(
        self,
        name: &str,
        before: &[Condition],
        generation: Option<i64>,
        now: Timestamp,
    ) -> Condition {
        let status = match self.holds {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        };
        let same = before.iter().find(|before| before.type_ == name && before.status == status);
        let since =
            same.map_or_else(|| Time(whole_seconds(now)), |before| before.last_transition_time.clone());
        Condition {
            type_: name.into(),
            status: status.into(),
            reason: self.reason.into(),
            message: self.message,
            last_transition_time: since,
            observed_generation: generation,
        }
    }
}

/// The resource keeps no fractions.
fn whole_seconds(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// An action that could not be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which one and why, for people.
    pub message: String,
    /// Whether it will be the same the next time, as far as is known.
    pub lasts: bool,
}

/// The status that is told when an action could not be done: what runs is not what the spec says. Whether it serves is another question.
pub fn failing(
    before: Option<&QuorateClusterStatus>,
    mut after: QuorateClusterStatus,
    failure: &Failure,
    now: Timestamp,
) -> QuorateClusterStatus {
    const REASON: &str = "ActionFailed";
    let before = before.map(|status| status.conditions.as_slice()).unwrap_or_default();
    let generation = after.observed_generation;
    for condition in &mut after.conditions {
        let verdict = match condition.type_.as_str() {
            PROGRESSING | READY => Verdict::no(REASON, failure.message.clone()),
            // What is wrong already may be why; or it may be what holds up that it is mended.
            DEGRADED if failure.lasts && condition.status == "True" => {
                condition.message = format!("{}; {}", condition.message, failure.message);
                continue;
            }
            DEGRADED if failure.lasts => Verdict::yes(REASON, failure.message.clone()),
            _ => continue,
        };
        let name = condition.type_.clone();
        *condition = verdict.condition(&name, before, generation, now);
    }
    after
}

/// What has become different, and people would want to be told.
pub(super) fn notices(before: Option<&QuorateClusterStatus>, after: &QuorateClusterStatus) -> Vec<Notice> {
    let before = before.map(|status| status.conditions.as_slice()).unwrap_or_default();
    let was = |name: &str| before.iter().find(|condition| condition.type_ == name);
    let told = |condition: &&Condition| {
        let was = was(&condition.type_);
        let different = was.is_none_or(|was| was.status != condition.status);
        let other_reason = was.is_none_or(|was| was.reason != condition.reason);
        match (condition.type_.as_str(), condition.status.as_str()) {
            (AVAILABLE, "True") => different,
            (AVAILABLE, _) => different && was.is_some_and(|was| was.status == "True"),
            (LAYOUT_STABLE, "True") => different && was.is_some_and(|was| was.status == "False"),
            (DEGRADED | SCALE_DOWN_BLOCKED, "True") => different || other_reason,
            _ => false,
        }
    };
    let notice = |condition: &Condition| {
        let good =
            matches!(condition.type_.as_str(), AVAILABLE | LAYOUT_STABLE) && condition.status == "True";
        let reason = match (condition.type_.as_str(), good) {
            (AVAILABLE, true) => "Available".into(),
            (AVAILABLE, false) => "Unavailable".into(),
            (LAYOUT_STABLE, _) => "LayoutStable".into(),
            (SCALE_DOWN_BLOCKED, _) => "ScaleDownBlocked".into(),
            _ => condition.reason.clone(),
        };
        Notice { warning: !good, reason, message: condition.message.clone() }
    };
    after.conditions.iter().filter(told).map(notice).collect()
}
