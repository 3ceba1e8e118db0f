//! One node: events in, effects out.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::anti_entropy::AntiEntropy;
use crate::authors::Authors;
use crate::chain::{Acceptor, Pending, Previews, Proposals};
use crate::commits::{Commits, Waiter};
use crate::coordinator::{Coordinator, Source, Target};
use crate::echo::Echoes;
use crate::effect::Effects;
use crate::event::Event;
use crate::hints::Hints;
use crate::holes::Holes;
use crate::id::{NodeId, PartitionId, StartId};
use crate::identity::{Kept, Standing};
use crate::layout::Layout;
use crate::limits::Limits;
use crate::links::Links;
use crate::membership::{MemberId, Membership};
use crate::merkle::{Tree, Trees};
use crate::message::{Message, Place, Refusal};
use crate::purge::Purge;
use crate::replica::Scans;
use crate::stats::{Gauges, Stats};
use crate::store::CommitNumber;
use crate::sweep::Sweep;
use crate::time::{Hlc, Now, Time};
use crate::transition::Transition;
use crate::turn::Turn;
use crate::version::{Context, ContextToken, TokenKey};
use crate::working_set::WorkingSet;

/// What a node is started with.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Who it is: minted with its directory.
    pub node: NodeId,
    /// Which life this is: minted at this start.
    pub start: StartId,
    /// How often the node was started, this start included: from its directory.
    pub boot: u64,
    /// Seeds all randomness of the core. From the operating system in a real node; never the same in two lives.
    pub seed: [u8; 32],
    /// Bounds.
    pub limits: Limits,
    /// Seals context tokens; the same on all nodes. None: derived from the cluster's id.
    pub token_secret: Option<String>,
}

/// The state machine of one node.
#[derive(Debug)]
pub struct Node {
    pub(crate) config: NodeConfig,
    pub(crate) rng: ChaCha8Rng,
    pub(crate) hlc: Hlc,
    pub(crate) layout: Option<Arc<Layout>>,
    pub(crate) pending_layout: Option<Pending>,
    pub(crate) acceptor: Acceptor,
    pub(crate) proposals: Proposals,
    pub(crate) previews: Previews,
    pub(crate) transition: Transition,
    /// There when a layout is.
    pub(crate) tokens: Option<TokenKey>,
    pub(crate) standing: Standing,
    pub(crate) links: Links,
    pub(crate) membership: Membership,
    pub(crate) authors: Authors,
    pub(crate) working: WorkingSet,
    /// What this node keeps as a fallback.
    pub(crate) fallback: WorkingSet,
    pub(crate) hints: Hints,
    pub(crate) echoes: Echoes,
    pub(crate) purge: Purge,
    pub(crate) commits: Commits,
    pub(crate) scans: Scans,
    pub(crate) trees: Trees,
    pub(crate) sweep: Sweep,
    pub(crate) anti_entropy: AntiEntropy,
    pub(crate) coordinator: Coordinator,
    pub(crate) holes: Holes,
    /// Whether the store takes writes.
    pub(crate) writable: bool,
    pub(crate) stats: Stats,
}

impl Node {
    /// A node as it is after a start, with what its directory has kept (see [`recover`](crate::identity::recover)).
    pub fn new(config: NodeConfig, kept: Kept) -> Self {
        let Kept { layout, holes, acceptor, marks, past, lives, sequence } = kept;
        let mut rng = ChaCha8Rng::from_seed(config.seed);
        let tokens = layout.as_ref().map(|held| TokenKey::new(held.cluster, config.token_secret.as_deref()));
        let name = MemberId { node: config.node, boot: config.boot, rejoined: 0 };
        let membership = Membership::new(name, &config.limits, ChaCha8Rng::from_rng(&mut rng));
        let transition = Transition::new(marks, config.limits.transfer_bytes_per_s);
        // A new directory holds nothing that could be old.
        let standing = Standing::new(past, lives, sequence, config.boot > 1);
        let mut node = Self {
            trees: Trees::default(),
            sweep: Sweep::default(),
            anti_entropy: AntiEntropy::new(config.limits.exchange_bytes_per_s),
            working: WorkingSet::new(Place::Replica, config.limits.cache_bytes),
            fallback: WorkingSet::new(Place::Fallback, config.limits.cache_bytes / 4),
            hints: Hints::default(),
            echoes: Echoes::default(),
            purge: Purge::default(),
            coordinator: Coordinator::new(rng.next_u64()),
            config,
            rng,
            hlc: Hlc::default(),
            layout: layout.map(Arc::new),
            pending_layout: None,
            acceptor,
            proposals: Proposals::default(),
            previews: Previews::default(),
            transition,
            tokens,
            standing,
            links: Links::default(),
            membership,
            authors: Authors::default(),
            commits: Commits::default(),
            scans: Scans::default(),
            holes: Holes::recovered(holes),
            writable: true,
            stats: Stats::default(),
        };
        node.own_anew();
        if !node.standing.waits() {
            node.links.take_part();
        }
        node
    }

    /// Handles one event; what is to be done comes out in order.
    pub fn handle(&mut self, now: Now, event: Event, effects: &mut Effects) {
        if self.standing.has_given_up() {
            return;
        }
        let turn = &mut Turn { now, effects };
        match event {
            Event::Client { request, timed } => self.admit(turn, Source::Client(request), timed),
            Event::Bootstrap { request, settings } => self.on_bootstrap(turn, request, &settings),
            Event::Change { request, expected, order } => self.on_change(turn, request, expected, &order),
            Event::Preview { request, expected, order } => {
                self.on_preview(turn, request, expected, &order);
            }
            Event::Started => {
                self.begin_standing(turn);
                self.load_hints(turn, None);
                self.transition_adopted(turn);
                if !self.standing.waits() && self.acceptor.vote(self.epoch()).is_some() {
                    self.finish_later(turn);
                }
            }
            Event::LinkUp { peer, epoch, clock } => {
                self.heard_clock(turn, peer, clock);
                match epoch.cmp(&self.epoch()) {
                    Ordering::Greater => turn.send(peer, Message::LayoutRequest),
                    // It may not have heard that there is one since it was asked.
                    Ordering::Less => self.on_layout_request(turn, peer),
                    Ordering::Equal => {}
                }
                self.on_link_up(turn, peer, epoch, clock.start);
            }
            Event::LinkDown { peer } => self.on_link_down(turn, peer),
            Event::Messages { from, stamp, messages } => {
                self.hlc.observe(stamp.hlc);
                self.heard_clock(turn, from, stamp.clock);
                self.membership.heard(turn.time(), from);
                let is_met = self.meet(turn, from, stamp);
                for message in messages {
                    let counts = is_met && !self.standing.waits();
                    if (counts || message.makes_acquaintance()) && !self.standing.has_given_up() {
                        self.on_message(turn, from, message);
                    }
                }
            }
            Event::Durable { through, sequence } => {
                self.standing.reached(sequence);
                self.on_durable(turn, through);
            }
            Event::ReadDone { token, result } => self.on_read_done(turn, token, result),
            Event::ScanDone { token, result } => self.on_scan_done(turn, token, result),
            Event::Repair => self.hurry_all(turn.time()),
            Event::StoreWritable(writable) => {
                self.on_store_writable(turn, writable);
                self.sweep_writable(turn, writable);
            }
            Event::Deadline => {
                self.wake_standing(turn);
                // First who is alive, then who is asked.
                self.wake_membership(turn);
                self.wake_operations(turn);
                self.wake_proposals(turn);
                self.wake_previews(turn);
                self.wake_transition(turn);
                self.hints_step(turn);
                self.wake_holes(turn);
                self.wake_sweep(turn);
                self.purge_step(turn);
                self.wake_anti_entropy(turn);
                self.beat(turn);
            }
        }
        self.go_on_exchanging(turn);
        self.note_ride(now.mono);
        let commits = &self.commits;
        self.working.trim(|number| commits.is_durable(number));
        self.fallback.trim(|number| commits.is_durable(number));
    }

    /// When [`Event::Deadline`] is due next.
    pub fn next_deadline(&self) -> Option<Time> {
        let timers = [
            self.standing.next_timer(),
            self.coordinator.next_timer(),
            self.membership.next_deadline(),
            self.hints.next_deadline(),
            self.holes.next_timer(),
            self.sweep.next_timer(),
            self.anti_entropy.next_timer(),
            self.echoes.next_beat(),
            self.purge.next_deadline(),
            self.proposals.next_timer(),
            self.previews.next_timer(),
            self.transition.next_timer(),
        ];
        timers.into_iter().flatten().min()
    }

    /// The Merkle tree of a partition that this node owns, once it is complete.
    pub fn tree(&self, partition: PartitionId) -> Option<&Tree> {
        self.trees.complete(partition)
    }

    /// The layout held, if any.
    pub fn layout(&self) -> Option<&Arc<Layout>> {
        self.layout.as_ref()
    }

    /// Who this is.
    pub fn id(&self) -> NodeId {
        self.config.node
    }

    /// Counters since the start, for metrics.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// What there is at this moment, for metrics.
    pub fn gauges(&self) -> Gauges {
        Gauges {
            operations: self.coordinator.awaited(),
            lingering: self.coordinator.lingering(),
            keys_loading: self.working.loading(),
            commits_waiting: self.commits.waiting(),
            cache_bytes: self.working.bytes() + self.fallback.bytes(),
            hints: self.hints.count(),
            fallback_bytes: self.hints.fallback_bytes(),
            forgettable: self.purge.candidates.len(),
            holes: self.holes.len(),
            strangers: self.links.strangers().count(),
            starting: self.standing.waits(),
            unvouched: self.standing.is_unvouched(),
        }
    }

    /// For how long the oldest hint has been waiting to be brought to its owner, to the second; zero without any.
    pub fn oldest_hint(&self, now: Time) -> Duration {
        self.hints.oldest(now)
    }

    pub(crate) fn on_message(&mut self, turn: &mut Turn<'_>, from: NodeId, message: Message) {
        match message {
            Message::Replicate { tag, epoch, key, container, echo } => {
                self.on_replicate(turn, from, tag, epoch, &key, container, echo);
            }
            Message::ReplicateReply { tag, epoch, result } => {
                self.on_replicate_reply(turn, from, tag, epoch, result);
            }
            Message::Fetch { tag, epoch, key, have, place } => {
                self.on_fetch(turn, from, tag, epoch, &key, have, place);
            }
            Message::FetchReply { tag, epoch, result } => self.on_fetch_reply(turn, from, tag, epoch, result),
            Message::Scan { tag, epoch, partition, bucket, after, limit } => {
                self.on_scan(turn, from, tag, epoch, partition, bucket, after.as_deref(), limit);
            }
            Message::ScanReply { tag, epoch, result } => self.list_page(turn, from, tag, epoch, result),
            Message::Forward { tag, timed } => self.admit_forwarded(turn, from, tag, timed),
            Message::ForwardReply { tag, result } => self.on_forward_reply(turn, from, tag, result),
            Message::Recall => self.on_recall(turn, from),
            Message::Recalled { life, departed } => self.on_recalled(turn, from, life, departed),
            Message::LayoutRequest => self.on_layout_request(turn, from),
            Message::LayoutOffer(encoded) => self.on_layout_offer(turn, from, &encoded),
            Message::Prepare { epoch, ballot } => self.on_prepare(turn, from, epoch, ballot),
            Message::Prepared { epoch, ballot, result } => {
                self.on_prepared(turn, from, epoch, ballot, result);
            }
            Message::Accept { epoch, ballot, layout } => self.on_accept(turn, from, epoch, ballot, &layout),
            Message::Accepted { epoch, ballot, result } => {
                self.on_accepted(turn, from, epoch, ballot, result);
            }
            Message::ReportAsk { epoch, sizes } => self.on_report_ask(turn, from, epoch, sizes),
            Message::ReportReply { epoch, report } => self.on_report(turn, from, epoch, report),
            Message::Survey { tag, epoch, partition, root, durable } => {
                self.on_survey(turn, from, tag, epoch, partition, root, durable);
            }
            Message::SurveyReply { tag, epoch, result } => {
                self.on_survey_reply(turn, from, tag, epoch, result)
            }
            Message::Pull { tag, epoch, partition, leaves, after } => {
                self.on_pull(turn, from, tag, epoch, partition, leaves, after.as_ref());
            }
            Message::PullReply { tag, epoch, result } => self.on_pull_reply(turn, from, tag, epoch, result),
            Message::StoreHint { tag, epoch, key, target, container, echo } => {
                self.on_store_hint(turn, from, tag, epoch, &key, target, container, echo);
            }
            // Its batch has brought the clocks.
            Message::Beat => {}
            Message::PurgeAsk { tag, epoch, partition, keys, actors } => {
                self.on_purge_ask(turn, from, (tag, epoch), partition, &keys, &actors);
            }
            Message::PurgeVote { tag, epoch, result } => self.on_purge_vote(turn, from, tag, epoch, result),
            Message::Forget { epoch, keys, retired, echo } => {
                self.on_forget(turn, from, epoch, keys, &retired, echo);
            }
            Message::Gossip(packet) => self.on_gossip(turn, from, &packet),
            Message::Heal { tag, epoch, key } => self.on_heal(turn, from, tag, epoch, &key),
            Message::HealReply { tag, epoch, result } => self.on_heal_reply(turn, from, tag, epoch, result),
            Message::Compare { tag, epoch, roots } => self.on_compare(turn, from, tag, epoch, &roots),
            Message::CompareReply { tag, epoch, result } => {
                self.on_compare_reply(turn, from, tag, epoch, result);
            }
            Message::Leaves { tag, epoch, partition, branches } => {
                self.on_leaves(turn, from, tag, epoch, partition, &branches);
            }
            Message::LeavesReply { tag, epoch, result } => {
                self.on_leaves_reply(turn, from, tag, epoch, result);
            }
            Message::Keys { tag, epoch, partition, leaves, after } => {
                self.on_keys(turn, from, tag, epoch, partition, leaves, after.as_ref());
            }
            Message::KeysReply { tag, epoch, result } => self.on_keys_reply(turn, from, tag, epoch, result),
            Message::Exchange { epoch, key, container, echo } => {
                self.on_exchange(turn, from, epoch, &key, container, echo);
            }
        }
    }

    fn on_durable(&mut self, turn: &mut Turn<'_>, through: CommitNumber) {
        self.commits.reported(through);
        while let Some(waiter) = self.commits.next_ready() {
            match waiter {
                Waiter::Own(tag) => self.write_acknowledged(turn, tag, self.config.node),
                Waiter::Replica { to, tag, key } => {
                    let result = match () {
                        // Lost since: the coordinator has struck it, or will.
                        () if self.holes.has(&key) => Err(Refusal::Hole),
                        () if self.holds(key.partition) || self.is_fallback(key.partition) => Ok(()),
                        // The partition has moved.
                        () => Err(Refusal::NotOwner),
                    };
                    self.reply_replicated(turn, Some((to, tag)), result);
                }
                Waiter::Layout => self.adopt_pending(turn),
                Waiter::Say { to, message } => self.say(turn, to, *message),
            }
        }
    }

    /// A context as its client carries it.
    pub(crate) fn token_of(&self, target: &Target, context: &Context) -> ContextToken {
        match &self.tokens {
            Some(tokens) => tokens.seal(target.key.bucket, &target.key.key, context),
            None => ContextToken::new(),
        }
    }
}
