//! How many owners of a partition must have done something before a change goes on.
//!
//! The counts come from the quorums: whatever a write quorum has acknowledged must be among what is gathered, and whatever
//! read quorum forms afterwards must meet those who have gathered it.

use super::{Layout, QuorumSizes, Side};

/// The counts of one change, for every partition that takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// An owner has caught up when it has merged what so many old owners hold, itself included when it is one.
    pub gathered_from: usize,
    /// So many new owners must have caught up before reads go to them.
    pub caught_up: usize,
    /// So many old owners must know that reads have moved, before the old lists go.
    pub know: usize,
    /// So many new owners must durably cover what a leaving owner holds.
    pub cover: usize,
}

impl Layout {
    /// What the change under way needs; none without one.
    pub fn needs(&self) -> Option<Needs> {
        let change = self.change.as_deref()?;
        let (mut r_min, mut w_min, mut w_max) = (None, None, 1);
        for bucket in &self.buckets {
            let both = [self.sizes(bucket, Side::Old), self.sizes(bucket, Side::New)];
            w_max = both.iter().map(|sizes| sizes.w).fold(w_max, u32::max);
            // A bucket that is strict on one side only promises what that side promises, and the quorums of the other are the
            // ones that it meets on the way.
            if both.iter().any(|sizes| sizes.is_strict()) {
                let least = |of: fn(&QuorumSizes) -> u32| both.iter().map(of).min();
                r_min = r_min.into_iter().chain(least(|sizes| sizes.r)).min();
                w_min = w_min.into_iter().chain(least(|sizes| sizes.w)).min();
            }
        }
        let (old, new) = (self.n as usize, change.n as usize);
        // Without a strict bucket no quorums need to meet: one is enough.
        let complement = |n: usize, least: Option<u32>| {
            least.map_or(1, |least| (n + 1).saturating_sub(least as usize)).clamp(1, n)
        };
        let w_max = w_max as usize;
        Some(Needs {
            gathered_from: complement(old, w_min),
            caught_up: complement(new, r_min).max(w_max.min(new)),
            know: complement(old, r_min),
            cover: w_max.min(new),
        })
    }
}
