//! Talking to one node about the cluster.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use quorate_proto::convert::status::said;
use quorate_proto::v1;
use quorate_proto::v1::admin_client::AdminClient;
use tonic::transport::{Channel, Endpoint};

/// For a call that waits for no other node.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The administration of the node at this address (`host:port` or a URL).
pub(crate) async fn connect(address: &str) -> Result<AdminClient<Channel>> {
    connect_for(address, TIMEOUT).await
}

/// The same, for calls that may take this long.
pub(crate) async fn connect_for(address: &str, timeout: Duration) -> Result<AdminClient<Channel>> {
    let url = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    let endpoint = Endpoint::from_shared(url).with_context(|| format!("{address} is no address"))?;
    let channel = endpoint.connect_timeout(Duration::from_secs(1)).timeout(timeout).connect().await;
    let channel = channel.map_err(|error| anyhow!("cannot connect to {address}: {}", causes(&error)))?;
    Ok(AdminClient::new(channel))
}

/// How a node is; with each partition that it owns, if wanted.
pub(crate) async fn status(address: &str, partitions: bool) -> Result<v1::StatusResponse> {
    let mut admin = connect(address).await?;
    let request = v1::StatusRequest { partitions };
    let answer = admin.status(request).await.map_err(|status| refused(address, &status))?;
    Ok(answer.into_inner())
}

/// Has a node compare all that it owns; returns of how many partitions.
pub(crate) async fn repair(address: &str) -> Result<u32> {
    let mut admin = connect(address).await?;
    let answer = admin.repair(v1::RepairRequest {}).await.map_err(|status| refused(address, &status))?;
    Ok(answer.into_inner().partitions)
}

/// Who owns what, as a node knows it.
pub(crate) async fn layout(address: &str) -> Result<v1::Layout> {
    let mut admin = connect(address).await?;
    let answer =
        admin.get_layout(v1::GetLayoutRequest {}).await.map_err(|status| refused(address, &status))?;
    answer.into_inner().layout.with_context(|| format!("{address} shows no layout"))
}

/// Gives the node its first layout.
pub(crate) async fn bootstrap(address: &str, request: v1::BootstrapRequest) -> Result<()> {
    let mut admin = connect(address).await?;
    admin.bootstrap(request).await.map_err(|status| refused(address, &status))?;
    Ok(())
}

/// An answer that is none, for people.
pub(crate) fn refused(address: &str, status: &tonic::Status) -> anyhow::Error {
    anyhow!("{address}: {}", said(status))
}

/// The outermost error often says just "transport error".
fn causes(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
