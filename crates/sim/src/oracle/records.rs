//! Operations and attempts, as the oracle keeps them.

use quorate_protocol::operation::Operation;
use quorate_protocol::time::Time;

use super::DotSet;

/// What came of an operation, over all its attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It may or may not have had an effect.
    Unknown,
    /// A client was told that it succeeded.
    Acknowledged,
    /// All attempts were refused before anything was done: it must have no effect.
    NotAttempted,
}

/// One operation of a client, the same over all its attempts.
#[derive(Clone, Debug)]
pub struct OperationRecord {
    /// As it is sent.
    pub operation: Operation,
    /// The key, by position; none for a listing.
    pub key: Option<usize>,
    /// The writes that its author has seen.
    pub seen: DotSet,
    /// Whether it carries a context of another key, and must be refused.
    pub foreign: bool,
    /// What came of it so far.
    pub fate: Fate,
    /// When it was sent for the first time.
    pub asked_us: u64,
    /// How many times it was sent.
    pub attempts: u32,
    /// How many of these ended with nothing done.
    pub refused: u32,
    /// The effective quorums.
    pub quorum: Quorum,
    /// The positions of the writes that nodes made of it.
    pub dots: Vec<usize>,
}

/// The quorums that an operation asks for, explicitly or by its bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quorum {
    /// How many owners count.
    pub n: u32,
    /// How many answer a read.
    pub r: u32,
    /// How many acknowledge a write.
    pub w: u32,
    /// How many of these must be primaries, of a read and of a write; all in strict mode.
    pub primaries: (u32, u32),
    /// Whether fallbacks may stand in.
    pub sloppy: bool,
    /// Whether n is the bucket's, so that the promises to reads hold.
    pub whole: bool,
}

/// Where an attempt stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptState {
    /// The node has not answered.
    Open,
    /// The node has answered.
    Answered,
    /// The node died first.
    Lost,
}

/// One sending of an operation to one node.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Which operation.
    pub operation: usize,
    /// Who sent it.
    pub client: usize,
    /// To which node,
    pub node: usize,
    /// in which of its lives.
    pub life: u32,
    /// When, on the node's monotonic clock.
    pub started: Time,
    /// How much time it was given.
    pub timeout_us: u64,
    /// Where it stands.
    pub state: AttemptState,
    /// What its answer has to keep, for its key or, of a listing, for each key.
    pub expectations: Vec<Expectation>,
}

/// What had been acknowledged of a key when an attempt began.
#[derive(Clone, Debug)]
pub struct Expectation {
    /// Which key.
    pub key: usize,
    /// What a read has to cover.
    pub must_cover: DotSet,
    /// What a read must not show.
    pub must_not_show: DotSet,
}
