//! Watching over a cluster until told to stop.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use super::DevArgs;
use super::cluster::{ClusterOptions, LocalCluster};
use super::control::{self, Asked, Control, Controlled, Order};
use super::node::NodeInfo;
use super::record::node_name;
use crate::output::{self, Done, Format, Table};
use crate::signals::Signals;

/// A node that lives this long was started well.
const SETTLED: Duration = Duration::from_secs(10);
const RESTART_PAUSE: Duration = Duration::from_millis(100);
const RESTART_PAUSE_LONGEST: Duration = Duration::from_secs(10);

pub(crate) async fn run(args: DevArgs, format: Format) -> Result<Done> {
    let (directory, own) = directory(&args)?;
    let options = ClusterOptions {
        directory: directory.clone(),
        nodes: args.nodes,
        settings: args.settings.clone(),
        port_base: args.port_base,
        unsafe_fault_injection: args.unsafe_fault_injection,
        node_settings: args.node_settings.clone(),
    };
    let mut signals = Signals::new()?;
    let started = tokio::select! {
        started = LocalCluster::start(options) => started,
        // Nodes that have been started stop with the pipe to them.
        () = signals.next() => bail!("stopped while the cluster was starting"),
    };
    if started.is_err() && own && !directory.join(node_name(0)).exists() {
        // Nothing was started: what nobody asked for by name is not left behind.
        std::fs::remove_dir_all(&directory).context("removing the directory made for the data")?;
    }
    let mut cluster = started?;
    let mut control = Control::open(cluster.directory())
        .inspect_err(|error| output::note(format!("`quorate chaos` cannot reach this: {error:#}")))
        .ok();
    if args.unsafe_fault_injection {
        output::note("unsafe fault injection is on: keep nothing here that matters");
    }
    show(&cluster, format)?;
    let watched = watch(&mut cluster, &args, &mut control, &mut signals).await;
    drop(control);
    if watched.is_ok() {
        output::note("stopping");
    }
    tokio::select! {
        () = cluster.stop() => {}
        () = signals.next() => bail!("not waiting for the nodes to stop"),
    }
    watched?;
    Ok(Done::Ok)
}

/// The one that is asked for; or a new one, that is this program's own.
fn directory(args: &DevArgs) -> Result<(PathBuf, bool)> {
    if let Some(directory) = &args.data {
        return Ok((directory.clone(), false));
    }
    let new = tempfile::Builder::new().prefix("quorate-dev-").tempdir();
    Ok((new.context("making a directory for the data")?.keep(), true))
}

async fn next_order(control: &mut Option<Control>) -> Asked {
    match control {
        Some(control) => control.next().await,
        None => std::future::pending().await,
    }
}

/// Does what another command asks for, and tells both sides.
async fn carry_out(cluster: &mut LocalCluster, asked: Asked, fault_injection: bool) {
    let order = asked.order;
    let names = |cluster: &LocalCluster| cluster.nodes().into_iter().map(|node| node.name);
    let before = order.node().and_then(|at| names(cluster).nth(at));
    let done = control::obey(cluster, order).await;
    let told = match order {
        Order::Show => None,
        Order::Kill(_) => Some("killed as `quorate chaos` asked"),
        Order::Pause(_) => Some("paused as `quorate chaos` asked"),
        Order::Resume(_) => Some("resumed as `quorate chaos` asked"),
        Order::Revive(_) => Some("revived as `quorate chaos` asked"),
        Order::Add => Some("started, to be added to the cluster"),
        Order::Remove(_) => Some("stopped for good: it has left the cluster"),
    };
    let name = before.or_else(|| names(cluster).next_back());
    if let (Some(what), Some(name), Ok(())) = (told, name, &done) {
        output::note(format!("{name} {what}"));
    }
    asked.answer(done.map(|()| Controlled { fault_injection, nodes: cluster.nodes() }));
}

/// Reports deaths, and restarts who died when asked to. Returns when told to stop; fails when no node is left.
async fn watch(
    cluster: &mut LocalCluster,
    args: &DevArgs,
    control: &mut Option<Control>,
    signals: &mut Signals,
) -> Result<()> {
    // Of each node: when it was last started again, and how long to wait before doing so once more.
    let mut restarts: BTreeMap<String, (Instant, Duration)> = BTreeMap::new();
    loop {
        let (at, status) = tokio::select! {
            death = cluster.next_death() => death,
            asked = next_order(control) => {
                tokio::select! {
                    () = carry_out(cluster, asked, args.unsafe_fault_injection) => continue,
                    () = signals.next() => return Ok(()),
                }
            }
            () = signals.next() => return Ok(()),
        };
        let node = cluster.nodes().swap_remove(at);
        let status = status.map_or("unknown".into(), |status| status.to_string());
        let name = &node.name;
        output::note(format!("{name} died (pid {}, {status})", node.pid));
        if !args.restart {
            if !cluster.is_alive() {
                bail!("no node is left");
            }
            continue;
        }
        let (started, pause) = restarts.entry(name.clone()).or_insert((Instant::now(), RESTART_PAUSE));
        if started.elapsed() > SETTLED {
            *pause = RESTART_PAUSE;
        }
        tokio::select! {
            () = tokio::time::sleep(*pause) => {}
            () = signals.next() => return Ok(()),
        }
        *started = Instant::now();
        *pause = (*pause * 2).min(RESTART_PAUSE_LONGEST);
        let revived = tokio::select! {
            revived = cluster.revive(at) => revived,
            () = signals.next() => return Ok(()),
        };
        match revived {
            Ok(()) => {
                let node = cluster.nodes().swap_remove(at);
                output::note(format!("{name} runs again (pid {})", node.pid));
            }
            Err(error) if cluster.is_alive() => output::note(format!("{name} stays down: {error:#}")),
            Err(error) => return Err(error),
        }
    }
}

#[derive(Serialize)]
struct Shown {
    data: String,
    nodes: Vec<ShownNode>,
}

#[derive(Serialize)]
struct ShownNode {
    id: String,
    grpc: String,
    http: String,
    pid: u32,
}

fn show(cluster: &LocalCluster, format: Format) -> Result<()> {
    let nodes = cluster.nodes();
    let data = cluster.directory().display().to_string();
    if format == Format::Json {
        let node = |node: &NodeInfo| ShownNode {
            id: node.id.clone(),
            grpc: node.grpc.clone(),
            http: node.http.clone(),
            pid: node.pid,
        };
        return output::json(&Shown { nodes: nodes.iter().map(node).collect(), data });
    }
    let mut table = Table::new(["NODE", "ID", "GRPC", "HTTP", "PID"]);
    for node in &nodes {
        table.row([
            node.name.clone(),
            node.id.clone(),
            node.grpc.clone(),
            format!("http://{}", node.http),
            node.pid.to_string(),
        ]);
    }
    table.print()?;
    let settings = cluster.settings();
    let number = |value: Option<u32>| value.map_or("?".into(), |value| value.to_string());
    output::line(format!(
        "ready: {} nodes, n={} r={} w={}; data and logs in {data}",
        nodes.len(),
        number(settings.n),
        number(settings.r),
        number(settings.w),
    ))?;
    output::line(format!("Ctrl-C stops it and leaves the data; `quorate dev --data {data}` goes on with it."))
}
