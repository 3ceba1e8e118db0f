//! What nodes say to each other while the layout changes.

use quorate_protocol::id::{Epoch, PartitionId};
use quorate_protocol::message::{KeyRef, Message, PulledPage, Refusal, Report, Surveyed, Tag};
use quorate_protocol::version::EncodedContainer;

use super::anti_entropy::{hashes_from_wire, hashes_to_wire, partition_from_wire};
use super::peer::{
    key_from_wire, key_to_wire, link_time_from_wire, link_time_to_wire, refusal_from_wire, refusal_to_wire,
};
use super::{ConvertError, narrow, own, wide_from_wire, wide_to_wire};
use crate::peer::v1;
use crate::peer::v1::survey_reply;

fn partitions_to_wire(partitions: Vec<PartitionId>) -> Vec<u32> {
    partitions.into_iter().map(|partition| partition.0.into()).collect()
}

fn partitions_from_wire(field: &'static str, partitions: Vec<u32>) -> Result<Vec<PartitionId>, ConvertError> {
    partitions.into_iter().map(|partition| partition_from_wire(field, partition)).collect()
}

pub(super) fn report_to_wire(epoch: Epoch, report: Report) -> v1::ReportReply {
    let size =
        |(partition, bytes): (PartitionId, u64)| v1::PartitionSize { partition: partition.0.into(), bytes };
    v1::ReportReply {
        epoch: epoch.0,
        caught_up: partitions_to_wire(report.caught_up),
        handed_over: partitions_to_wire(report.handed_over),
        keeps_nothing: report.keeps_nothing,
        pulled_bytes: report.pulled_bytes,
        sizes: report.sizes.map(|sizes| v1::Sizes { partitions: sizes.into_iter().map(size).collect() }),
    }
}

pub(super) fn report_from_wire(reply: v1::ReportReply) -> Result<Message, ConvertError> {
    let size =
        |size: v1::PartitionSize| Ok((partition_from_wire("report.sizes", size.partition)?, size.bytes));
    let sizes =
        |sizes: v1::Sizes| sizes.partitions.into_iter().map(size).collect::<Result<_, ConvertError>>();
    let report = Report {
        caught_up: partitions_from_wire("report.caught_up", reply.caught_up)?,
        handed_over: partitions_from_wire("report.handed_over", reply.handed_over)?,
        keeps_nothing: reply.keeps_nothing,
        pulled_bytes: reply.pulled_bytes,
        sizes: reply.sizes.map(sizes).transpose()?,
    };
    Ok(Message::ReportReply { epoch: Epoch(reply.epoch), report })
}

pub(super) fn survey_to_wire(
    tag: Tag,
    epoch: Epoch,
    partition: PartitionId,
    root: Option<u128>,
    durable: bool,
) -> v1::Survey {
    let root = root.map(wide_to_wire).unwrap_or_default();
    v1::Survey { tag: tag.0, epoch: epoch.0, partition: partition.0.into(), root, durable }
}

pub(super) fn survey_from_wire(survey: v1::Survey) -> Result<Message, ConvertError> {
    let root = (!survey.root.is_empty()).then(|| wide_from_wire("survey.root", &survey.root)).transpose()?;
    Ok(Message::Survey {
        tag: Tag(survey.tag),
        epoch: Epoch(survey.epoch),
        partition: partition_from_wire("survey.partition", survey.partition)?,
        root,
        durable: survey.durable,
    })
}

pub(super) fn survey_reply_to_wire(
    tag: Tag,
    epoch: Epoch,
    result: Result<Surveyed, Refusal>,
) -> v1::SurveyReply {
    use survey_reply::Result as Wire;
    let refusal = refusal_to_wire(result.as_ref().err().copied());
    let result = result.ok().map(|surveyed| match surveyed {
        Surveyed::Same => Wire::Same(true),
        Surveyed::Leaves(leaves) => Wire::Leaves(hashes_to_wire(&leaves)),
        Surveyed::Unknown => Wire::Unknown(true),
    });
    v1::SurveyReply { tag: tag.0, epoch: epoch.0, refusal, result }
}

pub(super) fn survey_reply_from_wire(reply: v1::SurveyReply) -> Result<Message, ConvertError> {
    use survey_reply::Result as Wire;
    let (tag, epoch) = (Tag(reply.tag), Epoch(reply.epoch));
    let result = match (refusal_from_wire(reply.refusal, epoch)?, reply.result) {
        (Some(refusal), _) => Err(refusal),
        (None, Some(Wire::Same(_))) => Ok(Surveyed::Same),
        (None, Some(Wire::Leaves(leaves))) => {
            Ok(Surveyed::Leaves(hashes_from_wire("survey_reply.leaves", &leaves)?))
        }
        (None, Some(Wire::Unknown(_))) => Ok(Surveyed::Unknown),
        (None, None) => return Err(ConvertError::missing("survey_reply.result")),
    };
    Ok(Message::SurveyReply { tag, epoch, result })
}

pub(super) fn pull_to_wire(
    tag: Tag,
    epoch: Epoch,
    partition: PartitionId,
    leaves: Vec<u16>,
    after: Option<KeyRef>,
) -> v1::Pull {
    v1::Pull {
        tag: tag.0,
        epoch: epoch.0,
        partition: partition.0.into(),
        leaves: leaves.into_iter().map(u32::from).collect(),
        after: after.map(key_to_wire),
    }
}

pub(super) fn pull_from_wire(pull: v1::Pull) -> Result<Message, ConvertError> {
    let leaves = pull.leaves.into_iter().map(|leaf| narrow("pull.leaves", leaf.into()));
    Ok(Message::Pull {
        tag: Tag(pull.tag),
        epoch: Epoch(pull.epoch),
        partition: partition_from_wire("pull.partition", pull.partition)?,
        leaves: leaves.collect::<Result<_, _>>()?,
        after: pull.after.map(|after| key_from_wire(Some(after))).transpose()?,
    })
}

pub(super) fn pull_reply_to_wire(
    tag: Tag,
    epoch: Epoch,
    result: Result<PulledPage, Refusal>,
) -> v1::PullReply {
    let mut reply = v1::PullReply { tag: tag.0, epoch: epoch.0, ..Default::default() };
    match result {
        Err(refusal) => reply.refusal = refusal_to_wire(Some(refusal)),
        Ok(PulledPage { records, through, echo }) => {
            let record = |(key, container): (KeyRef, EncodedContainer)| v1::Record {
                key: Some(key_to_wire(key)),
                container: container.0,
            };
            reply.records = records.into_iter().map(record).collect();
            reply.through = through.map(key_to_wire);
            reply.echo = Some(link_time_to_wire(echo));
        }
    }
    reply
}

pub(super) fn pull_reply_from_wire(reply: v1::PullReply) -> Result<Message, ConvertError> {
    let (tag, epoch) = (Tag(reply.tag), Epoch(reply.epoch));
    let record =
        |record: v1::Record| Ok((key_from_wire(record.key)?, EncodedContainer(own(&record.container))));
    let result = match refusal_from_wire(reply.refusal, epoch)? {
        Some(refusal) => Err(refusal),
        None => Ok(PulledPage {
            records: reply.records.into_iter().map(record).collect::<Result<_, ConvertError>>()?,
            through: reply.through.map(|through| key_from_wire(Some(through))).transpose()?,
            echo: link_time_from_wire(reply.echo)?,
        }),
    };
    Ok(Message::PullReply { tag, epoch, result })
}
