//! `quorate-sim cost`: how many messages things cost, beside what the model says, as a table and CSV.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{Args, ValueEnum};
use quorate_sim::cost::{Change, Row, Size, background, change, csv, operations, plans, table};

/// With more nodes than this, one that is added would often take none of 256 partitions.
const USUAL_UP_TO: usize = 30;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Puts, gets and deletes.
    Operations,
    /// What each node sends in a second although nobody asks for anything.
    Background,
    /// One node more.
    Change,
    /// How long the owners take to plan: printed, and in no table.
    Planner,
}

/// Count the messages between nodes that nothing goes wrong with: of an operation, a second, a change of the layout.
///
/// Fails when a count is not what the model says.
#[derive(Debug, Args)]
pub(crate) struct CostArguments {
    /// Members, separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "5,10,30,100", value_parser = clap::value_parser!(u16).range(2..=4000))]
    nodes: Vec<u16>,
    /// Partitions, a power of two: 256 for up to 30 nodes, and 4,096 for more, when absent.
    #[arg(long)]
    partitions: Option<u32>,
    /// Owners of each key, separated by commas; R and W are majorities. Operations are counted with each, all else with the largest up
    /// to 3.
    #[arg(long, value_delimiter = ',', default_value = "1,3,5", value_parser = clap::value_parser!(u32).range(1..=7))]
    n: Vec<u32>,
    /// What is counted, separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "operations,background,change,planner")]
    what: Vec<Part>,
    /// For how many simulated seconds the background is counted: 75, or a multiple, has as many beats as it should.
    #[arg(long, default_value_t = 75)]
    seconds: u64,
    /// How many keys there are for each partition when a node is added.
    #[arg(long, default_value_t = 6)]
    keys: usize,
    /// Write the counts to this file, too.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
}

pub(crate) fn run(arguments: &CostArguments) -> anyhow::Result<ExitCode> {
    let mut rows = Vec::new();
    for &nodes in &arguments.nodes {
        rows.extend(of_size(arguments, nodes.into())?);
    }
    if let Some(path) = &arguments.csv {
        fs::write(path, csv(&rows)).with_context(|| format!("writing {}", path.display()))?;
    }
    print!("{}", table(&rows));
    let wrong: Vec<&Row> = rows.iter().filter(|row| !row.is_right()).collect();
    for row in &wrong {
        eprintln!("{}: {}: {} counted, and the model says {}", row.size, row.what, row.counted, row.model);
    }
    Ok(if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn of_size(arguments: &CostArguments, nodes: usize) -> anyhow::Result<Vec<Row>> {
    let usual = if nodes <= USUAL_UP_TO { 256 } else { 4096 };
    let partitions = arguments.partitions.unwrap_or(usual);
    let size = |n: u32| Size { nodes, partitions, n, r: n / 2 + 1, w: n / 2 + 1 };
    let possible: Vec<u32> = arguments.n.iter().copied().filter(|&n| n as usize <= nodes).collect();
    let usual = possible.iter().copied().filter(|&n| n <= 3).max().or(possible.first().copied());
    let usual = size(usual.context("there are fewer nodes than owners")?);
    let mut rows = Vec::new();
    for part in &arguments.what {
        let started = Instant::now();
        match part {
            Part::Operations => {
                for &n in &possible {
                    rows.extend(operations(size(n))?);
                }
            }
            Part::Background => rows.extend(background(usual, Duration::from_secs(arguments.seconds))?),
            Part::Change => {
                let changed = change(usual, arguments.keys)?;
                let Change { rows: of_change, took, layout_bytes } = changed;
                println!("{usual}: a node was added in {took:.1?}; a layout is {layout_bytes} bytes long");
                rows.extend(of_change);
            }
            Part::Planner => {
                let [first, more] = plans(usual)?;
                println!(
                    "{usual}: the first owners planned in {first:.1?}, with one node more in {more:.1?}"
                );
            }
        }
        eprintln!("{part:?} of {nodes} nodes: {:.1} s", started.elapsed().as_secs_f64());
    }
    Ok(rows)
}
