//! Pages of two owners' keys, and where they differ.

use std::collections::{BTreeMap, VecDeque};

use crate::keys;
use crate::merkle::leaf_of;
use crate::message::{KeyDigest, KeyRef, KeysPage, Refusal};
use crate::store::{ScanPage, StoreError};
use crate::version::{Digest, EncodedContainer};

/// The keys of a page of the store that are in some leaves.
pub(super) fn keys_page(
    result: Result<ScanPage, StoreError>,
    wanted: impl Fn(u16) -> bool,
) -> Result<KeysPage, Refusal> {
    let page = result.map_err(|_| Refusal::Storage)?;
    if !page.damaged.is_empty() {
        return Err(Refusal::Storage);
    }
    let mut through = None;
    let mut keys = Vec::new();
    for (store_key, value) in page.entries {
        let key = keys::key_of(&store_key).ok_or(Refusal::Storage)?;
        if wanted(leaf_of(key.bucket, &key.key)) {
            let container = EncodedContainer(value).decode().map_err(|_| Refusal::Storage)?;
            if !container.is_absent() {
                keys.push(KeyDigest { key: key.clone(), digest: container.digest() });
            }
        }
        through = Some(key);
    }
    Ok(KeysPage { keys, through: through.filter(|_| page.more) })
}

/// The keys on which two pages differ, with what `theirs` says of them, and up to where both speak.
pub(super) fn differences(
    mine: KeysPage,
    theirs: KeysPage,
) -> (VecDeque<(KeyRef, Option<Digest>)>, Option<KeyRef>) {
    let through = match (mine.through, theirs.through) {
        (Some(mine), Some(theirs)) => Some(mine.min(theirs)),
        (mine, theirs) => mine.or(theirs),
    };
    let within = |key: &KeyRef| through.as_ref().is_none_or(|through| key <= through);
    let mut found: BTreeMap<KeyRef, (Option<Digest>, Option<Digest>)> = BTreeMap::new();
    for KeyDigest { key, digest } in mine.keys.into_iter().filter(|found| within(&found.key)) {
        found.entry(key).or_default().0 = Some(digest);
    }
    for KeyDigest { key, digest } in theirs.keys.into_iter().filter(|found| within(&found.key)) {
        found.entry(key).or_default().1 = Some(digest);
    }
    let differing = found.into_iter().filter(|(_, (mine, theirs))| mine != theirs);
    (differing.map(|(key, (_, theirs))| (key, theirs)).collect(), through)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::id::{BucketId, PartitionId};

    fn key(name: &'static str) -> KeyRef {
        KeyRef { partition: PartitionId(0), bucket: BucketId(0), key: Bytes::from_static(name.as_bytes()) }
    }

    fn page(keys: &[(&'static str, u128)], through: Option<&'static str>) -> KeysPage {
        let one =
            |&(name, digest): &(&'static str, u128)| KeyDigest { key: key(name), digest: Digest(digest) };
        KeysPage { keys: keys.iter().map(one).collect(), through: through.map(key) }
    }

    #[test]
    fn what_differs_is_found_up_to_where_the_shorter_page_ends() {
        let mine = page(&[("a", 1), ("b", 1), ("d", 1), ("e", 1)], Some("e"));
        let theirs = page(&[("a", 1), ("b", 2), ("c", 2), ("d", 2)], Some("d"));
        let (differing, through) = differences(mine.clone(), theirs);
        let of = |name, theirs: Option<u128>| (key(name), theirs.map(Digest));
        assert_eq!(differing, [of("b", Some(2)), of("c", Some(2)), of("d", Some(2))]);
        assert_eq!(through, Some(key("d")));
        let (differing, through) = differences(mine, page(&[("b", 1)], None));
        assert_eq!(differing, [of("a", None), of("d", None), of("e", None)]);
        assert_eq!(through, Some(key("e")));
        let (differing, through) = differences(page(&[], None), page(&[("z", 3)], None));
        assert_eq!((differing, through), ([of("z", Some(3))].into(), None));
    }
}
