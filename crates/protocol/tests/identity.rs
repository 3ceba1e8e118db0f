//! Whether a node may count for anything after a start, seen through its effects: what it asks, waits for, takes and gives up.

mod cluster;

use std::collections::BTreeMap;
use std::time::Duration;

use cluster::layout_of;
use quorate_protocol::echo::LinkTime;
use quorate_protocol::effect::Notice;
use quorate_protocol::id::{Epoch, NodeId, PartitionId, StartId};
use quorate_protocol::identity::{Betrayal, Kept, Life, decode_lives};
use quorate_protocol::keys;
use quorate_protocol::layout::Layout;
use quorate_protocol::message::{KeyRef, Message, Place, Stamp, Tag};
use quorate_protocol::store::{CommitNumber, Sequence, StoreOp};
use quorate_protocol::time::{Now, Time};
use quorate_protocol::{Effect, Effects, Event, Limits, Node, NodeConfig};

const EPOCH: Epoch = Epoch(1);

/// Node 1 of three, in its third life: the first went up to 10, the second up to 20.
struct Rig {
    node: Node,
    now: Time,
}

fn life(boot: u64, sequence: u64) -> Life {
    Life { boot, start: StartId(boot), sequence: Sequence(sequence) }
}

impl Rig {
    fn new() -> Self {
        Self::with_layout(layout_of(3))
    }

    fn with_layout(layout: Layout) -> Self {
        let config = NodeConfig {
            node: NodeId(1),
            start: StartId(3),
            boot: 3,
            seed: [7; 32],
            limits: Limits::default(),
            token_secret: None,
        };
        let past = BTreeMap::from([(1, life(1, 10)), (2, life(2, 20))]);
        let kept = Kept { layout: Some(layout), past, sequence: Sequence(21), ..Kept::default() };
        let mut rig = Self { node: Node::new(config, kept), now: Time(1_000) };
        rig.turn(Event::Started);
        rig
    }

    fn now(&self) -> Now {
        Now { mono: self.now, link: self.now, wall_ms: 1 }
    }

    fn turn(&mut self, event: Event) -> Vec<Effect> {
        let mut effects = Effects::default();
        self.node.handle(self.now(), event, &mut effects);
        effects.drain().collect()
    }

    fn link(&mut self, peer: u64) -> Vec<Effect> {
        let clock = LinkTime { start: StartId(peer), at: Time(1) };
        self.turn(Event::LinkUp { peer: NodeId(peer), epoch: EPOCH, clock })
    }

    /// A batch from a peer, which shows this life.
    fn hear(&mut self, from: u64, shown: Option<Life>, message: Message) -> Vec<Effect> {
        let clock = LinkTime { start: StartId(from), at: Time(1) };
        let stamp = Stamp { clock, life: shown, ..Stamp::default() };
        self.turn(Event::Messages { from: NodeId(from), stamp, messages: vec![message] })
    }

    fn vouch(&mut self, from: u64) -> Vec<Effect> {
        self.hear(from, Some(Life { boot: 1, start: StartId(from), sequence: Sequence(1) }), recalled(None))
    }
}

fn recalled(life: Option<Life>) -> Message {
    Message::Recalled { life, departed: false }
}

fn sent(effects: &[Effect], to: u64) -> Vec<&Message> {
    let send = |effect| match effect {
        &Effect::Send { to: NodeId(node), ref message } if node == to => Some(message),
        _ => None,
    };
    effects.iter().filter_map(send).collect()
}

fn gives_up(effects: &[Effect]) -> Option<Betrayal> {
    effects.iter().find_map(|effect| match effect {
        Effect::GiveUp(betrayal) => Some(*betrayal),
        _ => None,
    })
}

fn takes_part(effects: &[Effect]) -> Option<bool> {
    effects.iter().find_map(|effect| match effect {
        Effect::Notice(Notice::Standing { vouched }) => Some(*vouched),
        _ => None,
    })
}

fn fetch() -> Message {
    let bucket = layout_of(3).bucket("").expect("there is one").id;
    let key = KeyRef { partition: PartitionId(0), bucket, key: "k".into() };
    Message::Fetch { tag: Tag(9), epoch: EPOCH, key, have: None, place: Place::Replica }
}

#[test]
fn what_fits_the_directory_is_no_betrayal_and_all_else_is() {
    let by = NodeId(2);
    let other = |boot, sequence| Life { start: StartId(99), ..life(boot, sequence) };
    let rolled_back =
        |seen, held: Option<u64>| Some(Betrayal::RolledBack { by, seen, held: held.map(Sequence) });
    let cases = [
        (None, None),
        (Some(life(1, 10)), None),
        (Some(life(2, 1)), None),
        (Some(life(3, 21)), None),
        // More than the directory has of that life.
        (Some(life(1, 11)), rolled_back(life(1, 11), Some(10))),
        (Some(life(2, 21)), rolled_back(life(2, 21), Some(20))),
        // A life that it never had.
        (Some(other(2, 1)), rolled_back(other(2, 1), None)),
        (Some(life(4, 1)), rolled_back(life(4, 1), None)),
        // One as new as this, of another process.
        (Some(other(3, 1)), Some(Betrayal::TwoLives { by, seen: other(3, 1) })),
    ];
    for (seen, expected) in cases {
        let mut rig = Rig::new();
        rig.link(2);
        assert_eq!(gives_up(&rig.hear(2, None, recalled(seen))), expected, "{seen:?}");
    }
    let mut rig = Rig::new();
    let effects = rig.hear(2, None, Message::Recalled { life: None, departed: true });
    assert_eq!(gives_up(&effects), Some(Betrayal::Departed { by }));
    assert!(rig.link(3).is_empty(), "who has given up does nothing any more");
}

#[test]
fn a_node_that_was_started_again_takes_part_when_all_that_are_there_have_answered() {
    let mut rig = Rig::new();
    for peer in [2, 3] {
        assert!(sent(&rig.link(peer), peer).contains(&&Message::Recall));
    }
    assert_eq!(rig.node.stamp(rig.now(), NodeId(2)).life, None);
    assert_eq!(takes_part(&rig.vouch(2)), None, "3 is there, and has not answered");
    assert!(
        sent(&rig.hear(2, Some(Life { boot: 1, start: StartId(2), sequence: Sequence(1) }), fetch()), 2)
            .is_empty()
    );
    assert!(!rig.node.is_live(NodeId(2)));

    let effects = rig.vouch(3);
    assert_eq!(takes_part(&effects), Some(true));
    // Both get a batch that shows its life.
    for peer in [2, 3] {
        assert_eq!(sent(&effects, peer), [&Message::Beat]);
        assert_eq!(rig.node.stamp(rig.now(), NodeId(peer)).life, Some(life(3, 21)));
        assert!(rig.node.is_live(NodeId(peer)));
    }
    assert!(!rig.node.gauges().unvouched);
}

#[test]
fn who_is_not_there_is_waited_for_only_so_long() {
    let mut rig = Rig::new();
    rig.link(2);
    rig.link(3);
    assert_eq!(takes_part(&rig.vouch(3)), None);
    assert_eq!(
        takes_part(&rig.turn(Event::LinkDown { peer: NodeId(2) })),
        Some(true),
        "an owner has answered"
    );

    let mut rig = Rig::new();
    rig.now = Time(1_000) + Duration::from_secs(29);
    assert_eq!(takes_part(&rig.turn(Event::Deadline)), None);
    rig.now = Time(1_000) + Duration::from_secs(30);
    assert_eq!(takes_part(&rig.turn(Event::Deadline)), Some(false));
    assert!(rig.node.gauges().unvouched);
    // Nobody who has not vouched counts on it all the same.
    rig.link(2);
    assert_eq!(rig.node.stamp(rig.now(), NodeId(2)).life, None);
    assert!(!rig.node.is_live(NodeId(2)));
}

#[test]
fn who_has_not_answered_is_asked_again_though_other_links_come_up_and_less_and_less_often() {
    let mut rig = Rig::new();
    rig.link(2);
    let mut asked = Vec::new();
    for ms in 1..=2_000 {
        rig.now = Time(1_000) + Duration::from_millis(ms);
        if ms % 20 == 0 {
            rig.turn(Event::LinkDown { peer: NodeId(3) });
            rig.link(3);
        }
        let due = rig.node.next_deadline().is_some_and(|due| due <= rig.now);
        let effects = if due { rig.turn(Event::Deadline) } else { Vec::new() };
        if sent(&effects, 2).contains(&&Message::Recall) {
            asked.push(ms);
        }
    }
    assert_eq!(asked, [50, 150, 350, 750, 1_550]);
    // An answer to one of them is enough.
    rig.vouch(2);
    assert_eq!(takes_part(&rig.vouch(3)), Some(true));
}

#[test]
fn a_member_without_others_waits_for_nobody() {
    assert!(!Rig::with_layout(layout_of(1)).node.gauges().starting);
}

#[test]
fn nothing_is_taken_from_who_does_not_show_his_newest_life() {
    let mut rig = Rig::new();
    rig.link(2);
    rig.link(3);
    rig.vouch(2);
    rig.vouch(3);
    let shown = |boot, start| Some(Life { boot, start: StartId(start), sequence: Sequence(1) });
    let is_read = |effects: &[Effect]| effects.iter().any(|effect| matches!(effect, Effect::Read { .. }));
    assert!(!is_read(&rig.hear(2, None, fetch())), "it does not say that it may be trusted");
    // The life of before, or another of the same number: he is told what is known of him.
    for other in [shown(0, 0), shown(1, 77)] {
        let effects = rig.hear(2, other, fetch());
        assert!(!is_read(&effects));
        assert_eq!(sent(&effects, 2), [&recalled(shown(1, 2))]);
    }
    assert_eq!(rig.node.stats().stale_lives, 2);
    assert!(is_read(&rig.hear(2, shown(1, 2), fetch())));
    // A new life, on the old link: its batches are taken, and it is not asked before its link is up.
    assert!(rig.node.is_live(NodeId(2)));
    rig.hear(2, shown(2, 55), Message::Beat);
    assert!(!rig.node.is_live(NodeId(2)));
}

#[test]
fn what_is_known_of_others_is_written_with_the_next_commit() {
    let mut rig = Rig::new();
    rig.link(2);
    rig.link(3);
    rig.vouch(2);
    rig.vouch(3);
    let written = |effects: &[Effect]| {
        effects.iter().find_map(|effect| match effect {
            Effect::Commit { ops, .. } => ops.iter().find_map(|op| match op {
                StoreOp::Put { key, value } if key == keys::LIVES => decode_lives(value).ok(),
                _ => None,
            }),
            _ => None,
        })
    };
    // A voter's promise is such a commit.
    let ballot = |round| quorate_protocol::chain::Ballot { round, start: StartId(2) };
    let prepare = |rig: &mut Rig, round, sequence| {
        let shown = Life { boot: 1, start: StartId(2), sequence: Sequence(sequence) };
        rig.hear(2, Some(shown), Message::Prepare { epoch: EPOCH, ballot: ballot(round) })
    };
    let first = written(&prepare(&mut rig, 1, 5)).expect("it is news");
    assert_eq!((first[&NodeId(2)].sequence, first[&NodeId(3)].sequence), (Sequence(5), Sequence(1)));
    assert_eq!(written(&prepare(&mut rig, 2, 6)), None, "a moment later only that it goes on");
    rig.now = rig.now + Duration::from_millis(100);
    let then = written(&prepare(&mut rig, 3, 7)).expect("it is time");
    assert_eq!(then[&NodeId(2)].sequence, Sequence(7));
    rig.turn(Event::Durable { through: CommitNumber(3), sequence: Sequence(30) });
    assert_eq!(rig.node.stamp(rig.now(), NodeId(2)).life, Some(life(3, 30)));
}
