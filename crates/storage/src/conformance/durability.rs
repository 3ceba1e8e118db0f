//! Numbers, durability, and what an opening finds.

use quorate_protocol::store::{CommitNumber, Store};

use super::{Factory, all, get, put, submit};

pub(super) fn check<F: Factory>(factory: &mut F) {
    numbers(factory);
    reopening(factory);
    crashing(factory);
}

fn numbers<F: Factory>(factory: &mut F) {
    let store = factory.fresh();
    assert_eq!(store.durable(), CommitNumber(0), "nothing is durable before the first batch");
    store.wait_durable(CommitNumber(0)).expect("0 is durable from the start");
    for number in 1..=100 {
        assert_eq!(
            submit(&store, vec![put("k", "v")]),
            CommitNumber(number),
            "batches are numbered 1, 2, 3, ..."
        );
        assert_eq!(get(&store, "k").as_deref(), Some(&b"v"[..]), "a batch is visible when submit returns");
        assert!(store.durable() <= CommitNumber(number), "only what was submitted is durable");
    }
    assert_eq!(submit(&store, vec![]), CommitNumber(101), "an empty batch is a batch");
    store.wait_durable(CommitNumber(50)).expect("batches become durable");
    assert!(store.durable() >= CommitNumber(50), "durable has reached what was waited for");
    store.wait_durable(CommitNumber(101)).expect("an empty batch becomes durable");
    assert_eq!(store.durable(), CommitNumber(101), "all are durable in the end");
    store.checkpoint().expect("a store with room makes checkpoints");
    let store = factory.reopen(store);
    assert_eq!(store.durable(), CommitNumber(0), "numbers start anew with each opening");
    assert_eq!(submit(&store, vec![put("k", "w")]), CommitNumber(1), "numbers start anew with each opening");
}

fn reopening<F: Factory>(factory: &mut F) {
    let mut store = factory.fresh();
    let mut expected = Vec::new();
    for round in 0..5 {
        let key = format!("r{round}");
        let before = store.sequence();
        let last = submit(&store, vec![put(&key, "v")]);
        store.wait_durable(last).expect("batches become durable");
        let reached = store.sequence();
        assert!(reached > before, "the sequence rises with what becomes durable");
        if round % 2 == 0 {
            store.checkpoint().expect("a store with room makes checkpoints");
        }
        expected.push(key);
        store = factory.reopen(store);
        assert!(store.sequence() >= reached, "the sequence goes on in the next opening");
        let found: Vec<_> =
            all(&store).into_iter().map(|(key, _)| String::from_utf8_lossy(&key).into_owned()).collect();
        assert_eq!(found, expected, "an opening finds all that was durable");
    }
}

/// Each batch writes all of a few keys with its number: after a crash they all tell the same number.
fn crashing<F: Factory>(factory: &mut F) {
    let mut store = factory.fresh();
    for _ in 0..5 {
        for number in 1..=200u64 {
            submit(&store, (0..4).map(|key| put([key], number.to_be_bytes())).collect());
            if number % 50 == 0 {
                store.wait_durable(CommitNumber(number - 20)).expect("batches become durable");
            }
        }
        let (durable, reached) = (store.durable(), store.sequence());
        store = match factory.crash(store) {
            Ok(store) => store,
            Err(_) => return,
        };
        assert!(store.sequence() >= reached, "the sequence speaks of what is durable");
        let numbers: Vec<_> = all(&store).into_iter().map(|(_, value)| value).collect();
        assert!(
            numbers.len() == 4 && numbers.iter().all(|number| *number == numbers[0]),
            "a batch survives whole"
        );
        let survived = u64::from_be_bytes(numbers[0].as_ref().try_into().expect("eight bytes were written"));
        assert!(survived >= durable.0, "batch {} was durable, only {survived} survived", durable.0);
    }
}
