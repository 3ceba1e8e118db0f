//! Damaged records, seen through a node's effects: what is committed, asked, refused and said.

use std::time::Duration;

use bytes::Bytes;
use quorate_protocol::echo::LinkTime;
use quorate_protocol::effect::Notice;
use quorate_protocol::id::{ActorId, BucketId, ClusterId, Epoch, NodeId, OperationId, PartitionId, StartId};
use quorate_protocol::identity::{Kept, Life};
use quorate_protocol::keys;
use quorate_protocol::layout::{Bootstrap, Layout, Member};
use quorate_protocol::message::{Fetched, Healing, KeyRef, Message, Place, Refusal, Stamp, Tag};
use quorate_protocol::operation::{
    Attempted, Failure, Get, Operation, OperationError, Outcome, Put, QuorumOptions, Timed, Ttl,
};
use quorate_protocol::store::{CommitNumber, ScanPage, Sequence, StoreError, StoreOp};
use quorate_protocol::time::{Hlc, Now, Time};
use quorate_protocol::version::{
    Container, ContentType, Context, ContextToken, Dot, EncodedContainer, Sibling,
};
use quorate_protocol::{Effect, Effects, Event, Limits, Node, NodeConfig, ReadToken, RequestId};

const EPOCH: Epoch = Epoch(1);

/// Node 1 of some, with one partition, and this test for its shell.
struct Rig {
    node: Node,
    now: Time,
    durable: CommitNumber,
}

fn layout(nodes: u64) -> Layout {
    let member = |node| Member {
        node: NodeId(node),
        name: String::new(),
        peer_address: "p".into(),
        zone: String::new(),
        weight: 1,
    };
    let n = u32::try_from(nodes).expect("small");
    let members = (1..=nodes).map(member).collect();
    let (r, w) = (n.div_ceil(2), n / 2 + 1);
    let settings = Bootstrap { cluster: ClusterId(1), partitions: 1, n, r, w, members, buckets: Vec::new() };
    Layout::first(&settings).expect("the settings are valid")
}

/// The node's own clock, as its peers know it.
const ECHO: LinkTime = LinkTime { start: StartId(1), at: Time(1) };

fn link_up(peer: NodeId) -> Event {
    Event::LinkUp { peer, epoch: EPOCH, clock: LinkTime::default() }
}

fn key(nodes: u64) -> KeyRef {
    let bucket = layout(nodes).bucket("").expect("there is one").id;
    KeyRef { partition: PartitionId(0), bucket, key: Bytes::from_static(b"k") }
}

fn record(key: &KeyRef) -> Bytes {
    keys::data(key.partition, key.bucket, &key.key)
}

fn corrupt(key: &KeyRef) -> StoreError {
    StoreError::Corrupt { key: record(key), detail: "it fails its checksum".into() }
}

/// A container with one value under each of these dots.
fn container(dots: &[(u64, u64)]) -> EncodedContainer {
    let mut container = Container::default();
    for &(actor, seq) in dots {
        let sibling = Sibling {
            dot: Dot { actor: ActorId(actor), seq },
            hlc: Hlc::default(),
            operation: OperationId(u128::from(actor) << 64 | u128::from(seq)),
            content_type: ContentType::Json,
            value: Bytes::from_static(b"1"),
            expiry: None,
        };
        container.put(&Context::default(), sibling);
    }
    container.encode()
}

fn put(value: &'static str, operation: u128) -> Timed {
    let put = Put {
        bucket: String::new(),
        key: Bytes::from_static(b"k"),
        value: Bytes::from_static(value.as_bytes()),
        content_type: ContentType::Json,
        context: ContextToken::new(),
        operation: OperationId(operation),
        ttl: Ttl::Bucket,
        quorum: QuorumOptions::default(),
    };
    Timed { operation: Operation::Put(put), timeout: Duration::from_secs(5) }
}

fn get() -> Timed {
    let get =
        Get { bucket: "default".into(), key: Bytes::from_static(b"k"), quorum: QuorumOptions::default() };
    Timed { operation: Operation::Get(get), timeout: Duration::from_secs(5) }
}

impl Rig {
    fn new(nodes: u64, holes: Vec<KeyRef>) -> Self {
        let config = NodeConfig {
            node: NodeId(1),
            start: StartId(1),
            boot: 1,
            seed: [7; 32],
            limits: Limits { cache_bytes: 0, ..Limits::default() },
            token_secret: None,
        };
        let node = Node::new(config, Kept { layout: Some(layout(nodes)), holes, ..Kept::default() });
        let mut rig = Self { node, now: Time(1), durable: CommitNumber(0) };
        for peer in 2..=nodes {
            rig.link(peer);
        }
        rig
    }

    /// A peer has a link, shows its life, and knows nothing against the node.
    fn link(&mut self, peer: u64) -> Vec<Effect> {
        self.turn(link_up(NodeId(peer)));
        self.hear(peer, Message::Recalled { life: None, departed: false })
    }

    fn turn(&mut self, event: Event) -> Vec<Effect> {
        let mut effects = Effects::default();
        self.node.handle(Now { mono: self.now, link: self.now, wall_ms: 1 }, event, &mut effects);
        effects.drain().collect()
    }

    /// Everything that was committed becomes durable.
    fn sync(&mut self, effects: &[Effect]) -> Vec<Effect> {
        let numbers = effects.iter().filter_map(|effect| match effect {
            Effect::Commit { number, .. } => Some(*number),
            _ => None,
        });
        self.durable = numbers.max().unwrap_or(self.durable);
        let sequence = Sequence(self.durable.0);
        self.turn(Event::Durable { through: self.durable, sequence })
    }

    fn hear(&mut self, from: u64, message: Message) -> Vec<Effect> {
        let life = Some(Life { boot: 1, ..Life::default() });
        let stamp = Stamp { life, ..Stamp::default() };
        self.turn(Event::Messages { from: NodeId(from), stamp, messages: vec![message] })
    }

    fn client(&mut self, timed: Timed) -> Vec<Effect> {
        self.turn(Event::Client { request: RequestId(1), timed })
    }

    /// Says that nothing is stored, if it is asked.
    fn read_nothing(&mut self, effects: Vec<Effect>) -> Vec<Effect> {
        match read_token(&effects) {
            Some(token) => self.turn(Event::ReadDone { token, result: Ok(None) }),
            None => effects,
        }
    }

    /// Answers the read that is among the effects.
    fn read(&mut self, effects: &[Effect], result: Result<Option<Bytes>, StoreError>) -> Vec<Effect> {
        let token = read_token(effects).expect("the store is asked");
        self.turn(Event::ReadDone { token, result })
    }

    /// A peer fetches the key, and finds it damaged.
    fn meet_damage(&mut self, key: &KeyRef) -> Vec<Effect> {
        let fetch =
            Message::Fetch { tag: Tag(5), epoch: EPOCH, key: key.clone(), have: None, place: Place::Replica };
        let asked = self.hear(2, fetch);
        self.read(&asked, Err(corrupt(key)))
    }
}

fn read_token(effects: &[Effect]) -> Option<ReadToken> {
    effects.iter().find_map(|effect| match effect {
        Effect::Read { token, .. } => Some(*token),
        _ => None,
    })
}

/// What is known of other nodes goes with any commit, and is left out.
fn commits(effects: &[Effect]) -> Vec<Vec<StoreOp>> {
    let commit = |effect: &Effect| match effect {
        Effect::Commit { ops, .. } => {
            Some(ops.iter().filter(|op| op.key() != keys::LIVES).cloned().collect())
        }
        _ => None,
    };
    effects.iter().filter_map(commit).collect()
}

fn sent(effects: &[Effect]) -> Vec<(u64, Message)> {
    let send = |effect: &Effect| match effect {
        Effect::Send { to, message } => Some((to.0, message.clone())),
        _ => None,
    };
    effects.iter().filter_map(send).collect()
}

/// Who is asked to heal, under one tag.
fn heals(effects: &[Effect]) -> (Vec<u64>, Option<Tag>) {
    let heal = |(to, message): (u64, Message)| match message {
        Message::Heal { tag, .. } => Some((to, tag)),
        _ => None,
    };
    let asked: Vec<_> = sent(effects).into_iter().filter_map(heal).collect();
    let tag = asked.first().map(|asked| asked.1);
    assert!(asked.iter().all(|asked| Some(asked.1) == tag), "one round has one tag");
    let mut who: Vec<u64> = asked.into_iter().map(|asked| asked.0).collect();
    who.sort_unstable();
    (who, tag)
}

fn notices(effects: &[Effect]) -> Vec<Notice> {
    let notice = |effect: &Effect| match effect {
        Effect::Notice(notice) => Some(notice.clone()),
        _ => None,
    };
    effects.iter().filter_map(notice).collect()
}

fn heal_reply(tag: Option<Tag>, dots: &[(u64, u64)]) -> Message {
    let tag = tag.expect("somebody was asked");
    Message::HealReply { tag, epoch: EPOCH, result: Ok(Healing { container: container(dots), echo: ECHO }) }
}

/// The actor of the write that is committed.
fn written_by(effects: &[Effect]) -> ActorId {
    let committed = commits(effects);
    let Some(StoreOp::Put { value, .. }) = committed.iter().flatten().last() else {
        panic!("nothing is written: {committed:?}");
    };
    let container = EncodedContainer(value.clone()).decode().expect("it is a container");
    container.siblings.iter().find(|sibling| &sibling.value[..] != b"1").expect("a write").dot.actor
}

#[test]
fn a_damaged_record_is_marked_dropped_and_healed_in_two_rounds() {
    let key = key(3);
    let mut rig = Rig::new(3, Vec::new());
    let effects = rig.meet_damage(&key);
    let mark = StoreOp::Put { key: keys::hole(&key), value: Bytes::new() };
    assert_eq!(commits(&effects), [[mark, StoreOp::Delete { key: record(&key) }]]);
    assert!(matches!(&notices(&effects)[..], [Notice::RecordDamaged { .. }]));
    let (asked, first) = heals(&effects);
    assert_eq!(asked, [2, 3]);
    let refused = Message::FetchReply { tag: Tag(5), epoch: EPOCH, result: Err(Refusal::Hole) };
    assert!(sent(&effects).contains(&(2, refused)));
    rig.sync(&effects);
    assert_eq!((rig.node.gauges().holes, rig.node.stats().damaged_records), (1, 1));

    // What comes meanwhile is kept and not acknowledged.
    let (tag, value) = (Tag(6), container(&[(8, 1)]));
    let effects = rig.hear(
        3,
        Message::Replicate { tag: Some(tag), epoch: EPOCH, key: key.clone(), container: value, echo: ECHO },
    );
    // The cache is empty: the dropped record is read, and absent.
    let effects = rig.read(&effects, Ok(None));
    let refused = Message::ReplicateReply { tag, epoch: EPOCH, result: Err(Refusal::Hole) };
    assert_eq!((sent(&effects), commits(&effects).len()), (vec![(3, refused)], 1));

    // First round; the second begins when both have answered, under another tag.
    assert!(heals(&rig.hear(2, heal_reply(first, &[(9, 1)]))).0.is_empty());
    assert!(heals(&rig.hear(2, heal_reply(first, &[(9, 1)]))).0.is_empty(), "an owner counts once");
    let (asked, second) = heals(&rig.hear(3, heal_reply(first, &[])));
    assert_eq!(asked, [2, 3]);
    assert_ne!(first, second);
    rig.hear(3, heal_reply(second, &[]));
    rig.hear(2, heal_reply(first, &[(9, 1)]));
    assert_eq!(rig.node.gauges().holes, 1, "an answer of the first round does not count in the second");
    let effects = rig.hear(2, heal_reply(second, &[(9, 1), (9, 2)]));
    let committed = commits(&effects);
    assert_eq!(
        committed.last(),
        Some(&vec![StoreOp::Delete { key: keys::hole(&key) }]),
        "after the last merge"
    );
    assert!(matches!(&committed[..], [merge, _] if merge[0].key() == &record(&key)));
    assert!(matches!(&notices(&effects)[..], [Notice::RecordHealed { .. }]));
    assert_eq!((rig.node.gauges().holes, rig.node.stats().records_healed), (0, 1));

    let fetch =
        Message::Fetch { tag: Tag(7), epoch: EPOCH, key: key.clone(), have: None, place: Place::Replica };
    let whole =
        Fetched::Container { container: container(&[(8, 1), (9, 1), (9, 2)]), echo: LinkTime::default() };
    let shown = Message::FetchReply { tag: Tag(7), epoch: EPOCH, result: Ok(whole) };
    assert_eq!(sent(&rig.hear(2, fetch)), [(2, shown)]);
}

#[test]
fn owners_that_do_not_answer_are_asked_again_and_so_are_those_whose_link_comes_up() {
    let key = key(3);
    // Left over by the last life: nothing has to be met first.
    let mut rig = Rig::new(3, vec![key.clone()]);
    assert_eq!(rig.node.gauges().holes, 1);
    assert!(rig.node.next_deadline().is_some_and(|deadline| deadline <= rig.now));
    let (asked, tag) = heals(&rig.turn(Event::Deadline));
    assert_eq!(asked, [2, 3]);
    let effects = rig.hear(2, heal_reply(tag, &[]));
    rig.read(&effects, Ok(None));
    rig.turn(Event::LinkDown { peer: NodeId(3) });
    assert_eq!(heals(&rig.turn(link_up(NodeId(3)))), (vec![3], tag));
    let mut again = (0..10).map(|_| {
        rig.now = rig.node.next_deadline().expect("it is asked again");
        heals(&rig.turn(Event::Deadline))
    });
    assert_eq!(again.find(|(asked, _)| !asked.is_empty()), Some((vec![3], tag)));
}

#[test]
fn clients_are_passed_on_to_another_owner_while_the_key_is_a_hole() {
    let key = key(3);
    let mut rig = Rig::new(3, vec![key.clone()]);
    for timed in [get(), put("2", 1)] {
        let passed_on = sent(&rig.client(timed.clone()));
        assert!(
            matches!(&passed_on[..], [(2 | 3, Message::Forward { timed: on, .. })] if on.operation == timed.operation)
        );
        let forward = Message::Forward { tag: Tag(u64::from(timed.operation.is_write())), timed };
        // One that was passed on already goes back.
        let answers = sent(&rig.hear(2, forward));
        let went_back = |message: &Message| {
            matches!(
                message,
                Message::ForwardReply {
                    result: Err(OperationError { attempted: Attempted::NotAttempted, .. }),
                    ..
                }
            )
        };
        assert!(matches!(&answers[..], [(2, message)] if went_back(message)), "{answers:?}");
    }
    // The operation that meets the damage itself is passed on, too.
    for timed in [get(), put("2", 1)] {
        let mut rig = Rig::new(3, Vec::new());
        let asked = rig.client(timed.clone());
        let effects = rig.read(&asked, Err(corrupt(&key)));
        let passed_on = |(_, message): &(u64, Message)| matches!(message, Message::Forward { timed: on, .. } if on.operation == timed.operation);
        assert!(sent(&effects).iter().any(passed_on), "{effects:?}");
    }
}

#[test]
fn a_lost_copy_is_struck_from_the_writes_that_count_it() {
    let key = key(3);
    let mut rig = Rig::new(3, Vec::new());
    let asked = rig.client(put("2", 1));
    let effects = rig.read(&asked, Ok(None));
    let tag_of = |effects: &[Effect]| {
        let tag = sent(effects).into_iter().find_map(|(_, message)| match message {
            Message::Replicate { tag, .. } => tag,
            _ => None,
        });
        tag.expect("it is replicated")
    };
    let acknowledged = |tag| Message::ReplicateReply { tag, epoch: EPOCH, result: Ok(()) };
    let first = tag_of(&effects);
    // W is 2; this node's own copy is not durable yet.
    assert!(sent(&rig.hear(2, acknowledged(first))).is_empty());
    let healing = rig.hear(2, Message::Heal { tag: Tag(3), epoch: EPOCH, key });
    let shown = |(to, message): &(u64, Message)| {
        *to == 2 && matches!(message, Message::HealReply { result: Ok(_), .. })
    };
    assert!(sent(&healing).iter().any(shown));
    let answered = |effects: &[Effect]| effects.iter().any(|effect| matches!(effect, Effect::Answer { .. }));
    assert!(!answered(&rig.sync(&effects)), "the lost copy counts no more");
    assert!(!answered(&rig.hear(2, acknowledged(first))), "nor does one that was on its way");
    // Both are asked again under another name; whoever has it then counts, healed ones too.
    let second = tag_of(&healing);
    assert_ne!(first, second);
    assert!(answered(&rig.hear(2, acknowledged(second))));
}

#[test]
fn a_put_that_a_damaged_record_has_taken_along_is_made_again_by_its_repetition() {
    let key = key(3);
    let mut rig = Rig::new(3, Vec::new());
    let asked = rig.client(put("2", 1));
    let effects = rig.read(&asked, Ok(None));
    let first = written_by(&effects);
    rig.sync(&effects);
    // Nobody else has it.
    let effects = rig.meet_damage(&key);
    rig.sync(&effects);
    let (_, mut tag) = heals(&effects);
    for _ in 0..2 {
        let effects = rig.hear(2, heal_reply(tag, &[]));
        rig.read_nothing(effects);
        let effects = rig.hear(3, heal_reply(tag, &[]));
        let more = rig.read_nothing(effects);
        rig.sync(&more);
        tag = heals(&more).1;
    }
    assert_eq!(rig.node.gauges().holes, 0);
    let asked = rig.client(put("2", 1));
    assert_ne!(written_by(&rig.read_nothing(asked)), first);
}

#[test]
fn the_only_owner_says_loudly_that_data_are_lost() {
    let key = key(1);
    let mut rig = Rig::new(1, Vec::new());
    let asked = rig.client(get());
    let effects = rig.read(&asked, Ok(Some(Bytes::from_static(b"no container"))));
    assert!(matches!(&notices(&effects)[..], [Notice::RecordDamaged { .. }, Notice::RecordLost { .. }]));
    assert_eq!(commits(&effects), [[StoreOp::Delete { key: record(&key) }]]);
    let answer = effects.iter().find_map(|effect| match effect {
        Effect::Answer { result: Ok(Outcome::Get(found)), .. } => Some(found.siblings.len()),
        _ => None,
    });
    assert_eq!((answer, rig.node.gauges().holes, rig.node.stats().records_lost), (Some(0), 0, 1));
}

#[test]
fn a_partition_with_a_hole_gets_a_new_actor_and_so_does_one_that_is_shown_a_dot_it_lacks() {
    let first = |rig: &mut Rig| {
        let asked = rig.client(put("2", 1));
        let effects = rig.read(&asked, Ok(None));
        (written_by(&effects), rig.sync(&effects))
    };
    let again = |rig: &mut Rig| {
        let asked = rig.client(put("3", 2));
        let effects = rig.read(&asked, Ok(None));
        written_by(&effects)
    };
    let mut rig = Rig::new(3, Vec::new());
    let (actor, _) = first(&mut rig);
    assert_eq!(again(&mut rig), actor);

    // Another key of the partition is damaged.
    let mut rig = Rig::new(3, Vec::new());
    let (actor, _) = first(&mut rig);
    let other = KeyRef { key: Bytes::from_static(b"other"), ..key(3) };
    rig.meet_damage(&other);
    assert_ne!(again(&mut rig), actor);

    // A peer shows a write of the present actor that is not here.
    let mut rig = Rig::new(3, Vec::new());
    let (actor, _) = first(&mut rig);
    let mine = container(&[(actor.0, 9)]);
    let other = KeyRef { key: Bytes::from_static(b"other"), ..key(3) };
    let asked =
        rig.hear(2, Message::Replicate { tag: None, epoch: EPOCH, key: other, container: mine, echo: ECHO });
    rig.read(&asked, Ok(None));
    assert_ne!(again(&mut rig), actor);
}

#[test]
fn a_page_names_damaged_keys_as_doubtful_and_looks_at_each_alone() {
    let key = key(3);
    let mut rig = Rig::new(3, vec![KeyRef { key: Bytes::from_static(b"m"), ..key.clone() }]);
    let bucket: BucketId = key.bucket;
    let scan =
        Message::Scan { tag: Tag(4), epoch: EPOCH, partition: key.partition, bucket, after: None, limit: 9 };
    let effects = rig.hear(2, scan);
    let token = effects.iter().find_map(|effect| match effect {
        Effect::Scan { token, .. } => Some(*token),
        _ => None,
    });
    let at = |name: &'static str| keys::data(key.partition, bucket, name.as_bytes());
    let entries = vec![(at("a"), container(&[(1, 1)]).0), (at("x"), container(&[(1, 2)]).0)];
    let page = ScanPage { entries, damaged: vec![at("k")], more: false };
    let effects = rig.turn(Event::ScanDone { token: token.expect("the store is asked"), result: Ok(page) });
    let listed = sent(&effects).into_iter().find_map(|(_, message)| match message {
        Message::ScanReply { result: Ok(page), .. } => Some(page.keys),
        _ => None,
    });
    let listed: Vec<_> = listed.expect("a page").into_iter().map(|key| (key.key, key.doubtful)).collect();
    let named = |name: &'static str, doubtful| (Bytes::from_static(name.as_bytes()), doubtful);
    assert_eq!(listed, [named("a", false), named("k", true), named("m", true), named("x", false)]);
    // It becomes a hole only when a read of it fails: it may have been written anew since.
    assert_eq!(rig.node.gauges().holes, 1);
    rig.read(&effects, Err(corrupt(&key)));
    assert_eq!(rig.node.gauges().holes, 2);
}

#[test]
fn another_value_under_the_same_operation_id_is_refused_while_the_first_lives() {
    let mut rig = Rig::new(3, Vec::new());
    let asked = rig.client(put("2", 1));
    rig.read(&asked, Ok(None));
    let refused = |effects: &[Effect]| {
        effects.iter().any(|effect| {
            let Effect::Answer { result: Err(error), .. } = effect else { return false };
            matches!(error.failure, Failure::Invalid { field: "operation_id", .. })
                && error.attempted == Attempted::NotAttempted
        })
    };
    assert!(!refused(&rig.client(put("2", 1))), "a repetition");
    assert!(refused(&rig.client(put("3", 1))));
    assert!(!refused(&rig.client(put("3", 2))));
}
