//! What was acknowledged, and a check that it is there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use quorate_proto::v1::{GetResponse, PutResponse};
use tonic::Status;

use super::load::Clients;

/// Keys that are read back at a time, over one connection to each node: ten minutes' worth of them, one after another,
/// takes longer than writing them did.
const IN_FLIGHT: usize = 48;
/// Attempts at reading a key back.
const READ_ATTEMPTS: usize = 3;
/// Between two words on how far the check is.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// A bucket and a key in it.
type Named = (String, String);

/// What must be so in the end.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Lines that must be among those of the key's siblings.
    present: BTreeMap<Named, BTreeSet<String>>,
    /// Keys without a value.
    pub(super) absent: BTreeSet<Named>,
    /// Operations that were acknowledged.
    pub(crate) acknowledged: u64,
    /// Puts that needed their second attempt.
    pub(crate) retried: u64,
    /// What those were told that failed twice.
    pub(crate) failures: Vec<String>,
}

impl Ledger {
    pub(crate) fn add(&mut self, other: Self) {
        for (named, lines) in other.present {
            self.present.entry(named).or_default().extend(lines);
        }
        self.absent.extend(other.absent);
        self.acknowledged += other.acknowledged;
        self.retried += other.retried;
        self.failures.extend(other.failures);
    }

    /// This line of this key was acknowledged.
    pub(crate) fn expect(&mut self, bucket: &str, key: &str, line: &str) {
        self.present.entry((bucket.into(), key.into())).or_default().insert(line.into());
    }

    /// Counts it, and returns what it was if it was acknowledged.
    pub(super) fn put(&mut self, put: Result<(PutResponse, bool), Status>) -> Option<(PutResponse, bool)> {
        match put {
            Ok((written, at_once)) => {
                self.acknowledged += 1;
                self.retried += u64::from(!at_once);
                Some((written, at_once))
            }
            Err(status) => {
                self.failures.push(format!("{:?}: {}", status.code(), status.message()));
                None
            }
        }
    }

    /// Reads everything back through all nodes, some keys at a time; says what is missing and what has come back.
    pub(crate) async fn check(&self, clients: &Clients) -> Vec<String> {
        let present = self.present.iter().map(|(named, lines)| (named, Some(lines)));
        let absent = self.absent.iter().map(|named| (named, None));
        let mut checks = stream::iter(present.chain(absent).enumerate())
            .map(|(turn, (named, expected))| check_key(clients, turn, named, expected))
            .buffer_unordered(IN_FLIGHT);
        let (mut wrong, mut checked, begun) = (Vec::new(), 0, Instant::now());
        let mut told = begun;
        while let Some(found) = checks.next().await {
            wrong.extend(found);
            checked += 1;
            if told.elapsed() >= TELL_EVERY {
                told = Instant::now();
                tell(format_args!("{checked} of {} keys read back, {} wrong", self.keys(), wrong.len()));
            }
        }
        tell(format_args!("{checked} keys read back in {:?}", begun.elapsed()));
        wrong
    }

    /// Keys that are checked.
    pub(crate) fn keys(&self) -> usize {
        self.present.len() + self.absent.len()
    }
}

/// What is wrong with one key.
async fn check_key(
    clients: &Clients,
    turn: usize,
    named: &Named,
    expected: Option<&BTreeSet<String>>,
) -> Vec<String> {
    let mut attempts = 1;
    let found = loop {
        match clients.get(turn, &named.0, &named.1).await {
            Ok(found) => break found,
            // Whether a busy machine answers in time is not what is checked here.
            Err(_) if attempts < READ_ATTEMPTS => attempts += 1,
            Err(status) => panic!("{named:?} cannot be read: {status}"),
        }
    };
    let lines = lines(&found);
    match expected {
        None if found.siblings.is_empty() => Vec::new(),
        None => vec![format!("{named:?} was deleted: {lines:?}")],
        Some(expected) => {
            expected.difference(&lines).map(|line| format!("{named:?} has lost {line}")).collect()
        }
    }
}

#[allow(clippy::print_stdout, reason = "the progress is for who runs the tests")]
fn tell(what: std::fmt::Arguments<'_>) {
    println!("{what}");
}

/// The lines of all siblings.
pub(super) fn lines(found: &GetResponse) -> BTreeSet<String> {
    let texts = found.siblings.iter().map(|sibling| String::from_utf8_lossy(&sibling.value).into_owned());
    texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}
