//! Properties of versions over random histories: several replicas of one key, written through different actors,
//! exchanging containers in any order.

use std::collections::BTreeSet;

use bytes::Bytes;
use proptest::prelude::*;
use quorate_protocol::id::{ActorId, OperationId};
use quorate_protocol::time::Hlc;
use quorate_protocol::version::{Container, ContentType, Context, Dot, Merged, Sibling};

const REPLICAS: usize = 3;

/// One step of a history. Indices are taken modulo what there is.
#[derive(Clone, Debug)]
enum Step {
    /// A put at a replica by a client that holds one of the contexts seen so far (or none).
    Put { replica: usize, context: Option<usize>, quorum: bool },
    /// A delete likewise.
    Delete { replica: usize, context: usize },
    /// A client reads a replica and keeps the context.
    Read { replica: usize },
    /// One replica's container reaches another.
    Merge { from: usize, to: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let replica = 0..REPLICAS;
    let step = prop_oneof![
        (replica.clone(), proptest::option::of(0..64_usize), any::<bool>())
            .prop_map(|(replica, context, quorum)| Step::Put { replica, context, quorum }),
        (replica.clone(), 0..64_usize).prop_map(|(replica, context)| Step::Delete { replica, context }),
        replica.clone().prop_map(|replica| Step::Read { replica }),
        (replica.clone(), replica).prop_map(|(from, to)| Step::Merge { from, to }),
    ];
    proptest::collection::vec(step, 1..60)
}

/// The replicas after a history, and every container that was ever held.
struct World {
    replicas: Vec<Container>,
    every: Vec<Container>,
}

/// Plays a history, checking after each step what must hold after it.
fn play(steps: &[Step]) -> World {
    let mut replicas = vec![Container::default(); REPLICAS];
    let mut next = [0_u64; REPLICAS];
    let mut contexts: Vec<Context> = Vec::new();
    let mut every = vec![Container::default()];
    // What has ever been written, and what some client has overwritten or deleted having seen it.
    let mut written: BTreeSet<Dot> = BTreeSet::new();
    let mut replaced: BTreeSet<Dot> = BTreeSet::new();
    for step in steps {
        match *step {
            Step::Put { replica, context, quorum } => {
                let seen = match context {
                    Some(at) if !contexts.is_empty() => contexts[at % contexts.len()].clone(),
                    _ => Context::default(),
                };
                next[replica] += 1;
                let dot = Dot { actor: ActorId(replica as u64 + 1), seq: next[replica] };
                replaced.extend(written.iter().filter(|&&dot| seen.covers(dot)));
                written.insert(dot);
                replicas[replica].put(&seen, sibling(dot));
                // With a quorum the container is at others before the answer goes out.
                let container = replicas[replica].clone();
                if quorum {
                    replicas[(replica + 1) % REPLICAS].merge(&container);
                }
                let answer = container.answer_context(&seen, Some(dot), quorum);
                assert!(answer.covers_all(&seen) && answer.covers(dot));
                for sibling in &container.siblings {
                    let own = sibling.dot == dot || seen.covers(sibling.dot);
                    assert!(own || !answer.covers(sibling.dot), "covers what the client never saw");
                }
                contexts.push(answer);
            }
            Step::Delete { replica, context } => {
                let Some(seen) = contexts.get(context % contexts.len().max(1)) else { continue };
                replaced.extend(written.iter().filter(|&&dot| seen.covers(dot)));
                replicas[replica].remove(seen);
            }
            Step::Read { replica } => contexts.push(replicas[replica].context.clone()),
            Step::Merge { from, to } => {
                let other = replicas[from].clone();
                let before = replicas[to].clone();
                let merged = replicas[to].merge(&other);
                assert_eq!(merged == Merged::Unchanged, replicas[to] == before);
                assert!(merged != Merged::TookOther || replicas[to] == other);
            }
        }
        every.extend(replicas.iter().cloned());
    }
    // The union of all replicas shows exactly what was written and never replaced: nothing lost, nothing risen.
    let mut union = Container::default();
    for replica in &replicas {
        union.merge(replica);
    }
    let alive: BTreeSet<Dot> = union.siblings.iter().map(|sibling| sibling.dot).collect();
    assert_eq!(alive, written.difference(&replaced).copied().collect::<BTreeSet<_>>());
    World { replicas, every }
}

fn sibling(dot: Dot) -> Sibling {
    Sibling {
        dot,
        hlc: Hlc { wall_ms: dot.seq, counter: 0 },
        operation: OperationId(u128::from(dot.seq) << 64 | u128::from(dot.actor.0)),
        // Every other write expires, later ones not always later.
        expiry: dot.seq.is_multiple_of(2).then_some((dot.seq * 7 + dot.actor.0) % 20),
        content_type: ContentType::OctetStream,
        value: Bytes::copy_from_slice(&dot.seq.to_le_bytes()),
    }
}

fn expired(container: &Container, now: u64, lww: bool) -> Container {
    let mut expired = container.clone();
    let dropped = expired.expire(now, lww);
    assert_eq!(dropped, expired != *container);
    expired
}

fn merged(a: &Container, b: &Container) -> Container {
    let mut merged = a.clone();
    merged.merge(b);
    merged
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn nothing_is_lost_and_nothing_rises(steps in steps()) {
        play(&steps);
    }

    #[test]
    fn merge_is_commutative_associative_and_idempotent(steps in steps(), picks in any::<[prop::sample::Index; 3]>()) {
        let world = play(&steps);
        let [a, b, c] = picks.map(|pick| pick.get(&world.every).clone());
        prop_assert_eq!(merged(&a, &a), a.clone());
        prop_assert_eq!(merged(&a, &b), merged(&b, &a));
        prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
    }

    #[test]
    fn expiry_commutes_with_merge(steps in steps(), picks in any::<[prop::sample::Index; 2]>(), now in 0..25_u64) {
        let world = play(&steps);
        let [a, b] = picks.map(|pick| pick.get(&world.every).clone());
        let late = expired(&merged(&a, &b), now, false);
        prop_assert_eq!(merged(&expired(&a, now, false), &expired(&b, now, false)), late.clone());
        // Nobody brings back what one has dropped.
        prop_assert_eq!(expired(&merged(&expired(&a, now, false), &b), now, false), late.clone());
        let mut together = a.clone();
        let how = together.merge_and_expire(&b, now, false);
        prop_assert_eq!(&together, &late);
        prop_assert_eq!(how == Merged::Unchanged, together == a);
        prop_assert!(how != Merged::TookOther || together == b);
    }

    #[test]
    fn expiry_drops_siblings_and_keeps_the_context(steps in steps(), pick in any::<prop::sample::Index>(), now in 0..25_u64, lww in any::<bool>()) {
        let before = pick.get(&play(&steps).every).clone();
        let after = expired(&before, now, lww);
        prop_assert_eq!(&after.context, &before.context);
        prop_assert!(!after.has_expired(now));
        prop_assert_eq!(after == before, !before.has_expired(now));
        // It shows what it showed, and that is what the listing goes by.
        prop_assert_eq!(now < before.live_until(lww), now < after.live_until(lww));
        // What it has dropped, a merge with what it was does not bring back.
        prop_assert_eq!(merged(&after, &before), after.clone());
        if lww {
            // The greatest shows, or nothing that it hid.
            let shown = after.last_written().map(|sibling| sibling.dot);
            let greatest = before.last_written().map(|sibling| sibling.dot);
            prop_assert!(shown.is_none() || shown == greatest);
        } else {
            let stays = before.siblings.iter().filter(|sibling| !sibling.is_expired(now)).cloned();
            prop_assert_eq!(after.siblings, stays.collect::<quorate_protocol::version::Siblings>());
        }
    }

    #[test]
    fn in_the_union_the_greatest_takes_all_it_hid(steps in steps(), picks in any::<[prop::sample::Index; 2]>(), now in 0..25_u64) {
        let world = play(&steps);
        let [a, b] = picks.map(|pick| pick.get(&world.every).clone());
        let mut union = a.clone();
        union.merge_and_expire(&b, now, true);
        let mut other_way = b.clone();
        other_way.merge_and_expire(&a, now, true);
        prop_assert_eq!(&union, &other_way);
        prop_assert_eq!(&union.context, &merged(&a, &b).context);
        let hidden = |side: &Container| side.last_written().is_some_and(|last| last.is_expired(now));
        for side in [a.clone(), b.clone(), merged(&a, &b)] {
            if hidden(&side) {
                prop_assert!(side.siblings.iter().all(|old| union.siblings.iter().all(|new| new.dot != old.dot)));
            }
        }
        // And nothing else goes.
        for sibling in &merged(&a, &b).siblings {
            let hid = |side: &Container| hidden(side) && side.siblings.contains(sibling);
            let gone = !union.siblings.contains(sibling);
            let may = sibling.is_expired(now)
                || [&a, &b, &merged(&a, &b)].into_iter().any(hid);
            prop_assert_eq!(gone, may);
        }
    }

    #[test]
    fn encoding_round_trips_and_is_one_to_one_with_digests(steps in steps()) {
        let world = play(&steps);
        for container in &world.replicas {
            prop_assert_eq!(&container.encode().decode().expect("what was encoded decodes"), container);
        }
        for pair in world.every.windows(2) {
            prop_assert_eq!(pair[0] == pair[1], pair[0].digest() == pair[1].digest());
            prop_assert_eq!(pair[0] == pair[1], pair[0].encode() == pair[1].encode());
        }
    }

    #[test]
    fn decoding_anything_is_an_error_or_a_container_of_sound_parts(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let encoded = quorate_protocol::version::EncodedContainer(Bytes::from(bytes));
        if let Ok(container) = encoded.decode() {
            prop_assert!(container.siblings.iter().all(|sibling| container.context.covers(sibling.dot)));
        }
    }
}
