//! Quorate, through its Rust client.

use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use quorate_client::{
    Client, Context, Error, Found, Get, Layout, Options, Put, QuorumMode, Session, Written,
};
use quorate_protocol::layout::ConflictPolicy;

use super::{Target, Trouble};
use crate::args::BucketAndQuorum;
use crate::bench::{LoadArgs, keys};

pub(in crate::bench) struct QuorateTarget {
    way: Way,
    options: BucketAndQuorum,
    may_be_stale: bool,
    /// Without, what a put's context does not cover stays beside it.
    last_writer_wins: bool,
    /// Of each key, who do not see each other's values.
    writers: u32,
    /// By the key's number, and then the writer's.
    known: Mutex<Vec<Known>>,
}

enum Way {
    Unary(Client),
    Session(Session),
}

/// What a writer of a key has seen: all that share it are like one application that keeps the last context it was given.
#[derive(Clone, Default)]
struct Known {
    context: Context,
    /// How many writes have ended.
    writes: u32,
    /// Two writes overlapped, or nobody knows what became of one: no context covers all. A read gives one that does.
    must_read: bool,
}

impl QuorateTarget {
    pub(in crate::bench) async fn connect(endpoints: &[String], args: &LoadArgs) -> Result<Self> {
        let options = Options { session_in_flight: usize::MAX >> 4, ..Options::default() };
        let client = Client::connect_with(endpoints.iter().cloned(), options).await?;
        let (may_be_stale, last_writer_wins) = promises(&client.layout(), &args.options)?;
        let way = if args.target.session { Way::Session(client.session()) } else { Way::Unary(client) };
        let writers = args.target.siblings.unwrap_or(1);
        let known = Mutex::new(vec![Known::default(); args.keys as usize * writers as usize]);
        Ok(Self { way, options: args.options.clone(), may_be_stale, last_writer_wins, writers, known })
    }

    fn known(&self) -> MutexGuard<'_, Vec<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a writer of a key is: the first that has not written yet, or any.
    fn writer(&self, key: u32) -> usize {
        let (first, writers) = (key as usize * self.writers as usize, self.writers as usize);
        let known = self.known();
        let unused = known[first..first + writers].iter().position(|writer| writer.writes == 0);
        first + unused.unwrap_or_else(|| rand::random_range(0..writers))
    }

    /// Reads a key, and remembers its context if the writer's writes are all over: then it covers them. Says how many there were.
    async fn read(&self, key: u32, writer: usize) -> Result<(u32, Found), Error> {
        let writes = self.known()[writer].writes;
        let found = self.ask(key).await?;
        let known = &mut self.known()[writer];
        if known.writes == writes {
            known.context = found.context.clone();
            known.must_read = false;
        }
        Ok((writes, found))
    }

    async fn ask(&self, key: u32) -> Result<Found, Error> {
        let get = Get::new(keys::name(key))
            .bucket(&self.options.bucket)
            .quorum(self.options.quorum())
            .timeout(self.options.timeout);
        match &self.way {
            Way::Unary(client) => client.get(get).await,
            Way::Session(session) => session.get(get).await,
        }
    }

    async fn write(&self, key: u32, value: Bytes, context: Context) -> Result<Written, Error> {
        let put = Put::new(keys::name(key), value)
            .context(context)
            .bucket(&self.options.bucket)
            .quorum(self.options.quorum())
            .timeout(self.options.timeout);
        match &self.way {
            Way::Unary(client) => client.put(put).await,
            Way::Session(session) => session.put(put).await,
        }
    }

    /// What a writer learns from how its write ended, that began after so many others.
    fn learn(&self, writer: usize, writes_before: u32, written: &Result<Written, Error>) {
        let known = &mut self.known()[writer];
        match written {
            Ok(written) => {
                known.must_read |= known.writes != writes_before && !self.last_writer_wins;
                known.context = written.context.clone();
            }
            Err(error) if error.is_indeterminate() => known.must_read = !self.last_writer_wins,
            Err(_) => return,
        }
        known.writes = known.writes.wrapping_add(1);
    }
}

impl Target for QuorateTarget {
    async fn get(&self, key: u32) -> Result<Vec<Bytes>, Trouble> {
        let first = key as usize * self.writers as usize;
        let is_new = self.known()[first].writes == 0;
        let found = if self.writers == 1 || is_new {
            self.read(key, first).await?.1
        } else {
            // A writer that knew of all siblings would replace them.
            self.ask(key).await?
        };
        Ok(found.values.into_iter().map(|value| value.bytes).collect())
    }

    async fn put(&self, key: u32, value: Bytes) -> Result<u32, Trouble> {
        let writer = self.writer(key);
        let Known { mut context, mut writes, must_read } = self.known()[writer].clone();
        let mut reads = 0;
        if must_read {
            let (before, found) = self.read(key, writer).await?;
            (writes, context, reads) = (before, found.context, 1);
        }
        let mut written = self.write(key, value.clone(), context).await;
        let is_told_to_read = |error: &Error| error.reason().is_read_first();
        if reads == 0 && written.as_ref().is_err_and(is_told_to_read) {
            let (before, found) = self.read(key, writer).await?;
            (writes, reads) = (before, 1);
            written = self.write(key, value, found.context).await;
        }
        self.learn(writer, writes, &written);
        written?;
        Ok(reads)
    }

    fn siblings(&self) -> u32 {
        self.writers
    }

    fn may_be_stale(&self) -> bool {
        self.may_be_stale
    }

    fn mode(&self) -> String {
        match self.way {
            Way::Unary(_) => "unary".into(),
            Way::Session(_) => "session".into(),
        }
    }

    fn version(&self) -> Option<&str> {
        None
    }
}

/// Whether reads may be stale with these options, and whether the last writer wins.
fn promises(layout: &Layout, options: &BucketAndQuorum) -> Result<(bool, bool)> {
    let name = &options.bucket;
    let bucket = layout.bucket(name).with_context(|| format!("there is no bucket {name:?}"))?;
    let quorum = options.quorum();
    let (n, r, w) =
        (quorum.n.unwrap_or(bucket.n), quorum.r.unwrap_or(bucket.r), quorum.w.unwrap_or(bucket.w));
    let is_strict = quorum.mode.unwrap_or(bucket.mode) == QuorumMode::Strict;
    let last_writer_wins = bucket.conflict == ConflictPolicy::LastWriterWins;
    // By the clocks of several nodes the last write may be an earlier one; and values that expire are not there.
    let is_fresh = is_strict && r + w > n && !last_writer_wins && bucket.ttl_ms.is_none();
    Ok((!is_fresh, last_writer_wins))
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self { is_indeterminate: error.is_indeterminate(), text: error.to_string() }
    }
}
