//! One node: events in, effects out.

use std::cmp::Ordering;
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::anti_entropy::AntiEntropy;
use crate::authors::Authors;
use crate::commits::{Commits, Waiter};
use crate::coordinator::{Coordinator, Source, Target};
use crate::echo::Echoes;
use crate::effect::{Effect, Effects};
use crate::event::{Event, ReadToken};
use crate::hints::Hints;
use crate::id::{NodeId, PartitionId, StartId};
use crate::keys;
use crate::layout::Layout;
use crate::layout_chain::Pending;
use crate::limits::Limits;
use crate::links::Links;
use crate::membership::{MemberId, Membership};
use crate::merkle::{Tree, Trees};
use crate::message::{KeyRef, Message, Place, Refusal, Stamp};

use crate::purge::Purge;
use crate::replica::Scans;
use crate::stats::{Gauges, Stats};
use crate::store::{CommitNumber, StoreError, StoreOp};
use crate::sweep::Sweep;
use crate::time::{Hlc, Now, Time};
use crate::turn::Turn;
use crate::version::{Container, Context, ContextToken, EncodedContainer, TokenKey};
use crate::working_set::{Held, Lookup, Task, WorkingSet};

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
    /// There when a layout is.
    pub(crate) tokens: Option<TokenKey>,
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
    /// Whether the store takes writes.
    pub(crate) writable: bool,
    pub(crate) stats: Stats,
}

impl Node {
    /// A node as it is after a start, with the layout that it held before, if any.
    pub fn new(config: NodeConfig, layout: Option<Layout>) -> Self {
        let mut rng = ChaCha8Rng::from_seed(config.seed);
        let tokens = layout.as_ref().map(|held| TokenKey::new(held.cluster, config.token_secret.as_deref()));
        let name = MemberId { node: config.node, boot: config.boot, rejoined: 0 };
        let membership = Membership::new(name, &config.limits, ChaCha8Rng::from_rng(&mut rng));
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
            tokens,
            links: Links::default(),
            membership,
            authors: Authors::default(),
            commits: Commits::default(),
            scans: Scans::default(),
            writable: true,
            stats: Stats::default(),
        };
        node.own_anew();
        node
    }

    /// Handles one event; what is to be done comes out in order.
    pub fn handle(&mut self, now: Now, event: Event, effects: &mut Effects) {
        let turn = &mut Turn { now, effects };
        match event {
            Event::Client { request, timed } => self.admit(turn, Source::Client(request), timed),
            Event::Bootstrap { request, settings } => self.on_bootstrap(turn, request, &settings),
            Event::Started => self.load_hints(turn, None),
            Event::LinkUp { peer, epoch, clock } => {
                self.heard_clock(turn, peer, clock);
                match epoch.cmp(&self.epoch()) {
                    Ordering::Greater => turn.send(peer, Message::LayoutRequest),
                    // It may not have heard that there is one since it was asked.
                    Ordering::Less => self.on_layout_request(turn, peer),
                    Ordering::Equal => {}
                }
                self.on_link_up(turn, peer, epoch);
            }
            Event::LinkDown { peer } => self.on_link_down(turn, peer),
            Event::Messages { from, stamp, messages } => {
                self.hlc.observe(stamp.hlc);
                self.heard_clock(turn, from, stamp.clock);
                self.membership.heard(turn.time(), from);
                for message in messages {
                    self.on_message(turn, from, message);
                }
            }
            Event::Durable(through) => self.on_durable(turn, through),
            Event::ReadDone { token, result } => self.on_read_done(turn, token, result),
            Event::ScanDone { token, result } => self.on_scan_done(turn, token, result),
            Event::Repair => self.hurry_all(),
            Event::StoreWritable(writable) => {
                self.on_store_writable(turn, writable);
                self.sweep_writable(turn, writable);
            }
            Event::Deadline => {
                // First who is alive, then who is asked.
                self.wake_membership(turn);
                self.wake_operations(turn);
                self.hints_step(turn);
                self.wake_sweep(turn);
                self.purge_step(turn);
                self.wake_anti_entropy(turn);
                self.beat(turn);
            }
        }
        self.go_on_exchanging(turn);
        let commits = &self.commits;
        self.working.trim(|number| commits.is_durable(number));
        self.fallback.trim(|number| commits.is_durable(number));
    }

    /// When [`Event::Deadline`] is due next.
    pub fn next_deadline(&self) -> Option<Time> {
        let timers = [
            self.coordinator.next_timer(),
            self.membership.next_deadline(),
            self.hints.next_deadline(),
            self.sweep.next_timer(),
            self.anti_entropy.next_timer(),
            self.echoes.next_beat(),
            self.purge.next_deadline(),
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

    /// The clocks, for the batches sent to peers in this turn and for the greeting on a new link.
    pub fn stamp(&self, now: Now) -> Stamp {
        Stamp { hlc: self.hlc, clock: self.link_time(now) }
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
        }
    }

    fn on_message(&mut self, turn: &mut Turn<'_>, from: NodeId, message: Message) {
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
            Message::LayoutRequest => self.on_layout_request(turn, from),
            Message::LayoutOffer(encoded) => self.on_layout_offer(turn, from, &encoded),
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
                Waiter::Replica { to, tag } => self.reply_replicated(turn, Some((to, tag)), Ok(())),
                Waiter::Layout => self.adopt_pending(turn),
            }
        }
    }

    /// Does a task on the newest container of a key that this node owns, now or when the store has given it.
    pub(crate) fn with_key(&mut self, turn: &mut Turn<'_>, key: &KeyRef, task: Task) {
        self.with_record(turn, Place::Replica, key, task);
    }

    /// Does a task on the newest container of a key, now or when the store has given it.
    pub(crate) fn with_record(&mut self, turn: &mut Turn<'_>, place: Place, key: &KeyRef, task: Task) {
        match self.set_of(place).ask(key, task) {
            Lookup::Now(held, task) => self.run(turn, key, held, task),
            Lookup::Read(token) => {
                let key = keys::record(place, key);
                turn.effects.push(Effect::Read { token, key });
            }
            Lookup::Queued => {}
        }
    }

    fn set_of(&mut self, place: Place) -> &mut WorkingSet {
        match place {
            Place::Replica => &mut self.working,
            Place::Fallback => &mut self.fallback,
        }
    }

    fn run(&mut self, turn: &mut Turn<'_>, key: &KeyRef, held: Held, task: Task) {
        match task {
            Task::Coordinate(tag) => self.coordinate(turn, tag, held),
            Task::Merge { reply, container, echo } => {
                self.merge_loaded(turn, key, &held, reply, container, echo);
            }
            Task::Hint { from, tag, target, container, echo } => {
                self.hint_loaded(turn, key, &held, from, tag, target, container, echo);
            }
            Task::Deliver(tag) => self.deliver_loaded(turn, key, &held, tag),
            Task::Forget { digest, retired, echo } => {
                self.forget_loaded(turn, key, &held, digest, &retired, echo);
            }
            Task::Consider => self.consider_loaded(key, &held),
            Task::Expire => self.expire_loaded(turn, key, &held),
            Task::Offer(offer) => self.offer_loaded(turn, key, &held, &offer),
            Task::MergeBack { from, container, echo } => {
                self.merge_back(turn, key, held, from, container, echo);
            }
            Task::Fetch { from, tag, have, began } => self.fetch_loaded(turn, &held, from, tag, have, began),
        }
    }

    fn on_read_done(
        &mut self,
        turn: &mut Turn<'_>,
        token: ReadToken,
        result: Result<Option<bytes::Bytes>, StoreError>,
    ) {
        let place = WorkingSet::place_of(token);
        let Some(key) = self.set_of(place).read_key(token) else {
            return;
        };
        let loaded = result.map_err(|error| error.to_string()).and_then(|value| match value {
            Some(bytes) => {
                let encoded = EncodedContainer(bytes);
                let container = encoded.decode().map_err(|error| error.to_string())?;
                Ok((container, encoded))
            }
            None => {
                let absent = Container::default();
                let encoded = absent.encode();
                Ok((absent, encoded))
            }
        });
        match loaded {
            Ok((container, encoded)) => {
                let digest = container.digest();
                let container = Arc::new(container);
                let held = Held { container, encoded, digest, commit: CommitNumber(0) };
                for task in self.set_of(place).loaded(&key, held) {
                    // Each sees what the one before it has made.
                    self.with_record(turn, place, &key, task);
                }
            }
            Err(detail) => {
                self.stats.damaged_records += 1;
                for task in self.set_of(place).load_failed(&key) {
                    match task {
                        Task::Coordinate(tag) => self.coordinate_failed(turn, tag, &detail),
                        Task::Merge { reply, .. } => {
                            self.reply_replicated(turn, reply, Err(Refusal::Storage))
                        }
                        // The scan comes by again.
                        Task::Expire => {}
                        Task::Fetch { from, tag, .. } => {
                            self.reply_fetched(turn, from, tag, Err(Refusal::Storage));
                        }
                        Task::Hint { from, tag, .. } => {
                            self.reply_replicated(turn, Some((from, tag)), Err(Refusal::Storage));
                        }
                        Task::Deliver(tag) => self.deliver_failed(tag),
                        Task::Forget { .. } | Task::Consider => {}
                        Task::Offer(_) => self.offer_failed(),
                        Task::MergeBack { .. } => {}
                    }
                }
            }
        }
    }

    /// A key that this node owns has a new container from now on, and it is on its way to the disk.
    pub(crate) fn hold_new(
        &mut self,
        turn: &mut Turn<'_>,
        key: &KeyRef,
        container: Container,
        encoded: EncodedContainer,
    ) -> Held {
        self.hold_with(turn, Place::Replica, key, container, encoded, Vec::new())
    }

    /// A key has a new container from now on; it is on its way to the disk together with these other changes.
    pub(crate) fn hold_with(
        &mut self,
        turn: &mut Turn<'_>,
        place: Place,
        key: &KeyRef,
        container: Container,
        encoded: EncodedContainer,
        mut others: Vec<StoreOp>,
    ) -> Held {
        others.push(StoreOp::Put { key: keys::record(place, key), value: encoded.0.clone() });
        let commit = self.commits.issue(turn.effects, others);
        let held = Held { digest: container.digest(), container: Arc::new(container), encoded, commit };
        match place {
            Place::Replica => self.replaced(key, held.clone()),
            Place::Fallback => drop(self.fallback.replace(key, held.clone())),
        }
        held
    }

    /// The one door for a change of what this node holds of a key that it owns: all that is kept about keys follows.
    pub(crate) fn replaced(&mut self, key: &KeyRef, held: Held) {
        let limits = &self.config.limits;
        let newest = (held.container.as_ref(), held.digest);
        self.purge.candidates.note(key, newest, held.commit, limits.purge_keys, limits.context_entries);
        let now = held.in_tree();
        let before = self.working.replace(key, held);
        self.trees.update(key, before.as_ref().and_then(Held::in_tree), now);
    }

    /// A context as its client carries it.
    pub(crate) fn token_of(&self, target: &Target, context: &Context) -> ContextToken {
        match &self.tokens {
            Some(tokens) => tokens.seal(target.key.bucket, &target.key.key, context),
            None => ContextToken::new(),
        }
    }
}
