//! Scans: prefix, start, limits, order, and entries spread over all the places where a store keeps them.

use quorate_protocol::store::Store;

use super::{Factory, all, delete, put, settle, submit};

pub(super) fn check<F: Factory>(factory: &mut F) {
    prefix_and_after(factory);
    limits(factory);
    spread_over_stages(factory);
    paging_through_many(factory);
}

fn keys(store: &impl Store, prefix: &str, after: Option<&str>, entries_max: usize) -> (Vec<String>, bool) {
    let page = store
        .scan(prefix.as_bytes(), after.map(str::as_bytes), entries_max, usize::MAX)
        .expect("undamaged entries can be scanned");
    let keys = page.entries.iter().map(|(key, _)| String::from_utf8_lossy(key).into_owned()).collect();
    (keys, page.more)
}

fn prefix_and_after<F: Factory>(factory: &mut F) {
    let store = factory.fresh();
    let last = submit(&store, ["a", "b", "ba", "bb", "bba", "bc", "c"].map(|key| put(key, key)).into());
    for is_settled in [false, true] {
        if is_settled {
            settle(&store, last);
        }
        let owned = |keys: &[&str]| keys.iter().map(|key| key.to_string()).collect::<Vec<_>>();
        assert_eq!(keys(&store, "b", None, 10), (owned(&["b", "ba", "bb", "bba", "bc"]), false), "prefix");
        assert_eq!(
            keys(&store, "b", Some("ba"), 10),
            (owned(&["bb", "bba", "bc"]), false),
            "after excludes itself"
        );
        assert_eq!(
            keys(&store, "b", Some("bab"), 10),
            (owned(&["bb", "bba", "bc"]), false),
            "after may be absent"
        );
        assert_eq!(
            keys(&store, "b", Some("a"), 2),
            (owned(&["b", "ba"]), true),
            "after may precede the prefix"
        );
        assert_eq!(keys(&store, "b", Some("bc"), 10), (vec![], false), "after may be the last");
        assert_eq!(keys(&store, "b", Some("d"), 10), (vec![], false), "after may follow the prefix");
        assert_eq!(keys(&store, "x", None, 10), (vec![], false), "nothing may match");
        assert_eq!(keys(&store, "", None, 100).0.len(), 7, "the empty prefix matches all");
    }
}

fn limits<F: Factory>(factory: &mut F) {
    let store = factory.fresh();
    let last = submit(&store, (0..10).map(|key| put(format!("k{key}"), [0; 98])).collect());
    for is_settled in [false, true] {
        if is_settled {
            settle(&store, last);
        }
        assert!(!keys(&store, "k", None, 10).1, "no more after the last entry");
        assert!(keys(&store, "k", None, 9).1, "more after the ninth of ten");
        assert!(keys(&store, "k", None, 0).0.is_empty(), "no entries if none are wanted");
        let sized =
            |bytes_max| store.scan(b"k", None, 100, bytes_max).expect("undamaged entries can be scanned");
        assert_eq!((sized(0).entries.len(), sized(0).more), (1, true), "at least one entry");
        let page = sized(250);
        assert!(
            (2..=3).contains(&page.entries.len()) && page.more,
            "no more entries once they exceed the bytes"
        );
        assert_eq!((sized(100_000).entries.len(), sized(100_000).more), (10, false), "all that fit");
    }
    let last = submit(&store, vec![delete("k9")]);
    for is_settled in [false, true] {
        if is_settled {
            settle(&store, last);
        }
        assert!(!keys(&store, "k", None, 9).1, "a deleted entry is not more");
    }
}

fn spread_over_stages<F: Factory>(factory: &mut F) {
    let store = factory.fresh();
    let key = |at: usize| format!("{at:04}");
    let last = submit(&store, (0..300).map(|at| put(key(at), "old")).collect());
    settle(&store, last);
    submit(&store, (0..300).filter(|at| at % 3 == 0).map(|at| delete(key(at))).collect());
    submit(&store, (0..300).filter(|at| at % 3 == 1).map(|at| put(key(at), "new")).collect());
    let last = submit(&store, (300..310).map(|at| put(key(at), "new")).collect());
    let expected: Vec<_> = (0..310)
        .filter(|at| *at >= 300 || at % 3 != 0)
        .map(|at| (key(at), if at >= 300 || at % 3 == 1 { "new" } else { "old" }))
        .collect();
    let expect = |store: &F::Store| {
        let found = all(store);
        let same =
            |((key, value), (found_key, found_value)): (&(String, &str), &(bytes::Bytes, bytes::Bytes))| {
                key.as_bytes() == found_key && value.as_bytes() == found_value
            };
        assert!(
            found.len() == expected.len() && expected.iter().zip(&found).all(same),
            "newest of each key, in order"
        );
    };
    expect(&store);
    settle(&store, last);
    expect(&store);
    let store = factory.reopen(store);
    expect(&store);
}

fn paging_through_many<F: Factory>(factory: &mut F) {
    let store = factory.fresh();
    for start in (0..5000).step_by(50) {
        submit(&store, (start..start + 50).map(|at| put(format!("p{at:05}"), "v")).collect());
    }
    // Deleted stretches longer than a page.
    submit(&store, (1000..3000).map(|at| delete(format!("p{at:05}"))).collect());
    let mut seen = Vec::new();
    loop {
        let (page, more) = keys(&store, "p", seen.last().map(String::as_str), 37);
        assert!(page.len() == 37 || !more, "pages are full while more follows");
        seen.extend(page);
        if !more {
            break;
        }
    }
    let expected: Vec<_> = (0..1000).chain(3000..5000).map(|at| format!("p{at:05}")).collect();
    assert!(seen == expected, "paging meets each entry once, in order");
}
