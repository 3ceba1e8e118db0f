//! From what there is and what is asked for to what is done next and what people are told: a pure function.
//!
//! It is called again and again, keeps nothing between the calls, and may be cut off anywhere: whatever it has begun can be seen in
//! the cluster. What it never does is in one list in the tests that drive it (`tests/simulated`).
//!
//! | file | what it decides |
//! | --- | --- |
//! | [`action`] | what can be done |
//! | `pods` | how many pods there are to be, and which one is restarted |
//! | `found` | whether the cluster can be founded, and as what |
//! | `layout` | which change of the layout is due |
//! | `lost` | which members are gone for good |
//! | `claims` | which claims grow, and which are not needed any more |
//! | `confirm` | whether all members say the same |
//! | `status`, `verdicts`, `conditions` | what people are told |

pub mod action;
mod claims;
mod conditions;
mod confirm;
mod found;
mod layout;
mod lost;
mod pods;
mod quantity;
mod status;
mod verdicts;

pub use action::{Action, Change, Notice};
pub use conditions::{Failure, failing};
pub use lost::GRACE;
pub use pods::all_are_newest;
pub use status::members_absent;

use crate::crd::QuorateClusterStatus;
use crate::observed::Observed;

/// What to do now, and what to tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// In this order; the next one only when the one before has been done.
    pub actions: Vec<Action>,
    /// What people are told.
    pub status: QuorateClusterStatus,
    /// What has become different and is worth an event.
    pub notices: Vec<Notice>,
    /// How soon to look again.
    pub pace: Pace,
}

impl Plan {
    /// Whether the status says that all is as it was asked for.
    pub fn says_done(&self) -> bool {
        let progressing =
            self.status.conditions.iter().find(|condition| condition.type_ == conditions::PROGRESSING);
        progressing.is_some_and(|condition| condition.reason == verdicts::DONE)
    }
}

/// How soon to look again, when nothing happens before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pace {
    /// All is as it is to be.
    Quiet,
    /// Something is wrong that may pass by itself.
    Uneasy,
    /// Something is under way.
    Busy,
}

/// What is being done, or what it waits for; at most one thing at a time.
#[derive(Clone, Debug, Default, PartialEq)]
struct Step {
    actions: Vec<Action>,
    doing: Option<Doing>,
    /// Why fewer pods are asked for and cannot be had yet: a reason in one word, and a sentence.
    blocked: Option<(&'static str, String)>,
}

/// What the operator is at, for people.
#[derive(Clone, Debug, PartialEq)]
struct Doing {
    /// In one word.
    reason: &'static str,
    /// In a sentence that stays the same while nothing happens.
    message: String,
    /// Whether it goes on by itself.
    goes_on: bool,
}

impl Step {
    fn act(action: Action, reason: &'static str, message: String) -> Self {
        Self { actions: vec![action], ..Self::wait(reason, message) }
    }

    /// Something is under way.
    fn wait(reason: &'static str, message: String) -> Self {
        Self { doing: Some(Doing { reason, message, goes_on: true }), ..Self::default() }
    }

    /// Nothing goes on before something outside changes.
    fn stuck(reason: &'static str, message: String) -> Self {
        Self { doing: Some(Doing { reason, message, goes_on: false }), ..Self::default() }
    }

    fn blocked(reason: &'static str, message: String) -> Self {
        let doing = Some(Doing { reason, message: message.clone(), goes_on: false });
        Self { actions: Vec::new(), doing, blocked: Some((reason, message)) }
    }
}

/// What is due.
pub fn plan(observed: &Observed) -> Plan {
    let step = step(observed);
    let status = status::status(observed, &step);
    let notices = conditions::notices(observed.cluster.status.as_ref(), &status);
    let pace = status::pace(observed, &step, &status);
    Plan { actions: step.actions, status, notices, pace }
}

fn step(observed: &Observed) -> Step {
    if observed.cluster.metadata.deletion_timestamp.is_some() {
        return Step::stuck("Deleting", "the resource is being deleted".into());
    }
    if let Some(reason) = &observed.refused_spec {
        return Step::stuck("InvalidSpec", reason.clone());
    }
    if observed.cluster.spec.operation.paused {
        return layout::paused(observed);
    }
    let pods = pods::wanted(observed);
    let mut step = pods.step.or_else(|| due(observed)).or(pods.otherwise).unwrap_or_default();
    step.blocked = step.blocked.or(pods.blocked);
    let mut actions = vec![Action::Apply { pods: pods.count }];
    actions.extend(claims::grow(observed));
    actions.append(&mut step.actions);
    Step { actions, ..step }
}

/// The one thing that is due when there are as many pods as there are to be.
fn due(observed: &Observed) -> Option<Step> {
    if let Some(step) = pods::mend(observed) {
        return Some(step);
    }
    let Some(layout) = &observed.layout else {
        return found::found(observed);
    };
    if let Some(change) = &layout.change {
        return Some(layout::under_way(observed, layout, change));
    }
    layout::due(observed, layout)
        .or_else(|| pods::roll(observed, layout))
        .or_else(|| claims::delete(observed, layout))
}
