//! A node's metrics, as Prometheus reads them, and what else it answers over HTTP.

#![allow(dead_code, reason = "every test uses a part of it")]

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// One metric without labels, by its full name, of the node with this HTTP address.
pub(crate) async fn metric(address: &str, name: &str) -> u64 {
    let text = get(address, "/metrics").await;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name}")).parse::<f64>().expect("a number") as u64
}

/// What a node answers to a GET: head and body.
pub(crate) async fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut text = Vec::new();
    stream.read_to_end(&mut text).await.expect("it answers");
    String::from_utf8_lossy(&text).into_owned()
}
