//! `quorate-controller`: the operator's process.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Parser, Subcommand};
use kube::Client;
use kube::api::ListParams;
use quorate_controller::lease::{self, Election};
use quorate_controller::metrics::{self, Metrics};
use quorate_controller::reconcile::{Context, run};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

const PROBE: Duration = Duration::from_secs(2);

/// The Kubernetes operator of Quorate.
#[derive(Debug, Parser)]
#[command(name = "quorate-controller", version)]
struct Command {
    #[command(subcommand)]
    command: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Look after the QuorateCluster resources.
    Run(RunArgs),
    /// Say whether an operator looks after the resources: they are served, and a replica renews the Lease.
    Check(CheckArgs),
    /// Print the definition of the resource QuorateCluster.
    Crd,
}

/// What an operator looks after, and where its Lease is.
#[derive(Debug, Args)]
struct Scope {
    /// The namespace to look after; all of them otherwise.
    #[arg(long, env = "QUORATE_CONTROLLER_NAMESPACE")]
    namespace: Option<String>,
    /// Where the Lease is by which one replica acts; the operator's own namespace otherwise.
    #[arg(long, env = "QUORATE_CONTROLLER_LEASE_NAMESPACE")]
    lease_namespace: Option<String>,
    /// What the Lease is called.
    #[arg(long, env = "QUORATE_CONTROLLER_LEASE_NAME", default_value = "quorate-controller")]
    lease_name: String,
}

#[derive(Debug, Args)]
struct CheckArgs {
    #[command(flatten)]
    scope: Scope,
    /// How long to wait for it, in seconds
    #[arg(long, default_value_t = 60)]
    timeout_s: u64,
}

#[derive(Debug, Args)]
struct RunArgs {
    #[command(flatten)]
    scope: Scope,
    /// Who this replica is, as no other: the name of its pod.
    #[arg(long, env = "QUORATE_CONTROLLER_POD_NAME")]
    pod_name: Option<String>,
    /// Where to serve /metrics, /readyz and /healthz.
    #[arg(long, env = "QUORATE_CONTROLLER_METRICS_LISTEN", default_value = "0.0.0.0:8080")]
    metrics_listen: SocketAddr,
    /// What to log, such as info or quorate_controller=debug.
    #[arg(long, env = "QUORATE_CONTROLLER_LOG", default_value = "info")]
    log: String,
}

impl Scope {
    fn lease_namespace(&self, client: &Client) -> String {
        self.lease_namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned())
    }
}

fn main() -> ExitCode {
    let done = match Command::parse().command {
        What::Run(args) => start(args),
        What::Check(args) => check(&args),
        What::Crd => print_crd(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            #[expect(clippy::print_stderr, reason = "who starts it by hand may have no log")]
            {
                eprintln!("quorate-controller: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}

fn print_crd() -> Result<()> {
    print(&quorate_controller::crd::yaml().context("the definition cannot be written")?)
}

fn print(text: &str) -> Result<()> {
    use std::io::Write as _;
    std::io::stdout().lock().write_all(text.as_bytes()).context("standard output")
}

fn check(args: &CheckArgs) -> Result<()> {
    let scope = &args.scope;
    let look = async {
        let client = Client::try_default().await.context("no API server is known")?;
        let namespace = scope.lease_namespace(&client);
        let api = run::clusters(&client, scope.namespace.as_deref());
        let mut last = None;
        let acts = async {
            while let Err(error) = api.list_metadata(&ListParams::default().limit(1)).await {
                last =
                    Some(anyhow::Error::new(error).context("quorateclusters.quorate.dev cannot be listed"));
                tokio::time::sleep(PROBE).await;
            }
            last = None;
            lease::holder(&client, &namespace, &scope.lease_name).await
        };
        match tokio::time::timeout(Duration::from_secs(args.timeout_s), acts).await {
            Ok(holder) => print(&format!("{holder} looks after the resources\n")),
            Err(_) => Err(last.unwrap_or_else(|| {
                anyhow::anyhow!(
                    "nobody has renewed Lease {namespace}/{} in {} s",
                    scope.lease_name,
                    args.timeout_s
                )
            })),
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(look)
}

fn start(args: RunArgs) -> Result<()> {
    let filter = EnvFilter::try_new(&args.log).context("--log")?;
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    // It waits most of the time: two threads are enough, and each has its own memory.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(act(args))
}

async fn act(args: RunArgs) -> Result<()> {
    let client = Client::try_default().await.context("no API server is known")?;
    let metrics = Arc::new(Metrics::new()?);
    let listener = TcpListener::bind(args.metrics_listen)
        .await
        .with_context(|| format!("--metrics-listen {}", args.metrics_listen))?;
    let served = tokio::spawn(metrics::serve(listener, metrics.clone()));
    let (stop, stopping) = watch::channel(false);
    let holder = args.pod_name.clone().unwrap_or_else(|| format!("{}-{}", host_name(), std::process::id()));
    let lease_namespace = args.scope.lease_namespace(&client);
    let lease = &args.scope.lease_name;
    let election = Election::new(client.clone(), &lease_namespace, lease, &holder);
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let work = async {
        let leads = async {
            until_served(&client, &args, &metrics).await;
            election.win().await;
        };
        tokio::select! {
            () = leads => {}
            () = stopped(stopping.clone()) => return Ok(()),
        }
        metrics.leads(true);
        tracing::info!(holder, lease_namespace, lease, "this replica acts");
        let context = Arc::new(Context::new(client.clone(), holder.clone(), metrics.clone()));
        tokio::select! {
            () = run::run(context, args.scope.namespace.as_deref(), stopped(stopping.clone())) => Ok(()),
            () = election.hold() => bail!("the Lease is lost: another replica may act"),
        }
    };
    tokio::pin!(work);
    let done = tokio::select! {
        done = &mut work => done,
        ended = served => bail!("/metrics is served no more: {ended:?}"),
        _ = terminated.recv() => finish(&stop, work, &election).await,
        _ = interrupted.recv() => finish(&stop, work, &election).await,
    };
    metrics.leads(false);
    done
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    // Whoever could say so is gone when this fails.
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// What is being looked at is looked at to the end, for a moment.
async fn finish(
    stop: &watch::Sender<bool>,
    work: impl Future<Output = Result<()>>,
    election: &Election,
) -> Result<()> {
    let _ = stop.send(true);
    let done = tokio::time::timeout(Duration::from_secs(8), work).await;
    election.release().await;
    done.unwrap_or(Ok(()))
}

/// Waits until the API server knows the resource.
async fn until_served(client: &Client, args: &RunArgs, metrics: &Metrics) {
    let api = run::clusters(client, args.scope.namespace.as_deref());
    while let Err(error) = api.list_metadata(&ListParams::default().limit(1)).await {
        tracing::warn!(%error, "quorateclusters.quorate.dev cannot be listed yet");
        tokio::time::sleep(PROBE).await;
    }
    metrics.serves();
}

fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "quorate-controller".into(), |name| name.trim().to_owned())
}
