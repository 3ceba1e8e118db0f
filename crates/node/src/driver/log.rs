//! What the core tells of records and nodes, for the log.

use quorate_protocol::PeerState;
use quorate_protocol::effect::Notice;
use quorate_protocol::id::NodeId;

/// What the gossip says of a node has changed.
pub(super) fn verdict(peer: NodeId, state: Option<PeerState>) {
    match state {
        Some(PeerState::Alive) => tracing::info!(%peer, "a node is alive"),
        Some(PeerState::Suspect) => tracing::info!(%peer, "a node is suspected of being down"),
        Some(PeerState::Down) => tracing::warn!(%peer, "a node is down"),
        None => tracing::info!(%peer, "a node has been down for so long that it is forgotten"),
    }
}

/// Something has happened to a stored record.
pub(super) fn notice(notice: &Notice) {
    let key = match notice {
        Notice::RecordDamaged { key, .. } | Notice::RecordHealed { key } | Notice::RecordLost { key } => key,
    };
    let (partition, bucket, name) = (key.partition, key.bucket, key.key.escape_ascii());
    match notice {
        Notice::RecordDamaged { detail, .. } => {
            tracing::error!(%partition, %bucket, key = %name, detail, "a stored record is damaged");
        }
        Notice::RecordHealed { .. } => {
            tracing::warn!(%partition, %bucket, key = %name, "a damaged record is healed");
        }
        Notice::RecordLost { .. } => {
            tracing::error!(%partition, %bucket, key = %name, "DATA LOST: a damaged record had no other owner");
        }
    }
}
