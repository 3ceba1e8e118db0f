//! How far a change is, until it ends.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use quorate_proto::v1;
use serde::Serialize;

use super::carry_out::layout_at;
use super::known::{Known, Names};
use super::waits;
use crate::output;
use crate::progress::{Progress, Unit};
use crate::status::{Gathered, gather};

const LOOK: Duration = Duration::from_millis(200);
/// Links are made anew, and nodes are restarted: what is missing for less than this is not worth a word.
const STUCK: Duration = Duration::from_secs(3);

/// How a change ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// The layout is what was asked for.
    Done,
    /// Somebody has cancelled it.
    Cancelled,
}

/// The end of a change.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) epoch: u64,
    pub(super) outcome: Outcome,
    took: Duration,
}

impl Ended {
    pub(super) fn in_words(&self) -> String {
        let took = output::seconds(self.took);
        match self.outcome {
            Outcome::Done => format!("done in {took}; the epoch is {}", self.epoch),
            Outcome::Cancelled => format!("cancelled after {took}; the epoch is {}", self.epoch),
        }
    }
}

/// Shows how far the change of this layout is until it ends. `bytes`: what it moves, as far as that is known.
pub(super) async fn follow(known: &Known, layout: &v1::Layout, bytes: u64) -> Result<Ended> {
    let change = layout.change.as_ref().context("no change is under way")?;
    let names = Names::of(layout);
    let (mut epoch, mut lost) = (layout.epoch, change.lost.clone());
    let endpoints = vec![known.endpoint.clone()];
    let mut bar = Progress::new("moving", Unit::BytesOf(bytes));
    let mut total = bytes;
    let (mut said, mut addresses) = (Vec::new(), endpoints.clone());
    let mut goes_on = Instant::now();
    loop {
        // A member that has left is asked no more: it may be gone by now.
        let gathered = match gather(&addresses, false).await {
            Ok(gathered) => gathered,
            // All that were asked have gone; the first ones may be back.
            Err(_) => gather(&endpoints, false).await?,
        };
        let newest =
            gathered.answers.values().max_by_key(|status| status.epoch).context("no node answers")?;
        if newest.change.as_ref().is_none_or(|progress| progress.began != change.began) {
            let now = layout_at(&newest.grpc_address).await?;
            let took = bar.finish();
            let outcome = if reached(layout, change, &now) { Outcome::Done } else { Outcome::Cancelled };
            return Ok(Ended { epoch: now.epoch, outcome, took });
        }
        // Somebody may have declared another one lost meanwhile.
        if newest.epoch > epoch
            && let Ok(now) = layout_at(&newest.grpc_address).await
        {
            epoch = now.epoch;
            lost = now.change.map(|change| change.lost).unwrap_or_default();
        }
        addresses = gathered.answers.values().map(|status| status.grpc_address.clone()).collect();
        let state = State::of(&gathered, &names, &lost);
        total = total.max(state.pending);
        bar.set_total(total);
        bar.set(total - state.pending, &|| state.in_words());
        if !state.is_stuck {
            goes_on = Instant::now();
        } else if goes_on.elapsed() >= STUCK && state.waits != said {
            // On a line of its own, for it may stay so.
            bar.note(&format!("waits for {}", state.waits.join("; ")));
            said = state.waits;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether a layout is what a change was to lead to: another change may have begun since.
fn reached(began: &v1::Layout, change: &v1::Change, now: &v1::Layout) -> bool {
    let cancelled = |member: &v1::Member| change.added.contains(&member.node_id);
    let after = |id: u64| change.members.iter().any(|member| member.node_id == id);
    let here = |id: u64| now.members.iter().any(|member| member.node_id == id);
    // With members: who was added is there, and who was to leave has departed.
    let added = change.members.iter().filter(|member| cancelled(member)).all(|member| here(member.node_id));
    let left =
        began.members.iter().filter(|member| !after(member.node_id)).all(|member| !here(member.node_id));
    let sizes = change.sizes.iter().all(|sizes| {
        let bucket = now.buckets.iter().find(|bucket| bucket.bucket_id == sizes.bucket_id);
        bucket.is_none_or(|bucket| (bucket.n, bucket.r, bucket.w) == (sizes.n, sizes.r, sizes.w))
    });
    added && left && sizes && (now.n == change.n || now.change.is_some())
}

/// How far all nodes are.
struct State {
    stage: &'static str,
    paused: bool,
    pending: u64,
    rate: u64,
    /// Partitions that are done in this stage, and all of them; each counted at each node that has to do with it.
    done: u32,
    all: u32,
    /// Nodes that answer, and all that count: of the others nobody knows how far they are.
    answering: usize,
    nodes: usize,
    waits: Vec<String>,
    /// Whether something is needed that does not come by itself.
    is_stuck: bool,
}

impl State {
    fn of(gathered: &Gathered, names: &Names, lost: &[u64]) -> Self {
        let told: BTreeMap<u64, &v1::ChangeProgress> =
            gathered.answers.iter().filter_map(|(&id, status)| Some((id, status.change.as_ref()?))).collect();
        // Who is furthest tells the stage: the others follow.
        let furthest = told.values().max_by_key(|progress| progress.stage);
        let hands_over = furthest.is_some_and(|progress| progress.stage() == v1::ChangeStage::HandOver);
        let (done, all) = told.values().fold((0, 0), |(done, all), progress| match hands_over {
            false => (done + progress.caught_up, all + progress.gathers),
            true => (done + progress.handed_over, all + progress.leaves),
        });
        let mut waits = waits::all(names, told.iter().map(|(&id, &progress)| (id, progress)));
        let paused = furthest.is_some_and(|progress| progress.paused);
        let reach = |wait: &v1::ChangeWait| wait.kind() == v1::change_wait::Kind::Reach;
        let lacking = told.values().any(|progress| progress.waits.iter().any(reach));
        let silent = waits::silent(gathered, lost);
        let is_stuck = paused || lacking || !silent.is_empty();
        waits.extend(waits::for_silent(names, &silent));
        Self {
            stage: furthest.map_or("", |progress| waits::stage(progress)),
            paused,
            pending: told.values().map(|progress| progress.bytes_pending).sum(),
            rate: told.values().map(|progress| progress.bytes_per_s).sum(),
            done,
            all,
            answering: gathered.answers.len(),
            nodes: gathered.answers.len() + silent.len(),
            waits,
            is_stuck,
        }
    }

    fn in_words(&self) -> String {
        let mut words = format!("{} {}/{} partitions", self.stage, self.done, self.all);
        if self.answering < self.nodes {
            words.push_str(&format!(" of {} of {} nodes", self.answering, self.nodes));
        }
        if self.paused {
            words.push_str(", paused");
        } else if self.rate > 0 && self.pending > 0 {
            let left = Duration::from_secs(self.pending / self.rate.max(1));
            let (rate, left) = (output::bytes(self.rate), output::seconds(left));
            words.push_str(&format!(", {rate}/s, {left} left"));
        }
        if let Some(first) = self.waits.first() {
            let more = if self.waits.len() > 1 {
                format!(" (and {} more)", self.waits.len() - 1)
            } else {
                String::new()
            };
            words.push_str(&format!("; waits for {first}{more}"));
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(node_id: u64) -> v1::Member {
        v1::Member { node_id, name: format!("node-{node_id}"), ..Default::default() }
    }

    #[test]
    fn the_end_of_a_change_is_told_from_its_cancelling() {
        let change =
            v1::Change { n: 2, added: vec![3], members: vec![member(1), member(3)], ..Default::default() };
        let layout = |nodes: &[u64]| v1::Layout {
            n: 2,
            members: nodes.iter().map(|&node| member(node)).collect(),
            ..Default::default()
        };
        let began = v1::Layout { change: Some(change.clone()), ..layout(&[1, 2, 3]) };
        assert!(reached(&began, &change, &layout(&[1, 3])));
        assert!(!reached(&began, &change, &layout(&[1, 2])), "it was cancelled");
        let sizes = v1::SizesAfter { bucket_id: 7, n: 2, r: 2, w: 1 };
        let change = v1::Change {
            n: 2,
            members: vec![member(1), member(2)],
            sizes: vec![sizes],
            ..Default::default()
        };
        let bucket = |w| v1::Bucket { bucket_id: 7, n: 2, r: 2, w, ..Default::default() };
        let with = |w| v1::Layout { buckets: vec![bucket(w)], ..layout(&[1, 2]) };
        assert!(reached(&with(2), &change, &with(1)));
        assert!(!reached(&with(2), &change, &with(2)), "it was cancelled");
    }

    #[test]
    fn the_line_says_how_far_it_is_and_what_it_waits_for() {
        let wait =
            v1::ChangeWait { kind: v1::change_wait::Kind::CatchUp.into(), nodes: vec![3], partitions: 5 };
        let progress = v1::ChangeProgress {
            stage: v1::ChangeStage::Gather.into(),
            gathers: 8,
            caught_up: 3,
            bytes_pending: 10 << 20,
            bytes_per_s: 2 << 20,
            waits: vec![wait],
            ..Default::default()
        };
        let status = v1::StatusResponse { change: Some(progress), ..Default::default() };
        let gathered =
            Gathered { answers: BTreeMap::from([(3, status)]), names: BTreeMap::new(), silent: Vec::new() };
        let names = Names::of(&v1::Layout { members: vec![member(3)], ..Default::default() });
        let state = State::of(&gathered, &names, &[]);
        assert_eq!(
            state.in_words(),
            "gather 3/8 partitions, 2.00 MiB/s, 5.0 s left; waits for node-3 to catch up with 5 partitions"
        );
        assert!(!state.is_stuck);
    }

    #[test]
    fn who_does_not_answer_is_waited_for_unless_it_is_lost() {
        let silent =
            |node_id| (v1::Peer { node_id, ..Default::default() }, anyhow::anyhow!("connection refused"));
        let progress = v1::ChangeProgress {
            stage: v1::ChangeStage::Gather.into(),
            gathers: 8,
            caught_up: 3,
            ..Default::default()
        };
        let status = v1::StatusResponse { change: Some(progress), ..Default::default() };
        let gathered = Gathered {
            answers: BTreeMap::from([(3, status)]),
            names: BTreeMap::new(),
            silent: vec![silent(1), silent(2)],
        };
        let members = vec![member(1), member(2), member(3)];
        let names = Names::of(&v1::Layout { members, ..Default::default() });
        let state = State::of(&gathered, &names, &[1]);
        assert_eq!(
            state.in_words(),
            "gather 3/8 partitions of 1 of 2 nodes; waits for node-2, which does not answer"
        );
        assert!(state.is_stuck);
        let state = State::of(&gathered, &names, &[1, 2]);
        assert_eq!(state.in_words(), "gather 3/8 partitions");
        assert!(!state.is_stuck);
    }
}
