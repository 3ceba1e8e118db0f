//! `quorate dev`: a whole cluster on this machine, each node a process of its own.

mod cluster;
mod control;
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
pub(crate) use supervise::run;

use std::path::PathBuf;

use clap::Args;

use crate::settings::ClusterSettings;

/// Run a whole cluster on this machine.
///
/// Each node is a process of its own, with its data in a directory. Ctrl-C stops them and leaves the data; the next `dev` on
/// the same directory goes on with it.
#[derive(Clone, Debug, Args)]
pub(crate) struct DevArgs {
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
