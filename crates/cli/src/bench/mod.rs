//! `quorate bench`: how fast it is, and how consistent.

mod ceilings;
mod cpu;
mod echo;
mod keys;
mod ledger;
mod load;
mod observe;
mod pace;
mod plot;
mod prepare;
mod recorder;
mod report;
mod series;
mod target;
mod value;
mod workload;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand};
use quorate_observe::OutputFile;

use crate::args::{BucketAndQuorum, Global, duration};
use crate::output::Done;
use keys::Distribution;
use workload::Workload;

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
    /// Overwrite keys at random. Each put carries what its writers last saw of the key, as a client's would.
    Put(LoadArgs),
    /// Read keys at random.
    Get(LoadArgs),
    /// The mixes of YCSB, the Yahoo! Cloud Serving Benchmark, on keys of which some are popular.
    Ycsb {
        /// What is done.
        #[arg(long, value_enum)]
        workload: Workload,
        #[command(flatten)]
        load: LoadArgs,
    },
    /// What this machine could do at best: bare gRPC, unary and streamed, and synced writes to disk. For the ratio.
    Ceilings(CeilingsArgs),
}

/// A closed loop, with a fixed number of operations under way, each followed at once by the next; or with --rate an open one,
/// whose operations are due at fixed times. Keys that are missing are stored before. Every answer is checked: a value names its key
/// and which of its writes it is; and some of what was written is read in the end. If an answer was wrong, the command fails. Nobody
/// else may write these keys meanwhile.
#[derive(Clone, Debug, Args)]
struct LoadArgs {
    #[command(flatten)]
    target: target::TargetArgs,
    /// Operations under way at once.
    #[arg(long, default_value_t = 96, value_parser = clap::value_parser!(u32).range(1..=65536))]
    concurrency: u32,
    /// So many operations a second, however long each takes: its latency counts from when it was due, so that one which waits for
    /// others is seen to wait. At most --concurrency are under way; a timer may be a millisecond late.
    #[arg(long, value_name = "PER_SECOND", value_parser = rate)]
    rate: Option<f64>,
    /// The size of each value; 24 of its bytes are for the checks.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(value::BYTES_MIN as i64..))]
    value_bytes: u32,
    /// How many keys there are.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    keys: u32,
    /// How operations are spread over them [default: zipf for YCSB's a, b, c and f, uniform for put and get].
    #[arg(long, value_enum)]
    distribution: Option<Distribution>,
    /// How long to measure.
    #[arg(long, default_value_t = 10.0, value_parser = seconds)]
    seconds: f64,
    /// How long to run before measuring.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "2s")]
    warm_up: Duration,
    /// Draw throughput and latency over time, and latency by percentile, into this file.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    #[command(flatten)]
    options: BucketAndQuorum,
}

impl LoadArgs {
    fn distribution(&self, workload: Workload) -> Distribution {
        self.distribution.unwrap_or(workload.usual_distribution())
    }
}

#[derive(Clone, Debug, Args)]
struct CeilingsArgs {
    /// Calls under way at once.
    #[arg(long, default_value_t = 96, value_parser = clap::value_parser!(u32).range(1..=65536))]
    concurrency: u32,
    /// The size of each message, and of its echo.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(value::BYTES_MIN as i64..))]
    value_bytes: u32,
    /// How long to measure each.
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    seconds: f64,
    /// Sync files here; the figure is of this directory's disk.
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

/// Opens a file for what will be measured, before it is.
fn output_file(path: Option<&Path>) -> Result<Option<OutputFile>> {
    Ok(path.map(OutputFile::open).transpose()?)
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

pub(crate) async fn run(args: BenchArgs, global: &Global) -> Result<Done> {
    let Some(command) = args.command else {
        // Nothing else can be asked for without a command.
        return observe::run(&args.observe, global).await;
    };
    anyhow::ensure!(!args.observe.observe, "--observe is a measurement of its own: leave the command out");
    match command {
        BenchCommand::Put(args) => load::run(Workload::Put, &args, global).await,
        BenchCommand::Get(args) => load::run(Workload::Get, &args, global).await,
        BenchCommand::Ycsb { workload, load } => load::run(workload, &load, global).await,
        BenchCommand::Ceilings(args) => ceilings::run(&args, global.output).await,
    }
}
