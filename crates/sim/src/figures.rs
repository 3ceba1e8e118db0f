//! How much was done in runs, and what went wrong in them.

use quorate_protocol::operation::{Attempted, Operation, OperationResult};
use serde::Serialize;

/// Counts over one run or many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Things that happened.
    pub steps: u64,
    /// Puts that were acknowledged.
    pub puts: u64,
    /// Deletes that were acknowledged.
    pub deletes: u64,
    /// Reads that were answered.
    pub gets: u64,
    /// Listings that were answered.
    pub lists: u64,
    /// Answers that said that nothing was done.
    pub refused: u64,
    /// Answers that could not say.
    pub indeterminate: u64,
    /// Attempts under an id that was sent before.
    pub retries: u64,
    /// Processes that died.
    pub crashes: u64,
    /// Processes that stood still for a while.
    pub pauses: u64,
    /// Directions that were cut.
    pub cuts: u64,
    /// Episodes of slow, full or damaged disks.
    pub disk_faults: u64,
    /// Wall clocks that jumped.
    pub wall_jumps: u64,
    /// Batches handed to the network.
    pub batches_sent: u64,
    /// Batches that it lost.
    pub batches_lost: u64,
    /// Batches that it delivered twice.
    pub batches_doubled: u64,
    /// Syncs of disks.
    pub syncs: u64,
    /// Stale replicas that reads have repaired.
    pub read_repairs: u64,
    /// Nodes declared down, by each that heard of it.
    pub declared_down: u64,
    /// Deaths that lasted long enough to be noticed, by each that had to.
    pub deaths_noticed: u64,
    /// Values whose time was over that reads and background scans have dropped.
    pub expired_values: u64,
    /// Hints that were brought to their owners.
    pub hints_delivered: u64,
    /// Records of deleted keys that owners forgot while faults went on,
    pub forgotten: u64,
    /// and entries of retired actors.
    pub actors_pruned: u64,
    /// Damaged records that nodes have met.
    pub holes: u64,
    /// Of these, those that were healed.
    pub healed: u64,
    /// Layouts that were adopted after the first,
    pub layouts: u64,
    /// changes of the layout that were finished,
    pub changes: u64,
    /// and disks that were lost for good.
    pub disks_lost: u64,
    /// Disks that were put back to what they were earlier,
    pub rolled_back: u64,
    /// and nodes that gave up what they were.
    pub given_up: u64,
}

impl Figures {
    /// Counts an answer.
    pub(crate) fn count(&mut self, operation: &Operation, result: &OperationResult) {
        match (operation, result) {
            (Operation::Put(_), Ok(_)) => self.puts += 1,
            (Operation::Delete(_), Ok(_)) => self.deletes += 1,
            (Operation::Get(_), Ok(_)) => self.gets += 1,
            (Operation::List(_), Ok(_)) => self.lists += 1,
            (_, Err(error)) if error.attempted == Attempted::NotAttempted => self.refused += 1,
            (_, Err(_)) => self.indeterminate += 1,
        }
    }

    /// Adds another run's counts.
    pub fn add(&mut self, other: &Self) {
        let Self {
            steps,
            puts,
            deletes,
            gets,
            lists,
            refused,
            indeterminate,
            retries,
            crashes,
            pauses,
            cuts,
            disk_faults,
            wall_jumps,
            batches_sent,
            batches_lost,
            batches_doubled,
            syncs,
            read_repairs,
            declared_down,
            deaths_noticed,
            expired_values,
            hints_delivered,
            forgotten,
            actors_pruned,
            holes,
            healed,
            layouts,
            changes,
            disks_lost,
            rolled_back,
            given_up,
        } = *other;
        self.steps += steps;
        self.puts += puts;
        self.deletes += deletes;
        self.gets += gets;
        self.lists += lists;
        self.refused += refused;
        self.indeterminate += indeterminate;
        self.retries += retries;
        self.crashes += crashes;
        self.pauses += pauses;
        self.cuts += cuts;
        self.disk_faults += disk_faults;
        self.wall_jumps += wall_jumps;
        self.batches_sent += batches_sent;
        self.batches_lost += batches_lost;
        self.batches_doubled += batches_doubled;
        self.syncs += syncs;
        self.read_repairs += read_repairs;
        self.declared_down += declared_down;
        self.deaths_noticed += deaths_noticed;
        self.expired_values += expired_values;
        self.hints_delivered += hints_delivered;
        self.forgotten += forgotten;
        self.actors_pruned += actors_pruned;
        self.holes += holes;
        self.healed += healed;
        self.layouts += layouts;
        self.changes += changes;
        self.disks_lost += disks_lost;
        self.rolled_back += rolled_back;
        self.given_up += given_up;
    }
}
