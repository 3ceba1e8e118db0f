//! What foca wants done, collected while it handles one thing.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use foca::{Codec as _, Header, Member, Message, Notification, PostcardCodec, Runtime, Timer};

use super::identity::MemberId;
use crate::id::NodeId;

/// Collects; the membership empties it after every call.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Packets, in order.
    pub(super) packets: Vec<(NodeId, Bytes)>,
    /// Timers, and in how much time they fire if this node is well.
    pub(super) timers: Vec<(Timer<MemberId>, Duration)>,
    /// How often this node has refuted a suspicion of itself under its present name.
    pub(super) incarnation: u16,
    /// Whether it has taken a new name.
    pub(super) renamed: bool,
}

impl Outbox {
    /// Sends a member the news about itself, in a packet as foca makes them: a header, a count, the news.
    pub(super) fn tell(&mut self, from: MemberId, member: &Member<MemberId>) {
        let header = Header {
            src: from,
            src_incarnation: self.incarnation,
            dst: *member.id(),
            message: Message::Gossip,
        };
        let mut packet = BytesMut::new();
        let written = PostcardCodec.encode_header(&header, &mut packet).and_then(|()| {
            packet.put_u16(1);
            PostcardCodec.encode_member(member, &mut packet)
        });
        if written.is_ok() {
            self.packets.push((member.id().node, packet.freeze()));
        }
    }
}

impl Runtime<MemberId> for Outbox {
    fn notify(&mut self, notification: Notification<'_, MemberId>) {
        match notification {
            Notification::Rejoin(_) => self.renamed = true,
            // The states are read from the member list.
            Notification::MemberUp(_)
            | Notification::MemberDown(_)
            | Notification::Rename(..)
            | Notification::Active
            | Notification::Idle
            | Notification::Defunct => {}
        }
    }

    fn send_to(&mut self, to: MemberId, data: &[u8]) {
        // Foca does not tell it in any other way.
        let header: Result<Header<MemberId>, _> = PostcardCodec.decode_header(data);
        if let Ok(header) = header {
            self.incarnation = header.src_incarnation;
        }
        self.packets.push((to.node, Bytes::copy_from_slice(data)));
    }

    fn submit_after(&mut self, event: Timer<MemberId>, after: Duration) {
        self.timers.push((event, after));
    }
}
