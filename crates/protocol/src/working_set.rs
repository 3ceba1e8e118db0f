//! The containers in memory: those being worked on, and as many others as the cache may hold.
//!
//! A put must see the newest container of its key, durable or not, and its successor must see the put's. So the
//! newest container of every key with an unfinished commit or read is here; the store is asked for the others.

use std::collections::VecDeque;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::anti_entropy::Offer;
use crate::echo::LinkTime;
use crate::event::ReadToken;
use crate::id::{ActorId, NodeId};
use crate::merkle::Entry;
use crate::message::{Healing, KeyRef, Place, Tag};
use crate::store::CommitNumber;
use crate::time::Time;
use crate::version::{Container, Digest, EncodedContainer};

/// A key's newest container, and when it will be durable.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    /// The container.
    pub(crate) container: Arc<Container>,
    /// The same as bytes.
    pub(crate) encoded: EncodedContainer,
    /// Its digest.
    pub(crate) digest: Digest,
    /// The commit that made it so; 0: it came from the store, so an earlier life or an evicted, durable commit did.
    pub(crate) commit: CommitNumber,
}

impl Held {
    /// There is no record of the key, by this commit.
    pub(crate) fn absent(commit: CommitNumber) -> Self {
        let container = Container::default();
        let encoded = container.encode();
        Self { digest: container.digest(), container: Arc::new(container), encoded, commit }
    }

    /// What the container is worth in a Merkle tree.
    pub(crate) fn in_tree(&self) -> Option<Digest> {
        (!self.container.is_absent()).then_some(self.digest)
    }

    /// What a Merkle tree knows of this key with this container.
    pub(crate) fn entry(&self, key: &KeyRef) -> Option<Entry> {
        self.in_tree().map(|digest| Entry::new(key, digest, self.encoded.0.len()))
    }
}

/// What waits for a key's container.
#[derive(Clone, Debug)]
pub(crate) enum Task {
    /// An operation that this node coordinates goes on.
    Coordinate(Tag),
    /// A replicated container is merged.
    Merge {
        /// Who sent it, and wants to know; none for a repair.
        reply: Option<(NodeId, Tag)>,
        /// What came.
        container: EncodedContainer,
        /// When it was read, by this node's link clock.
        echo: LinkTime,
    },
    /// A fallback keeps a container for an owner.
    Hint {
        /// Who sent it, and wants to know.
        from: NodeId,
        /// Its request.
        tag: Tag,
        /// The owner.
        target: NodeId,
        /// What came.
        container: EncodedContainer,
        /// When it was read, by this node's link clock.
        echo: LinkTime,
    },
    /// A hint is brought to its owner.
    Deliver(Tag),
    /// All members agree that something of this container may be forgotten.
    Forget {
        /// If it is still this one.
        digest: Digest,
        /// Actors that nobody writes under.
        retired: Vec<ActorId>,
        /// From before the members were asked, by this node's link clock.
        echo: LinkTime,
    },
    /// Of the record something could perhaps be forgotten one day.
    Consider,
    /// Values whose time is over are dropped.
    Expire,
    /// A coordinator reads.
    Fetch {
        /// Who.
        from: NodeId,
        /// Its request.
        tag: Tag,
        /// What it holds.
        have: Option<Digest>,
        /// When it asked.
        began: Time,
    },
    /// Anti-entropy sends the container to another owner.
    Offer(Offer),
    /// A container that came by anti-entropy is merged; the result goes back when it is another.
    MergeBack {
        /// Who sent it.
        from: NodeId,
        /// What came.
        container: EncodedContainer,
        /// When it was read, by this node's link clock.
        echo: LinkTime,
    },
    /// An owner has lost its record of the key.
    Heal {
        /// Who.
        from: NodeId,
        /// Its request.
        tag: Tag,
        /// When it asked, by this node's link clock.
        began: Time,
    },
    /// Another owner has answered such a request of this node.
    Healing {
        /// Who.
        from: NodeId,
        /// The request.
        tag: Tag,
        /// What it holds.
        healing: Healing,
    },
    /// The record goes with its bucket.
    Discard,
    /// Find out whether the record can be read.
    Verify,
    /// A container that this node pulls as a new owner is merged.
    Pulled {
        /// Of the page that it came with.
        tag: Tag,
        /// What came.
        container: EncodedContainer,
        /// When it was read, by this node's link clock.
        echo: LinkTime,
    },
}

/// Containers that one event looks at to let go of them.
const TRIMMED_AT_ONCE: usize = 256;

#[derive(Debug)]
enum Slot {
    Held {
        held: Held,
        used: bool,
    },
    Loading {
        tasks: Vec<Task>,
        /// What was decided about the key without looking at what is read: that holds.
        newer: Option<Held>,
    },
}

/// See the module.
#[derive(Debug)]
pub(crate) struct WorkingSet {
    // Never iterated: order comes from the queue.
    slots: HashMap<KeyRef, Slot, FixedState>,
    /// Held keys in the order of the clock hand (second-chance replacement).
    hand: VecDeque<KeyRef>,
    reads: HashMap<ReadToken, KeyRef, FixedState>,
    /// The token of the last read; those of one set are all odd or all even.
    last_read: u64,
    /// Tasks that wait for reads.
    waiting: usize,
    bytes: usize,
    bytes_max: usize,
}

/// What became of a task that asked for a key.
pub(crate) enum Lookup {
    /// The container is here: do it now.
    Now(Held, Task),
    /// The store has to be asked first.
    Read(ReadToken),
    /// The store has been asked already; the task waits.
    Queued,
}

impl WorkingSet {
    /// An empty one that keeps about `bytes_max` beside what is in use. Reads for it can be told from those for the
    /// other place by their tokens.
    pub(crate) fn new(place: Place, bytes_max: usize) -> Self {
        Self {
            slots: HashMap::with_hasher(FixedState::with_seed(1)),
            hand: VecDeque::new(),
            reads: HashMap::with_hasher(FixedState::with_seed(2)),
            last_read: u64::from(place == Place::Fallback),
            waiting: 0,
            bytes: 0,
            bytes_max,
        }
    }

    /// Finds the key's container for a task, or lets the task wait for it.
    pub(crate) fn ask(&mut self, key: &KeyRef, task: Task) -> Lookup {
        match self.slots.get_mut(key) {
            Some(Slot::Held { held, used }) => {
                *used = true;
                Lookup::Now(held.clone(), task)
            }
            Some(Slot::Loading { tasks, .. }) => {
                tasks.push(task);
                self.waiting += 1;
                Lookup::Queued
            }
            None => {
                self.slots.insert(key.clone(), Slot::Loading { tasks: vec![task], newer: None });
                self.waiting += 1;
                Lookup::Read(self.token(key.clone()))
            }
        }
    }

    /// The place that a read was for.
    pub(crate) fn place_of(token: ReadToken) -> Place {
        if token.0 % 2 == 1 { Place::Fallback } else { Place::Replica }
    }

    /// The newest container of a key, if it is in memory.
    pub(crate) fn peek(&self, key: &KeyRef) -> Option<&Held> {
        match self.slots.get(key) {
            Some(Slot::Held { held, .. }) => Some(held),
            Some(Slot::Loading { .. }) | None => None,
        }
    }

    /// Which key a finished read was for.
    pub(crate) fn read_key(&mut self, token: ReadToken) -> Option<KeyRef> {
        self.reads.remove(&token)
    }

    /// A read has found the key's container: returns the tasks that waited, in order.
    pub(crate) fn loaded(&mut self, key: &KeyRef, held: Held) -> Vec<Task> {
        match self.slots.remove(key) {
            Some(Slot::Loading { tasks, newer }) => {
                self.waiting -= tasks.len();
                self.insert(key.clone(), newer.unwrap_or(held));
                tasks
            }
            Some(slot) => {
                self.slots.insert(key.clone(), slot);
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    /// A read has failed: the key is forgotten; returns the tasks that waited.
    pub(crate) fn load_failed(&mut self, key: &KeyRef) -> Vec<Task> {
        match self.slots.remove(key) {
            Some(Slot::Loading { tasks, newer }) => {
                self.waiting -= tasks.len();
                if let Some(held) = newer {
                    self.insert(key.clone(), held);
                }
                tasks
            }
            Some(slot) => {
                self.slots.insert(key.clone(), slot);
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    /// The key has a newer container; returns the one before. It is here: the newer one was made from it.
    pub(crate) fn replace(&mut self, key: &KeyRef, held: Held) -> Option<Held> {
        match self.slots.get_mut(key) {
            Some(Slot::Held { held: old, used }) => {
                self.bytes = self.bytes + size(key, &held) - size(key, old);
                *used = true;
                Some(std::mem::replace(old, held))
            }
            Some(Slot::Loading { newer, .. }) => newer.replace(held),
            None => {
                self.insert(key.clone(), held);
                None
            }
        }
    }

    /// The same for a key that may not be in memory: then there is nothing to replace.
    pub(crate) fn replace_known(&mut self, key: &KeyRef, held: Held) {
        if self.slots.contains_key(key) {
            self.replace(key, held);
        }
    }

    /// Lets go of containers that are neither new nor used lately, until the cache's bound holds; a few at a
    /// time, for while the disk stalls nothing can go.
    pub(crate) fn trim(&mut self, is_durable: impl Fn(CommitNumber) -> bool) {
        let mut left = self.hand.len().min(TRIMMED_AT_ONCE);
        while self.bytes > self.bytes_max && left > 0 {
            left -= 1;
            let Some(key) = self.hand.pop_front() else { return };
            match self.slots.get_mut(&key) {
                Some(Slot::Held { held, used }) if *used || !is_durable(held.commit) => {
                    *used = false;
                    self.hand.push_back(key);
                }
                Some(Slot::Held { held, .. }) => {
                    self.bytes -= size(&key, held);
                    self.slots.remove(&key);
                }
                _ => {}
            }
        }
    }

    /// Keys that wait for the store.
    pub(crate) fn loading(&self) -> usize {
        self.reads.len()
    }

    /// Tasks that wait for keys.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// About how much memory the containers take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn insert(&mut self, key: KeyRef, held: Held) {
        self.bytes += size(&key, &held);
        self.hand.push_back(key.clone());
        self.slots.insert(key, Slot::Held { held, used: false });
    }

    fn token(&mut self, key: KeyRef) -> ReadToken {
        self.last_read += 2;
        let token = ReadToken(self.last_read);
        self.reads.insert(token, key);
        token
    }
}

/// The key, the encoding, of which the values are slices, and what the rest takes: the container, the maps' places for the key,
/// allocations' own needs.
fn size(key: &KeyRef, held: &Held) -> usize {
    key.key.len() + held.encoded.0.len() + 600
}
