//! `quorate-sim observe`: a sweep, as a table, JSON, CSV and a plot.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, ensure};
use clap::Args;
use quorate_observe::{Faults, Keys, Mode, OutputFile, Row, Setting, csv, svg, table};
use quorate_sim::observe::{Sweep, sweep};

/// Measure how consistent N, R and W are: latency, stale reads, how stale, time to visibility.
///
/// Fails when a read was stale although R + W > N, or any other promise broke.
#[derive(Debug, Args)]
pub(crate) struct ObserveArguments {
    /// Owners of each key, separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "1,3,5", value_parser = clap::value_parser!(u32).range(1..=7))]
    n: Vec<u32>,
    /// How many answer a read: `all` from 1 to N, or some, separated by commas.
    #[arg(long, default_value = "all", value_parser = parse_quorums)]
    r: Quorums,
    /// How many acknowledge a write: likewise.
    #[arg(long, default_value = "all", value_parser = parse_quorums)]
    w: Quorums,
    /// How much goes wrong: none (2 ms of delay), light (0.5 % of messages lost), heavy (5 % lost, crashes, pauses, cuts);
    /// separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "none,light,heavy")]
    faults: Vec<Faults>,
    /// Who counts: strict (owners alone) or sloppy (whoever stands in for them, too), or both, separated by a comma. Sloppy
    /// quorums promise no fresh reads.
    #[arg(long, value_delimiter = ',', default_value = "strict")]
    mode: Vec<Mode>,
    /// Which keys are used: clustered (3), spread (48) or both.
    #[arg(long, default_value = "both", value_parser = Keys::list)]
    keys: std::vec::Vec<Keys>,
    /// How many runs of each setting, each with a seed of its own from 0.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Use this many threads; all cores when absent.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Print one line of JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Write the figures to this file, too.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Draw them into this file.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// None: all.
#[derive(Clone, Debug)]
struct Quorums(Option<Vec<u32>>);

fn parse_quorums(text: &str) -> anyhow::Result<Quorums> {
    if text == "all" {
        return Ok(Quorums(None));
    }
    let quorums: Vec<u32> =
        text.split(',').map(str::parse).collect::<Result<_, _>>().context("not numbers")?;
    ensure!(quorums.iter().all(|&quorum| quorum > 0), "a quorum is at least 1");
    Ok(Quorums(Some(quorums)))
}

pub(crate) fn run(arguments: &ObserveArguments) -> anyhow::Result<ExitCode> {
    let ObserveArguments { n, r, w, faults, mode, keys, seeds, .. } = arguments;
    let settings = Setting::sweep(keys, faults, mode, n, r.0.as_deref(), w.0.as_deref());
    ensure!(!settings.is_empty(), "no setting has quorums up to its N");
    let threads = match arguments.threads {
        Some(threads) => threads.into(),
        None => std::thread::available_parallelism()?.get(),
    };
    // Before the work, which takes minutes.
    let open = |path: &Option<PathBuf>| path.as_deref().map(OutputFile::open).transpose();
    let (csv_file, svg_file) = (open(&arguments.csv)?, open(&arguments.svg)?);
    let (started, total) = (Instant::now(), settings.len());
    let shown = std::io::stderr().is_terminal();
    let found = sweep(&settings, *seeds, threads, &|done| {
        if shown {
            eprint!("\r{done} of {total} settings ");
        }
    });
    if shown {
        eprintln!();
    }
    if let Some(file) = csv_file {
        file.write(&csv(&found.rows))?;
    }
    if let Some(file) = svg_file {
        let title = format!("Simulated: 20 nodes, 3 clients, 2 ms between nodes, {seeds} seeds each");
        file.write(&svg(&found.rows, &title)?)?;
    }
    if arguments.json {
        println!("{}", serde_json::to_string(&found.rows)?);
    } else {
        println!("{}", table(&found.rows));
        println!("{}", in_words(&found));
        println!("{total} settings x {seeds} seeds in {:.1} s", started.elapsed().as_secs_f64());
    }
    for broken in &found.broken {
        eprintln!(
            "seed {} of {} broke `{}`: {}",
            broken.seed, broken.setting, broken.violation.invariant, broken.violation.detail
        );
    }
    for row in found.rows.iter().filter(|row| row.is_broken()) {
        eprintln!("{}: {} stale answers, and R + W > N", row.setting, row.figures.stale_answers());
    }
    let well = found.broken.is_empty() && !found.rows.iter().any(Row::is_broken);
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The claim, and how it stands.
fn in_words(found: &Sweep) -> String {
    let of = |chosen: &dyn Fn(Setting) -> bool| {
        let rows = found.rows.iter().filter(|row| chosen(row.setting));
        rows.fold((0, 0, 0), |(settings, answers, stale), Row { figures, .. }| {
            (settings + 1, answers + figures.reads + figures.probes, stale + figures.stale_answers())
        })
    };
    let is_sloppy = |setting: Setting| setting.mode == Mode::Sloppy;
    let (strict, answers, stale) = of(&|setting| setting.promises_freshness());
    let (weak, weak_answers, weak_stale) = of(&|setting| !is_sloppy(setting) && !setting.quorums_meet());
    let sloppy = match of(&is_sloppy) {
        (0, ..) => String::new(),
        (settings, answers, stale) => format!("; sloppy: {stale} of {answers} in {settings}"),
    };
    let broken = match found.broken.len() {
        0 => String::new(),
        runs => format!("; {runs} runs broke a promise, and are not in this"),
    };
    format!(
        "R + W > N: {stale} stale of {answers} answers to clients and probes in {strict} settings; \
         R + W <= N: {weak_stale} of {weak_answers} in {weak}{sloppy}{broken}"
    )
}
