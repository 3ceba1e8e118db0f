//! `quorate chaos`: breaks a cluster on purpose, and mends it again.
//!
//! | file | what it does |
//! | --- | --- |
//! | `action` | what can be done, as it is typed |
//! | `target` | which cluster it is done to |
//! | `apply` | does it |
//! | `faults` | loss and delay: telling the nodes, showing what they do |
//! | `schedule`, `random` | many actions with their times |
//! | `run` | carries a schedule out and mends everything afterwards |

mod action;
mod apply;
mod faults;
mod random;
mod run;
mod schedule;
mod show;
mod target;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::json;

use self::action::Action;
use self::random::RandomArgs;
use self::run::RunArgs;
use self::target::Target;
use crate::args::Global;
use crate::output::{self, Done, Format};

/// Break a cluster on purpose: kill, pause, partition, lose, delay; and mend it again.
///
/// Nodes are named by number (1 is the first), by name (node-1) or by id, as `quorate chaos show` shows them. Killing, pausing and reviving need the `quorate dev` that
/// runs the nodes; partitions, loss and delay need nodes that were started with --unsafe-fault-injection.
#[derive(Debug, Args)]
#[command(after_help = "Example, with `quorate dev --unsafe-fault-injection` running:
  quorate chaos partition 1 2,3     node 1 on one side, the other two on the other
  quorate chaos show
  quorate chaos heal
  quorate chaos random --for 60s    something breaks every 5 s, and everything is mended at the end")]
pub(crate) struct ChaosArgs {
    /// The data directory of the running `quorate dev` [default: that of the node at --endpoint].
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(subcommand)]
    command: ChaosCommand,
}

#[derive(Debug, Subcommand)]
enum ChaosCommand {
    #[command(flatten)]
    Action(Action),
    /// Show the nodes, and what is wrong with them on purpose.
    Show,
    Run(RunArgs),
    Random(RandomArgs),
}

pub(crate) async fn run(args: ChaosArgs, global: &Global) -> Result<Done> {
    // What is no schedule is told before a cluster is looked for.
    let schedule = match &args.command {
        ChaosCommand::Run(args) => Some(args.read()?),
        ChaosCommand::Random(args) => Some(args.schedule()),
        ChaosCommand::Action(_) | ChaosCommand::Show => None,
    };
    let mut target = Target::find(args.data.as_deref(), &global.endpoint).await?;
    if let Some(schedule) = schedule {
        return run::run(&mut target, &schedule, global.output).await;
    }
    match args.command {
        ChaosCommand::Action(action) => {
            let notes = apply::apply(&mut target, &action).await?;
            match global.output {
                Format::Json => output::json(&json!({ "action": action.to_string(), "notes": notes }))?,
                Format::Table => notes.iter().try_for_each(output::line)?,
            }
        }
        ChaosCommand::Show | ChaosCommand::Run(_) | ChaosCommand::Random(_) => {
            show::show(&target, global.output).await?;
        }
    }
    Ok(Done::Ok)
}
