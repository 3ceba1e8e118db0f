//! Tells how it is, to whoever asks by HTTP: the API server of Kubernetes reaches a pod's port for those who may.

use std::sync::Arc;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::ledger::Ledger;

pub(crate) async fn serve(listener: TcpListener, ledger: Arc<Ledger>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(answer(stream, ledger.clone()));
    }
}

/// One request of a connection: who asks again connects again.
async fn answer(mut stream: TcpStream, ledger: Arc<Ledger>) -> std::io::Result<()> {
    let (read, mut write) = stream.split();
    let mut lines = BufReader::new(read).lines();
    let request = lines.next_line().await?.unwrap_or_default();
    while lines.next_line().await?.is_some_and(|line| !line.is_empty()) {}
    let status = match request.split(' ').nth(1) {
        Some("/finish") => {
            ledger.finish();
            "200 OK"
        }
        Some("/verdict") => "200 OK",
        _ => "404 Not Found",
    };
    let body = ledger.verdict();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    write.write_all(format!("{head}{body}").as_bytes()).await
}
