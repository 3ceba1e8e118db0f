//! What members say to each other before something is forgotten.

use quorate_protocol::echo::LinkTime;
use quorate_protocol::id::{ActorId, Epoch, PartitionId};
use quorate_protocol::message::{KeyDigest, Message, Refusal, Tag, Vote};

use super::anti_entropy::{key_digest_from_wire, key_digest_to_wire};
use super::peer::{link_time_from_wire, link_time_to_wire, refusal_from_wire, refusal_to_wire};
use super::{ConvertError, narrow};
use crate::peer::v1;

pub(super) fn ask_to_wire(
    tag: Tag,
    epoch: Epoch,
    partition: PartitionId,
    keys: Vec<KeyDigest>,
    actors: &[ActorId],
) -> v1::PurgeAsk {
    v1::PurgeAsk {
        tag: tag.0,
        epoch: epoch.0,
        partition: partition.0.into(),
        keys: keys.into_iter().map(key_digest_to_wire).collect(),
        actors: actors_to_wire(actors),
    }
}

pub(super) fn ask_from_wire(ask: v1::PurgeAsk) -> Result<Message, ConvertError> {
    Ok(Message::PurgeAsk {
        tag: Tag(ask.tag),
        epoch: Epoch(ask.epoch),
        partition: PartitionId(narrow("purge_ask.partition", ask.partition.into())?),
        keys: keys_from_wire(ask.keys)?,
        actors: actors_from_wire(ask.actors),
    })
}

pub(super) fn vote_to_wire(tag: Tag, epoch: Epoch, result: Result<Vote, Refusal>) -> v1::PurgeVote {
    let (vote, refusal) = match result {
        Ok(vote) => (vote, None),
        Err(refusal) => (Vote { confirmed: Vec::new(), mine: Vec::new() }, Some(refusal)),
    };
    v1::PurgeVote {
        tag: tag.0,
        epoch: epoch.0,
        refusal: refusal_to_wire(refusal),
        confirmed: vote.confirmed,
        mine: actors_to_wire(&vote.mine),
    }
}

pub(super) fn vote_from_wire(vote: v1::PurgeVote) -> Result<Message, ConvertError> {
    let (tag, epoch) = (Tag(vote.tag), Epoch(vote.epoch));
    let given = Vote { confirmed: vote.confirmed, mine: actors_from_wire(vote.mine) };
    let result = refusal_from_wire(vote.refusal, epoch)?.map_or(Ok(given), Err);
    Ok(Message::PurgeVote { tag, epoch, result })
}

pub(super) fn forget_to_wire(
    epoch: Epoch,
    keys: Vec<KeyDigest>,
    retired: &[ActorId],
    echo: LinkTime,
) -> v1::Forget {
    v1::Forget {
        epoch: epoch.0,
        keys: keys.into_iter().map(key_digest_to_wire).collect(),
        retired: actors_to_wire(retired),
        echo: Some(link_time_to_wire(echo)),
    }
}

pub(super) fn forget_from_wire(forget: v1::Forget) -> Result<Message, ConvertError> {
    Ok(Message::Forget {
        epoch: Epoch(forget.epoch),
        keys: keys_from_wire(forget.keys)?,
        retired: actors_from_wire(forget.retired),
        echo: link_time_from_wire(forget.echo)?,
    })
}

fn keys_from_wire(keys: Vec<v1::KeyDigest>) -> Result<Vec<KeyDigest>, ConvertError> {
    keys.into_iter().map(key_digest_from_wire).collect()
}

fn actors_to_wire(actors: &[ActorId]) -> Vec<u64> {
    actors.iter().map(|actor| actor.0).collect()
}

fn actors_from_wire(actors: Vec<u64>) -> Vec<ActorId> {
    actors.into_iter().map(ActorId).collect()
}
