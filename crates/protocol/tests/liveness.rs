//! Who is held to be alive, seen on whole cores that talk over a network of a millisecond.

mod cluster;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use cluster::layout_of;
use quorate_protocol::id::{Epoch, NodeId, OperationId, StartId};
use quorate_protocol::identity::{Kept, Life};
use quorate_protocol::layout::{DEFAULT_BUCKET, Layout, QuorumMode};
use quorate_protocol::message::{Message, Stamp};
use quorate_protocol::operation::{Attempted, Failure, Operation, Outcome, Put, QuorumOptions, Timed, Ttl};
use quorate_protocol::store::Sequence;
use quorate_protocol::time::{Now, Time};
use quorate_protocol::version::{ContentType, ContextToken};
use quorate_protocol::{Effect, Effects, Event, Limits, Node, NodeConfig, PeerState, RequestId};

const DELAY_US: u64 = 1_000;
const SECOND_US: u64 = 1_000_000;

type Answer = quorate_protocol::operation::OperationResult;

struct World {
    now_us: u64,
    seed: u8,
    layout: Layout,
    nodes: BTreeMap<u64, Node>,
    /// By arrival: from, to, message.
    flying: BTreeMap<(u64, u64), (u64, u64, Message)>,
    sent: u64,
    /// Directions in which nothing arrives, and nobody is told.
    cut: BTreeSet<(u64, u64)>,
    /// Processes that stand still.
    paused: BTreeSet<u64>,
    /// What paused processes will find.
    waiting: Vec<(u64, u64, Message)>,
    verdicts: Vec<(u64, u64, Option<PeerState>)>,
    /// Messages but gossip that were sent: from, to.
    asked: Vec<(u64, u64)>,
    answers: Vec<Answer>,
}

impl World {
    /// Nodes 1 to `count`, of which these pairs have a link.
    fn with_links(count: u64, seed: u8, links: &[(u64, u64)]) -> Self {
        let mut world = Self {
            now_us: SECOND_US,
            seed,
            layout: layout_of(count),
            nodes: BTreeMap::new(),
            flying: BTreeMap::new(),
            sent: 0,
            cut: BTreeSet::new(),
            paused: BTreeSet::new(),
            waiting: Vec::new(),
            verdicts: Vec::new(),
            asked: Vec::new(),
            answers: Vec::new(),
        };
        (1..=count).for_each(|id| world.start(id, 1));
        links.iter().for_each(|&(a, b)| world.link(a, b));
        world
    }

    /// All of them have links.
    fn new(count: u64, seed: u8) -> Self {
        let links: Vec<(u64, u64)> = (1..=count).flat_map(|a| (a + 1..=count).map(move |b| (a, b))).collect();
        let mut world = Self::with_links(count, seed, &links);
        world.run(Duration::from_secs(3));
        assert!(world.all_alive());
        world.verdicts.clear();
        world
    }

    fn start(&mut self, id: u64, boot: u64) {
        let seed = [self.seed.wrapping_mul(31) ^ u8::try_from(id * 16 + boot).expect("small"); 32];
        let config = NodeConfig {
            node: NodeId(id),
            start: StartId(id * 100 + boot),
            boot,
            seed,
            limits: Limits::default(),
            token_secret: None,
        };
        // Its disk loses nothing.
        let life = |boot| Life { boot, start: StartId(id * 100 + boot), sequence: Sequence(u64::MAX) };
        let past = (1..boot).map(|boot| (boot, life(boot))).collect();
        let kept = Kept { layout: Some(self.layout.clone()), past, ..Kept::default() };
        self.nodes.insert(id, Node::new(config, kept));
        self.handle(id, Event::Started);
    }

    fn link(&mut self, a: u64, b: u64) {
        for (node, peer) in [(a, b), (b, a)] {
            let clock = self.stamp(peer, node).clock;
            self.handle(node, Event::LinkUp { peer: NodeId(peer), epoch: Epoch(1), clock });
        }
    }

    fn unlink(&mut self, a: u64, b: u64) {
        for (node, peer) in [(a, b), (b, a)] {
            self.handle(node, Event::LinkDown { peer: NodeId(peer) });
        }
    }

    /// SIGKILL, without anybody's link noticing.
    fn kill(&mut self, id: u64) {
        self.nodes.remove(&id);
    }

    fn resume(&mut self, id: u64) {
        self.paused.remove(&id);
        // A process that wakes up finds its timers due before it has read anything.
        self.wake(id);
        let (mine, others) = std::mem::take(&mut self.waiting).into_iter().partition(|entry| entry.1 == id);
        self.waiting = others;
        let mine: Vec<(u64, u64, Message)> = mine;
        mine.into_iter().for_each(|(from, to, message)| self.deliver(from, to, message));
    }

    fn handle(&mut self, id: u64, event: Event) {
        let now = self.now();
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let mut effects = Effects::default();
        node.handle(now, event, &mut effects);
        let mut durable = None;
        for effect in effects.drain() {
            match effect {
                Effect::Send { to, message } => {
                    self.sent += 1;
                    if !message.makes_acquaintance() {
                        self.asked.push((id, to.0));
                    }
                    self.flying.insert((self.now_us + DELAY_US, self.sent), (id, to.0, message));
                }
                Effect::PeerChanged { peer, state } => self.verdicts.push((id, peer.0, state)),
                Effect::Commit { number, .. } => {
                    durable = Some(Event::Durable { through: number, sequence: Sequence(number.0) });
                }
                Effect::Read { token, .. } => {
                    self.handle(id, Event::ReadDone { token, result: Ok(None) });
                }
                Effect::Answer { result, .. } => self.answers.push(result),
                Effect::Scan { .. }
                | Effect::AnswerBootstrap { .. }
                | Effect::AnswerChange { .. }
                | Effect::AnswerPreview { .. }
                | Effect::LayoutAdopted(_)
                | Effect::GiveUp(_)
                | Effect::Notice(_) => {}
            }
        }
        if let Some(durable) = durable {
            self.handle(id, durable);
        }
    }

    fn deliver(&mut self, from: u64, to: u64, message: Message) {
        let stamp = self.stamp(from, to);
        self.handle(to, Event::Messages { from: NodeId(from), stamp, messages: vec![message] });
    }

    fn now(&self) -> Now {
        Now { mono: Time(self.now_us), link: Time(self.now_us), wall_ms: 0 }
    }

    fn stamp(&self, id: u64, to: u64) -> Stamp {
        self.nodes.get(&id).map_or(Stamp::default(), |node| node.stamp(self.now(), NodeId(to)))
    }

    fn wake(&mut self, id: u64) {
        let due = self.nodes.get(&id).and_then(Node::next_deadline);
        if due.is_some_and(|due| due.0 <= self.now_us) {
            self.handle(id, Event::Deadline);
        }
    }

    fn run(&mut self, time: Duration) {
        let until_us = self.now_us + u64::try_from(time.as_micros()).expect("not for ever");
        loop {
            let awake = self.nodes.iter().filter(|(id, _)| !self.paused.contains(id));
            let timers = awake.filter_map(|(&id, node)| Some((node.next_deadline()?.0, id)));
            let timer = timers.min();
            let arrival = self.flying.first_key_value().map(|(&(at_us, _), _)| at_us);
            let next_us = timer.map(|timer| timer.0).into_iter().chain(arrival).min().unwrap_or(u64::MAX);
            if next_us > until_us {
                self.now_us = until_us;
                return;
            }
            self.now_us = self.now_us.max(next_us);
            if arrival == Some(next_us) {
                let Some((_, (from, to, message))) = self.flying.pop_first() else { return };
                if self.cut.contains(&(from, to)) {
                    continue;
                }
                if self.paused.contains(&to) {
                    self.waiting.push((from, to, message));
                } else {
                    self.deliver(from, to, message);
                }
            } else if let Some((_, id)) = timer {
                self.wake(id);
            }
        }
    }

    fn state(&self, observer: u64, peer: u64) -> Option<PeerState> {
        self.nodes[&observer].peer_state(NodeId(peer))
    }

    /// What all others that run hold a node to be.
    fn states(&self, peer: u64) -> BTreeSet<Option<PeerState>> {
        self.nodes.keys().filter(|&&id| id != peer).map(|&id| self.state(id, peer)).collect()
    }

    fn all_alive(&self) -> bool {
        self.nodes.keys().all(|&id| self.states(id) == BTreeSet::from([Some(PeerState::Alive)]))
    }

    fn put(&mut self, at: u64, timeout: Duration) {
        self.put_with(at, timeout, QuorumOptions::default());
    }

    fn put_with(&mut self, at: u64, timeout: Duration, quorum: QuorumOptions) {
        let put = Put {
            bucket: DEFAULT_BUCKET.into(),
            key: Bytes::from_static(b"k"),
            value: Bytes::from_static(b"v"),
            content_type: ContentType::OctetStream,
            context: ContextToken::new(),
            operation: OperationId(1),
            ttl: Ttl::Bucket,
            quorum,
        };
        let timed = Timed { operation: Operation::Put(put), timeout };
        self.asked.clear();
        self.handle(at, Event::Client { request: RequestId(1), timed });
    }

    /// The owners of the only partition, and a node that is none.
    fn owners(&self) -> (Vec<u64>, u64) {
        let owners: Vec<u64> = self.layout.owners[0].iter().map(|owner| owner.0).collect();
        let other = self.nodes.keys().find(|id| !owners.contains(id)).copied().expect("there are more");
        (owners, other)
    }
}

#[test]
fn a_node_that_has_one_link_hears_of_all_and_all_hear_of_it() {
    let mut world = World::with_links(5, 1, &[(1, 2), (1, 3), (1, 4), (1, 5)]);
    world.run(Duration::from_millis(500));
    assert!(world.all_alive());
}

#[test]
fn within_five_seconds_all_others_declare_a_dead_node_down_though_its_links_are_up() {
    for seed in 0..100 {
        let mut world = World::new(5, seed);
        world.run(Duration::from_millis(u64::from(seed) * 37));
        world.kill(3);
        world.run(Duration::from_secs(5));
        assert_eq!(world.states(3), BTreeSet::from([Some(PeerState::Down)]), "seed {seed}");
        let of_others = world.verdicts.iter().filter(|verdict| verdict.1 != 3).count();
        assert_eq!(of_others, 0, "seed {seed}: {:?}", world.verdicts);
        for (id, node) in &world.nodes {
            assert_eq!(node.gossip().declared_down, 1, "seed {seed}, node {id}");
            assert_eq!(node.gossip().health_multiplier, 1, "seed {seed}: node {id} takes the blame");
        }
    }
}

#[test]
fn a_restarted_node_is_back_at_once_and_its_old_life_is_forgotten() {
    for down_for in [Duration::from_millis(200), Duration::from_secs(10)] {
        let mut world = World::new(5, 2);
        world.kill(3);
        for other in [1, 2, 4, 5] {
            world.unlink(other, 3);
        }
        world.run(down_for);
        world.start(3, 2);
        for other in [1, 2, 4, 5] {
            world.link(other, 3);
        }
        // A round trip of joining.
        world.run(Duration::from_millis(3));
        assert!(world.all_alive(), "after {down_for:?}");
        world.run(Duration::from_secs(10));
        assert!(world.all_alive(), "after {down_for:?}, later");
    }
}

#[test]
fn a_suspicion_is_refuted_and_counted_against_the_own_health() {
    let mut world = World::new(5, 3);
    // Nothing that 3 says arrives for a little more than a probe, and less than a suspicion.
    let mute: Vec<(u64, u64)> = [1, 2, 4, 5].map(|other| (3, other)).to_vec();
    world.cut.extend(&mute);
    world.run(Duration::from_millis(1500));
    assert!(world.states(3).contains(&Some(PeerState::Suspect)), "{:?}", world.states(3));
    world.cut.clear();
    world.run(Duration::from_secs(1));
    assert!(world.all_alive());
    let gossip = world.nodes[&3].gossip();
    assert!(gossip.refutations > 0 && gossip.health_multiplier > 1, "{gossip:?}");
    assert!(world.verdicts.iter().all(|verdict| verdict.2 != Some(PeerState::Down)));
    world.run(Duration::from_secs(60));
    assert_eq!(world.nodes[&3].gossip().health_multiplier, 1, "it has recovered");
}

#[test]
fn a_link_that_fails_between_two_nodes_only_makes_nobody_suspect() {
    let mut world = World::new(5, 4);
    world.cut.extend([(1, 2), (2, 1)]);
    world.run(Duration::from_secs(20));
    assert_eq!(world.verdicts, [], "others have probed for them");
}

#[test]
fn a_node_that_stood_still_comes_back_and_judges_nobody_by_what_it_missed() {
    for seed in 0..50 {
        let mut world = World::new(5, seed);
        world.run(Duration::from_millis(u64::from(seed) * 41));
        // It has just said something, perhaps a probe, to which the answer will find it standing.
        while !world.flying.values().any(|&(from, _, _)| from == 3) {
            world.run(Duration::from_micros(100));
        }
        world.paused.insert(3);
        world.run(Duration::from_secs(30));
        assert_eq!(world.states(3), BTreeSet::from([Some(PeerState::Down)]), "seed {seed}");
        world.verdicts.clear();
        world.resume(3);
        world.run(Duration::from_secs(3));
        assert!(world.all_alive(), "seed {seed}");
        let judged: Vec<_> = world.verdicts.iter().filter(|verdict| verdict.0 == 3).collect();
        assert!(judged.is_empty(), "seed {seed}: {judged:?}");
        assert!(world.nodes[&3].gossip().health_multiplier > 1, "seed {seed}");
    }
}

#[test]
fn two_halves_that_declared_each_other_down_find_together() {
    let mut world = World::new(5, 5);
    for a in [1, 2] {
        for b in [3, 4, 5] {
            world.cut.extend([(a, b), (b, a)]);
        }
    }
    world.run(Duration::from_secs(20));
    assert_eq!(world.state(1, 3), Some(PeerState::Down));
    assert_eq!(world.state(3, 1), Some(PeerState::Down));
    assert_eq!(world.state(1, 2), Some(PeerState::Alive));
    world.cut.clear();
    world.run(Duration::from_secs(5));
    assert!(world.all_alive());
    world.verdicts.clear();
    world.run(Duration::from_secs(20));
    assert_eq!(world.verdicts, [], "it stays so");
}

#[test]
fn an_isolated_node_blames_itself_and_a_node_with_a_dead_peer_does_not() {
    let mut world = World::new(3, 6);
    world.cut.extend([(1, 2), (2, 1), (1, 3), (3, 1)]);
    world.run(Duration::from_secs(3));
    assert!(world.nodes[&1].gossip().health_multiplier > 1);
    assert_eq!(world.nodes[&2].gossip().health_multiplier, 1);
    assert_eq!(world.nodes[&3].gossip().health_multiplier, 1);
}

#[test]
fn a_node_that_was_declared_down_is_not_asked_and_counts_for_nothing() {
    let mut world = World::new(5, 7);
    let (owners, other) = world.owners();
    world.kill(owners[1]);
    world.run(Duration::from_secs(5));
    world.put(owners[0], Duration::from_secs(5));
    world.run(Duration::from_millis(100));
    assert!(matches!(world.answers.pop(), Some(Ok(_))));
    assert!(world.asked.iter().all(|&(_, to)| to != owners[1]), "{:?}", world.asked);
    // Two of three are down: the quorum is still two.
    world.kill(owners[2]);
    world.run(Duration::from_secs(5));
    for at in [owners[0], other] {
        world.put(at, Duration::from_secs(5));
        world.run(Duration::from_millis(100));
        let Some(Err(error)) = world.answers.pop() else { panic!("the write was accepted") };
        assert_eq!(error.failure, Failure::QuorumUnavailable { needed: 2, reachable: 1 });
        assert_eq!(error.attempted, Attempted::NotAttempted);
    }
}

#[test]
fn who_reaches_no_owner_says_how_many_are_needed() {
    let mut world = World::new(5, 7);
    let (owners, other) = world.owners();
    owners.iter().for_each(|&owner| world.unlink(other, owner));
    for (w, needed) in [(None, 2), (Some(3), 3), (Some(1), 1)] {
        world.put_with(other, Duration::from_secs(5), QuorumOptions { w, ..QuorumOptions::default() });
        let Some(Err(error)) = world.answers.pop() else { panic!("the write was accepted") };
        assert_eq!(error.failure, Failure::QuorumUnavailable { needed, reachable: 0 });
        assert_eq!(error.attempted, Attempted::NotAttempted);
    }
}

#[test]
fn what_waits_for_a_node_moves_on_when_that_is_declared_down() {
    let mut world = World::new(5, 8);
    let (owners, other) = world.owners();
    world.kill(owners[0]);
    let started_us = world.now_us;
    world.put(other, Duration::from_secs(60));
    assert_eq!(world.asked, [(other, owners[0])], "it is forwarded to the dead node");
    world.run(Duration::from_secs(5));
    let Some(Err(error)) = world.answers.pop() else { panic!("no answer after {started_us} us") };
    assert_eq!(error.failure, Failure::CoordinatorLost(NodeId(owners[0])));
    assert_eq!(error.attempted, Attempted::Indeterminate);
}

#[test]
fn what_a_node_missed_while_it_was_down_is_sent_when_it_is_back() {
    let mut world = World::new(5, 9);
    let (owners, _) = world.owners();
    for gone in &owners[1..] {
        world.paused.insert(*gone);
    }
    world.put(owners[0], Duration::from_secs(60));
    world.run(Duration::from_secs(20));
    assert!(world.answers.is_empty());
    assert_eq!(world.state(owners[0], owners[1]), Some(PeerState::Down));
    world.waiting.retain(|(_, _, message)| matches!(message, Message::Gossip(_)));
    world.resume(owners[1]);
    world.run(Duration::from_secs(3));
    assert!(matches!(world.answers.pop(), Some(Ok(_))));
}

#[test]
fn packets_that_make_no_sense_change_nothing() {
    let mut world = World::new(3, 10);
    let before: Vec<_> = world.nodes[&1].peers().map(|(id, peer)| (id, *peer)).collect();
    let nonsense: [&[u8]; 4] = [b"", b"\xff", &[0; 64], &[0xff; 8192]];
    for packet in nonsense {
        world.deliver(2, 1, Message::Gossip(Bytes::copy_from_slice(packet)));
    }
    let after: Vec<_> = world.nodes[&1].peers().map(|(id, peer)| (id, *peer)).collect();
    assert_eq!(before, after);
}

#[test]
fn two_of_five_take_a_sloppy_put_whichever_owner_coordinates_it() {
    // Of each pair that is cut off, one is an owner: the first, the second or the third.
    for at in 0..3 {
        let mut world = World::new(5, 9);
        let (owners, other) = world.owners();
        let pair = [owners[at], other];
        let apart = |id: &u64| !pair.contains(id);
        for away in (1..=5).filter(apart) {
            world.cut.extend(pair.iter().flat_map(|&id| [(id, away), (away, id)]));
        }
        world.run(Duration::from_secs(10));
        let sloppy = QuorumOptions { mode: Some(QuorumMode::Sloppy), ..QuorumOptions::default() };
        for id in pair {
            world.answers.clear();
            world.put_with(id, Duration::from_secs(1), sloppy);
            world.run(Duration::from_millis(100));
            match &world.answers[..] {
                [Ok(Outcome::Put(put))] => assert_eq!((put.primaries, put.fallbacks), (1, 1)),
                other => panic!("owner {at}, asked at {id}: {other:?}"),
            }
        }
    }
}
