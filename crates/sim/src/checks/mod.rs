//! What must never happen, a file for each promise.
//!
//! Three moments are looked at: a container that a node commits or sends ([`observed`], [`committed`]), an answer
//! ([`answered`]), and the end of a run, when all faults are over ([`at_rest`], [`repaired`]).

mod acknowledged;
mod answer_context;
mod answers;
mod arrived;
mod containers;
mod convergence;
mod dots;
mod durable;
mod epochs;
mod expiry;
mod forgetting;
mod hidden;
mod hints;
mod holes;
pub(crate) mod identity;
mod last_writer;
mod limits;
mod listing;
pub(crate) mod liveness;
mod not_attempted;
mod operations;
mod owners;
mod queues;
mod replica_memory;
mod resurrection;
mod stale_reads;
mod trees;

use bytes::Bytes;
use quorate_protocol::id::{BucketId, PartitionId};
use quorate_protocol::keys;
use quorate_protocol::operation::{Attempted, Failure, Operation, OperationResult, Outcome};
use quorate_protocol::version::{Container, Context, EncodedContainer, peek};

pub use epochs::EpochWitness;
pub(crate) use hints::{Unremembered, known as hints_known};
pub use holes::Asked;
pub(crate) use holes::{all_healed, coordinated, counts, dropped};
pub(crate) use listing::exactly_live_keys;
pub(crate) use owners::{answers_as_owner, cleared};
pub(crate) use queues::bounded;
pub(crate) use trees::{equal as trees_equal, right as trees_right};

use crate::disk::SimDisk;
use crate::oracle::{AttemptState, DotSet, Maker, Oracle};

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which promise: the name of its file here.
    pub invariant: &'static str,
    /// What was seen.
    pub detail: String,
}

/// Whether all is well.
pub type Check = Result<(), Violation>;

pub(crate) fn violation(invariant: &'static str, detail: String) -> Violation {
    Violation { invariant, detail }
}

/// What the checks may look at beside the oracle: the disks of the nodes.
pub struct Disks<'a> {
    /// For each owner of a partition, in order of preference, its disk.
    pub owners: Vec<&'a SimDisk>,
    /// The disks of the other nodes.
    pub others: Vec<&'a SimDisk>,
    /// How many owners have lost their record of the key, and have not got it back.
    pub troubled: usize,
    /// The sides that writes count in: the disks of the owners that count, none where one was lost for good, and how many of
    /// them have to have a write.
    pub sides: Vec<(Vec<Option<&'a SimDisk>>, u32)>,
}

impl Disks<'_> {
    /// What the first `n` owners would hold of a key after a crash of all.
    fn durable(&self, store_key: &[u8], n: u32) -> Result<Vec<Container>, Violation> {
        self.owners
            .iter()
            .take(n as usize)
            .map(|disk| match disk.synced_value(store_key) {
                Some(bytes) => containers::decode(&EncodedContainer(bytes)),
                None => Ok(Container::default()),
            })
            .collect()
    }

    /// What other nodes would keep of a key for its owners after a crash of all.
    pub(crate) fn kept(
        &self,
        bucket: BucketId,
        partition: PartitionId,
        key: &[u8],
    ) -> Result<Vec<Container>, Violation> {
        let store_key = keys::fallback(partition, bucket, key);
        let kept = self.others.iter().filter_map(|disk| disk.synced_value(&store_key));
        kept.map(|bytes| containers::decode(&EncodedContainer(bytes))).collect()
    }

    /// What the first `n` owners would hold after a crash of all, with what was lost since they acknowledged it and is not
    /// healed yet: they told the truth when they did.
    fn acknowledged(&self, store_key: &[u8], n: u32) -> Result<Vec<Container>, Violation> {
        self.owners.iter().take(n as usize).map(|disk| Self::acknowledged_on(disk, store_key)).collect()
    }

    /// For each side that writes count in: of how many owners this is so of what they hold or told the truth about, of how many owners,
    /// and of how many it has to be. What was lost for good told the truth before.
    fn on_sides(
        &self,
        store_key: &[u8],
        is_so: impl Fn(&Container) -> bool,
    ) -> Result<Vec<(usize, usize, usize)>, Violation> {
        let of_disk = |disk: &Option<&SimDisk>| match disk {
            Some(disk) => Ok(is_so(&Self::acknowledged_on(disk, store_key)?)),
            None => Ok(true),
        };
        let of_side = |(owners, needed): &(Vec<Option<&SimDisk>>, u32)| {
            let so: Vec<bool> = owners.iter().map(of_disk).collect::<Result<_, Violation>>()?;
            Ok((so.iter().filter(|so| **so).count(), owners.len(), *needed as usize))
        };
        self.sides.iter().map(of_side).collect()
    }

    /// The same of one disk.
    fn acknowledged_on(disk: &SimDisk, store_key: &[u8]) -> Result<Container, Violation> {
        let mut all = match disk.synced_value(store_key) {
            Some(bytes) => containers::decode(&EncodedContainer(bytes))?,
            None => Container::default(),
        };
        for lost in disk.lost_values(store_key) {
            all.merge(&containers::decode(&EncodedContainer(lost))?);
        }
        Ok(all)
    }
}

/// A container that a life of a node is about to commit or send.
pub fn observed(oracle: &mut Oracle, key: usize, encoded: &EncodedContainer, by: Maker) -> Check {
    if oracle.keys[key].was_checked(&encoded.0) {
        return Ok(());
    }
    let container = containers::decode(encoded)?;
    dots::check(oracle, key, &container, by)?;
    hidden::in_container(oracle, key, &container)?;
    oracle.keys[key].note_dropped(&container);
    oracle.keys[key].remember_checked(&encoded.0);
    Ok(())
}

/// A container that replaces another on the disk of a node whose wall clock shows `wall_ms`.
pub fn committed(
    oracle: &mut Oracle,
    key: usize,
    before: Option<Bytes>,
    after: &EncodedContainer,
    wall_ms: u64,
    entries_max: usize,
) -> Check {
    forgetting::pruned(oracle, key, before.as_ref(), after, entries_max)?;
    forgetting::stays_forgotten(oracle, key, before.as_ref(), after)?;
    expiry::committed(oracle, key, before.as_ref(), after, wall_ms)?;
    replica_memory::check(&oracle.keys[key], before, after)
}

/// An owner removes its record of a key.
pub fn removed(oracle: &mut Oracle, key: usize, before: Option<Bytes>) -> Check {
    forgetting::removed(oracle, key, before)
}

/// A coordinator whose wall clock shows `wall_ms` says how a read ended: to its client or to a node that forwarded it.
pub fn told(result: &OperationResult, wall_ms: u64) -> Check {
    match result {
        Ok(Outcome::Get(found)) => expiry::shown(found, wall_ms),
        Ok(Outcome::Put(_) | Outcome::Delete(_) | Outcome::List(_)) | Err(_) => Ok(()),
    }
}

/// An answer, at the moment the node gives it. Does the oracle's bookkeeping too.
pub fn answered(
    oracle: &mut Oracle,
    attempt: usize,
    result: &OperationResult,
    disks: Option<&Disks<'_>>,
    late_us: u64,
) -> Check {
    answers::once_and_in_time(oracle, attempt, late_us)?;
    oracle.attempts[attempt].state = AttemptState::Answered;
    let operation = oracle.attempts[attempt].operation;
    match result {
        Ok(outcome) => {
            operations::may_succeed(oracle, operation)?;
            succeeded(oracle, attempt, outcome, disks)
        }
        Err(error) => {
            if error.attempted == Attempted::NotAttempted {
                if oracle.refused(operation) {
                    not_attempted::check(oracle, operation)?;
                }
            } else if let Some(token) = &error.context
                && oracle.is_blind_delete(operation)
            {
                let context = open(token)?;
                let key = answers::key(oracle, operation)?;
                oracle.blind_delete_told(operation, oracle.keys[key].covered(&context));
            }
            if let Failure::Invalid { field, reason } = &error.failure {
                operations::may_be_invalid(oracle, operation, field, reason)?;
            }
            Ok(())
        }
    }
}

fn succeeded(oracle: &mut Oracle, attempt: usize, outcome: &Outcome, disks: Option<&Disks<'_>>) -> Check {
    let operation = oracle.attempts[attempt].operation;
    match (&oracle.operations[operation].operation, outcome) {
        (Operation::Put(_), Outcome::Put(written)) | (Operation::Delete(_), Outcome::Delete(written)) => {
            let key = answers::key(oracle, operation)?;
            let context = open(&written.context)?;
            // A delete that finds nothing, and never was anything, writes nothing.
            if !context.is_empty() {
                answers::enough(oracle, operation, written.primaries, written.fallbacks)?;
            }
            epochs::answered(written.epoch)?;
            oracle.keys[key].learn(&context);
            let covered = oracle.keys[key].covered(&context);
            if oracle.is_blind_delete(operation) {
                // Its read half may have been answered by fallbacks.
                if !oracle.operations[operation].quorum.sloppy {
                    stale_reads::covers(oracle, attempt, &covered)?;
                }
                oracle.blind_delete_told(operation, covered.clone());
            }
            answer_context::of_write(oracle, operation, &covered, disks)?;
            if let Some(disks) = disks {
                let claimed = (written.primaries, written.fallbacks);
                durable::check(oracle, operation, claimed, &context, disks)?;
            }
            let record = &oracle.operations[operation];
            // What fewer copies hold than are lost at present may be gone already.
            let survives = disks.is_none_or(|disks| written.primaries as usize > disks.troubled);
            if record.quorum.whole && survives {
                let gone = record.seen.clone();
                // In a change of the layout fallbacks keep nothing from being read past them.
                let promised = if oracle.moves && record.quorum.sloppy { 0 } else { written.primaries };
                oracle.keys[key].promise(promised, &covered, &gone);
                oracle.keys[key].promise_with_fallbacks(written.primaries + written.fallbacks, &covered);
            }
            oracle.acknowledged(operation);
            Ok(())
        }
        (Operation::Get(_), Outcome::Get(found)) => {
            let key = answers::key(oracle, operation)?;
            let context = open(&found.context)?;
            answers::enough(oracle, operation, found.primaries, found.fallbacks)?;
            epochs::answered(found.epoch)?;
            let shown = operations::shown(oracle, key, &found.siblings)?;
            oracle.keys[key].learn(&context);
            let covered = oracle.keys[key].covered(&context);
            // With fallbacks in the place of owners r + w > n promises convergence, not freshness.
            let quorum = oracle.operations[operation].quorum;
            let fresh = if oracle.moves { !quorum.sloppy } else { found.primaries >= quorum.r };
            if fresh {
                stale_reads::covers(oracle, attempt, &covered)?;
                resurrection::in_answer(oracle, attempt, &shown)?;
            }
            hidden::in_answer(oracle, key, &covered, &shown)?;
            if found.fallbacks > 0 {
                return Ok(());
            }
            last_writer::check(oracle, attempt, &shown)
        }
        (Operation::List(list), Outcome::List(listed)) => listing::page(oracle, attempt, list, listed),
        (operation, outcome) => {
            Err(violation("answers", format!("{operation:?} was answered with {outcome:?}")))
        }
    }
}

/// All faults are over, nothing is under way, and nobody has read yet.
pub fn at_rest(oracle: &Oracle, key: usize, disks: &Disks<'_>) -> Check {
    acknowledged::check(oracle, key, disks)?;
    resurrection::on_disks(oracle, key, disks)
}

/// Replicas are equal: nothing acknowledged is missing on any.
pub fn arrived(oracle: &Oracle, key: usize, disks: &Disks<'_>) -> Check {
    arrived::check(oracle, key, disks)
}

/// After a read that asked all owners and the repairs it caused, or after anti-entropy had its time.
pub fn repaired(oracle: &Oracle, key: usize, disks: &Disks<'_>) -> Check {
    convergence::check(oracle, key, disks)
}

/// All nodes that ought to have answered have.
pub fn all_answered(oracle: &Oracle) -> Check {
    answers::none_open(oracle)
}

fn open(token: &Bytes) -> Result<Context, Violation> {
    peek(token)
        .map_err(|error| violation("answers", format!("a context in an answer is unreadable: {error}")))
}

/// A write in words, for the details of violations.
pub(crate) fn name(oracle: &Oracle, key: usize, at: usize) -> String {
    let record = &oracle.keys[key].dots()[at];
    format!(
        "{} (of {})",
        crate::describe::dot(record.dot),
        crate::describe::operation_name(oracle, record.operation)
    )
}

fn names(oracle: &Oracle, key: usize, set: &DotSet) -> String {
    let list: Vec<String> = set.iter().map(|at| name(oracle, key, at)).collect();
    if list.is_empty() { "nothing".into() } else { list.join(", ") }
}
