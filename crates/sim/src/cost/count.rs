//! How many messages of which kind went from node to node.

use std::collections::BTreeMap;

use quorate_protocol::message::Message;

/// Counts by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts(BTreeMap<&'static str, u64>);

impl Counts {
    /// One more; returns its kind.
    pub(super) fn add(&mut self, message: &Message) -> &'static str {
        let kind = kind(message);
        *self.0.entry(kind).or_default() += 1;
        kind
    }

    /// How many there are of a kind.
    pub(super) fn of(&self, kind: &str) -> u64 {
        self.0.get(kind).copied().unwrap_or(0)
    }

    /// How many there are of some kinds.
    pub(super) fn of_all(&self, kinds: &[&str]) -> u64 {
        kinds.iter().map(|kind| self.of(kind)).sum()
    }

    /// All kinds that were seen, in order, with how many there are.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().map(|(&kind, &count)| (kind, count))
    }

    /// What has come since.
    pub(super) fn since(&self, before: &Self) -> Self {
        let more = |(kind, count): (&'static str, u64)| (kind, count - before.of(kind));
        Self(self.iter().map(more).filter(|(_, count)| *count > 0).collect())
    }
}

/// What a node sends without being asked, for ever: of SWIM, of the echo clock, of anti-entropy.
pub(super) const BACKGROUND: [&str; 6] = ["ping", "ack", "beat", "compare", "compare reply", "news"];
/// What anti-entropy sends when replicas differ, be it for a moment.
const DIFFERING: [&str; 5] = ["leaves", "leaves reply", "keys", "keys reply", "exchange"];

/// Whether a kind has nothing to do with an operation or a change of the layout.
pub(super) fn is_background(kind: &str) -> bool {
    BACKGROUND.contains(&kind) || DIFFERING.contains(&kind)
}

fn kind(message: &Message) -> &'static str {
    match message {
        Message::Replicate { .. } => "replicate",
        Message::ReplicateReply { .. } => "replicate reply",
        Message::Fetch { .. } => "fetch",
        Message::FetchReply { .. } => "fetch reply",
        Message::Scan { .. } => "scan",
        Message::ScanReply { .. } => "scan reply",
        Message::Forward { .. } => "forward",
        Message::ForwardReply { .. } => "forward reply",
        Message::Recall => "recall",
        Message::Recalled { .. } => "recalled",
        Message::LayoutRequest => "layout request",
        Message::LayoutOffer(_) => "layout offer",
        Message::Prepare { .. } => "prepare",
        Message::Prepared { .. } => "prepared",
        Message::Accept { .. } => "accept",
        Message::Accepted { .. } => "accepted",
        Message::ReportAsk { .. } => "report ask",
        Message::ReportReply { .. } => "report reply",
        Message::Survey { .. } => "survey",
        Message::SurveyReply { .. } => "survey reply",
        Message::Pull { .. } => "pull",
        Message::PullReply { .. } => "pull reply",
        Message::StoreHint { .. } => "store hint",
        Message::Beat => "beat",
        Message::Gossip(packet) => packet_kind(packet).unwrap_or("packet that cannot be read"),
        Message::PurgeAsk { .. } => "purge ask",
        Message::PurgeVote { .. } => "purge vote",
        Message::Forget { .. } => "forget",
        Message::Heal { .. } => "heal",
        Message::HealReply { .. } => "heal reply",
        Message::Compare { .. } => "compare",
        Message::CompareReply { .. } => "compare reply",
        Message::Leaves { .. } => "leaves",
        Message::LeavesReply { .. } => "leaves reply",
        Message::Keys { .. } => "keys",
        Message::KeysReply { .. } => "keys reply",
        Message::Exchange { .. } => "exchange",
    }
}

/// What a packet of the gossip is, by its header, as foca writes it with postcard: the sender's name of three numbers and its
/// incarnation, the receiver's name, the number of the variant.
fn packet_kind(mut packet: &[u8]) -> Option<&'static str> {
    for _ in 0..7 {
        number(&mut packet)?;
    }
    Some(match number(&mut packet)? {
        0 => "ping",
        1 => "ack",
        2 => "ping request",
        3 => "indirect ping",
        4 => "indirect ack",
        5 => "forwarded ack",
        6 => "announce",
        7 => "feed",
        // News alone; most of it rides on pings and acks.
        8 => "news",
        _ => return None,
    })
}

/// A number of variable length: seven bits a byte, the lowest first.
fn number(packet: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = packet.split_first()?;
        *packet = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
