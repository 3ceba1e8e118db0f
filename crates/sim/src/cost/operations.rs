//! What an operation costs: at an owner of its key, and at a node that has to pass it on.

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use quorate_protocol::Limits;
use quorate_protocol::id::OperationId;
use quorate_protocol::layout::Layout;
use quorate_protocol::operation::{Delete, Get, Operation, Outcome, Put, QuorumOptions, Ttl};
use quorate_protocol::version::{ContentType, ContextToken};

use super::count::{Counts, is_background};
use super::fleet::Fleet;
use super::{Row, Size, model};

/// Of each kind, each with a key of its own.
const RUNS: usize = 24;

const KINDS: [(&str, &str); 4] = [
    ("a put", "a put that is passed on"),
    ("a get", "a get that is passed on"),
    ("a delete", "a delete that is passed on"),
    ("a delete without context", "a delete without context that is passed on"),
];

/// Counts what puts, gets and deletes cost in a cluster of this size.
pub fn operations(size: Size) -> Result<Vec<Row>> {
    let mut fleet = Fleet::new(size, 0, &Limits::default())?;
    fleet.settle()?;
    let mut rows = Vec::new();
    for forwarded in [false, true] {
        if forwarded && size.nodes <= size.n as usize {
            continue;
        }
        let mut counted = [0; KINDS.len()];
        for run in 0..RUNS {
            let key = Bytes::from(format!("{}{run}", if forwarded { "other" } else { "owner" }));
            let at = asked(&fleet, &key, forwarded, run)?;
            for (count, blind) in [(2, false), (3, true)] {
                counted[0] += written(&mut fleet, at, put(&key, count * RUNS + run))?.0;
                let (sent, context) = found(&mut fleet, at, get(&key))?;
                counted[1] += sent;
                let context = if blind { ContextToken::new() } else { context };
                let delete = Delete { bucket: String::new(), key: key.clone(), context, quorum: quorum() };
                counted[count] += written(&mut fleet, at, Operation::Delete(delete))?.0;
            }
        }
        let runs = [2 * RUNS, 2 * RUNS, RUNS, RUNS];
        let write = model::write(size, forwarded);
        let models = [write, model::read(size, forwarded), write, model::blind_delete(size, forwarded)];
        for (at, (counted, model)) in counted.into_iter().zip(models).enumerate() {
            let what = if forwarded { KINDS[at].1 } else { KINDS[at].0 };
            let counted = counted as f64 / runs[at] as f64;
            rows.push(Row { size, part: "operation", what, counted, model, within: 0.0 });
        }
    }
    Ok(rows)
}

/// The machine that is asked: an owner of the key, another one each time, or one that is none.
fn asked(fleet: &Fleet, key: &Bytes, forwarded: bool, run: usize) -> Result<usize> {
    let layout: &Layout = fleet.layout();
    let bucket = layout.bucket("").context("there is a bucket")?;
    let owners = layout.owners(layout.partition_of(bucket.id, key));
    let members = layout.members.iter().map(|member| member.node);
    let all: Vec<_> = members.filter(|node| owners.contains(node) != forwarded).collect();
    Ok(fleet.machine(all[run % all.len()]))
}

fn sent(fleet: &mut Fleet, at: usize, operation: Operation) -> Result<(u64, Outcome)> {
    let before: Counts = fleet.counts.clone();
    let outcome = fleet.operate(at, operation)?;
    let sent = fleet.counts.since(&before);
    Ok((sent.iter().filter(|(kind, _)| !is_background(kind)).map(|(_, count)| count).sum(), outcome))
}

fn written(fleet: &mut Fleet, at: usize, operation: Operation) -> Result<(u64, ContextToken)> {
    match sent(fleet, at, operation)? {
        (count, Outcome::Put(written) | Outcome::Delete(written)) => Ok((count, written.context)),
        (_, other) => bail!("a write is answered with {other:?}"),
    }
}

fn found(fleet: &mut Fleet, at: usize, operation: Operation) -> Result<(u64, ContextToken)> {
    match sent(fleet, at, operation)? {
        (count, Outcome::Get(found)) => {
            ensure!(found.siblings.len() == 1, "what was put is there");
            Ok((count, found.context))
        }
        (_, other) => bail!("a read is answered with {other:?}"),
    }
}

/// A put of a small value.
pub(super) fn put(key: &Bytes, number: usize) -> Operation {
    Operation::Put(Put {
        bucket: String::new(),
        key: key.clone(),
        value: Bytes::from(format!("v{number}")),
        content_type: ContentType::OctetStream,
        context: ContextToken::new(),
        operation: OperationId(operation_id(key, number)),
        ttl: Ttl::Never,
        quorum: quorum(),
    })
}

/// Another one for each put.
fn operation_id(key: &Bytes, number: usize) -> u128 {
    key.iter().fold(number as u128 + 1, |id, byte| id.wrapping_mul(1_000_003) ^ u128::from(*byte))
}

fn get(key: &Bytes) -> Operation {
    Operation::Get(Get { bucket: String::new(), key: key.clone(), quorum: quorum() })
}

fn quorum() -> QuorumOptions {
    QuorumOptions::default()
}
