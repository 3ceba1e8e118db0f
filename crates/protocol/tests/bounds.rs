//! What is under way at a replica is bounded: past that it refuses.

mod cluster;

use cluster::layout_of;
use quorate_protocol::echo::LinkTime;
use quorate_protocol::id::{Epoch, NodeId, PartitionId, StartId};
use quorate_protocol::identity::{Kept, Life};
use quorate_protocol::message::{KeyRef, Message, Refusal, Stamp, Tag};
use quorate_protocol::store::{CommitNumber, Sequence};
use quorate_protocol::time::{Now, Time};
use quorate_protocol::version::Container;
use quorate_protocol::{Effect, Effects, Event, Limits, Node, NodeConfig};

const NOW: Now = Now { mono: Time(1), link: Time(1), wall_ms: 1 };
const START: StartId = StartId(1);

fn turn(node: &mut Node, event: Event) -> Vec<Effect> {
    let mut effects = Effects::default();
    node.handle(NOW, event, &mut effects);
    effects.drain().collect()
}

/// A peer says something; what the store is asked for is absent.
fn hear(node: &mut Node, message: Message) -> Vec<Effect> {
    let life = Some(Life { boot: 1, ..Life::default() });
    let stamp = Stamp { life, ..Stamp::default() };
    let mut effects = turn(node, Event::Messages { from: NodeId(2), stamp, messages: vec![message] });
    let read = effects.iter().find_map(|effect| match effect {
        Effect::Read { token, .. } => Some(*token),
        _ => None,
    });
    effects
        .extend(read.into_iter().flat_map(|token| turn(node, Event::ReadDone { token, result: Ok(None) })));
    effects
}

fn replicate(tag: u64) -> Message {
    let bucket = layout_of(3).bucket("").expect("there is one").id;
    let key = KeyRef { partition: PartitionId(0), bucket, key: tag.to_string().into() };
    let mut container = Container::default();
    container.context.advance_vector(quorate_protocol::id::ActorId(9), tag);
    Message::Replicate {
        tag: Some(Tag(tag)),
        epoch: Epoch(1),
        key,
        container: container.encode(),
        echo: LinkTime { start: START, at: Time(1) },
    }
}

/// What the peer was told of replications: acknowledged, or why not.
fn told(effects: &[Effect]) -> Vec<Result<(), Refusal>> {
    let told = |effect: &Effect| match effect {
        Effect::Send { message: Message::ReplicateReply { result, .. }, .. } => Some(*result),
        _ => None,
    };
    effects.iter().filter_map(told).collect()
}

#[test]
fn replications_that_wait_for_the_disk_count_among_those_under_way() {
    let config = NodeConfig {
        node: NodeId(1),
        start: START,
        boot: 1,
        seed: [7; 32],
        limits: Limits { replica_requests: 3, ..Limits::default() },
        token_secret: None,
    };
    let mut node = Node::new(config, Kept { layout: Some(layout_of(3)), ..Kept::default() });
    turn(&mut node, Event::LinkUp { peer: NodeId(2), epoch: Epoch(1), clock: LinkTime::default() });
    hear(&mut node, Message::Recalled { life: None, departed: false });
    for tag in 1..=3 {
        assert_eq!(told(&hear(&mut node, replicate(tag))), [], "it waits for the disk");
    }
    assert_eq!(told(&hear(&mut node, replicate(4))), [Err(Refusal::Overloaded)]);
    let through = CommitNumber(3);
    let acknowledged = turn(&mut node, Event::Durable { through, sequence: Sequence(3) });
    assert_eq!(told(&acknowledged), [Ok(()); 3]);
    assert_eq!(told(&hear(&mut node, replicate(4))), [], "there is room again");
}
