//! The keys of a load, and which comes next.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use clap::ValueEnum;
use rand::seq::SliceRandom as _;
use rand::{SeedableRng as _, rngs::StdRng};
use rand_distr::{Distribution as _, Zipf};

/// YCSB's: the most popular of 100,000 keys gets 8 % of the operations, and the first ten a quarter.
const ZIPF_EXPONENT: f64 = 0.99;
/// The same keys are popular in every run.
const POPULARITY_SEED: u64 = 0x51_0c_a7;
const NAME_BYTES: usize = 16;

/// How operations are spread over the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Distribution {
    /// All alike.
    Uniform,
    /// Some are popular: Zipf's law with YCSB's constant, 0.99.
    Zipf,
}

/// The name of the key with this number.
pub(super) fn name(key: u32) -> Bytes {
    let mut name = [0; NAME_BYTES];
    // It fits: a number of 32 bits has ten digits at most.
    let _ = write!(&mut name[..], "bench-{key:010}");
    Bytes::copy_from_slice(&name)
}

/// Draws numbers of keys.
pub(super) enum Draw {
    Uniform(u32),
    Zipf {
        ranks: Zipf<f64>,
        /// By popularity: neighbours in rank are no neighbours in name.
        keys: Vec<u32>,
    },
}

impl Draw {
    /// Of so many keys, at least one.
    pub(super) fn new(distribution: Distribution, keys: u32) -> Result<Self> {
        Ok(match distribution {
            Distribution::Uniform => Self::Uniform(keys),
            Distribution::Zipf => {
                let ranks = Zipf::new(f64::from(keys), ZIPF_EXPONENT).context("the distribution of keys")?;
                let mut keys: Vec<u32> = (0..keys).collect();
                keys.shuffle(&mut StdRng::seed_from_u64(POPULARITY_SEED));
                Self::Zipf { ranks, keys }
            }
        })
    }

    pub(super) fn next(&self) -> u32 {
        match self {
            Self::Uniform(keys) => rand::random_range(0..*keys),
            Self::Zipf { ranks, keys } => {
                // From 1; the bound holds against rounding.
                let rank = ranks.sample(&mut rand::rng()) as usize;
                keys[rank.clamp(1, keys.len()) - 1]
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that meets the unexpected stops there")]
mod tests {
    use super::*;

    const KEYS: u32 = 1000;

    fn counts(distribution: Distribution) -> Vec<u32> {
        let draw = Draw::new(distribution, KEYS).unwrap();
        let mut counts = vec![0; KEYS as usize];
        for _ in 0..100_000 {
            counts[draw.next() as usize] += 1;
        }
        counts.sort_unstable_by(|a, b| b.cmp(a));
        counts
    }

    #[test]
    fn names_are_of_one_length() {
        assert_eq!(name(42), "bench-0000000042");
        assert_eq!(name(u32::MAX), "bench-4294967295");
    }

    #[test]
    fn uniform_keys_are_all_alike_and_zipf_keys_are_not() {
        let uniform = counts(Distribution::Uniform);
        assert!(uniform[0] < 200 && uniform[999] > 30, "{} {}", uniform[0], uniform[999]);
        // Of 1,000 keys: 1 / sum of k^-0.99 = 13 %, and half of that for the second.
        let zipf = counts(Distribution::Zipf);
        assert!((12_000..14_500).contains(&zipf[0]), "{}", zipf[0]);
        assert!((6_000..7_500).contains(&zipf[1]), "{}", zipf[1]);
    }

    #[test]
    fn one_key_is_enough() {
        for distribution in [Distribution::Uniform, Distribution::Zipf] {
            assert_eq!(Draw::new(distribution, 1).unwrap().next(), 0);
        }
    }
}
