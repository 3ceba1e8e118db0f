//! A proposer: brings a layout through both phases of Paxos, or one that somebody else began to bring.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand_chacha::rand_core::Rng;

use super::acceptor::{Acceptance, Ballot};
use crate::effect::{ChangeError, Effect};
use crate::event::RequestId;
use crate::id::{Epoch, NodeId};
use crate::layout::Layout;
use crate::message::Message;
use crate::node::Node;
use crate::time::Time;
use crate::turn::Turn;

/// Voters that have not answered are asked again after this time.
const AGAIN: Duration = Duration::from_millis(400);
/// A proposer that met a greater number waits up to this long, at random, before it tries a greater one.
const BACKOFF: Duration = Duration::from_millis(300);
/// A voter that has accepted a layout of which nothing is heard finishes what was begun.
const ABANDONED: Duration = Duration::from_secs(2);
/// A proposal that nobody waits for is given up after this time.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
enum Phase {
    /// Who has promised, and what they had accepted under the greatest number.
    Prepare { heard: BTreeSet<NodeId>, best: Option<Acceptance> },
    /// Who has accepted it.
    Accept { heard: BTreeSet<NodeId>, layout: Bytes },
    /// Somebody has promised a greater number.
    Beaten,
}

/// A proposal under way.
#[derive(Debug)]
struct Proposal {
    epoch: Epoch,
    request: Option<RequestId>,
    /// None: only to finish what somebody has begun.
    wanted: Option<Arc<Layout>>,
    ballot: Ballot,
    phase: Phase,
    timer: Time,
    deadline: Time,
}

/// What this node proposes: one layout at a time.
#[derive(Debug, Default)]
pub(crate) struct Proposals {
    proposal: Option<Proposal>,
    /// The greatest round seen.
    round: u64,
    /// When to finish what was begun by somebody who is not heard of.
    finish: Option<Time>,
}

impl Proposals {
    /// When it wants to be woken.
    pub(crate) fn next_timer(&self) -> Option<Time> {
        self.proposal.iter().map(|proposal| proposal.timer.min(proposal.deadline)).chain(self.finish).min()
    }

    /// While one is under way: those of the voters that have not answered yet.
    pub(crate) fn silent(&self, voters: &[NodeId]) -> Vec<NodeId> {
        let heard = match self.proposal.as_ref().map(|proposal| &proposal.phase) {
            Some(Phase::Prepare { heard, .. } | Phase::Accept { heard, .. }) => heard,
            // All have answered, or nobody was asked.
            Some(Phase::Beaten) | None => return Vec::new(),
        };
        voters.iter().copied().filter(|voter| !heard.contains(voter)).collect()
    }

    /// Whether one is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.proposal.is_some()
    }
}

impl Node {
    /// Has the voters choose a layout as the successor of the present one, or what somebody has brought already.
    pub(crate) fn propose(
        &mut self,
        turn: &mut Turn<'_>,
        request: Option<(RequestId, Time)>,
        wanted: Option<Layout>,
    ) {
        if self.proposals.is_busy() {
            return;
        }
        let now = turn.time();
        let proposal = Proposal {
            epoch: self.epoch(),
            request: request.map(|(request, _)| request),
            wanted: wanted.map(Arc::new),
            ballot: Ballot::default(),
            phase: Phase::Beaten,
            timer: now,
            deadline: request.map_or(now + PATIENCE, |(_, deadline)| deadline),
        };
        self.proposals.proposal = Some(proposal);
        self.prepare(turn);
    }

    /// Begins a round with a greater number than any seen.
    fn prepare(&mut self, turn: &mut Turn<'_>) {
        self.proposals.round = self.proposals.round.max(self.acceptor.promised.round) + 1;
        let round = self.proposals.round;
        let Some(proposal) = &mut self.proposals.proposal else { return };
        proposal.ballot = Ballot { round, start: self.config.start };
        proposal.phase = Phase::Prepare { heard: BTreeSet::new(), best: None };
        proposal.timer = turn.time() + AGAIN;
        self.ask_voters(turn);
    }

    /// Asks the voters that have not answered in this phase.
    fn ask_voters(&mut self, turn: &mut Turn<'_>) {
        let (Some(proposal), Some(layout)) = (&self.proposals.proposal, self.layout.clone()) else { return };
        let (epoch, ballot) = (proposal.epoch, proposal.ballot);
        let (heard, message) = match &proposal.phase {
            Phase::Prepare { heard, .. } => (heard.clone(), Message::Prepare { epoch, ballot }),
            Phase::Accept { heard, layout } => {
                (heard.clone(), Message::Accept { epoch, ballot, layout: layout.clone() })
            }
            Phase::Beaten => return,
        };
        for &voter in layout.voters.iter().filter(|voter| !heard.contains(voter)) {
            if voter == self.config.node || self.links.is_trusted(voter) {
                self.say(turn, voter, message.clone());
            }
        }
    }

    /// A voter has promised, or refused.
    pub(crate) fn on_prepared(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        epoch: Epoch,
        ballot: Ballot,
        result: Result<Option<Acceptance>, Ballot>,
    ) {
        let Some(majority) = self.heard_voter(turn, from, epoch, ballot, result.as_ref().err().copied())
        else {
            return;
        };
        let (Some(proposal), Ok(vote)) = (&mut self.proposals.proposal, result) else { return };
        let Phase::Prepare { heard, best } = &mut proposal.phase else { return };
        heard.insert(from);
        if vote.as_ref().map(|vote| vote.0) > best.as_ref().map(|best| best.0) {
            *best = vote;
        }
        if heard.len() < majority {
            return;
        }
        let wanted = || proposal.wanted.as_ref().map(|wanted| Bytes::from(wanted.encode()));
        let Some(layout) = best.take().map(|(_, layout)| layout).or_else(wanted) else {
            // Nothing was begun that could have been chosen.
            self.proposals.proposal = None;
            return;
        };
        proposal.phase = Phase::Accept { heard: BTreeSet::new(), layout };
        proposal.timer = turn.time() + AGAIN;
        self.ask_voters(turn);
    }

    /// A voter has accepted, or refused.
    pub(crate) fn on_accepted(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        epoch: Epoch,
        ballot: Ballot,
        result: Result<(), Ballot>,
    ) {
        let Some(majority) = self.heard_voter(turn, from, epoch, ballot, result.err()) else { return };
        let Some(proposal) = &mut self.proposals.proposal else { return };
        let Phase::Accept { heard, .. } = &mut proposal.phase else { return };
        heard.insert(from);
        if heard.len() >= majority {
            self.adopt_chosen(turn);
        }
    }

    /// What it takes to have a majority, when this is an answer to what is being asked; a refusal ends the round.
    fn heard_voter(
        &mut self,
        turn: &Turn<'_>,
        from: NodeId,
        epoch: Epoch,
        ballot: Ballot,
        refused: Option<Ballot>,
    ) -> Option<usize> {
        if let Some(promised) = refused {
            self.proposals.round = self.proposals.round.max(promised.round);
        }
        let wait = BACKOFF.mul_f64((self.rng.next_u64() % 1024) as f64 / 1024.0);
        let layout = self.layout.as_ref()?;
        let proposal = self.proposals.proposal.as_mut()?;
        let is_asked = proposal.epoch == epoch && layout.epoch == epoch && proposal.ballot == ballot;
        if !is_asked || !layout.voters.contains(&from) {
            return None;
        }
        if refused.is_some() {
            proposal.phase = Phase::Beaten;
            proposal.timer = turn.time() + wait;
            return None;
        }
        Some(layout.voters.len() / 2 + 1)
    }

    /// A majority has accepted it: it is chosen, for good.
    fn adopt_chosen(&mut self, turn: &mut Turn<'_>) {
        let Some(Proposal { phase: Phase::Accept { layout, .. }, .. }) = &self.proposals.proposal else {
            return;
        };
        if let Ok(layout) = Layout::decode(layout)
            && self.pending_layout.is_none()
            && self.writable
        {
            self.persist(turn, layout, Vec::new());
        }
    }

    /// This node holds another layout: what was proposed is decided.
    pub(super) fn proposal_adopted(&mut self, turn: &mut Turn<'_>) {
        self.proposals.finish = None;
        let Some(layout) = self.layout.clone() else { return };
        let Some(proposal) = self.proposals.proposal.take_if(|proposal| proposal.epoch < layout.epoch) else {
            return;
        };
        if let Some(request) = proposal.request {
            let is_wanted = proposal.wanted.as_ref().is_some_and(|wanted| **wanted == *layout);
            let result = if is_wanted {
                Ok(layout)
            } else {
                Err(ChangeError::ChangedMeanwhile { epoch: layout.epoch })
            };
            turn.effects.push(Effect::AnswerChange { request, result });
        }
    }

    /// Somebody has brought a layout so far: should he not go on, this node does.
    pub(crate) fn finish_later(&mut self, turn: &Turn<'_>) {
        let jitter = BACKOFF.mul_f64((self.rng.next_u64() % 1024) as f64 / 1024.0);
        self.proposals.finish = Some(turn.time() + ABANDONED + jitter);
    }

    /// Asks again, tries a greater number, or gives up.
    pub(crate) fn wake_proposals(&mut self, turn: &mut Turn<'_>) {
        let now = turn.time();
        if self.proposals.finish.is_some_and(|finish| finish <= now) {
            self.proposals.finish = None;
            if self.acceptor.vote(self.epoch()).is_some() {
                self.propose(turn, None, None);
                self.finish_later(turn);
            }
        }
        let Some(proposal) = &mut self.proposals.proposal else { return };
        if proposal.deadline <= now {
            self.give_up(turn);
        } else if proposal.timer <= now {
            proposal.timer = now + AGAIN;
            match &proposal.phase {
                Phase::Beaten => self.prepare(turn),
                Phase::Prepare { .. } => self.ask_voters(turn),
                Phase::Accept { .. } => {
                    self.ask_voters(turn);
                    self.adopt_if_chosen(turn);
                }
            }
        }
    }

    /// The disk may have been full when it was chosen.
    fn adopt_if_chosen(&mut self, turn: &mut Turn<'_>) {
        let majority = self.layout.as_ref().map_or(usize::MAX, |layout| layout.voters.len() / 2 + 1);
        if let Some(Proposal { phase: Phase::Accept { heard, .. }, .. }) = &self.proposals.proposal
            && heard.len() >= majority
        {
            self.adopt_chosen(turn);
        }
    }

    /// Too few voters have answered in time: what was proposed may still be chosen.
    fn give_up(&mut self, turn: &mut Turn<'_>) {
        let Some(proposal) = self.proposals.proposal.take() else { return };
        let (Some(request), Some(layout)) = (proposal.request, &self.layout) else { return };
        let heard = match proposal.phase {
            Phase::Prepare { heard, .. } | Phase::Accept { heard, .. } => heard,
            Phase::Beaten => BTreeSet::new(),
        };
        let silent = layout.voters.iter().copied().filter(|voter| !heard.contains(voter)).collect();
        let needed = layout.voters.len() / 2 + 1;
        let result = Err(ChangeError::NoMajority { needed, silent });
        turn.effects.push(Effect::AnswerChange { request, result });
    }
}
