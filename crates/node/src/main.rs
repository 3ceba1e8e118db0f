//! `quorate-node`: one node in a process of its own.

use clap::{Parser, Subcommand};
use quorate_node::DrainArgs;
use quorate_node::config::Args;

/// Many threads take and give small pieces all the time: the system's allocator shows in profiles.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// One node of a Quorate cluster
#[derive(Debug, Parser)]
#[command(name = "quorate-node", version, args_conflicts_with_subcommands = true)]
struct Command {
    #[command(flatten)]
    args: Args,
    #[command(subcommand)]
    instead: Option<Instead>,
}

/// What there is to do beside running a node.
#[derive(Debug, Subcommand)]
enum Instead {
    Drain(DrainArgs),
}

fn main() -> anyhow::Result<()> {
    let command = Command::parse();
    match command.instead {
        None => quorate_node::start::main(&command.args),
        Some(Instead::Drain(args)) => quorate_node::drain(&args),
    }
}
