//! Percentiles of a few thousand samples, exactly.

use serde::Serialize;

/// Percentiles, in the unit of the samples; all 0 when there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Quantiles {
    /// The median.
    pub p50: u64,
    /// 95 of 100 samples are not greater.
    pub p95: u64,
    /// 99 of 100 samples are not greater.
    pub p99: u64,
}

impl Quantiles {
    /// By nearest rank: each is one of the samples.
    pub fn of(samples: &[u64]) -> Self {
        let mut sorted = samples.to_vec();
        sorted.sort_unstable();
        let at = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100);
            sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
        };
        Self { p50: at(50), p95: at(95), p99: at(99) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_rank_is_a_sample() {
        let hundred: Vec<u64> = (1..=100).rev().collect();
        assert_eq!(Quantiles::of(&hundred), Quantiles { p50: 50, p95: 95, p99: 99 });
        assert_eq!(Quantiles::of(&[7]), Quantiles { p50: 7, p95: 7, p99: 7 });
        assert_eq!(Quantiles::of(&[1, 9]), Quantiles { p50: 1, p95: 9, p99: 9 });
        assert_eq!(Quantiles::of(&[]), Quantiles::default());
    }
}
