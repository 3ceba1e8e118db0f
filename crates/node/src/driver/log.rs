//! What the core tells, for the log.

use quorate_protocol::PeerState;
use quorate_protocol::effect::Notice;
use quorate_protocol::id::NodeId;
use quorate_protocol::message::KeyRef;

/// What the gossip says of a node has changed.
pub(super) fn verdict(peer: NodeId, state: Option<PeerState>) {
    match state {
        Some(PeerState::Alive) => tracing::info!(%peer, "a node is alive"),
        Some(PeerState::Suspect) => tracing::info!(%peer, "a node is suspected of being down"),
        Some(PeerState::Down) => tracing::warn!(%peer, "a node is down"),
        None => tracing::info!(%peer, "a node has been down for so long that it is forgotten"),
    }
}

/// Something that people want to read of.
pub(super) fn notice(notice: &Notice) {
    let place = |key: &KeyRef| (key.partition, key.bucket, key.key.escape_ascii().to_string());
    match notice {
        Notice::Standing { vouched: true } => {
            tracing::info!("the others know nothing against this directory: the node takes part");
        }
        Notice::Standing { vouched: false } => tracing::warn!(
            "the node takes part though too few others have answered: one may know that its directory is an old copy"
        ),
        Notice::RecordDamaged { key, detail } => {
            let (partition, bucket, key) = place(key);
            tracing::error!(%partition, %bucket, key, detail, "a stored record is damaged");
        }
        Notice::RecordHealed { key } => {
            let (partition, bucket, key) = place(key);
            tracing::warn!(%partition, %bucket, key, "a damaged record is healed");
        }
        Notice::RecordLost { key } => {
            let (partition, bucket, key) = place(key);
            tracing::error!(%partition, %bucket, key, "DATA LOST: a damaged record had no other owner");
        }
    }
}
