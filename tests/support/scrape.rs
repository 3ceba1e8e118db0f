//! A node's metrics, as Prometheus reads them.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// One metric without labels, by its full name, of the node with this HTTP address.
pub(crate) async fn metric(address: &str, name: &str) -> u64 {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let request = b"GET /metrics HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.expect("it reads");
    let mut text = Vec::new();
    stream.read_to_end(&mut text).await.expect("it answers");
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name}")).parse::<f64>().expect("a number") as u64
}
