//! What nodes say to each other.

use bytes::Bytes;
use quorate_protocol::echo::LinkTime;
use quorate_protocol::id::{BucketId, Epoch, NodeId, OperationId, PartitionId, StartId};
use quorate_protocol::identity::Life;
use quorate_protocol::message::{
    Fetched, Healing, KeyRef, Message, Place, Refusal, Scanned, ScannedKey, Stamp, Tag,
};
use quorate_protocol::operation::{List, Listed, Operation, OperationResult, Outcome, Timed};
use quorate_protocol::store::Sequence;
use quorate_protocol::time::{Hlc, Time};
use quorate_protocol::version::{Digest, EncodedContainer};

use super::anti_entropy;
use super::chain;
use super::failure::{error_from_wire, error_to_wire};
use super::forgetting;
use super::kv;
use super::transition;
use super::{ConvertError, narrow, own, wide_from_wire, wide_to_wire};
use crate::peer::v1;
use crate::peer::v1::{RefusalCode, forward, forward_reply, message};

/// A batch of messages as it travels, with the sender's clocks.
pub fn batch_to_wire(stamp: Stamp, messages: Vec<Message>) -> v1::Batch {
    v1::Batch {
        hlc_wall_ms: stamp.hlc.wall_ms,
        hlc_counter: stamp.hlc.counter,
        clock: Some(link_time_to_wire(stamp.clock)),
        boot: stamp.life.map_or(0, |life| life.boot),
        sequence: stamp.life.map_or(0, |life| life.sequence.0),
        messages: messages.into_iter().map(message_to_wire).collect(),
    }
}

/// Reads what [`batch_to_wire`] wrote. One message that cannot be read spoils the batch: its sender speaks something else.
pub fn batch_from_wire(batch: v1::Batch) -> Result<(Stamp, Vec<Message>), ConvertError> {
    let hlc = Hlc { wall_ms: batch.hlc_wall_ms, counter: batch.hlc_counter };
    let messages = batch.messages.into_iter().map(message_from_wire).collect::<Result<_, _>>()?;
    let clock = link_time_from_wire(batch.clock)?;
    let (boot, sequence) = (batch.boot, Sequence(batch.sequence));
    let life = (boot > 0).then_some(Life { boot, start: clock.start, sequence });
    Ok((Stamp { hlc, clock, life }, messages))
}

pub(super) fn link_time_to_wire(clock: LinkTime) -> v1::LinkTime {
    v1::LinkTime { start_id: clock.start.0, micros: clock.at.0 }
}

pub(super) fn link_time_from_wire(clock: Option<v1::LinkTime>) -> Result<LinkTime, ConvertError> {
    let clock = clock.ok_or_else(|| ConvertError::missing("clock"))?;
    Ok(LinkTime { start: StartId(clock.start_id), at: Time(clock.micros) })
}

fn life_to_wire(life: Life) -> v1::Life {
    v1::Life { boot: life.boot, start_id: life.start.0, sequence: life.sequence.0 }
}

fn life_from_wire(life: v1::Life) -> Life {
    Life { boot: life.boot, start: StartId(life.start_id), sequence: Sequence(life.sequence) }
}

/// A message as it travels.
pub fn message_to_wire(message: Message) -> v1::Message {
    use message::Kind;
    let kind = match message {
        Message::Replicate { tag, epoch, key, container, echo } => Kind::Replicate(v1::Replicate {
            tag: tag.map(|tag| tag.0),
            epoch: epoch.0,
            key: Some(key_to_wire(key)),
            container: container.0,
            echo: Some(link_time_to_wire(echo)),
        }),
        Message::ReplicateReply { tag, epoch, result } => Kind::ReplicateReply(v1::ReplicateReply {
            tag: tag.0,
            epoch: epoch.0,
            refusal: refusal_to_wire(result.err()),
        }),
        Message::Fetch { tag, epoch, key, have, place } => Kind::Fetch(v1::Fetch {
            tag: tag.0,
            epoch: epoch.0,
            key: Some(key_to_wire(key)),
            have: have.map_or_else(Bytes::new, |digest| wide_to_wire(digest.0)),
            as_fallback: place == Place::Fallback,
        }),
        Message::FetchReply { tag, epoch, result } => {
            let mut reply = v1::FetchReply { tag: tag.0, epoch: epoch.0, ..Default::default() };
            match result {
                Ok(Fetched::Same) => reply.same = true,
                Ok(Fetched::Container { container, echo }) => {
                    reply.container = container.0;
                    reply.echo = Some(link_time_to_wire(echo));
                }
                Err(refusal) => reply.refusal = refusal_to_wire(Some(refusal)),
            }
            Kind::FetchReply(reply)
        }
        Message::Scan { tag, epoch, partition, bucket, after, limit } => Kind::Scan(v1::Scan {
            tag: tag.0,
            epoch: epoch.0,
            partition: partition.0.into(),
            bucket: bucket.0,
            after,
            limit,
        }),
        Message::ScanReply { tag, epoch, result } => {
            let (page, refusal) = match result {
                Ok(page) => (page, None),
                Err(refusal) => (Scanned { keys: Vec::new(), more: false }, Some(refusal)),
            };
            Kind::ScanReply(v1::ScanReply {
                tag: tag.0,
                epoch: epoch.0,
                refusal: refusal_to_wire(refusal),
                keys: page.keys.into_iter().map(scanned_to_wire).collect(),
                more: page.more,
            })
        }
        Message::Forward { tag, timed } => Kind::Forward(forward_to_wire(tag, timed)),
        Message::ForwardReply { tag, result } => Kind::ForwardReply(forward_reply_to_wire(tag, result)),
        Message::Recall => Kind::Recall(v1::Recall {}),
        Message::Recalled { life, departed } => {
            Kind::Recalled(v1::Recalled { life: life.map(life_to_wire), departed })
        }
        Message::LayoutRequest => Kind::LayoutRequest(v1::LayoutRequest {}),
        Message::LayoutOffer(layout) => Kind::LayoutOffer(v1::LayoutOffer { layout }),
        Message::Prepare { epoch, ballot } => Kind::Prepare(chain::prepare_to_wire(epoch, ballot)),
        Message::Prepared { epoch, ballot, result } => {
            Kind::Prepared(chain::prepared_to_wire(epoch, ballot, result))
        }
        Message::Accept { epoch, ballot, layout } => {
            Kind::Accept(chain::accept_to_wire(epoch, ballot, layout))
        }
        Message::Accepted { epoch, ballot, result } => {
            Kind::Accepted(chain::accepted_to_wire(epoch, ballot, result))
        }
        Message::ReportAsk { epoch, sizes } => Kind::ReportAsk(v1::ReportAsk { epoch: epoch.0, sizes }),
        Message::ReportReply { epoch, report } => {
            Kind::ReportReply(transition::report_to_wire(epoch, report))
        }
        Message::Survey { tag, epoch, partition, root, durable } => {
            Kind::Survey(transition::survey_to_wire(tag, epoch, partition, root, durable))
        }
        Message::SurveyReply { tag, epoch, result } => {
            Kind::SurveyReply(transition::survey_reply_to_wire(tag, epoch, result))
        }
        Message::Pull { tag, epoch, partition, leaves, after } => {
            Kind::Pull(transition::pull_to_wire(tag, epoch, partition, leaves, after))
        }
        Message::PullReply { tag, epoch, result } => {
            Kind::PullReply(transition::pull_reply_to_wire(tag, epoch, result))
        }
        Message::StoreHint { tag, epoch, key, target, container, echo } => Kind::StoreHint(v1::StoreHint {
            tag: tag.0,
            epoch: epoch.0,
            key: Some(key_to_wire(key)),
            container: container.0,
            echo: Some(link_time_to_wire(echo)),
            target: target.0,
        }),
        Message::Beat => Kind::Beat(v1::Beat {}),
        Message::PurgeAsk { tag, epoch, partition, keys, actors } => {
            Kind::PurgeAsk(forgetting::ask_to_wire(tag, epoch, partition, keys, &actors))
        }
        Message::PurgeVote { tag, epoch, result } => {
            Kind::PurgeVote(forgetting::vote_to_wire(tag, epoch, result))
        }
        Message::Forget { epoch, keys, retired, echo } => {
            Kind::Forget(forgetting::forget_to_wire(epoch, keys, &retired, echo))
        }
        Message::Gossip(packet) => Kind::Gossip(v1::Gossip { packet }),
        Message::Compare { tag, epoch, roots } => {
            Kind::Compare(anti_entropy::compare_to_wire(tag, epoch, &roots))
        }
        Message::CompareReply { tag, epoch, result } => {
            Kind::CompareReply(anti_entropy::compare_reply_to_wire(tag, epoch, result))
        }
        Message::Leaves { tag, epoch, partition, branches } => {
            Kind::Leaves(anti_entropy::leaves_to_wire(tag, epoch, partition, branches))
        }
        Message::LeavesReply { tag, epoch, result } => {
            Kind::LeavesReply(anti_entropy::leaves_reply_to_wire(tag, epoch, result))
        }
        Message::Keys { tag, epoch, partition, leaves, after } => {
            Kind::Keys(anti_entropy::keys_to_wire(tag, epoch, partition, leaves, after))
        }
        Message::KeysReply { tag, epoch, result } => {
            Kind::KeysReply(anti_entropy::keys_reply_to_wire(tag, epoch, result))
        }
        Message::Exchange { epoch, key, container, echo } => {
            Kind::Exchange(anti_entropy::exchange_to_wire(epoch, key, container, echo))
        }
        Message::Heal { tag, epoch, key } => {
            Kind::Heal(v1::Heal { tag: tag.0, epoch: epoch.0, key: Some(key_to_wire(key)) })
        }
        Message::HealReply { tag, epoch, result } => {
            let mut reply = v1::HealReply { tag: tag.0, epoch: epoch.0, ..Default::default() };
            match result {
                Ok(Healing { container, echo }) => {
                    reply.container = container.0;
                    reply.echo = Some(link_time_to_wire(echo));
                }
                Err(refusal) => reply.refusal = refusal_to_wire(Some(refusal)),
            }
            Kind::HealReply(reply)
        }
    };
    v1::Message { kind: Some(kind) }
}

/// Reads what [`message_to_wire`] wrote.
pub fn message_from_wire(message: v1::Message) -> Result<Message, ConvertError> {
    use message::Kind;
    Ok(match message.kind.ok_or_else(|| ConvertError::missing("message.kind"))? {
        Kind::Replicate(replicate) => Message::Replicate {
            tag: replicate.tag.map(Tag),
            epoch: Epoch(replicate.epoch),
            key: key_from_wire(replicate.key)?,
            container: EncodedContainer(own(&replicate.container)),
            echo: link_time_from_wire(replicate.echo)?,
        },
        Kind::ReplicateReply(reply) => {
            let (tag, epoch) = (Tag(reply.tag), Epoch(reply.epoch));
            let result = refusal_from_wire(reply.refusal, epoch)?.map_or(Ok(()), Err);
            Message::ReplicateReply { tag, epoch, result }
        }
        Kind::Fetch(fetch) => Message::Fetch {
            tag: Tag(fetch.tag),
            epoch: Epoch(fetch.epoch),
            key: key_from_wire(fetch.key)?,
            have: match fetch.have.is_empty() {
                true => None,
                false => Some(Digest(wide_from_wire("fetch.have", &fetch.have)?)),
            },
            place: if fetch.as_fallback { Place::Fallback } else { Place::Replica },
        },
        Kind::FetchReply(reply) => {
            let (tag, epoch) = (Tag(reply.tag), Epoch(reply.epoch));
            let result = match refusal_from_wire(reply.refusal, epoch)? {
                Some(refusal) => Err(refusal),
                None if reply.same => Ok(Fetched::Same),
                None => {
                    let echo = link_time_from_wire(reply.echo)?;
                    Ok(Fetched::Container { container: EncodedContainer(own(&reply.container)), echo })
                }
            };
            Message::FetchReply { tag, epoch, result }
        }
        Kind::Scan(scan) => Message::Scan {
            tag: Tag(scan.tag),
            epoch: Epoch(scan.epoch),
            partition: PartitionId(narrow("scan.partition", scan.partition.into())?),
            bucket: BucketId(scan.bucket),
            after: scan.after,
            limit: scan.limit,
        },
        Kind::ScanReply(reply) => {
            let (tag, epoch) = (Tag(reply.tag), Epoch(reply.epoch));
            let result = match refusal_from_wire(reply.refusal, epoch)? {
                Some(refusal) => Err(refusal),
                None => {
                    let keys = reply.keys.into_iter().map(scanned_from_wire).collect::<Result<_, _>>()?;
                    Ok(Scanned { keys, more: reply.more })
                }
            };
            Message::ScanReply { tag, epoch, result }
        }
        Kind::Forward(forward) => forward_from_wire(forward)?,
        Kind::ForwardReply(reply) => forward_reply_from_wire(reply)?,
        Kind::Recall(v1::Recall {}) => Message::Recall,
        Kind::Recalled(recalled) => {
            Message::Recalled { life: recalled.life.map(life_from_wire), departed: recalled.departed }
        }
        Kind::LayoutRequest(v1::LayoutRequest {}) => Message::LayoutRequest,
        Kind::LayoutOffer(offer) => Message::LayoutOffer(offer.layout),
        Kind::Prepare(prepare) => chain::prepare_from_wire(prepare)?,
        Kind::Prepared(prepared) => chain::prepared_from_wire(prepared)?,
        Kind::Accept(accept) => chain::accept_from_wire(accept)?,
        Kind::Accepted(accepted) => chain::accepted_from_wire(accepted)?,
        Kind::ReportAsk(ask) => Message::ReportAsk { epoch: Epoch(ask.epoch), sizes: ask.sizes },
        Kind::ReportReply(reply) => transition::report_from_wire(reply)?,
        Kind::Survey(survey) => transition::survey_from_wire(survey)?,
        Kind::SurveyReply(reply) => transition::survey_reply_from_wire(reply)?,
        Kind::Pull(pull) => transition::pull_from_wire(pull)?,
        Kind::PullReply(reply) => transition::pull_reply_from_wire(reply)?,
        Kind::StoreHint(hint) => Message::StoreHint {
            tag: Tag(hint.tag),
            epoch: Epoch(hint.epoch),
            key: key_from_wire(hint.key)?,
            target: NodeId(hint.target),
            container: EncodedContainer(own(&hint.container)),
            echo: link_time_from_wire(hint.echo)?,
        },
        Kind::Beat(_) => Message::Beat,
        Kind::PurgeAsk(ask) => forgetting::ask_from_wire(ask)?,
        Kind::PurgeVote(vote) => forgetting::vote_from_wire(vote)?,
        Kind::Forget(forget) => forgetting::forget_from_wire(forget)?,
        Kind::Gossip(gossip) => Message::Gossip(gossip.packet),
        Kind::Compare(compare) => anti_entropy::compare_from_wire(compare)?,
        Kind::CompareReply(reply) => anti_entropy::compare_reply_from_wire(reply)?,
        Kind::Leaves(leaves) => anti_entropy::leaves_from_wire(leaves)?,
        Kind::LeavesReply(reply) => anti_entropy::leaves_reply_from_wire(reply)?,
        Kind::Keys(keys) => anti_entropy::keys_from_wire(keys)?,
        Kind::KeysReply(reply) => anti_entropy::keys_reply_from_wire(reply)?,
        Kind::Exchange(exchange) => anti_entropy::exchange_from_wire(exchange)?,
        Kind::Heal(heal) => {
            Message::Heal { tag: Tag(heal.tag), epoch: Epoch(heal.epoch), key: key_from_wire(heal.key)? }
        }
        Kind::HealReply(reply) => {
            let (tag, epoch) = (Tag(reply.tag), Epoch(reply.epoch));
            let result = match refusal_from_wire(reply.refusal, epoch)? {
                Some(refusal) => Err(refusal),
                None => {
                    let container = EncodedContainer(own(&reply.container));
                    Ok(Healing { container, echo: link_time_from_wire(reply.echo)? })
                }
            };
            Message::HealReply { tag, epoch, result }
        }
    })
}

/// The time goes into the forward itself, and not into what it carries.
fn forward_to_wire(tag: Tag, timed: Timed) -> v1::Forward {
    use forward::Operation as Wire;
    let none = std::time::Duration::ZERO;
    let operation = match timed.operation {
        Operation::Get(get) => Wire::Get(kv::get_to_wire(get, none)),
        Operation::Put(put) => Wire::Put(kv::put_to_wire(put, none)),
        Operation::Delete(delete) => Wire::Delete(kv::delete_to_wire(delete, none)),
        Operation::List(list) => Wire::List(v1::List {
            bucket: list.bucket,
            partition: list.partition.0.into(),
            after: list.after,
            limit: list.limit,
            quorum: kv::quorum_to_wire(list.quorum),
        }),
    };
    v1::Forward { tag: tag.0, timeout_ms: kv::timeout_to_wire(timed.timeout), operation: Some(operation) }
}

fn forward_from_wire(forward: v1::Forward) -> Result<Message, ConvertError> {
    use forward::Operation as Wire;
    let operation = match forward.operation.ok_or_else(|| ConvertError::missing("forward.operation"))? {
        Wire::Get(get) => kv::get_from_wire(get).operation,
        Wire::Put(put) if put.operation_id.is_empty() => return Err(ConvertError::missing("operation_id")),
        Wire::Put(put) => kv::put_from_wire(put, OperationId::default)?.operation,
        Wire::Delete(delete) => kv::delete_from_wire(delete).operation,
        Wire::List(list) => Operation::List(List {
            bucket: list.bucket,
            partition: PartitionId(narrow("list.partition", list.partition.into())?),
            after: list.after,
            limit: list.limit,
            quorum: kv::quorum_from_wire(list.quorum),
        }),
    };
    let timeout = kv::timeout_from_wire(forward.timeout_ms);
    Ok(Message::Forward { tag: Tag(forward.tag), timed: Timed { operation, timeout } })
}

fn forward_reply_to_wire(tag: Tag, result: OperationResult) -> v1::ForwardReply {
    use forward_reply::Result as Wire;
    let result = match result {
        Ok(Outcome::Get(found)) => Wire::Get(kv::found_to_wire(found)),
        Ok(Outcome::Put(written)) => Wire::Put(kv::put_written_to_wire(written)),
        Ok(Outcome::Delete(written)) => Wire::Delete(kv::delete_written_to_wire(written)),
        Ok(Outcome::List(Listed { keys, next })) => Wire::List(v1::Listed { keys, next }),
        Err(error) => Wire::Error(error_to_wire(error)),
    };
    v1::ForwardReply { tag: tag.0, result: Some(result) }
}

fn forward_reply_from_wire(reply: v1::ForwardReply) -> Result<Message, ConvertError> {
    use forward_reply::Result as Wire;
    let result = match reply.result.ok_or_else(|| ConvertError::missing("forward_reply.result"))? {
        Wire::Get(found) => Ok(Outcome::Get(kv::found_from_wire(found)?)),
        Wire::Put(put) => Ok(Outcome::Put(kv::put_written_from_wire(put))),
        Wire::Delete(delete) => Ok(Outcome::Delete(kv::delete_written_from_wire(delete))),
        Wire::List(v1::Listed { keys, next }) => Ok(Outcome::List(Listed { keys, next })),
        Wire::Error(error) => Err(error_from_wire(error)?),
    };
    Ok(Message::ForwardReply { tag: Tag(reply.tag), result })
}

pub(super) fn key_to_wire(key: KeyRef) -> v1::KeyRef {
    v1::KeyRef { partition: key.partition.0.into(), bucket: key.bucket.0, key: key.key }
}

pub(super) fn key_from_wire(key: Option<v1::KeyRef>) -> Result<KeyRef, ConvertError> {
    let key = key.ok_or_else(|| ConvertError::missing("key"))?;
    Ok(KeyRef {
        partition: PartitionId(narrow("key.partition", key.partition.into())?),
        bucket: BucketId(key.bucket),
        key: own(&key.key),
    })
}

fn scanned_to_wire(key: ScannedKey) -> v1::ScannedKey {
    v1::ScannedKey {
        key: key.key,
        digest: wide_to_wire(key.digest.0),
        live_until_ms: key.live_until_ms,
        doubtful: key.doubtful,
    }
}

fn scanned_from_wire(key: v1::ScannedKey) -> Result<ScannedKey, ConvertError> {
    let digest = Digest(wide_from_wire("scan_reply.digest", &key.digest)?);
    let (live_until_ms, doubtful) = (key.live_until_ms, key.doubtful);
    Ok(ScannedKey { key: key.key, digest, live_until_ms, doubtful })
}

/// The epoch of a refusal for the epoch's sake is the reply's own, which travels anyway.
pub(super) fn refusal_to_wire(refusal: Option<Refusal>) -> i32 {
    let code = match refusal {
        None => RefusalCode::None,
        Some(Refusal::Epoch(_)) => RefusalCode::Epoch,
        Some(Refusal::NotOwner) => RefusalCode::NotOwner,
        Some(Refusal::Overloaded) => RefusalCode::Overloaded,
        Some(Refusal::Storage) => RefusalCode::Storage,
        Some(Refusal::TooOld) => RefusalCode::TooOld,
        Some(Refusal::NothingKept) => RefusalCode::NothingKept,
        Some(Refusal::Hole) => RefusalCode::Hole,
    };
    code.into()
}

pub(super) fn refusal_from_wire(code: i32, epoch: Epoch) -> Result<Option<Refusal>, ConvertError> {
    match RefusalCode::try_from(code) {
        Ok(RefusalCode::None) => Ok(None),
        Ok(RefusalCode::Epoch) => Ok(Some(Refusal::Epoch(epoch))),
        Ok(RefusalCode::NotOwner) => Ok(Some(Refusal::NotOwner)),
        Ok(RefusalCode::Overloaded) => Ok(Some(Refusal::Overloaded)),
        Ok(RefusalCode::Storage) => Ok(Some(Refusal::Storage)),
        Ok(RefusalCode::TooOld) => Ok(Some(Refusal::TooOld)),
        Ok(RefusalCode::NothingKept) => Ok(Some(Refusal::NothingKept)),
        Ok(RefusalCode::Hole) => Ok(Some(Refusal::Hole)),
        Err(_) => Err(ConvertError::new("refusal", format!("{code} is none"))),
    }
}

#[cfg(test)]
#[path = "peer_tests.rs"]
mod tests;
