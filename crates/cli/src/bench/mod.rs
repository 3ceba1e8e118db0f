//! `quorate bench`: how fast it is, and how consistent.

mod ceilings;
mod cpu;
mod echo;
mod keyspace;
mod load;
mod observe;
mod report;

use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::args::{BucketAndQuorum, Global, duration};
use crate::output::Done;

/// Measure.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, subcommand_negates_reqs = true)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    observe: observe::ObserveArgs,
    #[command(subcommand)]
    command: Option<BenchCommand>,
}

#[derive(Debug, Subcommand)]
enum BenchCommand {
    /// Overwrite keys at random. Each put carries what its writer last saw of the key, as a client's would.
    Put(LoadArgs),
    /// Read keys at random; those that are missing are stored first.
    Get(LoadArgs),
    /// What this machine could do at best: bare unary gRPC calls, and synced writes to disk. For the ratio.
    Ceilings(CeilingsArgs),
}

/// A closed loop, with a fixed number of operations under way, each followed at once by the next; or with --rate an open one,
/// whose operations are due at fixed times.
#[derive(Clone, Debug, Args)]
struct LoadArgs {
    /// Through a pipelined session instead of unary calls.
    #[arg(long)]
    session: bool,
    /// Operations under way at once.
    #[arg(long, default_value_t = 96, value_parser = clap::value_parser!(u32).range(1..=65536))]
    concurrency: u32,
    /// So many operations a second, however long each takes: its latency counts from when it was due, so that one which waits for
    /// others is seen to wait. At most --concurrency are under way; a timer may be a millisecond late.
    #[arg(long, value_name = "PER_SECOND", value_parser = rate)]
    rate: Option<f64>,
    /// The size of each value.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    value_bytes: u32,
    /// How many keys there are.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    keys: u32,
    /// How long to measure.
    #[arg(long, default_value_t = 10.0, value_parser = seconds)]
    seconds: f64,
    /// How long to run before measuring.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "2s")]
    warm_up: Duration,
    #[command(flatten)]
    options: BucketAndQuorum,
}

#[derive(Clone, Debug, Args)]
struct CeilingsArgs {
    /// Calls under way at once.
    #[arg(long, default_value_t = 96, value_parser = clap::value_parser!(u32).range(1..=65536))]
    concurrency: u32,
    /// The size of each call's message, and of its echo.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    value_bytes: u32,
    /// How long to measure each.
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    seconds: f64,
    /// Sync files here; the figure is of this directory's disk.
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: std::path::PathBuf,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.1..=86_400.0).contains(&seconds) => Ok(seconds),
        _ => Err("it is not from 0.1 to 86400".into()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.1..=10_000_000.0).contains(&rate) => Ok(rate),
        _ => Err("it is not from 0.1 to 10000000".into()),
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Put,
    Get,
}

pub(crate) async fn run(args: BenchArgs, global: &Global) -> Result<Done> {
    let Some(command) = args.command else {
        // Nothing else can be asked for without a command.
        return observe::run(&args.observe, global).await;
    };
    anyhow::ensure!(!args.observe.observe, "--observe is a measurement of its own: leave the command out");
    match command {
        BenchCommand::Put(args) => load::run(Operation::Put, &args, global).await,
        BenchCommand::Get(args) => load::run(Operation::Get, &args, global).await,
        BenchCommand::Ceilings(args) => ceilings::run(&args, global.output).await,
    }
}
