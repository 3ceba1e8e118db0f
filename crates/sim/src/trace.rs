//! What happened, in plain words for a reader and as one number for comparing runs.

use std::fmt;

/// Takes the lines of a trace.
pub type TraceSink = Box<dyn FnMut(String)>;

/// Keeps a running hash of all that happens, and writes it down when somebody reads.
pub struct Tracer {
    sink: Option<TraceSink>,
    hash: u64,
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tracer({:016x})", self.hash)
    }
}

impl Tracer {
    /// Starts a trace; without a sink only the hash is kept.
    pub fn new(sink: Option<TraceSink>) -> Self {
        Self { sink, hash: 0 }
    }

    /// Takes a number into the hash.
    pub fn mix(&mut self, number: u64) {
        self.hash = (self.hash.rotate_left(23) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    /// Writes a line when somebody reads.
    pub fn line(&mut self, at_us: u64, words: impl FnOnce() -> String) {
        if let Some(sink) = &mut self.sink {
            sink(format!("{:>6}.{:03} ms  {}", at_us / 1000, at_us % 1000, words()));
        }
    }

    /// Whether somebody reads.
    pub fn is_read(&self) -> bool {
        self.sink.is_some()
    }

    /// The hash of all that happened so far.
    pub fn hash(&self) -> u64 {
        self.hash
    }
}
