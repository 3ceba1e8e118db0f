//! `kubectl` and `helm`, as people use them.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// What a command reads.
pub(crate) enum Input<'a> {
    Nothing,
    Json(&'a Value),
    Text(&'a str),
}

/// The root of the sources.
pub(crate) fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub(crate) fn kubectl() -> Command {
    Command::new("kubectl")
}

pub(crate) fn helm() -> Command {
    Command::new("helm")
}

/// What it wrote, or what it complained of.
pub(crate) async fn run(command: &mut Command, input: Input<'_>) -> Result<String, String> {
    let text = match input {
        Input::Nothing => None,
        Input::Json(value) => Some(value.to_string()),
        Input::Text(text) => Some(text.to_owned()),
    };
    let stdin = if text.is_some() { Stdio::piped() } else { Stdio::null() };
    let command = command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child =
        command.spawn().map_err(|error| format!("{:?}: {error}", command.as_std().get_program()))?;
    if let (Some(text), Some(mut stdin)) = (text, child.stdin.take()) {
        stdin.write_all(text.as_bytes()).await.map_err(|error| error.to_string())?;
    }
    let done = child.wait_with_output().await.map_err(|error| error.to_string())?;
    if done.status.success() {
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&done.stderr).trim().to_owned())
    }
}
