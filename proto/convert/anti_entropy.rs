//! What owners of a partition say to each other to become equal.

use bytes::{BufMut, Bytes, BytesMut};
use quorate_protocol::echo::LinkTime;
use quorate_protocol::id::{Epoch, PartitionId};
use quorate_protocol::message::{Compared, Differing, KeyDigest, KeyRef, KeysPage, Message, Refusal, Tag};
use quorate_protocol::version::{Digest, EncodedContainer};

use super::peer::{
    key_from_wire, key_to_wire, link_time_from_wire, link_time_to_wire, refusal_from_wire, refusal_to_wire,
};
use super::{ConvertError, narrow, own, wide_from_wire, wide_to_wire};
use crate::peer::v1;

const HASH_BYTES: usize = 16;

/// Hashes, one after the other.
pub(super) fn hashes_to_wire(hashes: &[u128]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(hashes.len() * HASH_BYTES);
    hashes.iter().for_each(|&hash| bytes.put_slice(&wide_to_wire(hash)));
    bytes.freeze()
}

pub(super) fn hashes_from_wire(field: &'static str, bytes: &Bytes) -> Result<Vec<u128>, ConvertError> {
    bytes.chunks(HASH_BYTES).map(|hash| wide_from_wire(field, hash)).collect()
}

pub(super) fn partition_from_wire(field: &'static str, partition: u32) -> Result<PartitionId, ConvertError> {
    Ok(PartitionId(narrow(field, partition.into())?))
}

pub(super) fn compare_to_wire(tag: Tag, epoch: Epoch, roots: &[(PartitionId, u128)]) -> v1::Compare {
    let root = |&(partition, root): &(PartitionId, u128)| v1::PartitionRoot {
        partition: partition.0.into(),
        root: wide_to_wire(root),
    };
    v1::Compare { tag: tag.0, epoch: epoch.0, roots: roots.iter().map(root).collect() }
}

pub(super) fn compare_from_wire(compare: v1::Compare) -> Result<Message, ConvertError> {
    let root = |root: v1::PartitionRoot| {
        let partition = partition_from_wire("compare.partition", root.partition)?;
        Ok((partition, wide_from_wire("compare.root", &root.root)?))
    };
    let roots = compare.roots.into_iter().map(root).collect::<Result<_, ConvertError>>()?;
    Ok(Message::Compare { tag: Tag(compare.tag), epoch: Epoch(compare.epoch), roots })
}

pub(super) fn compare_reply_to_wire(
    tag: Tag,
    epoch: Epoch,
    result: Result<Compared, Refusal>,
) -> v1::CompareReply {
    let refusal = refusal_to_wire(result.as_ref().err().copied());
    let compared = result.unwrap_or_default();
    let differing = |differing: Differing| v1::Differing {
        partition: differing.partition.0.into(),
        branches: hashes_to_wire(&differing.branches),
    };
    v1::CompareReply {
        tag: tag.0,
        epoch: epoch.0,
        refusal,
        differing: compared.differing.into_iter().map(differing).collect(),
        incomplete: compared.incomplete.into_iter().map(|partition| partition.0.into()).collect(),
    }
}

pub(super) fn compare_reply_from_wire(reply: v1::CompareReply) -> Result<Message, ConvertError> {
    let (tag, epoch) = (Tag(reply.tag), Epoch(reply.epoch));
    let differing = |differing: v1::Differing| {
        Ok(Differing {
            partition: partition_from_wire("compare_reply.partition", differing.partition)?,
            branches: hashes_from_wire("compare_reply.branches", &differing.branches)?,
        })
    };
    let result = match refusal_from_wire(reply.refusal, epoch)? {
        Some(refusal) => Err(refusal),
        None => Ok(Compared {
            differing: reply.differing.into_iter().map(differing).collect::<Result<_, ConvertError>>()?,
            incomplete: reply
                .incomplete
                .into_iter()
                .map(|partition| partition_from_wire("compare_reply.incomplete", partition))
                .collect::<Result<_, _>>()?,
        }),
    };
    Ok(Message::CompareReply { tag, epoch, result })
}

pub(super) fn leaves_to_wire(
    tag: Tag,
    epoch: Epoch,
    partition: PartitionId,
    branches: Vec<u8>,
) -> v1::Leaves {
    v1::Leaves { tag: tag.0, epoch: epoch.0, partition: partition.0.into(), branches: branches.into() }
}

pub(super) fn leaves_from_wire(leaves: v1::Leaves) -> Result<Message, ConvertError> {
    Ok(Message::Leaves {
        tag: Tag(leaves.tag),
        epoch: Epoch(leaves.epoch),
        partition: partition_from_wire("leaves.partition", leaves.partition)?,
        branches: leaves.branches.into(),
    })
}

pub(super) fn leaves_reply_to_wire(
    tag: Tag,
    epoch: Epoch,
    result: Result<Vec<u128>, Refusal>,
) -> v1::LeavesReply {
    v1::LeavesReply {
        tag: tag.0,
        epoch: epoch.0,
        refusal: refusal_to_wire(result.as_ref().err().copied()),
        leaves: hashes_to_wire(&result.unwrap_or_default()),
    }
}

pub(super) fn leaves_reply_from_wire(reply: v1::LeavesReply) -> Result<Message, ConvertError> {
    let (tag, epoch) = (Tag(reply.tag), Epoch(reply.epoch));
    let result = match refusal_from_wire(reply.refusal, epoch)? {
        Some(refusal) => Err(refusal),
        None => Ok(hashes_from_wire("leaves_reply.leaves", &reply.leaves)?),
    };
    Ok(Message::LeavesReply { tag, epoch, result })
}

pub(super) fn keys_to_wire(
    tag: Tag,
    epoch: Epoch,
    partition: PartitionId,
    leaves: Vec<u16>,
    after: Option<KeyRef>,
) -> v1::Keys {
    v1::Keys {
        tag: tag.0,
        epoch: epoch.0,
        partition: partition.0.into(),
        leaves: leaves.into_iter().map(u32::from).collect(),
        after: after.map(key_to_wire),
    }
}

pub(super) fn keys_from_wire(keys: v1::Keys) -> Result<Message, ConvertError> {
    let leaves = keys.leaves.into_iter().map(|leaf| narrow("keys.leaves", leaf.into()));
    Ok(Message::Keys {
        tag: Tag(keys.tag),
        epoch: Epoch(keys.epoch),
        partition: partition_from_wire("keys.partition", keys.partition)?,
        leaves: leaves.collect::<Result<_, _>>()?,
        after: keys.after.map(|after| key_from_wire(Some(after))).transpose()?,
    })
}

pub(super) fn keys_reply_to_wire(tag: Tag, epoch: Epoch, result: Result<KeysPage, Refusal>) -> v1::KeysReply {
    let refusal = refusal_to_wire(result.as_ref().err().copied());
    let page = result.unwrap_or(KeysPage { keys: Vec::new(), through: None });
    v1::KeysReply {
        tag: tag.0,
        epoch: epoch.0,
        refusal,
        keys: page.keys.into_iter().map(key_digest_to_wire).collect(),
        through: page.through.map(key_to_wire),
    }
}

pub(super) fn keys_reply_from_wire(reply: v1::KeysReply) -> Result<Message, ConvertError> {
    let (tag, epoch) = (Tag(reply.tag), Epoch(reply.epoch));
    let result = match refusal_from_wire(reply.refusal, epoch)? {
        Some(refusal) => Err(refusal),
        None => Ok(KeysPage {
            keys: reply.keys.into_iter().map(key_digest_from_wire).collect::<Result<_, ConvertError>>()?,
            through: reply.through.map(|through| key_from_wire(Some(through))).transpose()?,
        }),
    };
    Ok(Message::KeysReply { tag, epoch, result })
}

pub(super) fn exchange_to_wire(
    epoch: Epoch,
    key: KeyRef,
    container: EncodedContainer,
    echo: LinkTime,
) -> v1::Exchange {
    let echo = Some(link_time_to_wire(echo));
    v1::Exchange { epoch: epoch.0, key: Some(key_to_wire(key)), container: container.0, echo }
}

pub(super) fn exchange_from_wire(exchange: v1::Exchange) -> Result<Message, ConvertError> {
    Ok(Message::Exchange {
        epoch: Epoch(exchange.epoch),
        key: key_from_wire(exchange.key)?,
        container: EncodedContainer(own(&exchange.container)),
        echo: link_time_from_wire(exchange.echo)?,
    })
}

pub(super) fn key_digest_to_wire(found: KeyDigest) -> v1::KeyDigest {
    v1::KeyDigest { key: Some(key_to_wire(found.key)), digest: wide_to_wire(found.digest.0) }
}

pub(super) fn key_digest_from_wire(found: v1::KeyDigest) -> Result<KeyDigest, ConvertError> {
    let digest = Digest(wide_from_wire("keys.digest", &found.digest)?);
    Ok(KeyDigest { key: key_from_wire(found.key)?, digest })
}
