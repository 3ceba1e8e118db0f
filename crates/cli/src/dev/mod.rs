//! `quorate dev`: a whole cluster on this machine, each node a process of its own.

mod cluster;
mod control;
mod grow;
mod node;
mod ports;
mod process;
mod record;
mod setting;
mod supervise;

pub(crate) use cluster::{ClusterOptions, LocalCluster};
pub(crate) use control::{Connection, Controlled, Order};
pub(crate) use node::{NodeInfo, NodeState};
pub(crate) use setting::NodeSetting;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::args::Global;
use crate::layout::How;
use crate::output::Done;
use crate::settings::ClusterSettings;

/// Run a whole cluster on this machine.
///
/// Each node is a process of its own, with its data in a directory. Ctrl-C stops them and leaves the data; the next `dev` on
/// the same directory goes on with it.
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct DevArgs {
    #[command(subcommand)]
    command: Option<DevCommand>,
    /// How many nodes [default: 3].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=100))]
    nodes: Option<u16>,
    /// Where the data is, or shall be [default: a new directory among the temporary files].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    settings: ClusterSettings,
    /// Node i, counted from 0, listens on this + 10 i for gRPC, the next port for HTTP and the one after that for other
    /// nodes; 0: on free ports [default: 7700].
    #[arg(long, value_name = "PORT")]
    port_base: Option<u16>,
    /// Start a node that died again.
    #[arg(long)]
    restart: bool,
    /// Let `quorate chaos` (and whoever else reaches them) make the nodes lose messages or hold them up, in this run.
    #[arg(long)]
    unsafe_fault_injection: bool,
    /// Give all nodes a setting in this run, such as message_age_ms=1000 (the names are those of a node's configuration file);
    /// may be repeated.
    #[arg(long = "node-setting", value_name = "NAME=VALUE")]
    node_settings: Vec<NodeSetting>,
}

/// What a running `dev` is told.
#[derive(Clone, Debug, Subcommand)]
enum DevCommand {
    /// Start one node more, and give it its share of the data.
    Add {
        /// The data directory of the `dev` [default: that of the node at --endpoint].
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
        /// The new node's failure zone.
        #[arg(long, default_value = "", hide_default_value = true)]
        zone: String,
        /// Its share of the data relative to the others'.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        weight: u32,
        /// Do not wait until it has its share.
        #[arg(long)]
        no_wait: bool,
    },
    /// Remove a node: it is stopped once what it holds is elsewhere.
    Remove {
        /// The node by number, name or id, as `quorate members list` shows them.
        node: String,
        /// The data directory of the `dev` [default: that of the node at --endpoint].
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
    },
}

pub(crate) async fn run(args: DevArgs, global: &Global) -> Result<Done> {
    match args.command {
        None => supervise::run(args, global.output).await,
        Some(DevCommand::Add { data, zone, weight, no_wait }) => {
            let how = How { no_wait, ..How::default() };
            grow::add(data.as_deref(), zone, weight, &how, global).await
        }
        Some(DevCommand::Remove { node, data }) => grow::remove(data.as_deref(), &node, global).await,
    }
}
