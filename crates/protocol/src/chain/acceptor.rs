//! A voter: what it has promised and accepted for the successor of the layout it holds, durable before it says so.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::commits::Waiter;
use crate::id::{Epoch, NodeId, StartId};
use crate::keys;
use crate::message::Message;
use crate::node::Node;
use crate::store::StoreOp;
use crate::turn::Turn;
use crate::version::DecodeError;

/// A proposer's number. No two proposals ever have the same: a life of a process counts its rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ballot {
    /// Greater than any that its proposer has seen.
    pub round: u64,
    /// The life of the proposer.
    pub start: StartId,
}

/// What a voter has accepted: under which number, and which layout, encoded.
pub type Acceptance = (Ballot, Bytes);

/// The state of a voter, as it is on the disk. It speaks of the successor of one epoch; of another it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acceptor {
    /// The epoch whose successor is being chosen.
    pub epoch: Epoch,
    /// It takes part in no proposal with a smaller number.
    pub promised: Ballot,
    /// What it has accepted last.
    accepted: Option<(Ballot, Vec<u8>)>,
}

impl Acceptor {
    /// Reads what was persisted.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        postcard::from_bytes(bytes).map_err(|error| DecodeError(error.to_string()))
    }

    fn encode(&self) -> Bytes {
        Bytes::from(postcard::to_stdvec(self).expect("plain data serializes into a growing vector"))
    }

    /// What it has accepted for the successor of this epoch.
    pub fn vote(&self, epoch: Epoch) -> Option<Acceptance> {
        let accepted = self.accepted.as_ref().filter(|_| self.epoch == epoch)?;
        Some((accepted.0, Bytes::copy_from_slice(&accepted.1)))
    }

    /// Forgets what was about another epoch.
    fn of(&mut self, epoch: Epoch) -> &mut Self {
        if self.epoch != epoch {
            *self = Self { epoch, ..Self::default() };
        }
        self
    }
}

impl Node {
    /// Phase 1: a proposer wants a promise.
    pub(crate) fn on_prepare(&mut self, turn: &mut Turn<'_>, from: NodeId, epoch: Epoch, ballot: Ballot) {
        if !self.may_vote(turn, from, epoch) {
            return;
        }
        let acceptor = self.acceptor.of(epoch);
        if ballot < acceptor.promised {
            let result = Err(acceptor.promised);
            self.say(turn, from, Message::Prepared { epoch, ballot, result });
            return;
        }
        acceptor.promised = ballot;
        let result = Ok(acceptor.vote(epoch));
        self.say_durably(turn, from, Message::Prepared { epoch, ballot, result });
    }

    /// Phase 2: a proposer wants a layout accepted.
    pub(crate) fn on_accept(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        epoch: Epoch,
        ballot: Ballot,
        layout: &Bytes,
    ) {
        if !self.may_vote(turn, from, epoch) {
            return;
        }
        let acceptor = self.acceptor.of(epoch);
        if ballot < acceptor.promised {
            let result = Err(acceptor.promised);
            self.say(turn, from, Message::Accepted { epoch, ballot, result });
            return;
        }
        acceptor.promised = ballot;
        acceptor.accepted = Some((ballot, layout.to_vec()));
        self.say_durably(turn, from, Message::Accepted { epoch, ballot, result: Ok(()) });
        self.finish_later(turn);
    }

    /// Whether this node has a say in the successor of that epoch; who is behind gets the layout.
    fn may_vote(&mut self, turn: &mut Turn<'_>, from: NodeId, epoch: Epoch) -> bool {
        if epoch < self.epoch() {
            self.on_layout_request(turn, from);
        }
        let is_own = from == self.config.node && !self.standing.waits();
        let fenced = is_own || self.fence_member(turn, from, epoch).is_ok();
        let votes = |layout: &crate::layout::Layout| layout.voters.contains(&self.config.node);
        fenced && epoch == self.epoch() && self.writable && self.layout.as_deref().is_some_and(votes)
    }

    /// Persists the voter's state, and speaks when that is done.
    fn say_durably(&mut self, turn: &mut Turn<'_>, to: NodeId, message: Message) {
        let put = StoreOp::Put { key: Bytes::from_static(keys::BALLOT), value: self.acceptor.encode() };
        let commit = self.commits.issue(turn.effects, vec![put]);
        self.commits.wait(commit, Waiter::Say { to, message: Box::new(message) });
    }

    /// Says something to a node, which may be this one.
    pub(crate) fn say(&mut self, turn: &mut Turn<'_>, to: NodeId, message: Message) {
        if to == self.config.node {
            self.on_message(turn, to, message);
        } else {
            turn.send(to, message);
        }
    }
}
