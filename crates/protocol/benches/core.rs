//! What the core costs: versions, placement, and whole operations with the shell played by the bench.

use std::time::Duration;

use bytes::Bytes;
use divan::{Bencher, black_box};
use quorate_protocol::echo::LinkTime;
use quorate_protocol::id::{ActorId, BucketId, ClusterId, NodeId, OperationId, StartId};
use quorate_protocol::identity::Kept;
use quorate_protocol::layout::{Bootstrap, Layout, Member, partition_of};
use quorate_protocol::message::Message;
use quorate_protocol::operation::{Get, Operation, Put, QuorumOptions, Timed, Ttl};
use quorate_protocol::store::{CommitNumber, Sequence};
use quorate_protocol::time::{Hlc, Now, Time};
use quorate_protocol::version::{Container, ContentType, Context, Dot, Sibling};
use quorate_protocol::{Effect, Effects, Event, Limits, Node, NodeConfig, RequestId};

fn main() {
    divan::main();
}

fn sibling(actor: u64, seq: u64, value_bytes: usize) -> Sibling {
    Sibling {
        dot: Dot { actor: ActorId(actor), seq },
        hlc: Hlc { wall_ms: seq, counter: 0 },
        operation: OperationId(u128::from(seq)),
        expiry: None,
        content_type: ContentType::OctetStream,
        value: Bytes::from(vec![7; value_bytes]),
    }
}

/// A key written by `actors` writers who have not seen each other.
fn container(actors: u64, seq: u64) -> Container {
    let mut container = Container::default();
    for actor in 1..=actors {
        container.put(&Context::default(), sibling(actor, seq, 128));
    }
    container
}

#[divan::bench(args = [1, 3, 10, 100])]
fn merge_newer(bencher: Bencher<'_, '_>, siblings: u64) {
    let (old, mut new) = (container(siblings, 1), container(siblings, 1));
    let seen = new.context.clone();
    new.put(&seen, sibling(1, 2, 128));
    bencher.with_inputs(|| old.clone()).bench_refs(|ours| black_box(ours.merge(&new)));
}

#[divan::bench(args = [1, 3, 10, 100])]
fn encode(bencher: Bencher<'_, '_>, siblings: u64) {
    let container = container(siblings, 1);
    bencher.bench(|| black_box(&container).encode());
}

#[divan::bench(args = [1, 3, 10, 100])]
fn decode(bencher: Bencher<'_, '_>, siblings: u64) {
    let encoded = container(siblings, 1).encode();
    bencher.bench(|| black_box(&encoded).decode());
}

fn layout(nodes: u64, partitions: u32) -> Layout {
    let member = |node| Member {
        node: NodeId(node),
        name: String::new(),
        peer_address: "p".into(),
        zone: String::new(),
        weight: 1,
    };
    let members = (1..=nodes).map(member).collect();
    let settings =
        Bootstrap { cluster: ClusterId(1), partitions, n: 3, r: 2, w: 2, members, buckets: Vec::new() };
    Layout::first(&settings).expect("the settings are valid")
}

#[divan::bench]
fn placement_lookup(bencher: Bencher<'_, '_>) {
    let layout = layout(5, 256);
    let mut key = 0_u64;
    bencher.bench_local(|| {
        key += 1;
        layout.owners(partition_of(256, BucketId(1), &key.to_le_bytes()))[0]
    });
}

#[divan::bench(args = [3, 10, 100])]
fn first_layout(bencher: Bencher<'_, '_>, nodes: u64) {
    bencher.bench(|| layout(black_box(nodes), 256));
}

/// Three nodes whose shells are this bench: messages arrive at once, commits are durable at once.
struct Cluster {
    nodes: Vec<Node>,
    effects: Effects,
    request: u64,
}

impl Cluster {
    fn new() -> Self {
        let layout = layout(3, 256);
        let node = |id: u64| {
            let config = NodeConfig {
                node: NodeId(id),
                start: StartId(id),
                boot: 1,
                seed: [u8::try_from(id).expect("small"); 32],
                limits: Limits::default(),
                token_secret: None,
            };
            Node::new(config, Kept { layout: Some(layout.clone()), ..Kept::default() })
        };
        let mut cluster =
            Self { nodes: (1..=3).map(node).collect(), effects: Effects::default(), request: 0 };
        for (at, peer) in [(0, 2), (0, 3), (1, 1), (1, 3), (2, 1), (2, 2)] {
            cluster.turn(
                at,
                Event::LinkUp {
                    peer: NodeId(peer),
                    epoch: layout.epoch,
                    clock: LinkTime { start: StartId(peer), at: Time(1) },
                },
            );
        }
        cluster
    }

    fn turn(&mut self, at: usize, event: Event) -> Option<Bytes> {
        let now = Now { mono: Time(1), link: Time(1), wall_ms: 1 };
        self.nodes[at].handle(now, event, &mut self.effects);
        let effects: Vec<Effect> = self.effects.drain().collect();
        let mut context = None;
        for effect in effects {
            let answer = match effect {
                Effect::Send { to, message } => {
                    let (to, from) = (usize::try_from(to.0).expect("small") - 1, NodeId(at as u64 + 1));
                    let messages: Vec<Message> = vec![message];
                    let stamp = self.nodes[at].stamp(now, NodeId(to as u64 + 1));
                    self.turn(to, Event::Messages { from, stamp, messages })
                }
                Effect::Commit { number: CommitNumber(number), .. } => {
                    let (through, sequence) = (CommitNumber(number), Sequence(number));
                    self.turn(at, Event::Durable { through, sequence })
                }
                Effect::Read { token, .. } => self.turn(at, Event::ReadDone { token, result: Ok(None) }),
                Effect::Answer { result, .. } => match result.expect("nothing fails here") {
                    quorate_protocol::operation::Outcome::Put(written) => Some(written.context),
                    _ => Some(Bytes::new()),
                },
                _ => None,
            };
            context = answer.or(context);
        }
        context
    }

    fn run(&mut self, operation: Operation) -> Bytes {
        self.request += 1;
        let timed = Timed { operation, timeout: Duration::from_secs(5) };
        self.turn(0, Event::Client { request: RequestId(self.request), timed }).expect("an answer")
    }
}

/// One replicated write, N3 W2, all three nodes' work together.
#[divan::bench]
fn put_on_three_nodes(bencher: Bencher<'_, '_>) {
    let mut cluster = Cluster::new();
    let mut contexts = vec![Bytes::new(); 1000];
    let mut round = 0_u64;
    bencher.bench_local(|| {
        round += 1;
        let slot = usize::try_from(round % 1000).expect("small");
        let put = Put {
            bucket: String::new(),
            key: Bytes::copy_from_slice(&(slot as u64).to_le_bytes()),
            value: Bytes::from(vec![1; 128]),
            content_type: ContentType::OctetStream,
            context: contexts[slot].clone(),
            operation: OperationId(u128::from(round)),
            ttl: Ttl::Bucket,
            quorum: QuorumOptions::default(),
        };
        contexts[slot] = cluster.run(Operation::Put(put));
    });
}

/// One read, R2, all nodes' work together.
#[divan::bench]
fn get_from_two_of_three_nodes(bencher: Bencher<'_, '_>) {
    let mut cluster = Cluster::new();
    let mut round = 0_u64;
    bencher.bench_local(|| {
        round += 1;
        let key = Bytes::copy_from_slice(&(round % 1000).to_le_bytes());
        cluster.run(Operation::Get(Get { bucket: String::new(), key, quorum: QuorumOptions::default() }))
    });
}
