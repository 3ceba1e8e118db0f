//! Operations under way on this node, for clients or for other nodes that forwarded them.
//!
//! ```text
//! admit ── not an owner ──> forward ──────────────────────────────> finish
//!   └─ owner ─> put ─────────────────────> write (count W) ───────> finish
//!              delete ─> (get, count R) ─> write
//!              get ────> count R ──────────────────────> finish ──> repair
//!              list ───> count R ─> get for each doubtful key ────> finish
//! ```

mod admit;
mod anew;
mod delete;
mod elsewhere;
mod forward;
mod get;
mod list;
mod put;
pub(crate) mod quorum;
mod write;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::effect::Effect;
use crate::event::RequestId;
use crate::id::NodeId;
use crate::message::{KeyRef, Message, Place, Tag};
use crate::node::Node;
use crate::operation::{Attempted, Failure, OperationError, OperationResult};
use crate::recent::Recent;
use crate::time::{Now, Time};
use crate::turn::Turn;
use crate::working_set::Held;
use quorum::Quorums;

/// Who wants to know how an operation ended.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// A client of this node.
    Client(RequestId),
    /// A node that forwarded it.
    Peer {
        /// Which node.
        node: NodeId,
        /// Its request.
        tag: Tag,
    },
    /// Nobody any more: it is answered.
    Answered,
    /// A listing of this node, about one doubtful key.
    List {
        /// The listing.
        tag: Tag,
        /// The key.
        key: UserKey,
    },
}

/// An operation under way.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) source: Source,
    /// When it began: nothing that it holds was read earlier.
    pub(crate) began: Now,
    /// Past this the operation does nothing more.
    pub(crate) deadline: Time,
    /// When it wants to be woken: at its deadline or earlier.
    pub(crate) timer: Time,
    pub(crate) job: Job,
}

/// An operation without what it does: who asked when, and until when.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) tag: Tag,
    pub(crate) source: Source,
    pub(crate) began: Now,
    pub(crate) deadline: Time,
}

/// Where an operation stands.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it is boxed with the rest of its operation")]
pub(crate) enum Job {
    /// A put waits for its key's container.
    Put(put::Waiting),
    /// A read waits for its key's container or for replies.
    Get(get::Reading),
    /// A delete that knows what to delete waits for its key's container.
    Delete(delete::Waiting),
    /// A put or delete is done here and waits for acknowledgements.
    Write(write::Writing),
    /// A listing waits for replicas or for reads.
    List(list::Listing),
    /// Another node coordinates.
    Forward(forward::Forwarding),
}

/// The key of an operation and its quorums.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) key: KeyRef,
    /// Whether this node coordinates as an owner or, in sloppy mode, as a fallback.
    pub(crate) place: Place,
    pub(crate) quorums: Quorums,
}

/// All operations under way.
#[derive(Debug)]
pub(crate) struct Coordinator {
    pub(crate) running: BTreeMap<Tag, Box<Running>>,
    timers: BTreeSet<(Time, Tag)>,
    next_tag: u64,
    /// Of the running ones, those that are answered and wait for the rest of the owners.
    lingering: usize,
    pub(crate) recent: Recent,
}

impl Coordinator {
    /// Starts tags at a random number, so that replies to an earlier life match nothing.
    pub(crate) fn new(first_tag: u64) -> Self {
        Self {
            running: BTreeMap::new(),
            timers: BTreeSet::new(),
            next_tag: first_tag,
            lingering: 0,
            recent: Recent::default(),
        }
    }

    /// A name that nothing has had in this life.
    pub(crate) fn new_tag(&mut self) -> Tag {
        self.next_tag = self.next_tag.wrapping_add(1);
        Tag(self.next_tag)
    }

    /// How many are answered and wait for the rest of their owners.
    pub(crate) fn lingering(&self) -> usize {
        self.lingering
    }

    /// How many are under way that somebody waits for.
    pub(crate) fn awaited(&self) -> usize {
        self.running.len().saturating_sub(self.lingering)
    }

    /// Adds an operation and returns its name.
    pub(crate) fn insert(&mut self, running: Running) -> Tag {
        let tag = self.new_tag();
        self.put_back(tag, Box::new(running));
        tag
    }

    /// Takes an operation out, to work on it; [`put_back`](Self::put_back) or forget it.
    pub(crate) fn take(&mut self, tag: Tag) -> Option<Box<Running>> {
        let running = self.running.remove(&tag)?;
        self.lingering -= usize::from(matches!(running.source, Source::Answered));
        self.timers.remove(&(running.timer, tag));
        Some(running)
    }

    /// Goes on waiting.
    pub(crate) fn put_back(&mut self, tag: Tag, running: Box<Running>) {
        self.lingering += usize::from(matches!(running.source, Source::Answered));
        self.timers.insert((running.timer, tag));
        self.running.insert(tag, running);
    }

    /// When the next operation wants to be woken.
    pub(crate) fn next_timer(&self) -> Option<Time> {
        self.timers.first().map(|&(time, _)| time)
    }
}

impl Node {
    /// Wakes the operations whose time has come.
    pub(crate) fn wake_operations(&mut self, turn: &mut Turn<'_>) {
        while let Some(&(time, tag)) = self.coordinator.timers.first()
            && time <= turn.time()
        {
            let Some(running) = self.coordinator.take(tag) else {
                return;
            };
            if running.deadline <= turn.time() {
                self.expire(turn, *running);
            } else {
                self.step(turn, tag, running);
            }
        }
    }

    /// Something an operation waited for has not come: ask again, or ask another.
    fn step(&mut self, turn: &mut Turn<'_>, tag: Tag, running: Box<Running>) {
        match running.job {
            Job::Get(_) => self.get_step(turn, tag, running),
            Job::Write(_) => self.write_step(turn, tag, running),
            Job::List(_) => self.list_step(turn, tag, running),
            Job::Put(_) | Job::Delete(_) | Job::Forward(_) => {
                let mut running = running;
                running.timer = running.deadline;
                self.coordinator.put_back(tag, running);
            }
        }
    }

    /// An operation's time is over.
    fn expire(&mut self, turn: &mut Turn<'_>, running: Running) {
        let error = match &running.job {
            // Neither has stored or sent anything.
            Job::Put(waiting) => {
                OperationError::not_attempted(timed_out(waiting.target.quorums.needed_to_write(), 0))
            }
            Job::Delete(waiting) => waiting.expired(self.token_of(&waiting.target, &waiting.seen)),
            Job::Get(reading) => reading.expired(),
            Job::List(listing) => listing.expired(),
            Job::Write(writing) => writing.expired(self.token_of(writing.target(), writing.seen())),
            Job::Forward(forwarding) => forwarding.expired(self.needed(forwarding.operation())),
        };
        if !matches!(running.source, Source::Answered) {
            self.stats.quorum_shortfalls += 1;
        }
        self.finish(turn, running.source, Err(error));
    }

    /// Tells whoever asked how an operation ended.
    pub(crate) fn finish(&mut self, turn: &mut Turn<'_>, source: Source, result: OperationResult) {
        match source {
            Source::Answered => {}
            Source::Client(request) => turn.effects.push(Effect::Answer { request, result }),
            Source::Peer { node, tag } => turn.send(node, Message::ForwardReply { tag, result }),
            Source::List { tag, key } => self.list_read_done(turn, tag, key, result),
        }
    }

    /// A key's container is here for an operation.
    pub(crate) fn coordinate(&mut self, turn: &mut Turn<'_>, tag: Tag, held: Held) {
        let Some(running) = self.coordinator.take(tag) else { return };
        // Past its deadline it does nothing more, whatever has held it up.
        if running.deadline <= turn.time() {
            self.expire(turn, *running);
            return;
        }
        let Running { source, began, deadline, timer, job } = *running;
        let asked = Asked { tag, source, began, deadline };
        match job {
            Job::Put(waiting) => self.put_loaded(turn, asked, waiting, held),
            Job::Delete(waiting) => self.delete_loaded(turn, asked, waiting, held),
            Job::Get(_) | Job::Write(_) | Job::List(_) | Job::Forward(_) => {
                let running = Running { source: asked.source, began, deadline, timer, job };
                if matches!(running.job, Job::Get(_)) {
                    self.get_loaded(turn, tag, running, held);
                } else {
                    self.coordinator.put_back(tag, Box::new(running));
                }
            }
        }
    }

    /// A key's container cannot be had.
    pub(crate) fn coordinate_failed(&mut self, turn: &mut Turn<'_>, tag: Tag, detail: &str) {
        let Some(running) = self.coordinator.take(tag) else {
            return;
        };
        let failure = Failure::Storage(detail.to_owned());
        // What was read for a delete goes to its client, who sends it with the next attempt.
        let error = match &running.job {
            Job::Delete(waiting) => {
                let told = waiting.expired(self.token_of(&waiting.target, &waiting.seen));
                OperationError { failure, ..told }
            }
            Job::Put(_) | Job::Get(_) | Job::Write(_) | Job::List(_) | Job::Forward(_) => {
                OperationError::not_attempted(failure)
            }
        };
        self.finish(turn, running.source, Err(error));
    }

    /// A link came up: what was sent on the one before may be lost, so it is sent again.
    pub(crate) fn resend_to(&mut self, turn: &mut Turn<'_>, peer: NodeId) {
        for (&tag, running) in &self.coordinator.running {
            if let Job::Write(writing) = &running.job {
                self.write_resend(turn, tag, running.began, writing, peer);
            }
        }
    }

    /// A link is gone, and what was asked of the peer with it.
    pub(crate) fn lost_peer(&mut self, turn: &mut Turn<'_>, peer: NodeId) {
        let waits = |running: &Running| match &running.job {
            Job::Get(reading) => reading.waits_for(peer),
            Job::List(listing) => listing.waits_for(peer),
            Job::Forward(forwarding) => forwarding.is_at(peer),
            Job::Write(writing) => writing.waits_for(peer),
            Job::Put(_) | Job::Delete(_) => false,
        };
        let running = self.coordinator.running.iter();
        let affected: Vec<Tag> = running.filter(|(_, running)| waits(running)).map(|(&tag, _)| tag).collect();
        for tag in affected {
            let Some(running) = self.coordinator.take(tag) else {
                continue;
            };
            let forwarded = matches!(running.job, Job::Forward(_));
            if forwarded {
                self.coordinator.put_back(tag, running);
                self.forward_lost(turn, tag);
            } else {
                self.step(turn, tag, running);
            }
        }
    }
}

/// The time was over.
pub(crate) fn timed_out(needed: u32, answered: u32) -> Failure {
    Failure::TimedOut { needed, answered }
}

/// A read that ran out of time, or found too few to ask, has changed nothing.
pub(crate) fn read_error(failure: Failure) -> OperationError {
    OperationError { failure, attempted: Attempted::NotAttempted, context: None }
}

/// A key of a store page as the user knows it.
pub(crate) type UserKey = Bytes;
