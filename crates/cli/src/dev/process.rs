//! One node's process: started, watched, stopped, killed.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{mpsc, oneshot, watch};

use super::setting::NodeSetting;

/// A node may have to read a long log before it listens.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// What is under way gets this long to finish.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// How much of its log a node that did not start shows.
const LOG_LINES: usize = 12;

/// How to start a node.
#[derive(Clone, Debug)]
pub(super) struct NodeSpec {
    pub(super) name: String,
    pub(super) directory: PathBuf,
    pub(super) log: PathBuf,
    pub(super) grpc: String,
    pub(super) http: String,
    pub(super) peer: String,
    /// Peer addresses of other nodes.
    pub(super) seeds: Vec<String>,
    /// Whether it may be told to lose messages.
    pub(super) unsafe_fault_injection: bool,
    pub(super) settings: Vec<NodeSetting>,
}

/// What a node says when it listens.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Announcement {
    /// 16 hexadecimal digits.
    pub(super) node: String,
    pub(super) grpc: String,
    pub(super) http: String,
    pub(super) peer: String,
    pub(super) pid: u32,
}

/// A node that runs, or has run. Dropping it ends the process.
#[derive(Debug)]
pub(super) struct NodeProcess {
    /// What it has said of itself last: a node whose directory cannot be trusted starts again, as another.
    announced: watch::Receiver<Announcement>,
    /// The node stops when this pipe closes, also when it does because this process was killed.
    stdin: ChildStdin,
    signals: mpsc::Sender<Sending>,
    exit: watch::Receiver<Option<ExitStatus>>,
    paused: bool,
}

/// A signal for a process, and who waits until it has been sent.
type Sending = (Signal, oneshot::Sender<()>);

/// Nodes of one machine share its processors; mostly there are three.
fn threads_of_a_node() -> usize {
    (std::thread::available_parallelism().map_or(1, usize::from) / 3).clamp(1, 4)
}

impl NodeProcess {
    /// Starts a node and waits until it listens.
    pub(super) async fn start(spec: &NodeSpec) -> Result<Self> {
        let name = &spec.name;
        let log = OpenOptions::new().create(true).append(true).open(&spec.log);
        let log = log.with_context(|| format!("opening {}", spec.log.display()))?;
        let mut command = Command::new(std::env::current_exe().context("finding this program")?);
        command
            .args(["node", "--announce", "--stop-with-stdin"])
            .arg("--data-dir")
            .arg(&spec.directory)
            .args(["--grpc-listen", &spec.grpc, "--http-listen", &spec.http, "--peer-listen", &spec.peer])
            .args(spec.seeds.iter().flat_map(|seed| ["--seed", seed]))
            .args(spec.unsafe_fault_injection.then_some("--unsafe-fault-injection"))
            .env("QUORATE_THREADS", threads_of_a_node().to_string())
            .envs(spec.settings.iter().map(NodeSetting::variable))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            // Ctrl-C goes to the foreground group: this process gets it, and stops the nodes in order.
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("starting {name}"))?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("starting {name}: its pipes are missing");
        };
        let mut lines = BufReader::new(stdout).lines();
        let line = tokio::time::timeout(START_TIMEOUT, lines.next_line()).await;
        let announcement: Announcement = match line {
            Ok(Ok(Some(line))) => serde_json::from_str(&line)
                .with_context(|| format!("{name} announced itself with {line:?}"))?,
            Ok(Ok(None) | Err(_)) => {
                let status = child.wait().await.with_context(|| format!("waiting for {name}"))?;
                bail!("{name} did not start ({status}); {}", end_of_log(&spec.log));
            }
            Err(_) => bail!("{name} does not listen after {START_TIMEOUT:?}; {}", end_of_log(&spec.log)),
        };
        let (announce, announced) = watch::channel(announcement);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Ok(announcement) = serde_json::from_str(&line) {
                    announce.send_replace(announcement);
                }
            }
        });
        let (signals, to_send) = mpsc::channel(1);
        let (exited, exit) = watch::channel(None);
        tokio::spawn(watch_over(child, to_send, exited));
        Ok(Self { announced, stdin, signals, exit, paused: false })
    }

    /// Who it is and where it listens.
    pub(super) fn announcement(&self) -> Announcement {
        self.announced.borrow().clone()
    }

    /// Resolves when the process has ended.
    pub(super) async fn exited(&self) -> Option<ExitStatus> {
        let mut exit = self.exit.clone();
        let status = exit.wait_for(Option::is_some).await.ok()?;
        *status
    }

    /// Lets the node finish what is under way and end; after a while, ends it.
    pub(super) async fn stop(mut self) {
        // One that is paused would not notice.
        self.resume().await;
        let Self { stdin, signals, mut exit, .. } = self;
        drop(stdin);
        if tokio::time::timeout(STOP_TIMEOUT, exit.wait_for(Option::is_some)).await.is_err() {
            send(&signals, Signal::KILL).await;
            let _ = exit.wait_for(Option::is_some).await;
        }
    }

    /// SIGKILL.
    pub(super) async fn kill(self) {
        send(&self.signals, Signal::KILL).await;
        self.exited().await;
    }

    /// SIGSTOP: the process is there and does nothing.
    pub(super) async fn pause(&mut self) {
        send(&self.signals, Signal::STOP).await;
        self.paused = true;
    }

    /// SIGCONT, if it was paused.
    pub(super) async fn resume(&mut self) {
        if self.paused {
            send(&self.signals, Signal::CONT).await;
            self.paused = false;
        }
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }
}

/// Returns when the signal was sent, or when the process has ended.
async fn send(signals: &mpsc::Sender<Sending>, signal: Signal) {
    let (done, sent) = oneshot::channel();
    let _ = signals.send((signal, done)).await;
    let _ = sent.await;
}

/// Waits for the end of a process, sends it signals meanwhile, and ends it when nobody is interested any more.
async fn watch_over(
    mut child: Child,
    mut to_send: mpsc::Receiver<Sending>,
    exited: watch::Sender<Option<ExitStatus>>,
) {
    let status = loop {
        let sending = tokio::select! {
            status = child.wait() => break status,
            sending = to_send.recv() => sending,
        };
        let Some((signal, done)) = sending else {
            // An error: it has ended already.
            let _ = child.start_kill();
            break child.wait().await;
        };
        // Until it has been waited for, which only happens here, its number is nobody else's.
        let pid = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        if let Some(pid) = pid {
            // An error: it has ended already.
            let _ = kill_process(pid, signal);
        }
        let _ = done.send(());
    };
    if let Ok(status) = status {
        exited.send_replace(Some(status));
    }
}

/// The last lines of a log, for an error.
fn end_of_log(path: &Path) -> String {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(LOG_LINES)..];
    let indented: String = last.iter().map(|line| format!("\n    {line}")).collect();
    format!("the end of its log, {}:{indented}", path.display())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that meets the unexpected stops there")]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_is_shown() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        fs::write(&path, (0..50).map(|line| format!("line {line}\n")).collect::<String>()).unwrap();
        let end = end_of_log(&path);
        assert!(
            end.ends_with("\n    line 49") && end.contains("line 38") && !end.contains("line 37"),
            "{end}"
        );
    }
}
