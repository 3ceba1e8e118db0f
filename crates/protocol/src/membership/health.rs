//! How far a node may trust its own judgement (Lifeguard: Dadgar, Phillips and Currey, 2018).

use std::time::Duration;

/// The greatest multiplier.
const MULTIPLIER_MAX: u32 = 8;

/// Grows with every sign that the node itself is slow, cut off or overloaded, shrinks with every probe that succeeds.
/// It stretches the times after which the node judges others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Health {
    multiplier: u32,
}

impl Default for Health {
    fn default() -> Self {
        Self { multiplier: 1 }
    }
}

impl Health {
    /// A sign of own trouble.
    pub(crate) fn worse(&mut self) {
        self.multiplier = (self.multiplier + 1).min(MULTIPLIER_MAX);
    }

    /// A sign of well-being.
    pub(crate) fn better(&mut self) {
        self.multiplier = (self.multiplier - 1).max(1);
    }

    /// From 1, well, to 8.
    pub(crate) fn multiplier(self) -> u32 {
        self.multiplier
    }

    /// A time, stretched.
    pub(crate) fn stretch(self, time: Duration) -> Duration {
        time * self.multiplier
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_between_one_and_eight() {
        let mut health = Health::default();
        health.better();
        assert_eq!(health.multiplier(), 1);
        (0..20).for_each(|_| health.worse());
        assert_eq!(health.multiplier(), MULTIPLIER_MAX);
        assert_eq!(health.stretch(Duration::from_secs(2)), Duration::from_secs(16));
        (0..3).for_each(|_| health.better());
        assert_eq!(health.multiplier(), MULTIPLIER_MAX - 3);
    }
}
