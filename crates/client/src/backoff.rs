//! How long to wait before trying again.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(2);

/// Before the retry of this number (0 is the first): doubles each time, with a random share of it taken off, so that
/// those who failed together do not come back together.
pub(crate) fn pause(retry: u32) -> Duration {
    longest_pause(retry).mul_f64(rand::random_range(0.5..=1.0))
}

fn longest_pause(retry: u32) -> Duration {
    FIRST.saturating_mul(1 << retry.min(16)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let pauses = [0, 1, 2, 7, 8, 16, u32::MAX].map(|retry| longest_pause(retry).as_millis());
        assert_eq!(pauses, [10, 20, 40, 1280, 2000, 2000, 2000]);
    }

    #[test]
    fn jitter_takes_off_at_most_half() {
        for retry in 0..20 {
            let (pause, longest) = (pause(retry), longest_pause(retry));
            assert!(pause <= longest && pause >= longest / 2);
        }
    }
}
