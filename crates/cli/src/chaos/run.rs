//! Carries a schedule out, and mends everything afterwards.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde::Serialize;
use tokio::time::Instant;

use super::action::{Action, NodeName, time};
use super::apply;
use super::schedule::{self, Line, Schedule, Step};
use super::target::Target;
use crate::dev::NodeState;
use crate::output::{self, Done, Format};
use crate::signals::Signals;

/// How often mending is tried, and the pause between.
const MEND_TRIES: u32 = 5;
const MEND_PAUSE: Duration = Duration::from_secs(1);

/// Do many things, each at its time, and mend everything at the end (and after Ctrl-C).
#[derive(Debug, Args)]
#[command(after_help = schedule::HELP)]
pub(super) struct RunArgs {
    /// The file with the schedule; -: standard input.
    schedule: PathBuf,
}

impl RunArgs {
    pub(super) fn read(&self) -> Result<Schedule> {
        let shown = self.schedule.display();
        let text = if self.schedule.as_os_str() == "-" {
            std::io::read_to_string(std::io::stdin()).context("reading standard input")?
        } else {
            std::fs::read_to_string(&self.schedule).with_context(|| format!("reading {shown}"))?
        };
        let mut schedule = Schedule::parse(&text).with_context(|| shown.to_string())?;
        for (_, line) in &mut schedule.lines {
            if let Line::Random(random) = line {
                *random = random.seeded();
            }
        }
        Ok(schedule)
    }
}

/// One thing that was done, as a line of JSON.
#[derive(Serialize)]
struct Told<'a> {
    at_ms: u128,
    action: String,
    notes: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Tells what happens while it happens.
struct Teller {
    begun: Instant,
    format: Format,
    failed: usize,
}

impl Teller {
    fn tell(&mut self, action: &Action, done: &Result<Vec<String>>) -> Result<()> {
        let at = self.begun.elapsed();
        let error = done.as_ref().err().map(|error| format!("{error:#}"));
        self.failed += usize::from(error.is_some());
        let notes = done.as_deref().unwrap_or_default();
        if self.format == Format::Json {
            return output::json(&Told { at_ms: at.as_millis(), action: action.to_string(), notes, error });
        }
        let outcome = error.map_or_else(|| notes.join("; "), |error| format!("FAILED: {error}"));
        output::line(format!("{:7.1}s  {:<24}  {outcome}", at.as_secs_f64(), action.to_string()))
    }
}

/// Does all of a schedule. Fails when something in it failed, when it was interrupted, and when not all could be mended.
pub(super) async fn run(target: &mut Target, schedule: &Schedule, format: Format) -> Result<Done> {
    let steps = schedule.steps(target.nodes.len())?;
    // What cannot work is told before anything is broken.
    for step in &steps {
        apply::check(target, &step.action).with_context(|| step.action.to_string())?;
    }
    for (_, line) in &schedule.lines {
        // Told of every seed, not of those alone that draw such a fault.
        if let Line::Random(random) = line
            && random.touches_messages()
        {
            target.require_fault_injection()?;
        }
    }
    let mut signals = Signals::new()?;
    for (_, line) in &schedule.lines {
        if let Line::Random(random) = line {
            output::note(random.shown());
        }
    }
    let duration = schedule.duration();
    output::note(format!("{} steps in {}; Ctrl-C ends it and mends everything", steps.len(), time(duration)));
    let mut teller = Teller { begun: Instant::now(), format, failed: 0 };
    let ended = tokio::select! {
        ended = carry_out(target, &steps, duration, &mut teller) => ended,
        () = signals.next() => Err(anyhow::anyhow!("interrupted")),
    };
    output::note("mending everything");
    tokio::select! {
        mended = mend(target, &mut teller) => mended.context("not everything is mended")?,
        () = signals.next() => bail!("interrupted again: not everything is mended"),
    }
    if let Err(error) = ended {
        bail!("{error:#}; everything is mended");
    }
    if teller.failed > 0 {
        bail!("{} of the actions failed; everything is mended", teller.failed);
    }
    Ok(Done::Ok)
}

async fn carry_out(
    target: &mut Target,
    steps: &[Step],
    duration: Duration,
    teller: &mut Teller,
) -> Result<()> {
    for step in steps {
        tokio::time::sleep_until(teller.begun + step.at).await;
        let done = apply::apply(target, &step.action).await;
        teller.tell(&step.action, &done)?;
        if done.is_err() {
            target.refresh().await.context("the cluster is gone")?;
        }
    }
    tokio::time::sleep_until(teller.begun + duration).await;
    Ok(())
}

/// Resumes, revives and heals all. A node that has just come back may need a moment, so it is tried more than once.
async fn mend(target: &mut Target, teller: &mut Teller) -> Result<()> {
    for _ in 1..MEND_TRIES {
        if try_to_mend(target, teller).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(MEND_PAUSE).await;
    }
    try_to_mend(target, teller).await
}

async fn try_to_mend(target: &mut Target, teller: &mut Teller) -> Result<()> {
    target.refresh().await?;
    let mut actions = Vec::new();
    for (at, node) in target.nodes.iter().enumerate() {
        let name = NodeName::number(at);
        match node.process {
            Some((NodeState::Paused, _)) => actions.push(Action::Resume { node: name }),
            Some((NodeState::Dead, _)) => actions.push(Action::Revive { node: name }),
            Some((NodeState::Running, _)) | None => {}
        }
    }
    if target.fault_injection {
        actions.push(Action::Heal);
    }
    for action in actions {
        let notes = apply::apply(target, &action).await?;
        // Nobody may be listening any more, and that is the more reason to go on.
        let _ = teller.tell(&action, &Ok(notes));
    }
    Ok(())
}
