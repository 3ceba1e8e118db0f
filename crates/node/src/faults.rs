//! What this node does wrong on purpose: messages to and from chosen peers are lost or held up, for tests.
//!
//! Messages disappear between the core and the link, so a cut is silent: the connection stays up and answers pings, and whoever
//! is to notice must notice the silence. A peer that is cut in either direction gets no new link, as it would get none through
//! a network that lost everything. Healing releases what is held up at once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use quorate_protocol::id::NodeId;
use quorate_protocol::message::Message;
use rand::RngExt as _;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// The longest delay, and the longest jitter.
pub const DELAY_MAX: Duration = Duration::from_secs(60);

/// What happens to the messages between this node and one peer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PeerFault {
    /// This fraction of the messages to it is lost, each by itself; 1: all.
    pub drop: f64,
    /// This fraction of the messages from it is lost.
    pub receive_drop: f64,
    /// Messages to it are held up for this long, and stay in order.
    pub delay: Duration,
    /// And for up to this much longer.
    pub delay_jitter: Duration,
}

impl PeerFault {
    /// It does nothing.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    fn is_cut(&self) -> bool {
        self.drop >= 1.0 || self.receive_drop >= 1.0
    }
}

/// Why faults were not taken.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FaultsRefused {
    /// The node was not started for this.
    #[error(
        "fault injection is off: start the node with --unsafe-fault-injection (`quorate dev --unsafe-fault-injection` \
         does so for all of its nodes), and never with data that matters"
    )]
    Off,
    /// A field breaks its bound.
    #[error("faults[{at}].{field}: {reason}")]
    Invalid {
        /// Which of the faults.
        at: usize,
        /// Which field.
        field: &'static str,
        /// The bound.
        reason: String,
    },
}

/// The faults in effect. Without any, they cost one relaxed load for each batch.
#[derive(Debug)]
pub struct Faults {
    allowed: bool,
    any: AtomicBool,
    by_peer: Mutex<BTreeMap<NodeId, PeerFault>>,
    lost: AtomicU64,
    /// Counts changes, for what is held up.
    changes: watch::Sender<u64>,
}

impl Faults {
    /// None yet; none ever unless they are `allowed`.
    pub fn new(allowed: bool) -> Self {
        Self {
            allowed,
            any: AtomicBool::new(false),
            by_peer: Mutex::default(),
            lost: AtomicU64::new(0),
            changes: watch::Sender::new(0),
        }
    }

    /// Whether the node was started with `--unsafe-fault-injection`.
    pub fn allowed(&self) -> bool {
        self.allowed
    }

    /// Sets the faults of these peers, and with `replace` ends those of all others. One that does nothing ends its peer's.
    pub fn set(&self, faults: &[(NodeId, PeerFault)], replace: bool) -> Result<(), FaultsRefused> {
        if !self.allowed {
            return Err(FaultsRefused::Off);
        }
        for (at, (_, fault)) in faults.iter().enumerate() {
            check(at, fault)?;
        }
        {
            let mut by_peer = self.by_peer.lock();
            let before = by_peer.clone();
            if replace {
                by_peer.clear();
            }
            by_peer.extend(faults.iter().copied());
            by_peer.retain(|_, fault| !fault.is_none());
            self.any.store(!by_peer.is_empty(), Ordering::Relaxed);
            if by_peer.is_empty() && !before.is_empty() {
                tracing::warn!("injected faults have ended");
            } else if *by_peer != before {
                tracing::warn!(faults = ?*by_peer, "INJECTED FAULTS: messages to and from these peers are lost or held up");
            }
        }
        self.changes.send_modify(|changes| *changes += 1);
        Ok(())
    }

    /// Those in effect, in the order of the peers.
    pub fn list(&self) -> Vec<(NodeId, PeerFault)> {
        self.by_peer.lock().iter().map(|(peer, fault)| (*peer, *fault)).collect()
    }

    /// Messages lost to faults since the start.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn of(&self, peer: NodeId) -> Option<PeerFault> {
        if !self.any.load(Ordering::Relaxed) {
            return None;
        }
        self.by_peer.lock().get(&peer).copied()
    }

    /// Whether no new link with this peer may come up.
    pub(crate) fn is_cut(&self, peer: NodeId) -> bool {
        self.of(peer).is_some_and(|fault| fault.is_cut())
    }

    /// Takes out of the messages to a peer those that are lost; says until when the others are held up.
    pub(crate) fn sending(&self, to: NodeId, messages: &mut Vec<Message>) -> Option<Instant> {
        let fault = self.of(to)?;
        self.lose(fault.drop, messages);
        if fault.delay + fault.delay_jitter == Duration::ZERO {
            return None;
        }
        let jitter = rand::rng().random_range(Duration::ZERO..=fault.delay_jitter);
        Some(Instant::now() + fault.delay + jitter)
    }

    /// Takes out of the messages from a peer those that are lost.
    pub(crate) fn receiving(&self, from: NodeId, messages: &mut Vec<Message>) {
        if let Some(fault) = self.of(from) {
            self.lose(fault.receive_drop, messages);
        }
    }

    fn lose(&self, fraction: f64, messages: &mut Vec<Message>) {
        if fraction <= 0.0 {
            return;
        }
        let before = messages.len();
        messages.retain(|_| !rand::rng().random_bool(fraction.min(1.0)));
        self.lost.fetch_add((before - messages.len()) as u64, Ordering::Relaxed);
    }

    /// Waits until then, or until nothing to this peer is held up any more.
    pub(crate) async fn hold(&self, to: NodeId, until: Instant) {
        let mut changes = self.changes.subscribe();
        while self.of(to).is_some_and(|fault| fault.delay + fault.delay_jitter > Duration::ZERO) {
            tokio::select! {
                () = sleep_until(until) => return,
                _ = changes.changed() => {}
            }
        }
    }
}

fn check(at: usize, fault: &PeerFault) -> Result<(), FaultsRefused> {
    let refuse = |field, reason| Err(FaultsRefused::Invalid { at, field, reason });
    for (field, fraction) in [("drop", fault.drop), ("receive_drop", fault.receive_drop)] {
        if !(0.0..=1.0).contains(&fraction) {
            return refuse(field, format!("{fraction} is not from 0 to 1"));
        }
    }
    for (field, time) in [("delay_ms", fault.delay), ("delay_jitter_ms", fault.delay_jitter)] {
        if time > DELAY_MAX {
            return refuse(field, format!("{} is not from 0 to {}", time.as_millis(), DELAY_MAX.as_millis()));
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that meets the unexpected stops there")]
mod tests {
    use super::*;

    const PEER: NodeId = NodeId(7);
    const OTHER: NodeId = NodeId(8);

    fn faults(fault: PeerFault) -> Faults {
        let faults = Faults::new(true);
        faults.set(&[(PEER, fault)], true).unwrap();
        faults
    }

    fn survivors<T>(count: usize, pass: impl FnOnce(&mut Vec<Message>) -> T) -> usize {
        let mut messages = vec![Message::LayoutRequest; count];
        pass(&mut messages);
        messages.len()
    }

    #[test]
    fn each_direction_loses_its_own_messages() {
        let cut = faults(PeerFault { drop: 1.0, ..PeerFault::default() });
        assert!(cut.is_cut(PEER) && !cut.is_cut(OTHER));
        assert_eq!(survivors(10, |messages| cut.sending(PEER, messages)), 0);
        assert_eq!(survivors(10, |messages| cut.sending(OTHER, messages)), 10);
        assert_eq!(survivors(10, |messages| cut.receiving(PEER, messages)), 10);
        let deaf = faults(PeerFault { receive_drop: 1.0, ..PeerFault::default() });
        assert!(deaf.is_cut(PEER));
        assert_eq!(survivors(10, |messages| deaf.sending(PEER, messages)), 10);
        assert_eq!(survivors(10, |messages| deaf.receiving(PEER, messages)), 0);
        assert_eq!((cut.lost(), deaf.lost()), (10, 10));
    }

    #[test]
    fn a_fraction_is_lost_message_by_message() {
        let lossy = faults(PeerFault { drop: 0.3, ..PeerFault::default() });
        let left = survivors(10_000, |messages| lossy.sending(PEER, messages));
        // Twelve standard deviations wide.
        assert!((6_450..7_550).contains(&left), "{left}");
        assert!(!lossy.is_cut(PEER));
    }

    #[test]
    fn faults_are_replaced_merged_and_ended() {
        let faults = faults(PeerFault { drop: 0.5, ..PeerFault::default() });
        let late = PeerFault { delay: Duration::from_millis(5), ..PeerFault::default() };
        faults.set(&[(OTHER, late)], false).unwrap();
        assert_eq!(faults.list().len(), 2);
        faults.set(&[(PEER, PeerFault::default())], false).unwrap();
        assert_eq!(faults.list(), [(OTHER, late)]);
        faults.set(&[], true).unwrap();
        assert_eq!(faults.list(), []);
        assert_eq!(survivors(10, |messages| assert_eq!(faults.sending(OTHER, messages), None)), 10);
    }

    #[test]
    fn what_breaks_a_bound_changes_nothing_and_is_named() {
        let faults = faults(PeerFault { drop: 0.5, ..PeerFault::default() });
        let fine = (OTHER, PeerFault { drop: 0.1, ..PeerFault::default() });
        let wrong = [
            (PeerFault { drop: 1.5, ..PeerFault::default() }, "faults[1].drop: 1.5 is not from 0 to 1"),
            (
                PeerFault { receive_drop: f64::NAN, ..PeerFault::default() },
                "faults[1].receive_drop: NaN is not from 0 to 1",
            ),
            (
                PeerFault { delay: Duration::from_secs(61), ..PeerFault::default() },
                "faults[1].delay_ms: 61000 is not from 0 to 60000",
            ),
        ];
        for (wrong, told) in wrong {
            let refused = faults.set(&[fine, (PEER, wrong)], true).unwrap_err();
            assert_eq!(refused.to_string(), told);
            assert_eq!(faults.list()[0].1.drop, 0.5);
        }
        assert_eq!(Faults::new(false).set(&[fine], true), Err(FaultsRefused::Off));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_up_leaves_in_its_time_or_when_healed() {
        let delay = Duration::from_secs(10);
        let faults = faults(PeerFault { delay, ..PeerFault::default() });
        let begun = Instant::now();
        let until = faults.sending(PEER, &mut Vec::new()).unwrap();
        assert_eq!(until, begun + delay);
        faults.hold(PEER, until).await;
        assert_eq!(begun.elapsed(), delay);

        let until = faults.sending(PEER, &mut Vec::new()).unwrap();
        let begun = Instant::now();
        let heal = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            // Another peer's faults are no reason to leave.
            faults.set(&[(OTHER, PeerFault { drop: 1.0, ..PeerFault::default() })], false).unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
            faults.set(&[], true).unwrap();
        };
        tokio::join!(faults.hold(PEER, until), heal);
        assert_eq!(begun.elapsed(), Duration::from_secs(2));
    }
}
