//! What a node's binary does around [`run`](crate::run): flags, logs, signals.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::Context as _;
use tokio::io::AsyncReadExt as _;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::config::{Args, LogFormat, Settings};
use crate::run::{End, Listening, run};

/// Runs a node as these flags say until it is told to stop by SIGTERM or SIGINT.
pub fn main(args: &Args) -> anyhow::Result<()> {
    let settings = Settings::load(args)?;
    let filter = EnvFilter::try_from_env("QUORATE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match settings.log_format {
        LogFormat::Text => logs.with_ansi(false).init(),
        LogFormat::Json => logs.json().init(),
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(settings.threads_or_processors())
        .enable_all()
        .build()?;
    let (announce, stop_with_stdin) = (args.announce, args.stop_with_stdin);
    if stop_with_stdin {
        go_on_when_orphaned();
    }
    let result = runtime.block_on(async move {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let shutdown = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                () = stdin_ends(), if stop_with_stdin => {}
            }
        };
        run(settings, announce, shutdown).await
    });
    // Reading standard input would hold the runtime up until somebody types.
    runtime.shutdown_background();
    match result? {
        End::Stopped => Ok(()),
        // Nothing of this process may go on with the store: another program takes its place, under the same number.
        End::Distrusted(Listening { grpc, http, peer }) => {
            let program = std::env::current_exe().context("finding this program")?;
            let mut command = Command::new(program);
            command.args(std::env::args_os().skip(1));
            // Where it was, if it had found free ports: the last of several flags counts.
            for (flag, address) in [("--grpc-listen", grpc), ("--http-listen", http), ("--peer-listen", peer)]
            {
                command.arg(flag).arg(address.to_string());
            }
            let error = command.exec();
            Err(error).context("starting anew")
        }
    }
}

/// A node that is paused (SIGSTOP) while whoever started it dies would never see that its standard input has ended: it is sent SIGCONT
/// then, which does nothing to one that runs.
fn go_on_when_orphaned() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::CONT))
    {
        tracing::warn!(%error, "if this node is paused it may outlive who started it");
    }
}

async fn stdin_ends() {
    let mut stdin = tokio::io::stdin();
    let mut ignored = [0; 64];
    while let Ok(read) = stdin.read(&mut ignored).await {
        if read == 0 {
            return;
        }
    }
}
