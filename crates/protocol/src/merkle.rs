//! Merkle trees: a hash of all that a replica of a partition holds, kept on every write, so that two owners find the keys on
//! which they differ by comparing few bytes (DeCandia et al., 2007, 4.7).
//!
//! A leaf is the XOR of a 128-bit hash of every (bucket, key, digest) whose key falls into it, a branch the XOR of its
//! leaves, the root that of the branches: a write changes each with two XORs, in any order. An absent container
//! contributes nothing.
//!
//! A tree is built by reading the partition page by page, while writes go on: see `Building`.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

use crate::id::{BucketId, PartitionId};
use crate::message::KeyRef;
use crate::version::Digest;

/// Leaves of a tree.
pub const LEAVES: usize = 1024;
/// Branches between the root and the leaves.
pub const BRANCHES: usize = 32;
/// Leaves of a branch.
pub const LEAVES_PER_BRANCH: usize = LEAVES / BRANCHES;

/// The leaf of a key: the lower bits of the hash whose upper bits choose its partition.
pub fn leaf_of(bucket: BucketId, key: &[u8]) -> u16 {
    let bits = xxh3_64_with_seed(key, bucket.0) % LEAVES as u64;
    u16::try_from(bits).unwrap_or(0)
}

fn contribution(bucket: BucketId, key: &[u8], digest: Digest) -> u128 {
    let mut hash = Xxh3::new();
    hash.update(&bucket.0.to_le_bytes());
    hash.update(&digest.0.to_le_bytes());
    hash.update(key);
    hash.digest128()
}

/// What a tree knows of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Of its container.
    pub(crate) digest: Digest,
    /// The key's and its encoded container's.
    pub(crate) bytes: u64,
}

impl Entry {
    /// Of a key with this container, which is there.
    pub(crate) fn new(key: &KeyRef, digest: Digest, container_bytes: usize) -> Self {
        Self { digest, bytes: (key.key.len() + container_bytes) as u64 }
    }
}

/// The hashes of one replica of a partition; 17 KiB once it holds a key.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// None, or [`LEAVES`].
    leaves: Vec<u128>,
    branches: [u128; BRANCHES],
    keys: u64,
    bytes: u64,
}

/// Two are equal when they are the hash of the same: a container has one digest, and more than one length, for expired values
/// go from it.
impl PartialEq for Tree {
    fn eq(&self, other: &Self) -> bool {
        self.leaves == other.leaves && self.branches == other.branches && self.keys == other.keys
    }
}

impl Eq for Tree {}

impl Tree {
    /// A key's container has changed from one with the old digest to one with the new; none: it is absent.
    pub fn update(&mut self, bucket: BucketId, key: &[u8], old: Option<Digest>, new: Option<Digest>) {
        if old == new {
            return;
        }
        if self.leaves.is_empty() {
            self.leaves = vec![0; LEAVES];
        }
        let mut change = 0;
        for digest in [old, new].into_iter().flatten() {
            change ^= contribution(bucket, key, digest);
        }
        let leaf = usize::from(leaf_of(bucket, key));
        self.leaves[leaf] ^= change;
        self.branches[leaf / LEAVES_PER_BRANCH] ^= change;
        self.keys = (self.keys + u64::from(new.is_some())).saturating_sub(u64::from(old.is_some()));
        if self.keys == 0 && self.root() == 0 {
            *self = Self::default();
        }
    }

    /// As [`update`](Self::update), and counts the bytes.
    fn replace(&mut self, key: &KeyRef, old: Option<Entry>, new: Option<Entry>) {
        let bytes = |entry: Option<Entry>| entry.map_or(0, |entry| entry.bytes);
        let counted = (self.bytes + bytes(new)).saturating_sub(bytes(old));
        let digest = |entry: Option<Entry>| entry.map(|entry| entry.digest);
        self.update(key.bucket, &key.key, digest(old), digest(new));
        self.bytes = if self.keys == 0 { 0 } else { counted };
    }

    /// The hash of everything.
    pub fn root(&self) -> u128 {
        self.branches.iter().fold(0, |all, branch| all ^ branch)
    }

    /// The hashes of the branches, in order.
    pub fn branches(&self) -> &[u128; BRANCHES] {
        &self.branches
    }

    /// The hashes of a branch's leaves, in order; [`LEAVES_PER_BRANCH`] of them.
    pub fn leaves_of(&self, branch: u8) -> [u128; LEAVES_PER_BRANCH] {
        let first = usize::from(branch) * LEAVES_PER_BRANCH;
        let mut leaves = [0; LEAVES_PER_BRANCH];
        if let Some(held) = self.leaves.get(first..first + LEAVES_PER_BRANCH) {
            leaves.copy_from_slice(held);
        }
        leaves
    }

    /// How many keys it is the hash of, tombstones included.
    pub fn keys(&self) -> u64 {
        self.keys
    }

    /// The bytes of these keys and their encoded containers.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// A tree that is being built from pages of the store, while writes go on.
///
/// Keys up to the cursor are in the tree, and a write to one changes it at once. Keys beyond are not, and a write to one
/// is left to the page that will come by it, for a page shows every commit that was issued before it. But the page
/// that is being read now may show a write that was issued after it, or not: so what is written meanwhile is
/// remembered, and holds whatever the page says.
#[derive(Debug, Default)]
struct Building {
    tree: Tree,
    /// The last key that is in the tree.
    cursor: Option<KeyRef>,
    /// While a page is being read: what was written beyond the cursor since it was asked for.
    written: Option<BTreeMap<KeyRef, Option<Entry>>>,
}

impl Building {
    fn update(&mut self, key: &KeyRef, old: Option<Entry>, new: Option<Entry>) {
        if self.cursor.as_ref().is_some_and(|cursor| key <= cursor) {
            self.tree.replace(key, old, new);
        } else if let Some(written) = &mut self.written {
            written.insert(key.clone(), new);
        }
    }

    /// A page is here; `end` is its last key, or none when the partition ends with it.
    fn page(&mut self, page: Vec<(KeyRef, Option<Entry>)>, end: Option<KeyRef>) {
        let mut found: BTreeMap<KeyRef, Option<Entry>> = page.into_iter().collect();
        for (key, entry) in self.written.take().unwrap_or_default() {
            if end.as_ref().is_none_or(|end| key <= *end) {
                found.insert(key, entry);
            }
        }
        for (key, entry) in found {
            self.tree.replace(&key, None, entry);
        }
        self.cursor = end;
    }
}

#[derive(Debug, Default)]
struct Replica {
    complete: Option<Tree>,
    building: Option<Building>,
}

/// The trees of all partitions that this node owns.
#[derive(Debug, Default)]
pub(crate) struct Trees {
    replicas: BTreeMap<PartitionId, Replica>,
}

impl Trees {
    /// These partitions are owned from now on, and no others.
    pub(crate) fn own(&mut self, partitions: impl Iterator<Item = PartitionId>) {
        let mut before = std::mem::take(&mut self.replicas);
        self.replicas =
            partitions.map(|partition| (partition, before.remove(&partition).unwrap_or_default())).collect();
    }

    /// A partition's tree, once it is complete: only such a one says what the replica holds.
    pub(crate) fn complete(&self, partition: PartitionId) -> Option<&Tree> {
        self.replicas.get(&partition)?.complete.as_ref()
    }

    /// All partitions with their trees.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (PartitionId, Option<&Tree>)> {
        self.replicas.iter().map(|(&partition, replica)| (partition, replica.complete.as_ref()))
    }

    /// A key's container has changed.
    pub(crate) fn update(&mut self, key: &KeyRef, old: Option<Entry>, new: Option<Entry>) {
        let Some(replica) = self.replicas.get_mut(&key.partition) else { return };
        if let Some(tree) = &mut replica.complete {
            tree.replace(key, old, new);
        }
        if let Some(building) = &mut replica.building {
            building.update(key, old, new);
        }
    }

    /// A page of the partition is asked for: returns after which key it has to begin.
    pub(crate) fn page_asked(&mut self, partition: PartitionId) -> Option<KeyRef> {
        let building = self.replicas.get_mut(&partition)?.building.get_or_insert_default();
        building.written = Some(BTreeMap::new());
        building.cursor.clone()
    }

    /// A partition has just been emptied: its tree is complete.
    pub(crate) fn begin_empty(&mut self, partition: PartitionId) {
        if let Some(replica) = self.replicas.get_mut(&partition) {
            *replica = Replica { complete: Some(Tree::default()), building: None };
        }
    }

    /// What the partition's tree is the hash of is no longer known: it has to be built anew.
    pub(crate) fn forget(&mut self, partition: PartitionId) {
        if let Some(replica) = self.replicas.get_mut(&partition) {
            *replica = Replica::default();
        }
    }

    /// The page that was asked for will not be looked at.
    pub(crate) fn page_lost(&mut self, partition: PartitionId) {
        let building = self.replicas.get_mut(&partition).and_then(|replica| replica.building.as_mut());
        if let Some(building) = building {
            building.written = None;
        }
    }

    /// The page is here: its keys in order, with what the tree has to know of them, and the last of them unless the partition ends with it. Returns
    /// whether a tree that was complete before has turned out to be wrong; the new one takes its place.
    pub(crate) fn page_came(
        &mut self,
        partition: PartitionId,
        page: Vec<(KeyRef, Option<Entry>)>,
        end: Option<KeyRef>,
    ) -> bool {
        let Some(replica) = self.replicas.get_mut(&partition) else { return false };
        let Some(mut building) = replica.building.take() else { return false };
        let done = end.is_none();
        building.page(page, end);
        if !done {
            replica.building = Some(building);
            return false;
        }
        let wrong = replica.complete.as_ref().is_some_and(|tree| *tree != building.tree);
        replica.complete = Some(building.tree);
        wrong
    }
}

#[cfg(test)]
#[path = "merkle_tests.rs"]
mod tests;
