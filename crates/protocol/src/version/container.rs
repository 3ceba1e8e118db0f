//! All that is known of one key, and what a put, a delete and a merge do to it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::{Context, Dot};
use crate::id::{ActorId, OperationId};
use crate::time::Hlc;

/// What the bytes of a value are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ContentType {
    /// Bytes of unknown meaning (`application/octet-stream`).
    #[default]
    OctetStream,
    /// One JSON text (`application/json`), as it was sent.
    Json,
    /// Any other media type, at most [`Limits::content_type_bytes`](crate::Limits) long.
    Other(Box<str>),
}

impl ContentType {
    /// The media type's name.
    pub fn as_str(&self) -> &str {
        match self {
            Self::OctetStream => "application/octet-stream",
            Self::Json => "application/json",
            Self::Other(name) => name,
        }
    }
}

impl From<&str> for ContentType {
    /// The empty name is bytes of unknown meaning.
    fn from(name: &str) -> Self {
        match name {
            "" | "application/octet-stream" => Self::OctetStream,
            "application/json" => Self::Json,
            other => Self::Other(other.into()),
        }
    }
}

/// One value of a key, under the dot of the write that stored it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sibling {
    /// The write's name.
    pub dot: Dot,
    /// The coordinator's hybrid clock at the write: decides in last-writer-wins buckets, and nowhere else.
    pub hlc: Hlc,
    /// The client's name for the operation: a retry finds its own sibling by it.
    pub operation: OperationId,
    /// From when on it is not shown: wall clock, milliseconds since the Unix epoch. None: it stays.
    pub expiry: Option<u64>,
    /// What the value is.
    pub content_type: ContentType,
    /// The value as it was sent.
    pub value: Bytes,
}

/// The values of a key. One, as most keys have, stands in the container itself.
pub type Siblings = SmallVec<[Sibling; 1]>;

/// All that is known of one key: what was seen, and of that what lives. One without siblings is a tombstone (or,
/// with an empty context, a key that was never written).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Covers every sibling's dot, and the dots of all that was overwritten or deleted.
    pub context: Context,
    /// The values that nothing seen has replaced, sorted by dot.
    pub siblings: Siblings,
}

/// How a merged container relates to the two that went in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merged {
    /// It is what we had: the other brought nothing new.
    Unchanged,
    /// It is the other one.
    TookOther,
    /// It is neither.
    Mixed,
}

impl Container {
    /// Whether nothing was ever seen of the key.
    pub fn is_absent(&self) -> bool {
        self.context.is_empty()
    }

    /// The bytes of its values together.
    pub fn value_bytes(&self) -> usize {
        self.siblings.iter().map(|sibling| sibling.value.len()).sum()
    }

    /// The live sibling that an operation has stored, if it is still there.
    pub fn sibling_of(&self, operation: OperationId) -> Option<&Sibling> {
        self.siblings.iter().find(|sibling| sibling.operation == operation)
    }

    /// The sibling that a last-writer-wins bucket shows: the greatest by (hlc, dot).
    pub fn last_written(&self) -> Option<&Sibling> {
        self.siblings.iter().max_by_key(|sibling| (sibling.hlc, sibling.dot))
    }

    /// A put by a writer who has seen `seen`: replaces what that covers and adds the sibling. Its dot goes into
    /// the vector, so its actor must hold all of its own history of this key.
    pub fn put(&mut self, seen: &Context, sibling: Sibling) {
        self.remove(seen);
        self.context.advance_vector(sibling.dot.actor, sibling.dot.seq);
        let at = self.siblings.partition_point(|other| other.dot < sibling.dot);
        self.siblings.insert(at, sibling);
    }

    /// A delete by one who has seen `seen`: drops what that covers, and remembers having seen it. Leaves no mark of its
    /// own, so a concurrent put survives.
    pub fn remove(&mut self, seen: &Context) {
        self.siblings.retain(|sibling| !seen.covers(sibling.dot));
        self.context.join(seen);
    }

    /// Whether merging another into it would change nothing: it has seen all that the other has, and holds nothing that the other
    /// has dropped.
    pub fn includes(&self, other: &Self) -> bool {
        let is_dropped = |ours: &Sibling| other.context.covers(ours.dot) && !other.has(ours.dot);
        self.context.covers_all(&other.context) && !self.siblings.iter().any(is_dropped)
    }

    /// Joins what another replica knows of the key: a sibling survives when both have it, or when one has it and
    /// the other has not seen it. Commutative, associative, idempotent; never forgets an unseen sibling.
    pub fn merge(&mut self, other: &Self) -> Merged {
        let had = self.siblings.len();
        let others_context_had_new = !self.context.covers_all(&other.context);
        // A sibling of ours goes when they have seen it and hold it no longer, and the other way round.
        self.siblings.retain(|ours| !other.context.covers(ours.dot) || other.has(ours.dot));
        let dropped = had - self.siblings.len();
        let mut added = 0;
        for theirs in &other.siblings {
            if !self.context.covers(theirs.dot) {
                let at = self.siblings.partition_point(|ours| ours.dot < theirs.dot);
                self.siblings.insert(at, theirs.clone());
                added += 1;
            }
        }
        let before = others_context_had_new.then(|| self.context.clone());
        self.context.join(&other.context);
        // Joining can also turn a cloud dot into a vector entry; that is a change, though the same dots are covered.
        let context_same = before.is_none_or(|before| before == self.context);
        if dropped == 0 && added == 0 && context_same {
            Merged::Unchanged
        } else if *self == *other {
            Merged::TookOther
        } else {
            Merged::Mixed
        }
    }

    /// Forgets the entries of actors that have neither a sibling here nor a dot beyond the vector. Only by the rule of the
    /// purge: what they cover must not come back.
    pub(crate) fn retire(&mut self, actors: &[ActorId]) {
        let lives = |actor: ActorId| self.siblings.iter().any(|sibling| sibling.dot.actor == actor);
        let retired: Vec<ActorId> = actors.iter().copied().filter(|&actor| !lives(actor)).collect();
        self.context.retire(&retired);
    }

    fn has(&self, dot: Dot) -> bool {
        self.siblings.binary_search_by_key(&dot, |sibling| sibling.dot).is_ok()
    }

    /// The context for the answer to a put or delete: `seen`, which came with the operation, and its own dot (none
    /// for a delete); never what other clients wrote and this one has not seen. `self` is the container as the
    /// operation replicated it.
    ///
    /// An actor's dots become a vector entry, which keeps contexts small, only when `durable_at_quorum` (at least
    /// the bucket's w primaries acknowledged the operation), this container's vector covers them, and no sibling
    /// of that actor under the entry lives here that the client has not seen. Each condition was seen to matter.
    pub fn answer_context(&self, seen: &Context, dot: Option<Dot>, durable_at_quorum: bool) -> Context {
        let mut answer = seen.clone();
        if let Some(dot) = dot {
            answer.add_dot(dot);
        }
        if !durable_at_quorum {
            return answer;
        }
        // Sorted by (actor, seq): the last dot of each actor's run is its greatest.
        let greatest: Vec<Dot> = answer
            .cloud()
            .chunk_by(|a, b| a.actor == b.actor)
            .filter_map(|run| run.last().copied())
            .collect();
        for top in greatest {
            let hides_unseen = self.siblings.iter().any(|sibling| {
                sibling.dot.actor == top.actor && sibling.dot.seq <= top.seq && !answer.covers(sibling.dot)
            });
            if self.context.vector_entry(top.actor) >= top.seq && !hides_unseen {
                answer.advance_vector(top.actor, top.seq);
            }
        }
        answer
    }
}
