//! Going on through trouble: long work outlives the death of a node.

use std::time::Duration;

use quorate_client::Error;
use tokio::time::Instant;

const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_LONGEST: Duration = Duration::from_secs(2);

/// Repeats what fails for a reason that can pass, until it has gone on failing for this long. What is repeated has to
/// take effect once: it carries the same operation id each time.
pub(crate) async fn patiently<T>(
    give_up_after: Duration,
    mut attempt: impl AsyncFnMut() -> Result<T, Error>,
    mut on_retry: impl FnMut(&Error),
) -> Result<T, Error> {
    let begun = Instant::now();
    let mut pause = PAUSE_FIRST;
    loop {
        let error = match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        if !error.reason().is_transient() || begun.elapsed() + pause > give_up_after {
            return Err(error);
        }
        on_retry(&error);
        tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..=1.0))).await;
        pause = (pause * 2).min(PAUSE_LONGEST);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that meets the unexpected stops there")]
mod tests {
    use quorate_client::{Failure, Reason};

    use super::*;

    async fn attempts(failure: Failure, give_up_after: Duration) -> u32 {
        let mut attempts = 0;
        let attempt = async || {
            attempts += 1;
            if attempts == 4 {
                Ok(())
            } else {
                Err(Error::NotAttempted { reason: Reason::Node(failure.clone()) })
            }
        };
        let _ = patiently(give_up_after, attempt, |_| {}).await;
        attempts
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_can_pass_is_repeated_and_not_for_ever() {
        assert_eq!(attempts(Failure::DiskFull, Duration::from_secs(60)).await, 4);
        assert_eq!(attempts(Failure::DiskFull, Duration::ZERO).await, 1);
        assert_eq!(attempts(Failure::UnknownBucket("a".into()), Duration::from_secs(60)).await, 1);
    }
}
