//! A tree that was built while writes went on is the tree of a rescan.

#![allow(clippy::unwrap_used, reason = "tests stop where something is wrong")]

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

const PARTITION: PartitionId = PartitionId(3);

fn key(number: u8) -> KeyRef {
    let bucket = BucketId(u64::from(number % 2));
    KeyRef { partition: PARTITION, bucket, key: Bytes::from(vec![number / 2]) }
}

fn entry(key: &KeyRef, digest: u8) -> Entry {
    Entry::new(key, Digest(digest.into()), usize::from(digest) + 1)
}

fn tree_of(held: &BTreeMap<KeyRef, Entry>) -> Tree {
    let mut tree = Tree::default();
    for (key, entry) in held {
        tree.update(key.bucket, &key.key, None, Some(entry.digest));
        tree.bytes += entry.bytes;
    }
    tree
}

#[derive(Clone, Debug)]
enum Step {
    /// A key gets a container with this digest, or loses its own.
    Write(u8, Option<u8>),
    /// A page of so many keys is asked for.
    Ask(usize),
    /// The page comes; of what was written since, it shows this share.
    Come(u64),
    /// It never comes.
    Lose,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..12_u8, proptest::option::weighted(0.7, any::<u8>())).prop_map(|(k, d)| Step::Write(k, d)),
        3 => (1..4_usize).prop_map(Step::Ask),
        3 => any::<u64>().prop_map(Step::Come),
        1 => Just(Step::Lose),
    ];
    proptest::collection::vec(step, 0..120)
}

/// The store as its pages see it.
struct Asked {
    size: usize,
    after: Option<KeyRef>,
    /// What was there when the page was asked for, and each write since.
    then: BTreeMap<KeyRef, Entry>,
    since: Vec<(KeyRef, Option<Entry>)>,
}

impl Asked {
    /// Each write since is seen or not: a later one may be seen without an earlier one.
    fn come(self, seen: u64) -> (Vec<(KeyRef, Option<Entry>)>, Option<KeyRef>) {
        let mut shown = self.then;
        for (at, (key, entry)) in self.since.into_iter().enumerate() {
            if seen >> (at % 64) & 1 == 1 {
                match entry {
                    Some(entry) => drop(shown.insert(key, entry)),
                    None => drop(shown.remove(&key)),
                }
            }
        }
        let beyond = shown.into_iter().filter(|(key, _)| self.after.as_ref().is_none_or(|after| key > after));
        let mut page: Vec<_> = beyond.map(|(key, entry)| (key, Some(entry))).collect();
        let more = page.len() > self.size;
        page.truncate(self.size);
        let end = page.last().filter(|_| more).map(|(key, _)| key.clone());
        (page, end)
    }
}

proptest! {
    #[test]
    fn a_complete_tree_is_the_tree_of_a_rescan(steps in steps()) {
        let mut trees = Trees::default();
        trees.own(std::iter::once(PARTITION));
        let mut held = BTreeMap::new();
        let mut asked: Option<Asked> = None;
        for step in steps {
            match step {
                Step::Write(number, digest) => {
                    let key = key(number);
                    let new = digest.map(|digest| entry(&key, digest));
                    let old = match new {
                        Some(new) => held.insert(key.clone(), new),
                        None => held.remove(&key),
                    };
                    trees.update(&key, old, new);
                    if let Some(asked) = &mut asked {
                        asked.since.push((key, new));
                    }
                }
                Step::Ask(size) if asked.is_none() => {
                    let after = trees.page_asked(PARTITION);
                    asked = Some(Asked { size, after, then: held.clone(), since: Vec::new() });
                }
                Step::Come(seen) => {
                    if let Some(asked) = asked.take() {
                        let (page, end) = asked.come(seen);
                        prop_assert!(!trees.page_came(PARTITION, page, end), "a tree that was right is replaced");
                    }
                }
                Step::Lose => {
                    if asked.take().is_some() {
                        trees.page_lost(PARTITION);
                    }
                }
                Step::Ask(_) => {}
            }
            if let Some(tree) = trees.complete(PARTITION) {
                prop_assert_eq!(tree, &tree_of(&held));
                prop_assert_eq!(tree.bytes(), tree_of(&held).bytes());
            }
        }
        // It is completed in any case.
        if let Some(asked) = asked.take() {
            let (page, end) = asked.come(0);
            trees.page_came(PARTITION, page, end);
        }
        while trees.complete(PARTITION).is_none() {
            let after = trees.page_asked(PARTITION);
            let (page, end) = Asked { size: 2, after, then: held.clone(), since: Vec::new() }.come(0);
            trees.page_came(PARTITION, page, end);
        }
        prop_assert_eq!(trees.complete(PARTITION).unwrap(), &tree_of(&held));
        prop_assert_eq!(trees.complete(PARTITION).unwrap().bytes(), tree_of(&held).bytes());
    }
}

#[test]
fn what_is_not_complete_is_not_shown() {
    let mut trees = Trees::default();
    trees.own(std::iter::once(PARTITION));
    assert_eq!(trees.page_asked(PARTITION), None);
    trees.page_came(PARTITION, vec![(key(0), Some(entry(&key(0), 1)))], Some(key(0)));
    assert_eq!(trees.complete(PARTITION), None);
    assert_eq!(trees.page_asked(PARTITION), Some(key(0)));
    trees.page_came(PARTITION, Vec::new(), None);
    assert_eq!(trees.complete(PARTITION).unwrap().keys(), 1);
}

#[test]
fn branches_and_leaves_agree_with_the_root() {
    let mut tree = Tree::default();
    assert_eq!((tree.root(), tree.leaves_of(7)), (0, [0; LEAVES_PER_BRANCH]));
    for number in 0..200 {
        let KeyRef { bucket, key, .. } = key(number);
        tree.update(bucket, &key, None, Some(Digest(number.into())));
    }
    let of_leaves = (0..BRANCHES).map(|branch| {
        let leaves = tree.leaves_of(u8::try_from(branch).unwrap());
        let all = leaves.iter().fold(0, |all, leaf| all ^ leaf);
        assert_eq!(all, tree.branches()[branch]);
        all
    });
    assert_eq!(of_leaves.fold(0, |all, branch| all ^ branch), tree.root());
    let (root, same) = (tree.root(), key(9));
    tree.update(same.bucket, &same.key, Some(Digest(9)), Some(Digest(10)));
    assert_ne!(tree.root(), root);
    assert_eq!(tree.keys(), 200);
    tree.update(same.bucket, &same.key, Some(Digest(10)), Some(Digest(9)));
    assert_eq!(tree.root(), root);
}

#[test]
fn a_wrong_tree_is_replaced_by_the_next_pass() {
    let mut trees = Trees::default();
    trees.own(std::iter::once(PARTITION));
    trees.page_asked(PARTITION);
    trees.page_came(PARTITION, Vec::new(), None);
    trees.page_asked(PARTITION);
    assert!(trees.page_came(PARTITION, vec![(key(0), Some(entry(&key(0), 1)))], None));
    assert_eq!(trees.complete(PARTITION).unwrap().keys(), 1);
}
