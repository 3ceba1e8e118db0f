//! `quorate-node`: one node in a process of its own.

use clap::Parser;
use quorate_node::config::Args;

/// Many threads take and give small pieces all the time: the system's allocator shows in profiles.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// One node of a Quorate cluster
#[derive(Debug, Parser)]
#[command(name = "quorate-node", version)]
struct Command {
    #[command(flatten)]
    args: Args,
}

fn main() -> anyhow::Result<()> {
    quorate_node::start::main(&Command::parse().args)
}
