//! One turn of the node: the time at which an event is handled, and where the effects go.

use crate::effect::{Effect, Effects};
use crate::id::NodeId;
use crate::message::Message;
use crate::time::{Now, Time};

/// Passed down to everything that happens while one event is handled.
pub(crate) struct Turn<'a> {
    /// What the clocks show.
    pub(crate) now: Now,
    /// What is to be done.
    pub(crate) effects: &'a mut Effects,
}

impl Turn<'_> {
    /// The monotonic time.
    pub(crate) fn time(&self) -> Time {
        self.now.mono
    }

    /// Sends to a peer.
    pub(crate) fn send(&mut self, to: NodeId, message: Message) {
        self.effects.push(Effect::Send { to, message });
    }
}
