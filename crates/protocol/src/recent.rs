//! What was done lately, so that doing it again is noticed.

use std::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};

use crate::id::{NodeId, OperationId};
use crate::message::{KeyRef, Tag};
use crate::time::Time;
use crate::version::Dot;

/// An entry is kept this long at least, unless there are too many: as long as an operation can take.
const KEPT: Duration = Duration::from_secs(60);
/// Entries of one generation; two are kept.
const GENERATION_MAX: usize = 1 << 17;

#[derive(Debug)]
struct Generation {
    puts: HashMap<(OperationId, KeyRef), Dot, FixedState>,
    forwards: HashSet<(NodeId, Tag), FixedState>,
}

impl Generation {
    fn new() -> Self {
        Self {
            puts: HashMap::with_hasher(FixedState::with_seed(3)),
            forwards: HashSet::with_hasher(FixedState::with_seed(4)),
        }
    }
}

/// The operations that this life of the node has coordinated lately: a retry adds no second sibling even when
/// the first one is overwritten by now. (While a sibling lives, it carries its operation's id itself.)
#[derive(Debug)]
pub(crate) struct Recent {
    young: Generation,
    old: Generation,
    since: Time,
}

impl Default for Recent {
    fn default() -> Self {
        Self { young: Generation::new(), old: Generation::new(), since: Time::default() }
    }
}

impl Recent {
    /// The dot under which an operation has put to this key.
    pub(crate) fn put_dot(&self, operation: OperationId, key: &KeyRef) -> Option<Dot> {
        let entry = (operation, key.clone());
        self.young.puts.get(&entry).or_else(|| self.old.puts.get(&entry)).copied()
    }

    /// An operation has put to this key.
    pub(crate) fn remember_put(&mut self, now: Time, operation: OperationId, key: KeyRef, dot: Dot) {
        self.turn_over(now);
        self.young.puts.insert((operation, key), dot);
    }

    /// Whether this forwarded request is new. A network that delivers it twice must not have it carried out
    /// after its first copy was refused, for the refusal said that nothing would be.
    pub(crate) fn is_new_forward(&mut self, now: Time, from: NodeId, tag: Tag) -> bool {
        self.turn_over(now);
        !self.old.forwards.contains(&(from, tag)) && self.young.forwards.insert((from, tag))
    }

    fn turn_over(&mut self, now: Time) {
        let full = self.young.puts.len().max(self.young.forwards.len()) >= GENERATION_MAX;
        if full || now.since(self.since) >= KEPT {
            self.old = std::mem::replace(&mut self.young, Generation::new());
            self.since = now;
        }
    }
}
