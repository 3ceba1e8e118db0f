//! Randomness from a seed: one generator per purpose, so that one more draw in one place changes nothing elsewhere.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};

/// A ChaCha8 stream.
#[derive(Clone, Debug)]
pub struct SimRng(ChaCha8Rng);

impl SimRng {
    /// The stream of a number under a seed; different numbers give unrelated streams.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self(rng)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A seed for something with a generator of its own.
    pub fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.0.fill_bytes(&mut seed);
        seed
    }

    /// 0 to `n - 1`; 0 when `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        let product = u128::from(self.bits()) * n as u128;
        usize::try_from(product >> 64).unwrap_or(0)
    }

    /// `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        let product = u128::from(self.bits()) * (u128::from(high.saturating_sub(low)) + 1);
        low + u64::try_from(product >> 64).unwrap_or(0)
    }

    /// Between `low` and `high`, small values as likely as large ones in their order of magnitude.
    pub fn spread(&mut self, low: u64, high: u64) -> u64 {
        let (low_log, high_log) = ((low.max(1) as f64).ln(), (high.max(1) as f64).ln());
        let log = low_log + (high_log - low_log) * self.fraction();
        (log.exp().round() as u64).clamp(low, high)
    }

    /// 0.0 up to, but not, 1.0.
    pub fn fraction(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True in this share of the cases.
    pub fn chance(&mut self, share: f64) -> bool {
        share > 0.0 && self.fraction() < share
    }

    /// One of these, which are not none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// The position of one of these, each as likely as its weight; `None` when all weights are 0.
    pub fn weighted(&mut self, weights: &[u32]) -> Option<usize> {
        let total: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
        if total == 0 {
            return None;
        }
        let mut at = self.between(0, total - 1);
        for (index, &weight) in weights.iter().enumerate() {
            match at.checked_sub(u64::from(weight)) {
                Some(rest) => at = rest,
                None => return Some(index),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_reproducible_and_differ() {
        let draw = |seed, stream| SimRng::new(seed, stream).bits();
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(1, 3));
        assert_ne!(draw(1, 2), draw(2, 2));
    }

    #[test]
    fn draws_stay_in_their_bounds() {
        let mut rng = SimRng::new(7, 0);
        for _ in 0..1000 {
            assert!(rng.below(3) < 3);
            assert!((5..=9).contains(&rng.between(5, 9)));
            assert!((10..=10_000).contains(&rng.spread(10, 10_000)));
            assert_eq!(rng.weighted(&[0, 3, 0]), Some(1));
        }
        assert_eq!(rng.weighted(&[0, 0]), None);
        assert!(!rng.chance(0.0));
        assert!(rng.chance(1.0));
    }
}
