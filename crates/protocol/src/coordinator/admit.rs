//! The gate: everything that can be known to be wrong is refused here, before anything is sent or stored.

use std::time::Duration;

use bytes::Bytes;

use super::quorum::{Quorum, Quorums};
use super::{Job, Running, Source, Target, delete, get, put};
use crate::id::NodeId;
use crate::layout::{Bucket, Layout};
use crate::limits::{Limits, ttl_ms};
use crate::message::{KeyRef, Place, Tag};
use crate::node::Node;
use crate::operation::{Failure, Operation, OperationError, Timed, Ttl};
use crate::time::Time;
use crate::turn::Turn;
use crate::version::{Context, TokenError};

impl Node {
    /// A client or another node wants something done.
    pub(crate) fn admit(&mut self, turn: &mut Turn<'_>, source: Source, timed: Timed) {
        if let Err(failure) = self.try_admit(turn, &source, timed) {
            self.stats.refused += 1;
            self.finish(turn, source, Err(OperationError::not_attempted(failure)));
        }
    }

    /// A node that took us for a primary wants something done.
    pub(crate) fn admit_forwarded(&mut self, turn: &mut Turn<'_>, node: NodeId, tag: Tag, timed: Timed) {
        // A copy of a request that is under way or done: its first copy is answered.
        if self.coordinator.recent.is_new_forward(turn.time(), node, tag) {
            self.admit(turn, Source::Peer { node, tag }, timed);
        }
    }

    fn try_admit(&mut self, turn: &mut Turn<'_>, source: &Source, timed: Timed) -> Result<(), Failure> {
        let layout = self.layout.clone().ok_or(Failure::NotBootstrapped)?;
        if layout.member(self.config.node).is_none() {
            return Err(Failure::NotAMember);
        }
        if self.standing.waits() {
            return Err(Failure::Starting);
        }
        let limits = &self.config.limits;
        let deadline = turn.time() + check_timeout(limits, timed.timeout)?;
        if self.coordinator.awaited() >= limits.client_operations {
            let reason = format!("{} operations are under way", limits.client_operations);
            return Err(Failure::Overloaded(reason));
        }
        // Each write that ran out of time while the disk stalled still waits there.
        if self.commits.waiting() >= limits.client_operations {
            return Err(Failure::Overloaded("the disk does not keep up".into()));
        }
        let operation = timed.operation;
        if operation.is_write() && !self.writable {
            return Err(Failure::DiskFull);
        }
        let bucket = layout
            .bucket(operation.bucket())
            .ok_or_else(|| Failure::UnknownBucket(operation.bucket().to_owned()))?;
        let mut quorums = Quorums::resolve(&layout, bucket, operation.quorum())?;
        if matches!(operation, Operation::List(_)) {
            // What a fallback keeps is no part of a partition's pages.
            quorums = quorums.strict();
        }
        let partition = match &operation {
            Operation::Put(put) => {
                check_put(limits, put)?;
                time_to_live(limits, bucket, put.ttl)?;
                layout.partition_of(bucket.id, &put.key)
            }
            Operation::Get(get) => {
                check_key(limits, &get.key)?;
                layout.partition_of(bucket.id, &get.key)
            }
            Operation::Delete(delete) => {
                check_key(limits, &delete.key)?;
                layout.partition_of(bucket.id, &delete.key)
            }
            Operation::List(list) => {
                check_list(limits, &layout, list)?;
                list.partition
            }
        };
        let seen = self.open_context(bucket, &operation)?;
        let owners = quorums.reading(&layout, partition);
        let fallbacks = if quorums.sloppy { layout.fallbacks(partition) } else { Vec::new() };
        let hole = operation
            .key()
            .is_some_and(|key| self.holes.has(&KeyRef { partition, bucket: bucket.id, key: key.clone() }));
        let Some(place) = self.place_to_coordinate(owners, &fallbacks, hole) else {
            if !matches!(source, Source::Client(_)) {
                // It was sent here by one who believes otherwise: not to be sent on in circles.
                return Err(Failure::QuorumUnavailable { needed: quorums.needed(&operation), reachable: 0 });
            }
            return self.forward(turn, source, deadline, operation, [owners, &fallbacks].concat());
        };
        if place == Place::Fallback && operation.is_write() && self.keeps_enough(operation.value_bytes()) {
            return Err(Failure::Overloaded("it keeps as much for owners as it may".into()));
        }
        let reads = match &operation {
            Operation::Get(_) | Operation::List(_) => true,
            Operation::Delete(_) => seen.is_empty() || quorums.lww,
            Operation::Put(_) => false,
        };
        if reads {
            self.check_reachable(owners, quorums.read, &fallbacks)?;
        }
        if operation.is_write() {
            for (counting, quorum) in quorums.writing(&layout, partition) {
                self.check_reachable(counting, quorum, &fallbacks)?;
            }
        }
        let target =
            |key: Bytes| Target { key: KeyRef { partition, bucket: bucket.id, key }, place, quorums };
        let job = match operation {
            Operation::Put(put) => {
                let ttl_ms = time_to_live(limits, bucket, put.ttl)?;
                Job::Put(put::Waiting::new(target(put.key.clone()), put, seen, ttl_ms))
            }
            Operation::Get(get) => Job::Get(get::Reading::for_get(target(get.key), owners)),
            Operation::Delete(delete) if delete.context.is_empty() || quorums.lww => {
                Job::Get(get::Reading::for_delete(target(delete.key), owners, seen))
            }
            Operation::Delete(delete) => Job::Delete(delete::Waiting::new(target(delete.key), seen, false)),
            Operation::List(list) => {
                self.list(turn, source.clone(), deadline, list, bucket, quorums, owners);
                return Ok(());
            }
        };
        self.start(turn, source.clone(), deadline, job);
        Ok(())
    }

    /// Begins an operation on a key, which needs the key's container first.
    pub(crate) fn start(&mut self, turn: &mut Turn<'_>, source: Source, deadline: Time, job: Job) -> Tag {
        let key = match &job {
            Job::Put(waiting) => Some((waiting.target.place, waiting.target.key.clone())),
            Job::Get(reading) => Some((reading.target.place, reading.target.key.clone())),
            Job::Delete(waiting) => Some((waiting.target.place, waiting.target.key.clone())),
            Job::Write(_) | Job::List(_) | Job::Forward(_) => None,
        };
        let began = turn.now;
        let tag = self.coordinator.insert(Running { source, began, deadline, timer: deadline, job });
        if let Some((place, key)) = key {
            self.with_record(turn, place, &key, crate::working_set::Task::Coordinate(tag));
        }
        tag
    }

    /// In which role this node coordinates: as an owner that counts; else as a fallback, when no owner that counts
    /// can be reached; else it does not. Nor where its own record is damaged.
    fn place_to_coordinate(&self, owners: &[NodeId], fallbacks: &[NodeId], hole: bool) -> Option<Place> {
        if owners.contains(&self.config.node) {
            return (!hole).then_some(Place::Replica);
        }
        let stands_in = fallbacks.contains(&self.config.node) && self.reachable(owners) == 0;
        stands_in.then_some(Place::Fallback)
    }

    fn open_context(&self, bucket: &Bucket, operation: &Operation) -> Result<Context, Failure> {
        let (key, token) = match operation {
            Operation::Put(put) => (&put.key, &put.context),
            Operation::Delete(delete) => (&delete.key, &delete.context),
            Operation::Get(_) | Operation::List(_) => return Ok(Context::default()),
        };
        let Some(tokens) = &self.tokens else {
            return Err(Failure::NotBootstrapped);
        };
        let context = tokens
            .open(bucket.id, key, token)
            .map_err(|error: TokenError| Failure::Invalid { field: "context", reason: error.to_string() })?;
        let scattered = context.cloud().len();
        if scattered > self.config.limits.cloud_dots {
            return Err(Failure::ReadFirst(format!(
                "the context names {scattered} single writes, and at most {} are taken",
                self.config.limits.cloud_dots
            )));
        }
        Ok(context)
    }

    /// Refuses at once what cannot be answered by enough.
    fn check_reachable(
        &self,
        counting: &[NodeId],
        quorum: Quorum,
        fallbacks: &[NodeId],
    ) -> Result<(), Failure> {
        let primaries = self.reachable(counting);
        let stand_ins = (quorum.n - primaries.min(quorum.n)).min(self.reachable(fallbacks));
        if primaries < quorum.primaries {
            return Err(Failure::QuorumUnavailable { needed: quorum.primaries, reachable: primaries });
        }
        if primaries + stand_ins < quorum.needed {
            let reachable = primaries + stand_ins;
            return Err(Failure::QuorumUnavailable { needed: quorum.needed, reachable });
        }
        Ok(())
    }

    /// How many of these replicas can be asked, this node included.
    pub(crate) fn reachable(&self, owners: &[NodeId]) -> u32 {
        let up =
            owners.iter().filter(|&&owner| owner == self.config.node || self.links.is_live(owner)).count();
        u32::try_from(up).unwrap_or(u32::MAX)
    }
}

fn check_timeout(limits: &Limits, timeout: Duration) -> Result<Duration, Failure> {
    if timeout > limits.timeout {
        let reason =
            format!("{} ms, and at most {} are given", timeout.as_millis(), limits.timeout.as_millis());
        return Err(Failure::Invalid { field: "timeout", reason });
    }
    Ok(if timeout.is_zero() { limits.default_timeout } else { timeout })
}

fn check_key(limits: &Limits, key: &[u8]) -> Result<(), Failure> {
    if key.is_empty() {
        let reason = format!("it is empty, and 1 to {} bytes are taken", limits.key_bytes);
        return Err(Failure::Invalid { field: "key", reason });
    }
    check_size("key", key.len(), limits.key_bytes)
}

fn check_put(limits: &Limits, put: &crate::operation::Put) -> Result<(), Failure> {
    check_key(limits, &put.key)?;
    check_size("value", put.value.len(), limits.value_bytes)?;
    check_size("content_type", put.content_type.as_str().len(), limits.content_type_bytes)
}

/// How long a put's value is shown, in milliseconds; none: until it is replaced.
fn time_to_live(limits: &Limits, bucket: &Bucket, asked: Ttl) -> Result<Option<u64>, Failure> {
    match asked {
        Ttl::Bucket => Ok(bucket.ttl_ms),
        Ttl::Never => Ok(None),
        Ttl::After(ttl) => match ttl_ms(ttl, limits.ttl) {
            Ok(ms) => Ok(Some(ms)),
            Err(reason) => Err(Failure::Invalid { field: "ttl", reason }),
        },
    }
}

fn check_list(limits: &Limits, layout: &Layout, list: &crate::operation::List) -> Result<(), Failure> {
    if usize::from(list.partition.0) >= layout.partitions() {
        let reason = format!("{} is not less than {}, their number", list.partition, layout.partitions());
        return Err(Failure::Invalid { field: "partition", reason });
    }
    if list.limit == 0 || list.limit as usize > limits.list_keys {
        let reason = format!("{} is not from 1 to {}", list.limit, limits.list_keys);
        return Err(Failure::Invalid { field: "limit", reason });
    }
    check_size("cursor", list.after.as_ref().map_or(0, Bytes::len), limits.key_bytes)
}

fn check_size(field: &'static str, bytes: usize, max_bytes: usize) -> Result<(), Failure> {
    if bytes > max_bytes { Err(Failure::TooLarge { field, bytes, max_bytes }) } else { Ok(()) }
}
