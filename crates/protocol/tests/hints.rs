//! What owners miss is remembered by others and brought to them.

mod cluster;
mod world;

use std::time::Duration;

use quorate_protocol::Limits;
use quorate_protocol::id::{NodeId, PartitionId};
use quorate_protocol::layout::{Alteration, Order, QuorumMode, Side};
use quorate_protocol::message::Message;
use quorate_protocol::operation::{Attempted, Failure};
use world::{HINT, OWNED, World};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn an_owner_that_was_away_is_brought_what_it_missed() {
    let mut world = World::new(5, Limits::default());
    let owners = world.owners();
    world.kill(owners[2]);
    let written = world.put(owners[0], "k", QuorumMode::Strict).expect("two of three are there");
    assert_eq!((written.primaries, written.fallbacks), (2, 0));
    world.run(SECOND);
    assert_eq!(world.hints(owners[0]), 1);
    assert!(world.has(owners[0], HINT), "it is durable");
    world.start(owners[2]);
    world.run(SECOND);
    assert!(world.has(owners[2], OWNED));
    assert_eq!(world.hints(owners[0]), 0);
    assert!(!world.has(owners[0], HINT), "nothing of it is left");
}

#[test]
fn with_no_owner_a_fallback_takes_a_sloppy_put_and_gives_it_away() {
    let mut world = World::new(5, Limits::default());
    let (owners, other) = (world.owners(), world.other());
    owners.iter().for_each(|&owner| world.kill(owner));
    let written = world.put(other, "k", QuorumMode::Sloppy).expect("two fallbacks stand in");
    assert_eq!((written.primaries, written.fallbacks), (0, 2));
    assert!(world.has(other, b'f') && world.hints(other) == 3);
    // What a fallback keeps outlives its process.
    world.kill(other);
    world.start(other);
    owners.iter().for_each(|&owner| world.start(owner));
    world.run(4 * SECOND);
    for &owner in &owners {
        assert!(world.has(owner, OWNED), "n{owner} has it");
    }
    assert!(!world.has(other, b'f') && !world.has(other, HINT) && world.hints(other) == 0);
}

#[test]
fn what_is_kept_for_an_owner_that_meanwhile_has_gone_for_good_is_brought_to_the_others() {
    let mut world = World::new(5, Limits::default());
    let owners = world.owners();
    let gone = Alteration { lost: vec![NodeId(owners[2])], ..Alteration::default() };
    let changing = world.layout.ordered(&Order::Alter(gone.clone())).expect("it can go");
    let new = changing.owners_of(PartitionId(0), Side::New);
    let others = (1..=5).filter(|id| !owners.contains(id));
    let (heirs, keepers): (Vec<u64>, Vec<u64>) = others.partition(|&id| new.contains(&NodeId(id)));
    let (heir, keeper) = (heirs[0], keepers[0]);
    world.kill(owners[2]);
    world.kill(heir);
    world.hold = Some(|flying| matches!(flying.message, Message::StoreHint { .. }));
    world.put(owners[0], "k", QuorumMode::Sloppy).expect("two owners are there");
    world.run(SECOND);
    // It hears from its store what it has of the key only when the owner has been replaced.
    world.slow = Some(keeper);
    world.hold = None;
    let asked = world.held.drain(..).find(|flying| flying.to == keeper);
    world.deliver(asked.expect("it is the only one who can be asked"));
    world.start(heir);
    world.change(owners[0], gone);
    world.hurry();
    world.run(10 * SECOND);
    assert!(world.stats(keeper).hints_taken > 0, "it was asked");
    assert_eq!(world.hints(keeper), 0);
    assert!(!world.has(keeper, HINT) && !world.has(keeper, b'f'), "nothing of it is left");
}

#[test]
fn a_strict_put_is_refused_where_a_sloppy_one_is_taken() {
    let mut world = World::new(5, Limits::default());
    let owners = world.owners();
    world.kill(owners[1]);
    world.kill(owners[2]);
    let error = world.put(owners[0], "k", QuorumMode::Strict).expect_err("one owner is too few");
    assert_eq!(error.failure, Failure::QuorumUnavailable { needed: 2, reachable: 1 });
    assert_eq!(error.attempted, Attempted::NotAttempted);
    let written = world.put(owners[0], "k", QuorumMode::Sloppy).expect("a fallback stands in");
    assert_eq!(written.primaries + written.fallbacks, 2);
}

#[test]
fn a_sloppy_read_that_finds_too_few_who_know_the_key_says_so_at_once() {
    let mut world = World::new(5, Limits::default());
    let owners = world.owners();
    world.put(owners[0], "k", QuorumMode::Sloppy).expect("all are there");
    world.run(SECOND);
    world.kill(owners[1]);
    world.kill(owners[2]);
    let began = world.lasted();
    let error = world.delete(owners[0], "k", QuorumMode::Sloppy).expect_err("no fallback has anything of it");
    assert_eq!(error.failure, Failure::QuorumUnavailable { needed: 2, reachable: 1 });
    assert_eq!(error.attempted, Attempted::NotAttempted);
    assert!(world.lasted() - began < SECOND / 5, "{:?}", world.lasted() - began);
    // What fallbacks keep of it answers.
    world.put(owners[0], "k", QuorumMode::Sloppy).expect("a fallback stands in");
    world.delete(owners[0], "k", QuorumMode::Sloppy).expect("it has that one");
}

#[test]
fn a_coordinator_that_is_well_needs_no_stand_in() {
    let mut world = World::new(5, Limits::default());
    let (owner, other) = (world.owners()[0], world.other());
    world.put(owner, "k", QuorumMode::Sloppy).expect("all are there");
    world.run(SECOND);
    assert!(!world.has(other, b'f'), "nobody is away");
    assert_eq!(world.stats(other).hints_taken, 0);
}

/// Limits with the hints that are to be tested, and anti-entropy at its usual pace.
fn bounded(hints: usize, hint_age: Duration) -> Limits {
    Limits { hints, hint_age, ..Limits::default() }
}

#[test]
fn what_is_not_remembered_for_want_of_room_is_compared_first() {
    let mut world = World::new(5, bounded(0, Duration::from_secs(3600)));
    let owners = world.owners();
    assert!(!world.compares_first(owners[0], owners[2]), "nothing was missed");
    world.kill(owners[2]);
    world.put(owners[0], "k", QuorumMode::Strict).expect("two of three are there");
    world.run(SECOND);
    assert!(world.hints(owners[0]) == 0 && world.stats(owners[0]).hints_dropped > 0);
    assert!(world.compares_first(owners[0], owners[2]), "as soon as it is back");
    world.run(60 * SECOND);
    assert!(world.compares_first(owners[0], owners[2]), "however long that takes");
    world.start(owners[2]);
    assert!(world.compares_first(owners[0], owners[2]), "they have not been compared yet");
    world.run(10 * SECOND);
    assert!(world.has(owners[2], OWNED));
    assert!(!world.compares_first(owners[0], owners[2]), "they were found equal");
}

#[test]
fn what_is_forgotten_by_its_age_is_compared_first() {
    let mut world = World::new(5, bounded(10, 2 * SECOND));
    let owners = world.owners();
    world.kill(owners[2]);
    world.put(owners[0], "k", QuorumMode::Strict).expect("two of three are there");
    world.run(SECOND);
    assert!(world.hints(owners[0]) == 1 && !world.compares_first(owners[0], owners[2]), "it is remembered");
    world.run(3 * SECOND);
    assert_eq!((world.hints(owners[0]), world.stats(owners[0]).hints_dropped), (0, 1));
    assert!(!world.has(owners[0], HINT) && world.compares_first(owners[0], owners[2]));
    world.start(owners[2]);
    world.run(10 * SECOND);
    assert!(world.has(owners[2], OWNED) && !world.compares_first(owners[0], owners[2]));
}

#[test]
fn a_comparison_that_began_before_does_not_say_that_what_was_missed_has_come() {
    let mut world = World::new(3, bounded(0, Duration::from_secs(3600)));
    let owners = world.owners();
    world.put(owners[0], "k", QuorumMode::Strict).expect("all are there");
    // All are equal, and that news is slow; what is put after does not come to the others.
    world.hold = Some(|flying| matches!(flying.message, Message::CompareReply { .. }));
    world.run(5 * SECOND);
    world.hold = Some(|flying| !matches!(flying.message, Message::Gossip(_)));
    world.put(owners[0], "k", QuorumMode::Strict).expect_err("nobody else hears of it");
    assert!(world.compares_first(owners[0], owners[1]) && world.compares_first(owners[0], owners[2]));
    for flying in std::mem::take(&mut world.held) {
        if matches!(flying.message, Message::CompareReply { .. }) && flying.to == owners[0] {
            world.deliver(flying);
        }
    }
    assert!(world.compares_first(owners[0], owners[1]) && world.compares_first(owners[0], owners[2]));
    world.hold = None;
    world.run(10 * SECOND);
    assert!(!world.compares_first(owners[0], owners[1]) && !world.compares_first(owners[0], owners[2]));
}
