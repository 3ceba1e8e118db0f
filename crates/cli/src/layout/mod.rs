//! `quorate layout`: who owns what, and giving the cluster another layout.
//!
//! | file | what it does |
//! | --- | --- |
//! | `known` | the layout as a node tells it, and which node is meant by a name |
//! | `ask` | asks for a change, and again where that is harmless |
//! | `plan` | shows what a change would move |
//! | `carry_out` | preview, change, progress: what every command that changes the layout does |
//! | `follow`, `waits` | how far a change is, and what it waits for |
//! | `votes` | whether the voters that answer can agree on a change |
//! | `show`, `svg` | the layout as a table and as a picture |

mod ask;
mod carry_out;
mod follow;
mod known;
mod plan;
mod show;
mod svg;
mod votes;
mod waits;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use quorate_proto::v1;
use quorate_proto::v1::change_layout_request::Order;

pub(crate) use carry_out::{How, carry_out};
pub(crate) use known::{Known, MemberSpec};
pub(crate) use votes::MissingVotes;

use crate::args::Global;
use crate::output::Done;

#[derive(Debug, Subcommand)]
pub(crate) enum LayoutCommand {
    /// Show who owns what, and the change under way.
    Show {
        /// Write a picture of the ring to this file.
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
    },
    /// Say what a change would move, and change nothing.
    Plan(ChangeArgs),
    /// Change the layout, and show how far that is.
    Apply {
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        how: How,
    },
    /// Wait for the end of the change under way.
    Wait,
    /// Let the change under way move nothing for now.
    Pause,
    /// Let it go on.
    Resume,
    /// Go back to what was before, as long as reads have not moved to the new owners.
    Cancel,
    /// Give up what only lost nodes held, where too few old owners are left to gather from.
    AcceptLoss {
        /// Say that this is meant: it cannot be taken back.
        #[arg(long, required = true)]
        yes: bool,
    },
    /// Declare nodes gone for good with all they held, so that nobody waits for them; others take their place.
    Lost {
        /// Nodes by number, name or id.
        #[arg(required = true)]
        nodes: Vec<String>,
        #[command(flatten)]
        how: How,
    },
}

/// What is to be different, all in one change.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ChangeArgs {
    /// How many nodes hold each key: of the whole cluster, and of the default bucket.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    n: Option<u32>,
    /// How many of them must answer a read of the default bucket.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    r: Option<u32>,
    /// How many of them must acknowledge a write to the default bucket.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    w: Option<u32>,
    /// Add a running node by its gRPC address: host:port, or host:port,name=a,zone=z,weight=2; may be repeated.
    #[arg(long, value_name = "ADDRESS")]
    add: Vec<MemberSpec>,
    /// Remove a member by number, name or id, once what it holds is elsewhere; may be repeated.
    #[arg(long, value_name = "NODE")]
    remove: Vec<String>,
    /// Replace a member that is gone for good; may be repeated.
    #[arg(long, value_name = "NODE")]
    lost: Vec<String>,
}

impl ChangeArgs {
    async fn alteration(&self, known: &Known) -> Result<v1::Alteration> {
        let sizes = v1::BucketSizes { bucket: String::new(), n: self.n, r: self.r, w: self.w };
        let has_sizes = self.n.is_some() || self.r.is_some() || self.w.is_some();
        Ok(v1::Alteration {
            add: known.introduce(&self.add).await?,
            remove: known.resolve_all(&self.remove)?,
            lost: known.resolve_all(&self.lost)?,
            n: self.n,
            sizes: has_sizes.then_some(sizes).into_iter().collect(),
            ..Default::default()
        })
    }
}

pub(crate) async fn run(command: LayoutCommand, global: &Global) -> Result<Done> {
    let known = Known::ask(&global.endpoint).await?;
    match command {
        LayoutCommand::Show { svg } => show::run(&known, svg.as_deref(), global).await?,
        LayoutCommand::Plan(change) => {
            let order = Order::Alter(change.alteration(&known).await?);
            let how = How { plan: true, ..How::default() };
            carry_out(&known, order, &how, global).await?;
        }
        LayoutCommand::Apply { change, how } => {
            let order = Order::Alter(change.alteration(&known).await?);
            carry_out(&known, order, &how, global).await?;
        }
        LayoutCommand::Wait => carry_out::wait(&known, global).await?,
        LayoutCommand::Pause => at_once(&known, Order::Pause(v1::Pause {}), global).await?,
        LayoutCommand::Resume => at_once(&known, Order::Resume(v1::Resume {}), global).await?,
        LayoutCommand::Cancel => at_once(&known, Order::Cancel(v1::Cancel {}), global).await?,
        LayoutCommand::AcceptLoss { yes: _ } => {
            at_once(&known, Order::AcceptLoss(v1::AcceptLoss {}), global).await?;
        }
        LayoutCommand::Lost { nodes, how } => {
            let nodes = known.resolve_all(&nodes)?;
            // In a change they are struck from it; without one a change begins that replaces them.
            let order = match known.layout.change {
                Some(_) => Order::DeclareLost(v1::DeclareLost { nodes }),
                None => Order::Alter(v1::Alteration { lost: nodes, ..Default::default() }),
            };
            carry_out(&known, order, &how, global).await?;
        }
    }
    Ok(Done::Ok)
}

/// Orders to a change that is under way are done when they are chosen.
async fn at_once(known: &Known, order: Order, global: &Global) -> Result<()> {
    let how = How { no_wait: true, ..How::default() };
    carry_out(known, order, &how, global).await
}
