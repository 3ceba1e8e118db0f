//! Batches as frames: one frame each, or chunks where a batch is large, so that no frame blocks a link for long.

use bytes::{Bytes, BytesMut};
use prost::Message as _;
use quorate_proto::convert::peer::batch_to_wire;
use quorate_proto::peer::v1::{Batch, Chunk, Frame, frame};
use quorate_protocol::message::Message;

use super::registry::Outgoing;

/// A batch that is longer than this travels in chunks of this length.
const CHUNK_BYTES: usize = 1 << 20;
/// A batch that is longer than this is not taken: what sends it is not a node.
const BATCH_BYTES_MAX: usize = 1 << 30;

/// What a message takes in a queue: its container or value, its key, and the rest roughly.
pub(super) fn message_bytes(message: &Message) -> usize {
    let payload = match message {
        Message::Replicate { key, container, .. } | Message::StoreHint { key, container, .. } => {
            key.key.len() + container.0.len()
        }
        Message::Fetch { key, .. } | Message::Heal { key, .. } => key.key.len(),
        Message::HealReply { result: Ok(healing), .. } => healing.container.0.len(),
        Message::FetchReply {
            result: Ok(quorate_protocol::message::Fetched::Container { container, .. }),
            ..
        } => container.0.len(),
        Message::ScanReply { result: Ok(page), .. } => page.keys.iter().map(|key| key.key.len() + 32).sum(),
        Message::Forward { timed, .. } => match &timed.operation {
            quorate_protocol::operation::Operation::Put(put) => put.key.len() + put.value.len(),
            _ => 256,
        },
        Message::ForwardReply { result: Ok(quorate_protocol::operation::Outcome::Get(found)), .. } => {
            found.siblings.iter().map(|sibling| sibling.value.len()).sum()
        }
        Message::LayoutOffer(layout) => layout.len(),
        Message::Gossip(packet) => packet.len(),
        Message::Compare { roots, .. } => roots.len() * 24,
        Message::CompareReply { result: Ok(compared), .. } => {
            let branches =
                |differing: &quorate_protocol::message::Differing| differing.branches.len() * 16 + 8;
            compared.differing.iter().map(branches).sum::<usize>() + compared.incomplete.len() * 4
        }
        Message::LeavesReply { result: Ok(leaves), .. } => leaves.len() * 16,
        Message::Keys { leaves, after, .. } => {
            leaves.len() * 2 + after.as_ref().map_or(0, |after| after.key.len())
        }
        Message::KeysReply { result: Ok(page), .. } => {
            page.keys.iter().map(|found| found.key.key.len() + 48).sum()
        }
        Message::PurgeAsk { keys, .. } | Message::Forget { keys, .. } => {
            keys.iter().map(|found| found.key.key.len() + 48).sum()
        }
        Message::PurgeVote { result: Ok(vote), .. } => vote.confirmed.len() + vote.mine.len() * 8,
        Message::Accept { layout, .. } | Message::Prepared { result: Ok(Some((_, layout))), .. } => {
            layout.len()
        }
        Message::ReportReply { report, .. } => {
            let sizes = report.sizes.as_ref().map_or(0, |sizes| sizes.len() * 16);
            (report.caught_up.len() + report.handed_over.len()) * 4 + sizes
        }
        Message::SurveyReply { result: Ok(quorate_protocol::message::Surveyed::Leaves(leaves)), .. } => {
            leaves.len() * 16
        }
        Message::Pull { leaves, after, .. } => {
            leaves.len() * 2 + after.as_ref().map_or(0, |after| after.key.len())
        }
        Message::PullReply { result: Ok(page), .. } => {
            page.records.iter().map(|(key, container)| key.key.len() + container.0.len() + 48).sum()
        }
        Message::Exchange { key, container, .. } => key.key.len() + container.0.len(),
        _ => 0,
    };
    payload + 64
}

/// The frames of a turn's messages.
pub(super) fn frames(outgoing: Outgoing) -> Vec<Frame> {
    let batch = batch_to_wire(outgoing.stamp, outgoing.messages);
    if outgoing.bytes <= CHUNK_BYTES {
        return vec![frame_of(frame::Kind::Batch(batch))];
    }
    let mut encoded = Bytes::from(batch.encode_to_vec());
    let mut frames = Vec::with_capacity(encoded.len() / CHUNK_BYTES + 1);
    while encoded.len() > CHUNK_BYTES {
        let data = encoded.split_to(CHUNK_BYTES);
        frames.push(frame_of(frame::Kind::Chunk(Chunk { data, last: false })));
    }
    frames.push(frame_of(frame::Kind::Chunk(Chunk { data: encoded, last: true })));
    frames
}

pub(super) fn frame_of(kind: frame::Kind) -> Frame {
    Frame { kind: Some(kind) }
}

/// Puts chunks together again.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    bytes: BytesMut,
}

impl Assembly {
    /// Takes a frame; gives a batch when one is complete. An error says what makes the frame no part of a link.
    pub(super) fn take(&mut self, frame: Frame) -> Result<Option<Batch>, String> {
        match frame.kind {
            Some(frame::Kind::Batch(batch)) => Ok(Some(batch)),
            Some(frame::Kind::Chunk(chunk)) => {
                if self.bytes.len() + chunk.data.len() > BATCH_BYTES_MAX {
                    return Err(format!("a batch of more than {BATCH_BYTES_MAX} bytes"));
                }
                self.bytes.extend_from_slice(&chunk.data);
                if !chunk.last {
                    return Ok(None);
                }
                let whole = std::mem::take(&mut self.bytes).freeze();
                Batch::decode(whole).map(Some).map_err(|error| error.to_string())
            }
            Some(frame::Kind::Hello(_)) => Err("a second hello".into()),
            None => Err("a frame of an unknown kind".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use quorate_proto::convert::peer::batch_from_wire;
    use quorate_protocol::message::{Message, Stamp};
    use quorate_protocol::time::Hlc;

    use super::*;

    #[test]
    fn a_large_batch_comes_out_of_its_chunks_as_it_went_in() {
        let messages =
            vec![Message::LayoutOffer(Bytes::from(vec![7; 3 * CHUNK_BYTES + 5])), Message::LayoutRequest];
        let bytes = messages.iter().map(message_bytes).sum();
        let stamp = Stamp { hlc: Hlc { wall_ms: 3, counter: 4 }, ..Stamp::default() };
        let frames = frames(Outgoing { stamp, messages: messages.clone(), bytes, held: None });
        assert_eq!(frames.len(), 4);
        let mut assembly = Assembly::default();
        let mut batches = Vec::new();
        for frame in frames {
            batches.extend(assembly.take(frame).expect("it is a part of a link"));
        }
        assert_eq!(batches.len(), 1);
        let (read, back) = batch_from_wire(batches.remove(0)).expect("it was written by us");
        assert_eq!((read, back), (stamp, messages));
    }
}
