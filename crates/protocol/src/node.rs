//! One node: events in, effects out.

use std::cmp::Ordering;
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::authors::Authors;
use crate::commits::{Commits, Waiter};
use crate::coordinator::{Coordinator, Source, Target};
use crate::effect::{Effect, Effects};
use crate::event::Event;
use crate::holes::Holes;
use crate::id::{NodeId, StartId};
use crate::keys;
use crate::layout::Layout;
use crate::layout_chain::Pending;
use crate::limits::Limits;
use crate::links::Links;
use crate::message::{KeyRef, Message, Refusal};
use crate::replica::Scans;
use crate::stats::{Gauges, Stats};
use crate::store::{CommitNumber, StoreError, StoreOp};
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
    pub(crate) authors: Authors,
    pub(crate) working: WorkingSet,
    pub(crate) commits: Commits,
    pub(crate) scans: Scans,
    pub(crate) coordinator: Coordinator,
    pub(crate) holes: Holes,
    /// Whether the store takes writes.
    pub(crate) writable: bool,
    pub(crate) stats: Stats,
}

impl Node {
    /// A node as it is after a start, with the layout that it held before, if any, and the keys whose records were damaged and
    /// are not healed (see [`recover`](crate::identity::recover)).
    pub fn new(config: NodeConfig, layout: Option<Layout>, holes: Vec<KeyRef>) -> Self {
        let mut rng = ChaCha8Rng::from_seed(config.seed);
        let tokens = layout.as_ref().map(|held| TokenKey::new(held.cluster, config.token_secret.as_deref()));
        Self {
            working: WorkingSet::new(config.limits.cache_bytes),
            coordinator: Coordinator::new(rng.next_u64()),
            config,
            rng,
            hlc: Hlc::default(),
            layout: layout.map(Arc::new),
            pending_layout: None,
            tokens,
            links: Links::default(),
            authors: Authors::default(),
            commits: Commits::default(),
            scans: Scans::default(),
            holes: Holes::recovered(holes),
            writable: true,
            stats: Stats::default(),
        }
    }

    /// Handles one event; what is to be done comes out in order.
    pub fn handle(&mut self, now: Now, event: Event, effects: &mut Effects) {
        let turn = &mut Turn { now, effects };
        match event {
            Event::Client { request, timed } => self.admit(turn, Source::Client(request), timed),
            Event::Bootstrap { request, settings } => self.on_bootstrap(turn, request, &settings),
            Event::LinkUp { peer, epoch } => {
                self.links.up(peer, epoch);
                match epoch.cmp(&self.epoch()) {
                    Ordering::Greater => turn.send(peer, Message::LayoutRequest),
                    // It may not have heard that there is one since it was asked.
                    Ordering::Less => self.on_layout_request(turn, peer),
                    Ordering::Equal => {}
                }
                self.resend_to(turn, peer);
                self.heal_link_up(turn, peer);
            }
            Event::LinkDown { peer } => {
                self.links.down(peer);
                self.lost_peer(turn, peer);
            }
            Event::Messages { from, hlc, messages } => {
                self.hlc.observe(hlc);
                for message in messages {
                    self.on_message(turn, from, message);
                }
            }
            Event::Durable(through) => self.on_durable(turn, through),
            Event::ReadDone { token, result } => self.on_read_done(turn, token, result),
            Event::ScanDone { token, result } => self.on_scan_done(turn, token, result),
            Event::StoreWritable(writable) => self.on_store_writable(turn, writable),
            Event::Deadline => {
                self.wake_operations(turn);
                self.wake_holes(turn);
            }
        }
        let commits = &self.commits;
        self.working.trim(|number| commits.is_durable(number));
    }

    /// When [`Event::Deadline`] is due next.
    pub fn next_deadline(&self) -> Option<Time> {
        self.coordinator.next_timer().into_iter().chain(self.holes.next_timer()).min()
    }

    /// The layout held, if any.
    pub fn layout(&self) -> Option<&Arc<Layout>> {
        self.layout.as_ref()
    }

    /// Who this is.
    pub fn id(&self) -> NodeId {
        self.config.node
    }

    /// The hybrid clock, for the batches sent to peers.
    pub fn hlc(&self) -> Hlc {
        self.hlc
    }

    /// Counters since the start, for metrics.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// What there is at this moment, for metrics.
    pub fn gauges(&self) -> Gauges {
        Gauges {
            operations: self.coordinator.running.len(),
            keys_loading: self.working.loading(),
            commits_waiting: self.commits.waiting(),
            cache_bytes: self.working.bytes(),
            holes: self.holes.len(),
        }
    }

    fn on_message(&mut self, turn: &mut Turn<'_>, from: NodeId, message: Message) {
        match message {
            Message::Replicate { tag, epoch, key, container } => {
                self.on_replicate(turn, from, tag, epoch, &key, container);
            }
            Message::ReplicateReply { tag, epoch, result } => {
                self.on_replicate_reply(turn, from, tag, epoch, result);
            }
            Message::Fetch { tag, epoch, key, have } => self.on_fetch(turn, from, tag, epoch, &key, have),
            Message::FetchReply { tag, epoch, result } => self.on_fetch_reply(turn, from, tag, epoch, result),
            Message::Scan { tag, epoch, partition, bucket, after, limit } => {
                self.on_scan(turn, from, tag, epoch, partition, bucket, after.as_deref(), limit);
            }
            Message::ScanReply { tag, epoch, result } => self.list_page(turn, from, tag, epoch, result),
            Message::Forward { tag, timed } => self.admit_forwarded(turn, from, tag, timed),
            Message::ForwardReply { tag, result } => self.on_forward_reply(turn, from, tag, result),
            Message::LayoutRequest => self.on_layout_request(turn, from),
            Message::LayoutOffer(encoded) => self.on_layout_offer(turn, from, &encoded),
            Message::Heal { tag, epoch, key } => self.on_heal(turn, from, tag, epoch, &key),
            Message::HealReply { tag, epoch, result } => self.on_heal_reply(turn, from, tag, epoch, result),
        }
    }

    fn on_durable(&mut self, turn: &mut Turn<'_>, through: CommitNumber) {
        self.commits.reported(through);
        while let Some(waiter) = self.commits.next_ready() {
            match waiter {
                Waiter::Own(tag) => self.write_acknowledged(turn, tag, self.config.node),
                Waiter::Replica { to, tag, key } => {
                    // Lost since: the coordinator has struck it, or will.
                    let result = if self.holes.has(&key) { Err(Refusal::Hole) } else { Ok(()) };
                    self.reply_replicated(turn, Some((to, tag)), result);
                }
                Waiter::Layout => self.adopt_pending(turn),
            }
        }
    }

    /// Does a task on a key's newest container, now or when the store has given it.
    pub(crate) fn with_key(&mut self, turn: &mut Turn<'_>, key: &KeyRef, task: Task) {
        match self.working.ask(key, task) {
            Lookup::Now(held, task) => self.run(turn, key, held, task),
            Lookup::Read(token) => {
                let key = keys::data(key.partition, key.bucket, &key.key);
                turn.effects.push(Effect::Read { token, key });
            }
            Lookup::Queued => {}
        }
    }

    fn run(&mut self, turn: &mut Turn<'_>, key: &KeyRef, held: Held, task: Task) {
        match task {
            Task::Coordinate(tag) if self.holes.has(key) => self.coordinate_elsewhere(turn, tag),
            Task::Coordinate(tag) => self.coordinate(turn, tag, held),
            Task::Merge { reply, container } => self.merge_loaded(turn, key, &held, reply, container),
            Task::Fetch { from, tag, .. } if self.holes.has(key) => {
                self.reply_fetched(turn, from, tag, Err(Refusal::Hole));
            }
            Task::Fetch { from, tag, have } => self.fetch_loaded(turn, &held, from, tag, have),
            Task::Heal { from, tag } => self.heal_loaded(turn, key, &held, from, tag),
            Task::Healing { from, tag, container } => {
                self.healing_loaded(turn, key, &held, (from, tag), container);
            }
            // It could be read.
            Task::Verify => {}
        }
    }

    fn on_read_done(
        &mut self,
        turn: &mut Turn<'_>,
        token: crate::ReadToken,
        result: Result<Option<bytes::Bytes>, StoreError>,
    ) {
        let Some(key) = self.working.read_key(token) else {
            return;
        };
        let held = match result {
            Ok(Some(bytes)) => {
                let encoded = EncodedContainer(bytes);
                match encoded.decode() {
                    Ok(container) => Held {
                        digest: container.digest(),
                        container: Arc::new(container),
                        encoded,
                        commit: CommitNumber(0),
                    },
                    Err(error) => self.open_hole(turn, &key, error.to_string()),
                }
            }
            Ok(None) => {
                let absent = Container::default();
                let (encoded, digest) = (absent.encode(), absent.digest());
                Held { container: Arc::new(absent), encoded, digest, commit: CommitNumber(0) }
            }
            Err(StoreError::Corrupt { detail, .. }) => self.open_hole(turn, &key, detail),
            Err(error @ (StoreError::Full { .. } | StoreError::Failed { .. })) => {
                self.load_failed(turn, &key, &error.to_string());
                return;
            }
        };
        for task in self.working.loaded(&key, held) {
            // Each sees what the one before it has made.
            self.with_key(turn, &key, task);
        }
    }

    /// The store does not give a key's record, which says nothing of the record: whoever waits is refused.
    fn load_failed(&mut self, turn: &mut Turn<'_>, key: &KeyRef, detail: &str) {
        for task in self.working.load_failed(key) {
            match task {
                Task::Coordinate(tag) => self.coordinate_failed(turn, tag, detail),
                Task::Merge { reply, .. } => self.reply_replicated(turn, reply, Err(Refusal::Storage)),
                Task::Fetch { from, tag, .. } => {
                    self.reply_fetched(turn, from, tag, Err(Refusal::Storage));
                }
                Task::Heal { from, tag } => self.reply_heal(turn, from, tag, Err(Refusal::Storage)),
                // Asked again in a while.
                Task::Healing { .. } | Task::Verify => {}
            }
        }
    }

    /// The key has a new container from now on, and it is on its way to the disk.
    pub(crate) fn hold_new(
        &mut self,
        turn: &mut Turn<'_>,
        key: &KeyRef,
        container: Container,
        encoded: EncodedContainer,
    ) -> Held {
        let put =
            StoreOp::Put { key: keys::data(key.partition, key.bucket, &key.key), value: encoded.0.clone() };
        let commit = self.commits.issue(turn.effects, vec![put]);
        let held = Held { digest: container.digest(), container: Arc::new(container), encoded, commit };
        self.working.replace(key, held.clone());
        held
    }

    /// A context as its client carries it.
    pub(crate) fn token_of(&self, target: &Target, context: &Context) -> ContextToken {
        match &self.tokens {
            Some(tokens) => tokens.seal(target.key.bucket, &target.key.key, context),
            None => ContextToken::new(),
        }
    }
}
