//! How many retries there may be: without a bound, retries multiply the load on a cluster that is already in trouble.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Bounds on retries.
#[derive(Clone, Debug)]
pub struct RetryOptions {
    /// The most times that one operation is sent, the first included.
    pub attempts_max: u32,
    /// Retries that every success allows, for all operations of the client together: 0.1 lets load grow by a tenth.
    pub per_success: f64,
    /// Retries per second that are allowed without any success.
    pub per_second: f64,
    /// The most retries that can be saved up; also what a client starts with.
    pub saved_max: f64,
}

impl Default for RetryOptions {
    fn default() -> Self {
        Self {
            attempts_max: 5,
            per_success: 0.1,
            per_second: 10.0,
            // A lost connection takes everything under way with it: the burst has to fit.
            saved_max: 500.0,
        }
    }
}

/// A token bucket that successes and time fill and retries empty.
#[derive(Debug)]
pub(crate) struct RetryBudget {
    options: RetryOptions,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    saved: f64,
    filled_at: Instant,
}

impl RetryBudget {
    pub(crate) fn new(options: RetryOptions, now: Instant) -> Self {
        let saved = options.saved_max;
        Self { options, state: Mutex::new(State { saved, filled_at: now }) }
    }

    pub(crate) fn attempts_max(&self) -> u32 {
        self.options.attempts_max
    }

    /// An operation succeeded.
    pub(crate) fn deposit(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.saved = (state.saved + self.options.per_success).min(self.options.saved_max);
    }

    /// Whether one more retry is allowed; takes it out if so.
    pub(crate) fn withdraw(&self, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = now.saturating_duration_since(state.filled_at).as_secs_f64();
        state.filled_at = now;
        state.saved = (state.saved + elapsed * self.options.per_second).min(self.options.saved_max);
        if state.saved < 1.0 {
            return false;
        }
        state.saved -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn budget(now: Instant) -> RetryBudget {
        let options = RetryOptions { attempts_max: 3, per_success: 0.1, per_second: 2.0, saved_max: 5.0 };
        RetryBudget::new(options, now)
    }

    fn drain(budget: &RetryBudget, now: Instant) -> u32 {
        (0..1000).map(|_| u32::from(budget.withdraw(now))).sum()
    }

    #[test]
    fn a_burst_is_bounded_by_what_is_saved() {
        let now = Instant::now();
        assert_eq!(drain(&budget(now), now), 5);
    }

    #[test]
    fn successes_allow_a_tenth() {
        let now = Instant::now();
        let budget = budget(now);
        drain(&budget, now);
        (0..31).for_each(|_| budget.deposit());
        assert_eq!(drain(&budget, now), 3);
    }

    #[test]
    fn time_allows_a_few_and_saves_no_more_than_the_most() {
        let now = Instant::now();
        let budget = budget(now);
        drain(&budget, now);
        let later = now + Duration::from_millis(1001);
        assert_eq!(drain(&budget, later), 2);
        assert_eq!(drain(&budget, later + Duration::from_secs(3600)), 5);
    }
}
