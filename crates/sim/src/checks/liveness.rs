//! Who is alive is found out: the dead are noticed, the living are not forgotten, and the dead are not asked.
//! Every start of a process has a number of its own, by which a node that comes back is known for what it is.

use std::time::Duration;

use quorate_protocol::message::Message;
use quorate_protocol::{Limits, PeerState};

use super::{Check, violation};
use crate::describe;

/// After this time every node that was well and knew of another has noticed that it is dead: it probes each at least once
/// in two rounds, and a suspicion may be refuted once more by what the dead one had sent before. `stretch`: the most that
/// it stretched its times for its own health.
pub(crate) fn noticed_within(limits: &Limits, nodes: usize, stretch: u32) -> Duration {
    let probes = u32::try_from(2 * nodes + 2).unwrap_or(u32::MAX);
    (limits.probe_period * probes + limits.suspicion * 2) * stretch
}

/// A node that was well all the time that another was dead has noticed.
pub(crate) fn noticed(observer: usize, verdict: Option<PeerState>, dead: usize, dead_for: Duration) -> Check {
    if verdict == Some(PeerState::Down) {
        return Ok(());
    }
    Err(violation(
        "liveness",
        format!(
            "{} has been dead for {} ms, and {} holds it to be {verdict:?}",
            describe::node(dead),
            dead_for.as_millis(),
            describe::node(observer)
        ),
    ))
}

/// A start has a greater number than all before it.
pub(crate) fn started(node: usize, before: u64, now: u64) -> Check {
    if now > before {
        return Ok(());
    }
    Err(violation(
        "liveness",
        format!("{} calls a start {now}, and one before it {before}", describe::node(node)),
    ))
}

/// Nobody asks a node that it holds to be down.
pub(crate) fn may_ask(asker: usize, asked: usize, is_down: bool, message: &Message) -> Check {
    let asks = match message {
        Message::Replicate { tag, .. } => tag.is_some(),
        Message::Fetch { .. } | Message::Scan { .. } | Message::Forward { .. } => true,
        _ => false,
    };
    if asks && is_down {
        return Err(violation(
            "liveness",
            format!("{} asks {}, which it holds to be down", describe::node(asker), describe::node(asked)),
        ));
    }
    Ok(())
}

/// All is well, and has been for a while: nobody is declared down.
pub(crate) fn declared_down_in_peace(by: usize, peer: usize) -> Check {
    Err(violation(
        "liveness",
        format!("all is well, and {} declares {} down", describe::node(by), describe::node(peer)),
    ))
}

/// All faults have been over for long, and somebody still holds somebody not to be alive.
pub(crate) fn still_unseen(observer: usize, peer: usize, verdict: Option<PeerState>) -> Check {
    Err(violation(
        "liveness",
        format!(
            "all faults are long over, and {} holds {} to be {verdict:?}",
            describe::node(observer),
            describe::node(peer)
        ),
    ))
}
