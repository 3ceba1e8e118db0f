//! `quorate-sim`: runs seeds of the simulator, or replays one with a readable trace, or measures consistency, or counts messages.
#![expect(clippy::print_stdout, reason = "a command talks to its user")]

mod cost_command;
mod observe_command;

use std::io::{IsTerminal, Write};
use std::ops::Range;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::{Parser, Subcommand};
use quorate_sim::{FAMILIES, Family, SeedReport, Summary, run_seed, run_seeds};
use serde_json::json;

/// Simulates whole Quorate clusters under faults, deterministically from seeds.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Run one seed.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Run many seeds: from the first up to, but not including, the second.
    #[arg(long, value_name = "A..B", value_parser = parse_range, default_value = "0..2000")]
    seeds: Range<u64>,
    /// Which family: mix, crash, partition, slow-disk, bad-disk, retry, lww, delete, founding, sloppy, liveness, anti-entropy, expiry, purge, moves, reshape, replace, rivals, rollback. All in turn when absent.
    #[arg(long)]
    family: Option<Family>,
    /// Print all that happens, in plain words.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Use this many threads; all cores when absent.
    #[arg(long)]
    threads: Option<usize>,
    /// Print the summary as one line of JSON.
    #[arg(long)]
    json: bool,
    /// Print at most this many failures.
    #[arg(long, default_value_t = 10)]
    failures: usize,
}

#[derive(Subcommand)]
enum Command {
    Observe(observe_command::ObserveArguments),
    Cost(cost_command::CostArguments),
}

fn parse_range(text: &str) -> anyhow::Result<Range<u64>> {
    let (from, to) = text.split_once("..").context("it is not of the form A..B")?;
    let range = from.parse()?..to.parse()?;
    ensure!(!range.is_empty(), "it is empty");
    Ok(range)
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    match &arguments.command {
        Some(Command::Observe(arguments)) => return observe_command::run(arguments),
        Some(Command::Cost(arguments)) => return cost_command::run(arguments),
        None => {}
    }
    let families = arguments.family.map_or_else(|| FAMILIES.to_vec(), |family| vec![family]);
    let failed = match arguments.seed {
        Some(seed) => {
            let family = arguments.family.unwrap_or(Family::Mix);
            let sink = arguments.trace.then(|| -> quorate_sim::trace::TraceSink {
                // A reader who has seen enough closes the pipe.
                Box::new(|line| drop(writeln!(std::io::stdout(), "{line}")))
            });
            let report = run_seed(seed, family, sink);
            println!("trace hash {:016x}, {} steps", report.trace_hash, report.figures.steps);
            print_failure(&report);
            report.violation.is_some()
        }
        None => {
            let threads = arguments.threads.map_or_else(std::thread::available_parallelism, |threads| {
                std::num::NonZeroUsize::new(threads).map_or_else(std::thread::available_parallelism, Ok)
            })?;
            let started = Instant::now();
            let total = arguments.seeds.end - arguments.seeds.start;
            let shown = std::io::stderr().is_terminal();
            let summary = run_seeds(arguments.seeds.clone(), &families, threads.get(), &|done, failed| {
                if shown {
                    eprint!("\r{done} of {total} seeds, {failed} failed ");
                }
            });
            if shown {
                eprintln!();
            }
            if arguments.json {
                println!("{}", as_json(&summary));
            } else {
                print_summary(&summary, started.elapsed(), arguments.failures);
            }
            !summary.failures.is_empty()
        }
    };
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn print_failure(report: &SeedReport) {
    if let Some((at_us, broken)) = &report.violation {
        println!(
            "seed {} of {} broke `{}` after {} ms: {}",
            report.seed,
            report.family,
            broken.invariant,
            at_us / 1000,
            broken.detail
        );
        println!("  replay: {}", report.replay());
    }
}

fn print_summary(summary: &Summary, took: Duration, failures: usize) {
    for report in summary.failures.iter().take(failures) {
        print_failure(report);
    }
    let figures = &summary.figures;
    println!(
        "{} seeds in {:.1} s ({:.0} a second), {} steps, {} violations",
        summary.seeds,
        took.as_secs_f64(),
        summary.seeds as f64 / took.as_secs_f64(),
        figures.steps,
        summary.failures.len()
    );
    println!(
        "acknowledged: {} puts, {} deletes; answered: {} gets, {} lists; {} refused, {} indeterminate, {} retries",
        figures.puts,
        figures.deletes,
        figures.gets,
        figures.lists,
        figures.refused,
        figures.indeterminate,
        figures.retries
    );
    println!(
        "faults: {} crashes, {} pauses, {} cuts, {} of disks, {} wall clock jumps",
        figures.crashes, figures.pauses, figures.cuts, figures.disk_faults, figures.wall_jumps
    );
    println!(
        "network: {} batches, {} lost, {} doubled; {} syncs; {} read repairs; {} verdicts of down, {} deaths that had to be noticed; {} values expired; {} hints delivered, {} records and {} actors forgotten; {} damaged records met, {} healed; {} layouts, {} changes finished, {} disks lost, {} put back, {} identities given up",
        figures.batches_sent,
        figures.batches_lost,
        figures.batches_doubled,
        figures.syncs,
        figures.read_repairs,
        figures.declared_down,
        figures.deaths_noticed,
        figures.expired_values,
        figures.hints_delivered,
        figures.forgotten,
        figures.actors_pruned,
        figures.holes,
        figures.healed,
        figures.layouts,
        figures.changes,
        figures.disks_lost,
        figures.rolled_back,
        figures.given_up
    );
}

fn as_json(summary: &Summary) -> serde_json::Value {
    let mut by_invariant = std::collections::BTreeMap::<&str, u64>::new();
    for (_, broken) in summary.failures.iter().filter_map(|report| report.violation.as_ref()) {
        *by_invariant.entry(broken.invariant).or_default() += 1;
    }
    json!({
        "seeds": summary.seeds,
        "violations": summary.failures.len(),
        "first_seed": summary.failures.first().map(|report| report.seed),
        "by_invariant": by_invariant,
        "figures": summary.figures,
    })
}
