//! What is recorded of a run.

use quorate_protocol::version::{Context, Dot};

/// How an operation ended for the client that asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was answered with success.
    Done,
    /// It was answered at once, or soon, that it cannot be done: no quorum, too much to do.
    Refused,
    /// The time was over, or the connection lost, without an answer that says.
    TimedOut,
}

/// One write of a key. Each run's keys are numbered from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Which key.
    pub key: usize,
    /// When the client asked, in microseconds of the run.
    pub began_us: u64,
    /// When the client was answered, or gave up.
    pub ended_us: u64,
    /// How it ended. Only [`Ending::Done`] is an acknowledgement.
    pub ending: Ending,
    /// The write's name: of an acknowledged one always; of another one if it is known.
    pub dot: Option<Dot>,
}

/// One read of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Which key.
    pub key: usize,
    /// When the client asked, in microseconds of the run.
    pub began_us: u64,
    /// When the client was answered, or gave up.
    pub ended_us: u64,
    /// How it ended.
    pub ending: Ending,
    /// What the answer covers: all siblings it shows and all that these replaced. Empty unless it is done.
    pub covered: Context,
    /// Whether it is no client's, but was asked to see when writes become visible.
    pub probe: bool,
}

/// A run as its clients saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// All writes that ended.
    pub writes: Vec<Write>,
    /// All reads that ended.
    pub reads: Vec<Read>,
}

/// The name of a write that was sent with one context and acknowledged with another, which covers the first and the
/// write: the one newest dot of an actor that only the second covers. None when there is not exactly one.
pub fn dot_of(sent: &Context, written: &Context) -> Option<Dot> {
    let vector = written.vector().iter().map(|&(actor, seq)| Dot { actor, seq });
    let mut new = vector.chain(written.cloud().iter().copied()).filter(|dot| !sent.covers(*dot));
    let dot = new.next()?;
    new.next().is_none().then_some(dot)
}

#[cfg(test)]
mod tests {
    use quorate_protocol::id::ActorId;

    use super::*;

    fn dot(actor: u64, seq: u64) -> Dot {
        Dot { actor: ActorId(actor), seq }
    }

    #[test]
    fn a_write_is_what_its_acknowledgement_adds() {
        let mut sent = Context::default();
        let mut written = Context::default();
        assert_eq!(dot_of(&sent, &written), None);
        written.advance_vector(ActorId(1), 7);
        assert_eq!(dot_of(&sent, &written), Some(dot(1, 7)), "a blind put");
        sent.advance_vector(ActorId(1), 7);
        written.add_dot(dot(2, 3));
        assert_eq!(dot_of(&sent, &written), Some(dot(2, 3)), "a put that had seen another");
        written.advance_vector(ActorId(1), 8);
        assert_eq!(dot_of(&sent, &written), None, "two writes are not one");
    }
}
