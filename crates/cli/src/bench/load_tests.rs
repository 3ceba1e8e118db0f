//! A load on a system that keeps its promises, and on some that do not.

#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected stops there")]

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use clap::Parser as _;

use super::*;

/// What is wrong with a system, once in a while.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    ForgetsWrites,
    MixesKeysUp,
    Refuses,
}

struct Memory {
    fault: Fault,
    turn: AtomicU32,
    values: Mutex<HashMap<u32, Bytes>>,
}

impl Memory {
    fn new(fault: Fault) -> Self {
        Self { fault, turn: AtomicU32::new(0), values: Mutex::default() }
    }

    /// Not while the keys are prepared.
    fn strikes(&self, fault: Fault) -> bool {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        self.fault == fault && turn > 1000 && turn.is_multiple_of(7)
    }
}

impl Target for Memory {
    async fn get(&self, key: u32) -> Result<Vec<Bytes>, Trouble> {
        tokio::task::yield_now().await;
        let key = if self.strikes(Fault::MixesKeysUp) { 0 } else { key };
        Ok(self.values.lock().unwrap().get(&key).cloned().into_iter().collect())
    }

    async fn put(&self, key: u32, value: Bytes) -> Result<u32, Trouble> {
        tokio::task::yield_now().await;
        if self.strikes(Fault::Refuses) {
            return Err(Trouble { text: "no".into(), is_indeterminate: false });
        }
        if !self.strikes(Fault::ForgetsWrites) {
            self.values.lock().unwrap().insert(key, value);
        }
        tokio::task::yield_now().await;
        Ok(0)
    }

    fn may_be_stale(&self) -> bool {
        false
    }

    fn mode(&self) -> String {
        "memory".into()
    }

    fn version(&self) -> Option<&str> {
        None
    }
}

/// A load as the command line has it.
#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    load: LoadArgs,
}

async fn report(workload: Workload, fault: Fault) -> Report {
    // So many keys that some fault hits the last write of one; so few workers that the ledger knows what came last.
    let line = "load --keys 200 --concurrency 2 --seconds 0.2 --warm-up 0s";
    let args = Line::parse_from(line.split(' ')).load;
    let report = measure(Memory::new(fault), workload, &args).await.unwrap();
    assert!(report.measured.latency.operations > 100);
    report
}

#[tokio::test]
async fn a_system_that_keeps_its_promises_gives_no_wrong_answer() {
    for workload in [Workload::A, Workload::B, Workload::C, Workload::F, Workload::Put] {
        let report = report(workload, Fault::None).await;
        assert_eq!((report.wrong_answers.len(), report.measured.errors), (0, 0), "{workload:?}");
    }
}

#[tokio::test]
async fn lost_writes_and_mixed_up_keys_show() {
    for (workload, fault) in [
        (Workload::A, Fault::ForgetsWrites),
        (Workload::F, Fault::ForgetsWrites),
        (Workload::Put, Fault::ForgetsWrites),
        (Workload::C, Fault::MixesKeysUp),
    ] {
        let report = report(workload, fault).await;
        assert!(!report.wrong_answers.is_empty(), "{workload:?}");
    }
}

#[tokio::test]
async fn what_is_refused_is_an_error_and_not_wrong() {
    let report = report(Workload::A, Fault::Refuses).await;
    assert!(report.wrong_answers.is_empty() && report.measured.errors > 0);
}
