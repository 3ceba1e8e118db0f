//! Reads of single keys: before durability, after it, from the final place, and opened anew.

use bytes::Bytes;
use quorate_protocol::store::Store;

use super::{Factory, delete, get, put, settle, submit};

pub(super) fn check<F: Factory>(factory: &mut F) {
    absent_and_empty(factory);
    last_operation_wins(factory);
    overwrites_and_deletes_at_every_stage(factory);
    long_values(factory);
    odd_keys(factory);
}

fn absent_and_empty<F: Factory>(factory: &mut F) {
    let store = factory.fresh();
    assert_eq!(get(&store, "absent"), None, "an absent key has no value");
    submit(&store, vec![delete("absent")]);
    assert_eq!(get(&store, "absent"), None, "deleting an absent key changes nothing");
    let last = submit(&store, vec![put("empty", "")]);
    assert_eq!(get(&store, "empty"), Some(Bytes::new()), "an empty value is a value");
    settle(&store, last);
    assert_eq!(get(&store, "empty"), Some(Bytes::new()), "an empty value stays a value");
    assert_eq!(get(&store, "absent"), None);
}

fn last_operation_wins<F: Factory>(factory: &mut F) {
    let store = factory.fresh();
    let last = submit(
        &store,
        vec![put("a", "1"), put("a", "2"), put("b", "1"), delete("b"), delete("c"), put("c", "1")],
    );
    let expect = |store: &F::Store| {
        assert_eq!(get(store, "a").as_deref(), Some(&b"2"[..]), "the later of two puts in a batch holds");
        assert_eq!(get(store, "b"), None, "a delete after a put in a batch holds");
        assert_eq!(get(store, "c").as_deref(), Some(&b"1"[..]), "a put after a delete in a batch holds");
    };
    expect(&store);
    settle(&store, last);
    expect(&store);
    let store = factory.reopen(store);
    expect(&store);
}

/// For each pair of stages between which a key may stand: old value and its replacement or deletion.
fn overwrites_and_deletes_at_every_stage<F: Factory>(factory: &mut F) {
    for old_is_settled in [false, true] {
        for new_is_settled in [false, true] {
            let store = factory.fresh();
            let last = submit(&store, vec![put("changed", "old"), put("deleted", "old"), put("kept", "old")]);
            if old_is_settled {
                settle(&store, last);
            }
            let last = submit(&store, vec![put("changed", "new"), delete("deleted")]);
            if new_is_settled {
                settle(&store, last);
            }
            let expect = |store: &F::Store| {
                assert_eq!(
                    get(store, "changed").as_deref(),
                    Some(&b"new"[..]),
                    "an overwritten value is gone"
                );
                assert_eq!(get(store, "deleted"), None, "a deleted value is gone");
                assert_eq!(get(store, "kept").as_deref(), Some(&b"old"[..]), "other keys are unaffected");
            };
            expect(&store);
            store.wait_durable(last).expect("batches become durable");
            let store = factory.reopen(store);
            expect(&store);
        }
    }
}

fn long_values<F: Factory>(factory: &mut F) {
    let store = factory.fresh();
    let pattern =
        |length: usize, step: usize| -> Vec<u8> { (0..length).map(|at| (at * step / 7) as u8).collect() };
    // Around the sizes at which stores tend to change their ways, growing, shrinking, and back.
    let lengths = [65_535, 65_536, 65_537, 3_000_000, 131_072, 70_000, 10, 200_001, 0, 200_000];
    for (round, length) in lengths.into_iter().enumerate() {
        let value = pattern(length, round + 1);
        let last = submit(&store, vec![put("long", &value), put("long2", "neighbour")]);
        assert_eq!(
            get(&store, "long").as_deref(),
            Some(&value[..]),
            "a value of {length} bytes is readable at once"
        );
        settle(&store, last);
        assert_eq!(
            get(&store, "long").as_deref(),
            Some(&value[..]),
            "a value of {length} bytes is kept whole"
        );
        let page = store.scan(b"long", None, 10, usize::MAX).expect("undamaged entries can be scanned");
        let keys: Vec<_> = page.entries.iter().map(|(key, _)| key.as_ref()).collect();
        assert_eq!(keys, [&b"long"[..], b"long2"], "a long value is one entry of a scan");
        assert_eq!(page.entries[0].1, value, "a scan returns long values whole");
    }
    let store = factory.reopen(store);
    assert_eq!(get(&store, "long").as_deref(), Some(&pattern(200_000, 10)[..]), "long values survive");
    let last = submit(&store, vec![delete("long")]);
    settle(&store, last);
    assert_eq!(get(&store, "long"), None, "long values can be deleted");
    assert_eq!(super::all(&store).len(), 1, "nothing of a deleted long value is left");
}

fn odd_keys<F: Factory>(factory: &mut F) {
    let store = factory.fresh();
    let keys: Vec<Vec<u8>> =
        vec![vec![], vec![0], vec![0, 0], vec![0, b'c'], vec![1], vec![0xFF; 3], vec![7; 5000]];
    let last = submit(&store, keys.iter().map(|key| put(key, [key.len() as u8])).collect());
    for is_settled in [false, true] {
        if is_settled {
            settle(&store, last);
        }
        for key in &keys {
            assert_eq!(
                get(&store, key).as_deref(),
                Some(&[key.len() as u8][..]),
                "any bytes can be a key: {key:?}"
            );
        }
        assert_eq!(super::all(&store).len(), keys.len(), "any bytes can be a key in a scan");
    }
}
