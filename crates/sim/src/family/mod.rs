//! Families of runs: the mix draws everything; the focused ones bend its draw towards one kind of trouble.

mod changes;
mod failures;

use std::fmt;
use std::str::FromStr;

use crate::faults::FaultPlan;
use crate::plan::Plan;
use crate::rng::SimRng;

/// What a run is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// Everything, drawn by swarm.
    Mix,
    /// Processes die often, one at a time and all at once, with acknowledgements just given.
    Crash,
    /// The network falls apart, silently and aloud, one way and both.
    Partition,
    /// Disks sync slowly, so that much is visible and not durable.
    SlowDisk,
    /// Disks cannot read records back, or have no room, and nothing stays in memory.
    BadDisk,
    /// Clients retry under the same id, at the same node and at others, while the first attempt may still run.
    Retry,
    /// Last-writer-wins buckets under jumping clocks.
    LastWriter,
    /// Much is deleted, having been seen or blindly, while replicas miss it.
    Delete,
    /// Fallbacks stand in for owners that cannot be reached, and bring them what they missed.
    Sloppy,
    /// The cluster is founded while everything goes wrong, and little is done in it.
    Founding,
    /// Replicas miss much, and nothing but anti-entropy makes them equal.
    AntiEntropy,
    /// Nodes are dead, stand still or are cut off for so long that the gossip notices.
    Liveness,
    /// Much is deleted and forgotten soon, while replicas miss it and messages are late.
    Purge,
    /// Operators add, remove, replace and weigh members and change n, r and w, while everything goes wrong.
    Moves,
    /// Operators change n, r and w from one extreme to another, at the pace of clients and faults that last as long as a stage.
    Reshape,
    /// Members are replaced, also those whose disks are lost, at that pace; what leaves holds more than anybody else.
    Replace,
    /// Several operators order different things at the same time, and voters die in between.
    Rivals,
    /// Disks are put back to what they were earlier, and their nodes have to be found out and replaced.
    Rollback,
    /// Values expire, in buckets of both kinds, under right and under jumping clocks.
    Expiry,
}

/// All families.
pub const FAMILIES: [Family; 19] = [
    Family::Mix,
    Family::Crash,
    Family::Partition,
    Family::SlowDisk,
    Family::BadDisk,
    Family::Retry,
    Family::LastWriter,
    Family::Delete,
    Family::Sloppy,
    Family::Founding,
    Family::Liveness,
    Family::AntiEntropy,
    Family::Expiry,
    Family::Purge,
    Family::Moves,
    Family::Reshape,
    Family::Replace,
    Family::Rivals,
    Family::Rollback,
];

impl Family {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mix => "mix",
            Self::Crash => "crash",
            Self::Partition => "partition",
            Self::SlowDisk => "slow-disk",
            Self::BadDisk => "bad-disk",
            Self::Retry => "retry",
            Self::LastWriter => "lww",
            Self::Delete => "delete",
            Self::Sloppy => "sloppy",
            Self::Founding => "founding",
            Self::Liveness => "liveness",
            Self::AntiEntropy => "anti-entropy",
            Self::Expiry => "expiry",
            Self::Purge => "purge",
            Self::Moves => "moves",
            Self::Reshape => "reshape",
            Self::Replace => "replace",
            Self::Rivals => "rivals",
            Self::Rollback => "rollback",
        }
    }

    /// A number that keeps the draws of the families apart.
    pub(crate) fn stream(self) -> u64 {
        match self {
            Self::Mix => 1,
            Self::Crash => 2,
            Self::Partition => 3,
            Self::SlowDisk => 4,
            Self::Retry => 5,
            Self::LastWriter => 6,
            Self::Delete => 7,
            Self::BadDisk => 8,
            Self::Founding => 9,
            Self::Sloppy => 12,
            Self::Liveness => 10,
            Self::AntiEntropy => 11,
            Self::Expiry => 13,
            Self::Purge => 14,
            Self::Moves => 15,
            Self::Reshape => 16,
            Self::Replace => 17,
            Self::Rivals => 18,
            Self::Rollback => 19,
        }
    }

    /// Bends a plan towards what the family is about.
    pub(crate) fn bend(self, plan: &mut Plan, rng: &mut SimRng) {
        match self {
            Self::Mix => {}
            Self::Crash => failures::crash(plan, rng),
            Self::Partition => failures::partition(plan, rng),
            Self::SlowDisk => failures::slow_disk(plan, rng),
            Self::BadDisk => failures::bad_disk(plan, rng),
            Self::Retry => failures::retry(plan, rng),
            Self::LastWriter => failures::last_writer(plan, rng),
            Self::Delete => failures::delete(plan, rng),
            Self::Sloppy => failures::sloppy(plan, rng),
            Self::Founding => failures::founding(plan, rng),
            Self::Liveness => failures::liveness(plan, rng),
            Self::AntiEntropy => failures::anti_entropy(plan, rng),
            Self::Expiry => failures::expiry(plan, rng),
            Self::Purge => failures::purge(plan, rng),
            Self::Moves => changes::moves(plan, rng),
            Self::Reshape => changes::reshape(plan, rng),
            Self::Replace => changes::replace(plan, rng),
            Self::Rivals => changes::rivals(plan, rng),
            Self::Rollback => changes::rollback(plan, rng),
        }
    }
}

/// Takes the random faults out; what the family is about is put in after.
fn quiet(faults: &mut FaultPlan) {
    for weight in &mut faults.weights {
        *weight = 0;
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Family {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        FAMILIES.into_iter().find(|family| family.name() == text).ok_or_else(|| {
            let names: Vec<_> = FAMILIES.iter().map(|family| family.name()).collect();
            format!("there is no family {text:?}; there are {}", names.join(", "))
        })
    }
}
