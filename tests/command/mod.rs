//! The `quorate` command, and clusters that `quorate dev` runs, as a test uses them.

#![allow(dead_code, reason = "every test uses a part of it")]

pub(crate) mod ring;
#[path = "../support/scrape.rs"]
mod scrape;
pub(crate) mod writers;

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long anything that must come true may take, on a machine that is busy with something else.
const PATIENCE: Duration = Duration::from_secs(60);

/// The command, which finds no cluster by itself.
pub(crate) fn quorate() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quorate"));
    // Tests run where the disk may be nearly full.
    command.env("QUORATE_FREE_RESERVE_BYTES", "0").env("QUORATE_ENDPOINT", "http://127.0.0.1:1");
    command
}

/// How a command ended and what it said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    pub(crate) fn by(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// What it said on one line of JSON, having succeeded.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, Some(0), "{self:?}");
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Said {
    Said::by(&command.output().expect("the command starts"))
}

/// Runs a command that reads this.
pub(crate) fn run_with_input(command: &mut Command, input: &[u8]) -> Said {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    // It may stop reading early; what it says then is the point of the test.
    let _ = child.stdin.take().expect("it is piped").write_all(input);
    Said::by(&child.wait_with_output().expect("it was ours"))
}

/// Waits for something that other processes bring about.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "it never came about: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a process is there (a zombie is not).
pub(crate) fn is_running(pid: u64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
}

/// Sends a signal, such as `-KILL`.
pub(crate) fn signal(pid: u64, signal: &str) {
    let status = Command::new("kill").args([signal, &pid.to_string()]).status().expect("kill exists");
    assert!(status.success(), "{pid} is there");
}

/// A running `quorate dev` on free ports.
pub(crate) struct Dev {
    child: Child,
    /// What it printed when it was ready.
    pub(crate) ready: Value,
    notes: mpsc::Receiver<String>,
}

impl Dev {
    /// On this directory, with these further flags.
    pub(crate) fn start(data: &Path, flags: &[&str]) -> Self {
        Self::start_with(data, flags, &[])
    }

    /// The same, with settings of the nodes, as the environment names them.
    pub(crate) fn start_with(data: &Path, flags: &[&str], settings: &[(&str, &str)]) -> Self {
        let mut child = quorate()
            .envs(settings.iter().copied())
            .args(["dev", "--output", "json", "--port-base", "0", "--data"])
            .arg(data)
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("dev starts");
        let (sender, notes) = mpsc::channel();
        let stderr = BufReader::new(child.stderr.take().expect("it is piped"));
        std::thread::spawn(move || {
            stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line).expect("dev speaks");
        let ready = serde_json::from_str(&line).unwrap_or_else(|_| {
            panic!("dev did not start: {line:?} {:?}", notes.iter().collect::<Vec<_>>());
        });
        Self { child, ready, notes }
    }

    fn of_nodes(&self, field: &str) -> Vec<&Value> {
        self.ready["nodes"].as_array().expect("nodes").iter().map(|node| &node[field]).collect()
    }

    pub(crate) fn pid(&self) -> u64 {
        self.child.id().into()
    }

    /// Of the nodes, as they were when it was ready.
    pub(crate) fn pids(&self) -> Vec<u64> {
        self.of_nodes("pid").into_iter().map(|pid| pid.as_u64().expect("a pid")).collect()
    }

    /// Of the nodes, as they were when it was ready.
    pub(crate) fn ids(&self) -> Vec<&str> {
        self.of_nodes("id").into_iter().map(|id| id.as_str().expect("an id")).collect()
    }

    pub(crate) fn addresses(&self) -> Vec<&str> {
        self.of_nodes("grpc").into_iter().map(|grpc| grpc.as_str().expect("an address")).collect()
    }

    /// The command, which finds this cluster.
    pub(crate) fn command<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = quorate();
        command.args(args).args(["--endpoint", &self.addresses().join(",")]);
        command
    }

    /// Runs the command on this cluster.
    pub(crate) fn run<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Said {
        run(&mut self.command(args))
    }

    /// Waits until it says something that contains this.
    pub(crate) fn wait_for_note(&self, part: &str) -> String {
        let begun = Instant::now();
        loop {
            let left = PATIENCE.saturating_sub(begun.elapsed());
            let note = self.notes.recv_timeout(left).unwrap_or_else(|_| panic!("it never said {part:?}"));
            if note.contains(part) {
                return note;
            }
        }
    }

    /// SIGTERM, and how it ended.
    pub(crate) fn stop(mut self) -> Option<i32> {
        signal(self.pid(), "-TERM");
        self.child.wait().expect("it was ours").code()
    }

    /// SIGKILL, which leaves it no time to stop its nodes.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it was ours");
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // Its nodes end with it. Errors: it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A directory that goes away with the test.
pub(crate) fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}
