//! A deleted key is forgotten when nothing can bring it back.

mod cluster;
mod world;

use std::time::Duration;

use quorate_protocol::Limits;
use quorate_protocol::layout::QuorumMode;
use quorate_protocol::message::{Message, Refusal};
use world::{OWNED, World};

const BOUND: Duration = Duration::from_secs(1);

fn world() -> World {
    World::new(5, Limits { message_age: BOUND, ..Limits::default() })
}

fn owners_that_hold(world: &World) -> usize {
    world.owners().into_iter().filter(|&owner| world.has(owner, OWNED)).count()
}

#[test]
fn a_tombstone_is_forgotten_after_twice_the_bound_and_not_before() {
    let mut world = world();
    let first = world.owners()[0];
    // Nobody has known for long that there are no hints: that time is counted too.
    world.run(3 * BOUND);
    world.put(first, "k", QuorumMode::Strict).expect("all are there");
    world.delete(first, "k", QuorumMode::Strict).expect("all are there");
    world.run(2 * BOUND);
    assert_eq!(owners_that_hold(&world), 3);
    world.run(BOUND);
    assert_eq!(owners_that_hold(&world), 0);
    world.run(5 * BOUND);
    assert_eq!(owners_that_hold(&world), 0, "nothing brings it back");
}

#[test]
fn a_value_is_not_forgotten() {
    let mut world = world();
    let first = world.owners()[0];
    world.put(first, "k", QuorumMode::Strict).expect("all are there");
    world.run(10 * BOUND);
    assert_eq!(owners_that_hold(&world), 3);
}

#[test]
fn nothing_is_forgotten_while_a_member_is_away() {
    let mut world = world();
    let (first, other) = (world.owners()[0], world.other());
    world.put(first, "k", QuorumMode::Strict).expect("all are there");
    world.kill(other);
    world.delete(first, "k", QuorumMode::Strict).expect("all owners are there");
    world.run(10 * BOUND);
    assert_eq!(owners_that_hold(&world), 3);
    // It says that it has no hints only when it has had none for long in this life.
    world.start(other);
    world.run(2 * BOUND);
    assert_eq!(owners_that_hold(&world), 3);
    world.run(2 * BOUND);
    assert_eq!(owners_that_hold(&world), 0);
}

/// The owner that comes last in the order of preference.
const LAST: u64 = 5;

/// What carries a key's container, or may lead to its being carried, to the last owner or from it.
fn about_data_of_the_last(flying: &world::Flying) -> bool {
    let about_data = matches!(
        flying.message,
        Message::Replicate { .. }
            | Message::FetchReply { .. }
            | Message::Compare { .. }
            | Message::CompareReply { .. }
            | Message::Exchange { .. }
    );
    about_data && [flying.from, flying.to].contains(&LAST)
}

#[test]
fn nothing_is_forgotten_while_an_owner_knows_nothing_of_it() {
    // A hint would keep it, too: the owner's own word has to be enough.
    let mut world = World::new(5, Limits { message_age: BOUND, hints: 0, ..Limits::default() });
    let owners = world.owners();
    assert_eq!(owners[2], LAST);
    world.hold = Some(about_data_of_the_last);
    world.put(owners[0], "k", QuorumMode::Strict).expect("two owners are enough");
    world.delete(owners[0], "k", QuorumMode::Strict).expect("two owners are enough");
    world.run(10 * BOUND);
    assert!(!world.has(LAST, OWNED), "it has heard of nothing");
    assert_eq!(owners_that_hold(&world), 2);
    // It hears of it by comparing, and holds it for long enough.
    world.hold = None;
    world.run(10 * BOUND);
    assert_eq!(owners_that_hold(&world), 0);
}

#[test]
fn what_was_read_too_long_ago_is_refused() {
    let mut world = world();
    let first = world.owners()[0];
    world.put(first, "k", QuorumMode::Strict).expect("all are there");
    let late = world.replicated.first().cloned().expect("it was replicated");
    world.delete(first, "k", QuorumMode::Strict).expect("all are there");
    world.run(6 * BOUND);
    assert_eq!(owners_that_hold(&world), 0);
    let to = late.to;
    let refused = world.stats(to).too_old;
    world.deliver(late);
    assert_eq!(world.stats(to).too_old, refused + 1);
    world.run(BOUND);
    assert_eq!(owners_that_hold(&world), 0, "the value does not come back");
    let told = world.replies_of(to);
    assert!(told.contains(&Err(Refusal::TooOld)), "{told:?}");
}

#[test]
fn what_is_young_is_taken() {
    let mut world = world();
    let first = world.owners()[0];
    world.put(first, "k", QuorumMode::Strict).expect("all are there");
    let again = world.replicated.first().cloned().expect("it was replicated");
    assert!(matches!(again.message, Message::Replicate { .. }));
    let refused = world.stats(again.to).too_old;
    world.run(BOUND / 2);
    let to = again.to;
    world.deliver(again);
    assert_eq!(world.stats(to).too_old, refused);
}
