//! `quorate bench --observe`: how consistent real processes are.
//!
//! Clients and probes go to any owner of a key, drawn anew for every operation. The client library's way, always the first
//! owner that can be reached, would show next to nothing stale whatever R and W are.

mod doors;
mod load;
mod trouble;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use quorate_client::Client;
use quorate_observe::{Analysis, Faults, Keys, Mode, Row, Setting, csv, svg, table};
use quorate_protocol::layout::QuorumMode;

use crate::args::Global;
use crate::dev::{ClusterOptions, LocalCluster};
use crate::output::{self, Done, Format};
use crate::progress::{Progress, Unit};
use crate::settings::ClusterSettings;
use crate::signals::Signals;
use doors::Doors;
use load::Load;

/// Nodes of the bench's own cluster.
const NODES: u16 = 5;
/// N, R and W of `--sweep`: for N 3 and 5 the weakest and majorities; for N 3 also all writes and all reads.
const SWEEP: [(u32, u32, u32); 6] = [(3, 1, 1), (3, 2, 2), (3, 1, 3), (3, 3, 1), (5, 2, 2), (5, 3, 3)];

/// What is measured with `--observe`.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Consistency (--observe)")]
pub(crate) struct ObserveArgs {
    /// Measure how consistent N, R and W make the cluster; fails if a read was stale although R + W > N.
    #[arg(long, required = true)]
    pub(super) observe: bool,
    /// Owners of each key that count [default: as its bucket has it].
    #[arg(long, requires = "observe", value_parser = clap::value_parser!(u32).range(1..=7))]
    n: Option<u32>,
    /// How many answer a read [default: as the bucket has it].
    #[arg(long, requires = "observe", value_parser = clap::value_parser!(u32).range(1..=7))]
    r: Option<u32>,
    /// How many acknowledge a write [default: as the bucket has it].
    #[arg(long, requires = "observe", value_parser = clap::value_parser!(u32).range(1..=7))]
    w: Option<u32>,
    /// In this bucket of the cluster instead of the default one.
    #[arg(long, requires = "observe", conflicts_with_all = ["own", "sweep"])]
    bucket: Option<String>,
    /// For how long each setting is measured.
    #[arg(long, requires = "observe", default_value_t = 10.0, value_parser = super::seconds)]
    seconds: f64,
    /// How much goes wrong, one or more of none, light (0.5 % of messages lost, short pauses) and heavy (5 % lost, nodes are killed and stand still); all but
    /// none needs --own or --sweep.
    #[arg(long, requires = "observe", value_delimiter = ',', default_value = "none")]
    faults: Vec<Faults>,
    /// Who counts: strict (owners alone) or sloppy (whoever stands in for them, too), or both, separated by a comma
    /// [default: as the bucket has it; strict with --own and --sweep]. Sloppy quorums promise no fresh reads.
    #[arg(long, requires = "observe", value_delimiter = ',')]
    mode: Vec<Mode>,
    /// Which keys are used: clustered (3), spread (48) or both.
    #[arg(long, requires = "observe", default_value = "clustered", value_parser = Keys::list)]
    keys: std::vec::Vec<Keys>,
    /// Clients at once.
    #[arg(long, requires = "observe", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    clients: u32,
    /// Measure a cluster of five nodes that is started for this, not the one at --endpoint.
    #[arg(long, requires = "observe")]
    own: bool,
    /// Measure six settings of N, R and W, on a cluster of five nodes that is started for this.
    #[arg(long, requires = "observe", conflicts_with_all = ["n", "r", "w"])]
    sweep: bool,
    /// Write the figures to this file, too.
    #[arg(long, requires = "observe", value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Draw them into this file.
    #[arg(long, requires = "observe", value_name = "FILE")]
    svg: Option<PathBuf>,
}

pub(super) async fn run(args: &ObserveArgs, global: &Global) -> Result<Done> {
    let (csv_file, svg_file) =
        (super::output_file(args.csv.as_deref())?, super::output_file(args.svg.as_deref())?);
    let rows =
        if args.own || args.sweep { own_cluster(args).await? } else { running_cluster(args, global).await? };
    if let Some(file) = csv_file {
        file.write(&csv(&rows))?;
    }
    if let Some(file) = svg_file {
        let title =
            format!("Real processes on one machine: {} clients, {} s each", args.clients, args.seconds);
        file.write(&svg(&rows, &title)?)?;
    }
    if global.output == Format::Json {
        output::json(&rows)?;
    } else {
        output::line(table(&rows))?;
    }
    ensure!(rows.iter().all(|row| row.figures.reads > 0), "no read was answered");
    let broken: Vec<String> =
        rows.iter().filter(|row| row.is_broken()).map(|row| row.setting.to_string()).collect();
    ensure!(broken.is_empty(), "R + W > N, and yet reads were stale: {}", broken.join("; "));
    Ok(Done::Ok)
}

/// One setting, or some that differ in faults and keys, on a cluster that is there already.
async fn running_cluster(args: &ObserveArgs, global: &Global) -> Result<Vec<Row>> {
    ensure!(
        args.faults.iter().all(|&faults| faults == Faults::None),
        "faults are for a cluster of the bench's own: --own or --sweep"
    );
    let layout = Client::connect(global.endpoint.iter().cloned()).await?.layout();
    let bucket_name = args.bucket.clone().unwrap_or_default();
    let bucket =
        layout.bucket(&bucket_name).with_context(|| format!("there is no bucket {bucket_name:?}"))?;
    let n = args.n.unwrap_or(bucket.n);
    ensure!(n <= bucket.n, "the bucket has N {}, and no request can ask for more", bucket.n);
    let (r, w) = (args.r.unwrap_or(bucket.r.min(n)), args.w.unwrap_or(bucket.w.min(n)));
    let modes = if args.mode.is_empty() { vec![mode_of(bucket.mode)] } else { args.mode.clone() };
    let settings = Setting::sweep(&args.keys, &args.faults, &modes, &[n], Some(&[r]), Some(&[w]));
    ensure!(!settings.is_empty(), "R and W are at most N, and that is {n}");
    let doors = Doors::find(&global.endpoint, layout).await?;
    let mut rows = Vec::new();
    let mut progress = Progress::new("observe (settings)", Unit::Of(settings.len() as u64));
    for setting in settings {
        let load = Load::new(&doors, setting, &bucket_name, args)?;
        load.run(std::future::ready(())).await;
        rows.push(row(setting, load));
        progress.set(rows.len() as u64, &|| setting.to_string());
    }
    progress.finish();
    Ok(rows)
}

/// Settings of the command line or of the sweep, on a cluster that is there for nothing else.
async fn own_cluster(args: &ObserveArgs) -> Result<Vec<Row>> {
    let quorums = if args.sweep { SWEEP.to_vec() } else { vec![own_quorum(args)?] };
    let modes = if args.mode.is_empty() { vec![Mode::Strict] } else { args.mode.clone() };
    let mut settings = Setting::of_quorums(&args.keys, &args.faults, &modes, &quorums);
    settings.retain(|setting| setting.mode == Mode::Strict || setting.n < NODES.into());
    ensure!(!settings.is_empty(), "with N {NODES} of {NODES} nodes nobody is left to stand in");
    let mut ns: Vec<u32> = quorums.iter().map(|quorum| quorum.0).collect();
    ns.sort_unstable();
    ns.dedup();
    let mut progress = Progress::new("observe (settings)", Unit::Of(settings.len() as u64));
    let mut rows = Vec::new();
    for n in ns {
        let of_n: Vec<Setting> = settings.iter().copied().filter(|setting| setting.n == n).collect();
        if !of_n.is_empty() {
            measure_cluster_of(n, &of_n, args, &mut rows, &mut progress).await?;
        }
    }
    progress.finish();
    let place = |setting: Setting| settings.iter().position(|&other| other == setting);
    rows.sort_by_key(|row| place(row.setting));
    Ok(rows)
}

/// Measures settings of one N in a cluster that has that N. A bucket with less than its cluster's would not do: who owns its
/// keys without counting does not stand in either.
async fn measure_cluster_of(
    n: u32,
    settings: &[Setting],
    args: &ObserveArgs,
    rows: &mut Vec<Row>,
    progress: &mut Progress,
) -> Result<()> {
    let directory = tempfile::Builder::new().prefix("quorate-observe-").tempdir();
    let directory = directory.context("making a directory for the data")?;
    let options = ClusterOptions {
        directory: directory.path().to_owned(),
        nodes: Some(NODES),
        settings: ClusterSettings { n: Some(n), r: None, w: None, buckets: Vec::new() },
        port_base: Some(0),
        unsafe_fault_injection: true,
        node_settings: Vec::new(),
    };
    let mut cluster = LocalCluster::start(options).await?;
    let mut signals = Signals::new()?;
    // An interrupted run stops its nodes and takes its directory with it.
    let measured = tokio::select! {
        measured = measure(&mut cluster, settings, args, rows, progress) => measured,
        () = signals.next() => Err(anyhow::anyhow!("interrupted")),
    };
    cluster.stop().await;
    measured
}

fn mode_of(mode: QuorumMode) -> Mode {
    match mode {
        QuorumMode::Strict => Mode::Strict,
        QuorumMode::Sloppy => Mode::Sloppy,
    }
}

fn own_quorum(args: &ObserveArgs) -> Result<(u32, u32, u32)> {
    let n = args.n.unwrap_or(3);
    let (r, w) = (args.r.unwrap_or(n / 2 + 1), args.w.unwrap_or(n / 2 + 1));
    ensure!(n <= NODES.into(), "there are {NODES} nodes: N is at most that");
    ensure!(r <= n && w <= n, "R and W are at most N, and that is {n}");
    Ok((n, r, w))
}

async fn measure(
    cluster: &mut LocalCluster,
    settings: &[Setting],
    args: &ObserveArgs,
    rows: &mut Vec<Row>,
    progress: &mut Progress,
) -> Result<()> {
    for &setting in settings {
        // What the last setting broke is whole again.
        cluster.wait_ready().await?;
        let addresses: Vec<String> = cluster.nodes().into_iter().map(|node| node.grpc).collect();
        let layout = Client::connect(addresses.clone()).await?.layout();
        let doors = Doors::find(&addresses, layout).await?;
        let load = Load::new(&doors, setting, "", args)?;
        let time = Duration::from_secs_f64(args.seconds);
        let mut trouble = Ok(());
        load.run(async { trouble = trouble::cause(cluster, setting.faults, time).await }).await;
        trouble?;
        rows.push(row(setting, load));
        progress.set(rows.len() as u64, &|| setting.to_string());
    }
    Ok(())
}

fn row(setting: Setting, load: Load<'_>) -> Row {
    let mut analysis = Analysis::default();
    analysis.add(&load.into_history());
    Row { setting, figures: analysis.figures() }
}
