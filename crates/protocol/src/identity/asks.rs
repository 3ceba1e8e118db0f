//! When peers that have not answered are asked again, each at its own pace: a link that comes up puts off no question on another.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::id::NodeId;
use crate::time::Time;

/// How soon a peer that has not answered, or not shown its life, is asked again: twice as long each time, for one that stands still will
/// find all of it.
const AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// The peers that were asked what they know of this node. Those that have answered are dropped when their time comes.
#[derive(Debug, Default)]
pub(super) struct Asks {
    /// When each is asked again, and after that in this time.
    due: BTreeMap<NodeId, (Time, Duration)>,
}

impl Asks {
    /// A peer is asked for the first time on a link.
    pub(super) fn begin(&mut self, now: Time, peer: NodeId) {
        self.due.insert(peer, (now + AGAIN.0, AGAIN.0));
    }

    /// Whom to ask again now.
    pub(super) fn take_due(&mut self, now: Time, is_stranger: impl Fn(NodeId) -> bool) -> Vec<NodeId> {
        let is_due = |due: &(Time, Duration)| due.0 <= now;
        self.due.retain(|peer, due| !is_due(due) || is_stranger(*peer));
        let asked = self.due.iter_mut().filter(|(_, due)| is_due(due));
        let ask_again = |(&peer, (at, again)): (&NodeId, &mut (Time, Duration))| {
            *again = (*again * 2).min(AGAIN.1);
            *at = now + *again;
            peer
        };
        asked.map(ask_again).collect()
    }

    /// When the next is due.
    pub(super) fn next_timer(&self) -> Option<Time> {
        self.due.values().map(|(at, _)| *at).min()
    }
}
