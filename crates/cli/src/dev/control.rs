//! How other commands reach a running `quorate dev`: a socket in its data directory, one order and one answer, each a line of JSON.
//! The nodes are its children, so only it can signal them without ever meeting a stranger under a number that was taken again.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use quorate_proto::v1;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::cluster::LocalCluster;
use super::node::NodeInfo;

const SOCKET: &str = "dev.sock";
/// The longest path that a socket may have, somewhat rounded down.
const PATH_BYTES_MAX: usize = 100;
const LINE_BYTES_MAX: u64 = 1 << 20;
/// Who connects has something to say.
const ORDER_TIMEOUT: Duration = Duration::from_secs(5);

/// What is to be done; nodes by their index from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    /// Nothing: only the answer.
    Show,
    /// SIGKILL; it stays dead until revived.
    Kill(usize),
    /// SIGSTOP.
    Pause(usize),
    /// SIGCONT; nothing if it is not paused.
    Resume(usize),
    /// Starts it where it was; nothing if it runs.
    Revive(usize),
    /// Starts one node more, the last one from then on.
    Add,
    /// Stops it for good; refused while it is a member of the cluster.
    Remove(usize),
}

impl Order {
    /// The node that is meant, by its index from 0.
    pub(super) fn node(self) -> Option<usize> {
        match self {
            Self::Show | Self::Add => None,
            Self::Kill(at) | Self::Pause(at) | Self::Resume(at) | Self::Revive(at) | Self::Remove(at) => {
                Some(at)
            }
        }
    }
}

/// How the cluster is after an order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Controlled {
    /// Whether the nodes may be told to lose messages.
    pub(crate) fault_injection: bool,
    pub(crate) nodes: Vec<NodeInfo>,
}

type Answer = Result<Controlled, String>;

/// An order that came in.
pub(super) struct Asked {
    pub(super) order: Order,
    reply: oneshot::Sender<Answer>,
}

impl Asked {
    pub(super) fn answer(self, answer: Result<Controlled>) {
        // An error: who asked has gone.
        let _ = self.reply.send(answer.map_err(|error| format!("{error:#}")));
    }
}

/// The side that takes orders.
pub(super) struct Control {
    path: PathBuf,
    asked: mpsc::Receiver<Asked>,
    task: JoinHandle<()>,
}

impl Control {
    /// Listens in a directory that this process has locked.
    pub(super) fn open(directory: &Path) -> Result<Self> {
        let path = directory.join(SOCKET);
        let (sender, asked) = mpsc::channel(1);
        let listen = || {
            if let Err(error) = fs::remove_file(&path)
                && error.kind() != io::ErrorKind::NotFound
            {
                return Err(error);
            }
            let (_directory, short) = short(directory)?;
            UnixListener::bind(short)
        };
        let listener = listen().with_context(|| format!("listening on {}", path.display()))?;
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, sender.clone()));
            }
        });
        Ok(Self { path, asked, task })
    }

    /// The next order.
    pub(super) async fn next(&mut self) -> Asked {
        match self.asked.recv().await {
            Some(asked) => asked,
            // Nobody can connect any more.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.task.abort();
        // An error: somebody has taken it away.
        let _ = fs::remove_file(&self.path);
    }
}

/// Carries an order out.
pub(super) async fn obey(cluster: &mut LocalCluster, order: Order) -> Result<()> {
    let count = cluster.nodes().len();
    ensure!(order.node().is_none_or(|at| at < count), "there are {count} nodes");
    match order {
        Order::Show => {}
        Order::Kill(at) => cluster.kill(at).await?,
        Order::Pause(at) => cluster.pause(at).await?,
        Order::Resume(at) => cluster.resume(at).await?,
        Order::Revive(at) => {
            if !cluster.is_running(at) {
                cluster.revive(at).await?;
            }
        }
        Order::Add => cluster.add().await?,
        Order::Remove(at) => cluster.remove(at).await?,
    }
    Ok(())
}

async fn serve(stream: UnixStream, sender: mpsc::Sender<Asked>) {
    let (read, mut write) = stream.into_split();
    let Ok(Ok(line)) = tokio::time::timeout(ORDER_TIMEOUT, line(read)).await else { return };
    let answer = match serde_json::from_str(&line) {
        Ok(order) => {
            let (reply, answer) = oneshot::channel();
            if sender.send(Asked { order, reply }).await.is_err() {
                return;
            }
            let Ok(answer) = answer.await else { return };
            answer
        }
        Err(error) => Answer::Err(format!("{line:?} is no order: {error}")),
    };
    if let Ok(text) = serde_json::to_string(&answer) {
        // An error: who asked has gone.
        let _ = write.write_all(format!("{text}\n").as_bytes()).await;
    }
}

async fn line(read: impl AsyncRead + Unpin) -> io::Result<String> {
    let mut line = String::new();
    BufReader::new(read.take(LINE_BYTES_MAX)).read_line(&mut line).await?;
    Ok(line)
}

/// A path that is short enough for a socket. What it stands on must be kept until it was used.
fn short(directory: &Path) -> io::Result<(Option<File>, PathBuf)> {
    let path = directory.join(SOCKET);
    if path.as_os_str().len() <= PATH_BYTES_MAX {
        return Ok((None, path));
    }
    let directory = File::open(directory)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd()));
    Ok((Some(directory), path))
}

/// The side that gives orders.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    directory: PathBuf,
}

impl Connection {
    /// To the `quorate dev` that runs on this directory.
    pub(crate) async fn open(directory: &Path) -> Result<(Self, Controlled)> {
        let connection = Self { directory: directory.to_owned() };
        let controlled = connection.give(Order::Show).await?;
        Ok((connection, controlled))
    }

    /// To the `quorate dev` on this machine that runs the node which says this of itself.
    pub(crate) async fn of_node(status: &v1::StatusResponse) -> Option<(Self, Controlled)> {
        // The node's data lies in the directory of its `dev`, and that one knows it.
        let directory = Path::new(&status.data_dir).parent()?;
        let (connection, controlled) = Self::open(directory).await.ok()?;
        let id = format!("{:016x}", status.node_id);
        controlled.nodes.iter().any(|node| node.id == id).then_some((connection, controlled))
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Has an order carried out, and hears how the cluster is then.
    pub(crate) async fn give(&self, order: Order) -> Result<Controlled> {
        let shown = self.directory.display();
        let connect = async {
            let (_directory, short) = short(&self.directory)?;
            UnixStream::connect(short).await
        };
        let stream = connect.await.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                anyhow!("no `quorate dev` is running on {shown}")
            }
            _ => anyhow!(error).context(format!("reaching the `quorate dev` on {shown}")),
        })?;
        let (read, mut write) = stream.into_split();
        let order = serde_json::to_string(&order)?;
        write.write_all(format!("{order}\n").as_bytes()).await.context("giving an order")?;
        let line = line(read).await.context("waiting for an answer")?;
        if line.is_empty() {
            bail!("the `quorate dev` on {shown} has stopped");
        }
        let answer: Answer = serde_json::from_str(&line)
            .with_context(|| format!("the `quorate dev` on {shown} is of another version"))?;
        answer.map_err(|reason| anyhow!(reason))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that meets the unexpected stops there")]
mod tests {
    use super::*;

    /// Answers one order: refuses it, by its name.
    async fn refuse_one(control: &mut Control) -> Order {
        let asked = control.next().await;
        let order = asked.order;
        asked.answer(Err(anyhow!("refused: {order:?}")));
        order
    }

    #[tokio::test]
    async fn an_order_is_answered_also_in_a_deep_directory() {
        let temporary = tempfile::tempdir().unwrap();
        let deep = temporary.path().join("x".repeat(150));
        fs::create_dir(&deep).unwrap();
        for directory in [temporary.path(), &deep] {
            let connection = Connection { directory: directory.to_owned() };
            let nobody = connection.give(Order::Show).await.unwrap_err().to_string();
            assert!(nobody.contains("no `quorate dev` is running"), "{nobody}");
            let mut control = Control::open(directory).unwrap();
            let (told, order) = tokio::join!(connection.give(Order::Pause(3)), refuse_one(&mut control));
            assert_eq!(order, Order::Pause(3));
            assert_eq!(told.unwrap_err().to_string(), "refused: Pause(3)");
            drop(control);
            assert!(!directory.join(SOCKET).exists());
        }
    }

    #[tokio::test]
    async fn what_a_killed_one_left_behind_is_in_nobodys_way() {
        let directory = tempfile::tempdir().unwrap();
        std::mem::forget(Control::open(directory.path()).unwrap());
        let mut control = Control::open(directory.path()).unwrap();
        let connection = Connection { directory: directory.path().to_owned() };
        let (told, _) = tokio::join!(connection.give(Order::Show), refuse_one(&mut control));
        assert!(told.is_err());
    }

    #[tokio::test]
    async fn what_is_no_order_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let _control = Control::open(directory.path()).unwrap();
        let mut stream = UnixStream::connect(directory.path().join(SOCKET)).await.unwrap();
        stream.write_all(b"\"fly\"\n").await.unwrap();
        let told = line(stream).await.unwrap();
        assert!(told.contains("is no order") && told.contains("fly"), "{told}");
    }
}
