//! One operation, as often as it takes and may.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quorate_protocol::id::PartitionId;
use quorate_protocol::operation::Failure;

use crate::backoff;
use crate::cluster::Cluster;
use crate::error::{Error, Reason};
use crate::link::Link;
use crate::routing::Tried;

/// One try that failed.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) error: Error,
    /// Not to come back sooner than this.
    pub(crate) pushback: Option<Duration>,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { error, pushback: None }
    }
}

/// Something that can be tried at one node after another.
pub(crate) trait Attempt {
    type Answer;

    /// Tries it at this node, with the time that is left.
    fn attempt(
        &mut self,
        link: &Arc<Link>,
        deadline: Instant,
    ) -> impl Future<Output = Result<Self::Answer, Failed>> + Send;

    /// Whether it may be tried again although the last try may have taken effect.
    fn may_repeat_indeterminate(&self) -> bool;
}

/// Tries until there is an answer, an error that no other try would change, or no time or budget left.
pub(crate) async fn run<A: Attempt>(
    cluster: &Cluster,
    partition: PartitionId,
    deadline: Instant,
    attempt: &mut A,
) -> Result<A::Answer, Error> {
    let mut tried = Tried::default();
    let mut attempts = 0;
    let mut pauses = 0;
    let mut indeterminate = false;
    let mut said: Option<Reason> = None;
    loop {
        let routing = cluster.routing();
        let Some(link) = routing.pick(partition, &mut tried) else {
            return Err(Error::not_attempted(Reason::Unreachable {
                address: "any node".into(),
                message: "none is known".into(),
            }));
        };
        let failed = match attempt.attempt(&link, deadline).await {
            Ok(answer) => {
                if !link.is_up() {
                    link.mark_up();
                }
                cluster.budget.deposit();
                return Ok(answer);
            }
            Err(failed) => failed,
        };
        attempts += 1;
        if is_of_the_link(failed.error.reason()) {
            cluster.lost(&link);
        }
        if may_have_moved(failed.error.reason()) {
            cluster.refused();
        }
        indeterminate |= failed.error.is_indeterminate();
        // What a node has said is worth more than that another one is not there.
        if matches!(failed.error.reason(), Reason::Node(_)) {
            said = Some(failed.error.reason().clone());
        }
        let final_error = |error: Error| {
            let error = match (&said, error) {
                (Some(said), Error::NotAttempted { reason: Reason::Unreachable { .. } }) => {
                    Error::not_attempted(said.clone())
                }
                (_, error) => error,
            };
            if indeterminate { as_indeterminate(error) } else { error }
        };
        if attempts >= cluster.budget.attempts_max()
            || !another_try_may_help(failed.error.reason())
            || (indeterminate && !attempt.may_repeat_indeterminate())
        {
            return Err(final_error(failed.error));
        }
        // Nothing reached that node, so going to the next one adds no load: neither a pause nor the budget is due.
        let unreachable = matches!(failed.error.reason(), Reason::Unreachable { .. });
        if unreachable && routing.has_untried(&tried) && Instant::now() < deadline {
            continue;
        }
        let pause = backoff::pause(pauses).max(failed.pushback.unwrap_or_default());
        pauses += 1;
        let now = Instant::now();
        if now + pause >= deadline || !cluster.budget.withdraw(now) {
            return Err(final_error(failed.error));
        }
        tokio::time::sleep(pause).await;
    }
}

/// Whether the node itself is in doubt, and not just this operation.
fn is_of_the_link(reason: &Reason) -> bool {
    matches!(reason, Reason::Unreachable { .. } | Reason::ConnectionLost { .. })
}

/// Whether the node may have said no because its cluster has another layout than this client thinks.
fn may_have_moved(reason: &Reason) -> bool {
    matches!(
        reason,
        Reason::Node(
            Failure::NotAMember
                | Failure::NotBootstrapped
                | Failure::UnknownBucket(_)
                | Failure::QuorumUnavailable { .. }
                | Failure::TimedOut { .. }
                | Failure::CoordinatorLost(_)
        )
    )
}

/// Whether to ask again within this operation's time. One that ran out of it did so with all the time that was left.
fn another_try_may_help(reason: &Reason) -> bool {
    let out_of_time = matches!(reason, Reason::Node(Failure::TimedOut { .. }) | Reason::NoAnswer { .. });
    reason.is_transient() && !out_of_time
}

/// An earlier try may have taken effect, so all of it may have, whatever the last one says.
fn as_indeterminate(error: Error) -> Error {
    match error {
        Error::NotAttempted { reason } => Error::indeterminate(reason),
        indeterminate @ Error::Indeterminate { .. } => indeterminate,
    }
}
