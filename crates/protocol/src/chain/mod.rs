//! Which layout this node holds, and how the next one is agreed.
//!
//! The successor of a layout is chosen by single-decree Paxos (Lamport, 2001) among the voters of that layout: no two nodes ever
//! hold different layouts under one epoch. What is chosen is offered to everybody, and persisted before it is used.
//!
//! | file | what it does |
//! | --- | --- |
//! | `acceptor` | a voter's durable promises |
//! | `proposer` | brings a layout, or one that somebody began to bring, through both phases |
//! | `orders` | what clients ask of the layout |
//! | `preview` | what that would move, before anything is changed |

mod acceptor;
mod orders;
mod preview;
mod proposer;

use std::sync::Arc;

use bytes::Bytes;

pub use acceptor::{Acceptance, Acceptor, Ballot};
pub(crate) use preview::Previews;
pub use preview::{Moves, Preview};
pub(crate) use proposer::Proposals;

use crate::commits::Waiter;
use crate::effect::{BootstrapError, Effect};
use crate::event::RequestId;
use crate::id::{Epoch, NodeId};
use crate::keys;
use crate::layout::{Bootstrap, Layout};
use crate::message::Message;
use crate::node::Node;
use crate::store::StoreOp;
use crate::turn::Turn;
use crate::version::TokenKey;

/// A layout on its way to the disk.
#[derive(Debug)]
pub(crate) struct Pending {
    layout: Arc<Layout>,
    /// Who asked for it, when it is the first.
    requests: Vec<RequestId>,
}

impl Node {
    /// Somebody founds a cluster, perhaps for the second time.
    pub(crate) fn on_bootstrap(&mut self, turn: &mut Turn<'_>, request: RequestId, settings: &Bootstrap) {
        let result = match self.try_bootstrap(turn, request, settings) {
            Ok(None) => return,
            Ok(Some(layout)) => Ok(layout),
            Err(error) => Err(error),
        };
        turn.effects.push(Effect::AnswerBootstrap { request, result });
    }

    /// The layout when it is held already; none when it is on its way to the disk.
    fn try_bootstrap(
        &mut self,
        turn: &mut Turn<'_>,
        request: RequestId,
        settings: &Bootstrap,
    ) -> Result<Option<Arc<Layout>>, BootstrapError> {
        let layout = Layout::first(settings)?;
        if layout.member(self.config.node).is_none() {
            return Err(BootstrapError::NotAMember(self.config.node));
        }
        if let Some(held) = &self.layout {
            let same = **held == layout;
            return if same {
                Ok(Some(held.clone()))
            } else {
                Err(BootstrapError::AlreadyBootstrapped(held.cluster))
            };
        }
        if let Some(pending) = &mut self.pending_layout {
            if *pending.layout != layout {
                return Err(BootstrapError::AlreadyBootstrapped(pending.layout.cluster));
            }
            pending.requests.push(request);
            return Ok(None);
        }
        if !self.writable {
            return Err(BootstrapError::DiskFull);
        }
        self.persist(turn, layout, vec![request]);
        Ok(None)
    }

    /// A peer has sent its layout: it was chosen, for nobody holds what was not.
    pub(crate) fn on_layout_offer(&mut self, turn: &mut Turn<'_>, from: NodeId, encoded: &[u8]) {
        let Ok(layout) = Layout::decode(encoded) else {
            return;
        };
        self.links.saw_epoch(from, layout.epoch);
        let is_news = match &self.layout {
            None => layout.member(self.config.node).is_some(),
            Some(held) => held.cluster == layout.cluster && held.epoch < layout.epoch,
        };
        if is_news && self.pending_layout.is_none() && self.writable {
            self.persist(turn, layout, Vec::new());
        }
    }

    /// A peer asks for the layout.
    pub(crate) fn on_layout_request(&self, turn: &mut Turn<'_>, from: NodeId) {
        if let Some(layout) = &self.layout {
            turn.send(from, Message::LayoutOffer(Bytes::from(layout.encode())));
        }
    }

    /// The store takes writes, or does not. A layout that was offered while it did not was dropped: ask again.
    pub(crate) fn on_store_writable(&mut self, turn: &mut Turn<'_>, writable: bool) {
        self.writable = writable;
        if writable {
            self.ask_who_is_ahead(turn);
        }
    }

    fn ask_who_is_ahead(&self, turn: &mut Turn<'_>) {
        for peer in self.links.ahead(self.epoch()) {
            turn.send(peer, Message::LayoutRequest);
        }
    }

    fn persist(&mut self, turn: &mut Turn<'_>, layout: Layout, requests: Vec<RequestId>) {
        let value = Bytes::from(layout.encode());
        let put = StoreOp::Put { key: Bytes::from_static(keys::LAYOUT), value };
        let number = self.commits.issue(turn.effects, vec![put]);
        self.pending_layout = Some(Pending { layout: Arc::new(layout), requests });
        self.commits.wait(number, Waiter::Layout);
    }

    /// The layout is on the disk.
    pub(crate) fn adopt_pending(&mut self, turn: &mut Turn<'_>) {
        let Some(Pending { layout, requests }) = self.pending_layout.take() else {
            return;
        };
        self.tokens = Some(TokenKey::new(layout.cluster, self.config.token_secret.as_deref()));
        self.layout = Some(layout.clone());
        self.own_anew();
        self.transition_adopted(turn);
        turn.effects.push(Effect::LayoutAdopted(layout.clone()));
        self.look_at_standing(turn);
        // Spread it to members that nobody has asked, or that were not there.
        let behind: Vec<NodeId> = self.links.behind(layout.epoch).collect();
        for peer in behind {
            self.on_layout_request(turn, peer);
        }
        // One that is newer still may have been offered meanwhile.
        self.ask_who_is_ahead(turn);
        self.hints_adopted(turn);
        self.heal_anew(turn);
        self.count_anew(turn);
        for request in requests {
            turn.effects.push(Effect::AnswerBootstrap { request, result: Ok(layout.clone()) });
        }
        self.proposal_adopted(turn);
        self.previews_adopted(turn);
    }

    /// The epoch held; 0 without a layout.
    pub(crate) fn epoch(&self) -> Epoch {
        self.layout.as_ref().map_or(Epoch(0), |layout| layout.epoch)
    }
}
