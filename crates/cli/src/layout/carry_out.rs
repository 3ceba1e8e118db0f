//! What every command that changes the layout does: show what would move, have it changed, show how far that is.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Args;
use quorate_proto::v1;
use quorate_proto::v1::change_layout_request::Order;
use serde_json::json;

use super::ask::ask;
use super::follow::{Outcome, follow};
use super::known::Known;
use super::plan::Plan;
use crate::admin;
use crate::args::Global;
use crate::output::{self, Format};

/// Until all members that answer hold a new layout.
const SPREAD_PATIENCE: Duration = Duration::from_secs(5);
const SPREAD_LOOK: Duration = Duration::from_millis(20);

/// How far to go.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct How {
    /// Only say what would be moved, and change nothing.
    #[arg(long)]
    pub(crate) plan: bool,
    /// Do not wait for the end of the change.
    #[arg(long)]
    pub(crate) no_wait: bool,
}

/// Carries an order out as far as it is wanted.
pub(crate) async fn carry_out(known: &Known, order: Order, how: &How, global: &Global) -> Result<()> {
    let mut plan = None;
    if how.plan || matches!(order, Order::Alter(_)) {
        let preview = Plan::of(known, &ask(known, &order, true).await?);
        if global.output == Format::Table {
            preview.show()?;
        }
        plan = Some(preview);
    }
    if how.plan {
        if global.output == Format::Json {
            output::json(&json!({ "plan": plan, "applied": false }))?;
        }
        return Ok(());
    }
    let layout = ask(known, &order, false).await?.layout.context("the node answers without a layout")?;
    spread(known, &layout).await;
    let bytes = plan.as_ref().map_or(0, Plan::bytes);
    let ended = match layout.change {
        Some(_) if !how.no_wait => Some(follow(known, &layout, bytes).await?),
        _ => None,
    };
    let epoch = ended.as_ref().map_or(layout.epoch, |ended| ended.epoch);
    let stable = ended.is_some() || layout.change.is_none();
    if global.output == Format::Json {
        let outcome = ended.as_ref().map(|ended| ended.outcome);
        return output::json(
            &json!({ "plan": plan, "applied": true, "epoch": epoch, "stable": stable, "outcome": outcome }),
        );
    }
    output::line(match (&ended, stable) {
        (Some(ended), _) => ended.in_words(),
        (None, true) => format!("the layout is changed; its epoch is {epoch}"),
        (None, false) => {
            format!("the change is under way since epoch {epoch}; `quorate layout show` tells how far it is")
        }
    })
}

/// Waits for the end of the change under way.
pub(super) async fn wait(known: &Known, global: &Global) -> Result<()> {
    let (epoch, outcome, words) = match known.layout.change {
        None => (
            known.layout.epoch,
            Outcome::Done,
            format!("no change is under way; the epoch is {}", known.layout.epoch),
        ),
        Some(_) => {
            let ended = follow(known, &known.layout, 0).await?;
            (ended.epoch, ended.outcome, ended.in_words())
        }
    };
    match global.output {
        Format::Json => output::json(&json!({ "epoch": epoch, "stable": true, "outcome": outcome })),
        Format::Table => output::line(words),
    }
}

/// Waits a little until the members that answer hold it: who asks next may ask any of them.
async fn spread(known: &Known, layout: &v1::Layout) {
    let give_up = Instant::now() + SPREAD_PATIENCE;
    while Instant::now() < give_up {
        let Ok(gathered) = crate::status::gather(std::slice::from_ref(&known.endpoint), false).await else {
            return;
        };
        let member = |id: u64| layout.members.iter().any(|member| member.node_id == id);
        if gathered.answers.iter().all(|(&id, status)| status.epoch >= layout.epoch || !member(id)) {
            return;
        }
        tokio::time::sleep(SPREAD_LOOK).await;
    }
    output::note("not all members hold the new layout yet");
}

/// The layout that a node holds now.
pub(super) async fn layout_at(address: &str) -> Result<v1::Layout> {
    admin::layout(address).await
}
