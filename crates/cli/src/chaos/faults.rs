//! Loss and delay: what nodes are told of them, and what they say.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use quorate_proto::v1;

use super::target::{Target, TargetNode};
use crate::admin;

/// What is to be different between a node and one of its peers; `None`: as it was.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Change {
    pub(super) drop: Option<f64>,
    pub(super) receive_drop: Option<f64>,
    /// With its jitter.
    pub(super) delay: Option<(Duration, Duration)>,
}

impl Change {
    /// What there is after it. Whoever is cut off stays so, whatever part of the messages is to be lost: faults add up until they
    /// are healed.
    fn of(&self, now: v1::PeerFault) -> v1::PeerFault {
        let mut fault = now;
        if !is_cut(&now) {
            fault.drop = self.drop.unwrap_or(now.drop);
            fault.receive_drop = self.receive_drop.unwrap_or(now.receive_drop);
        }
        if let Some((delay, jitter)) = self.delay {
            let ms = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
            (fault.delay_ms, fault.delay_jitter_ms) = (ms(delay), ms(jitter));
        }
        fault
    }
}

/// Whether the node and its peer do not hear each other at all: only a partition does that.
fn is_cut(fault: &v1::PeerFault) -> bool {
    fault.drop >= 1.0 && fault.receive_drop >= 1.0
}

/// What a node does wrong on purpose, in the order of its peers' numbers; changes nothing.
pub(super) async fn of(target: &Target, node: &TargetNode) -> Result<v1::InjectFaultsResponse> {
    let mut answer = inject(node, v1::InjectFaultsRequest::default()).await?;
    let number = |fault: &v1::PeerFault| target.nodes.iter().position(|node| node.id == fault.node_id);
    // Who is no member any more comes last.
    answer.faults.sort_by_key(|fault| number(fault).unwrap_or(usize::MAX));
    Ok(answer)
}

/// Ends everything that a node does wrong on purpose.
pub(super) async fn end(node: &TargetNode) -> Result<()> {
    inject(node, v1::InjectFaultsRequest { faults: Vec::new(), replace: true }).await?;
    Ok(())
}

/// Changes what a node does to the messages between it and these peers, by their indices.
pub(super) async fn change(target: &Target, at: usize, changes: &[(usize, Change)]) -> Result<()> {
    let node = &target.nodes[at];
    let now = of(target, node).await?.faults;
    let changed = |(peer, change): &(usize, Change)| {
        let node_id = target.nodes[*peer].id;
        let now = now.iter().find(|fault| fault.node_id == node_id).copied();
        change.of(now.unwrap_or(v1::PeerFault { node_id, ..Default::default() }))
    };
    let faults = changes.iter().map(changed).collect();
    inject(node, v1::InjectFaultsRequest { faults, replace: false }).await?;
    Ok(())
}

async fn inject(node: &TargetNode, request: v1::InjectFaultsRequest) -> Result<v1::InjectFaultsResponse> {
    let name = &node.name;
    ensure!(!node.grpc.is_empty(), "{name}: nobody knows where clients reach it");
    if !node.listens() {
        bail!("{name} is {}", node.state());
    }
    let mut admin = admin::connect(&node.grpc).await?;
    let answer = admin.inject_faults(request).await.map_err(|status| admin::refused(name, &status))?;
    Ok(answer.into_inner())
}

/// All that a node does wrong, for people.
pub(super) fn described(target: &Target, answer: &v1::InjectFaultsResponse) -> String {
    let described = answer.faults.iter().map(|fault| describe(target, fault));
    described.collect::<Vec<_>>().join("; ")
}

/// A fault for people.
fn describe(target: &Target, fault: &v1::PeerFault) -> String {
    let known = target.nodes.iter().find(|node| node.id == fault.node_id);
    let peer = known.map_or_else(|| format!("{:016x}", fault.node_id), |node| node.name.clone());
    let percent = |fraction: f64| format!("{}%", (fraction * 1000.0).round() / 10.0);
    let mut parts = Vec::new();
    if is_cut(fault) {
        parts.push(format!("cut off from {peer}"));
    } else {
        if fault.drop > 0.0 {
            parts.push(format!("loses {} to {peer}", percent(fault.drop)));
        }
        if fault.receive_drop > 0.0 {
            parts.push(format!("loses {} from {peer}", percent(fault.receive_drop)));
        }
    }
    if fault.delay_ms > 0 || fault.delay_jitter_ms > 0 {
        let jitter = match fault.delay_jitter_ms {
            0 => String::new(),
            jitter => format!(" to {}ms", u64::from(fault.delay_ms) + u64::from(jitter)),
        };
        parts.push(format!("{}ms{jitter} late to {peer}", fault.delay_ms));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_outlasts_loss_and_takes_a_delay_along() {
        let cut = Change { drop: Some(1.0), receive_drop: Some(1.0), delay: None };
        let loss = |fraction| Change { drop: Some(fraction), ..Change::default() };
        let late = Change { delay: Some((Duration::from_millis(5), Duration::ZERO)), ..Change::default() };
        let lossy = loss(0.5).of(loss(0.3).of(v1::PeerFault::default()));
        assert_eq!((lossy.drop, lossy.receive_drop), (0.5, 0.0), "the last word on it counts");
        for again in [loss(0.3), loss(0.0), cut] {
            let after = again.of(late.of(cut.of(lossy)));
            assert_eq!((after.drop, after.receive_drop, after.delay_ms), (1.0, 1.0, 5), "{again:?}");
        }
        // All that is sent is lost, but what is received is not: that is no cut.
        assert_eq!(loss(0.3).of(loss(1.0).of(lossy)).drop, 0.3);
    }
}
