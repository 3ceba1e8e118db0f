//! How the layout changes in a run: which orders operators give, and how often.

use quorate_protocol::layout::QuorumSizes;

use crate::oracle::Oracle;
use crate::rng::SimRng;

/// What an operator asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// One more member.
    Add,
    /// One member fewer.
    Remove,
    /// One member in the place of another.
    Replace,
    /// Another weight for a member.
    Weigh,
    /// Other n, r and w.
    Resize,
    /// Back to what was before.
    Cancel,
    /// Stand still for a while.
    Pause,
    /// Go on.
    Resume,
}

/// All moves, in the order of [`MovesPlan::weights`].
pub const MOVES: [Move; 8] = [
    Move::Add,
    Move::Remove,
    Move::Replace,
    Move::Weigh,
    Move::Resize,
    Move::Cancel,
    Move::Pause,
    Move::Resume,
];

/// What operators do in one run.
#[derive(Clone, Debug)]
pub struct MovesPlan {
    /// Machines beside the first members.
    pub spares: usize,
    /// How far orders are apart, on average.
    pub every_us: u64,
    /// No more orders than this.
    pub budget: u32,
    /// How often each of [`MOVES`] is drawn, relative to the others.
    pub weights: [u32; MOVES.len()],
    /// The sizes that the default bucket may have; the cluster's n is the same.
    pub sizes: Vec<QuorumSizes>,
    /// Whether a disk may be lost for good.
    pub loses_disks: bool,
    /// Whether a disk may be put back to what it was earlier.
    pub rolls_back: bool,
    /// Whether operators may declare a member lost that lives on.
    pub gives_up: bool,
    /// Whether two operators may order at the same time.
    pub rivals: bool,
}

impl MovesPlan {
    /// A swarm's plan for a cluster founded with these sizes.
    pub fn draw(rng: &mut SimRng, first: QuorumSizes) -> Self {
        let mut weights = [0; MOVES.len()];
        for weight in &mut weights {
            if rng.chance(0.6) {
                *weight = u32::try_from(rng.between(1, 10)).unwrap_or(1);
            }
        }
        weights[rng.below(4)] += 5;
        // Whoever may pause may resume.
        weights[7] = weights[7].max(2 * weights[6]);
        let mut sizes = vec![first];
        for _ in 0..rng.below(4) {
            let n = u32::try_from(rng.between(1, 4)).unwrap_or(3);
            let w = u32::try_from(rng.between(1, u64::from(n))).unwrap_or(1);
            let least_r = n + 1 - w;
            let r = if rng.chance(0.8) {
                least_r
            } else {
                u32::try_from(rng.between(u64::from(least_r), u64::from(n))).unwrap_or(n)
            };
            sizes.push(QuorumSizes { n, r, w });
        }
        Self {
            spares: 1 + rng.below(3),
            every_us: rng.spread(20_000, 400_000),
            budget: u32::try_from(rng.between(2, 10)).unwrap_or(2),
            weights,
            sizes,
            loses_disks: rng.chance(0.3),
            rolls_back: rng.chance(0.3),
            gives_up: false,
            rivals: false,
        }
    }

    /// Sets how often a move is drawn.
    pub fn weigh(&mut self, of: Move, weight: u32) {
        for (kind, slot) in MOVES.iter().zip(&mut self.weights) {
            if *kind == of {
                *slot = weight;
            }
        }
    }

    /// The oracle counts no copies then.
    pub fn tell(&self, oracle: &mut Oracle) {
        oracle.moves = true;
        for key in &mut oracle.keys {
            let own = key.bucket.sizes();
            let all = || self.sizes.iter().copied().chain([own]);
            key.will_move(all().all(QuorumSizes::is_strict), all().map(|sizes| sizes.w).min().unwrap_or(1));
        }
    }
}
