//! `quorate dev add` and `quorate dev remove`: the running `dev` has the processes, the cluster decides who belongs to it.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use quorate_proto::v1;
use quorate_proto::v1::change_layout_request::Order as LayoutOrder;

use super::control::{Connection, Controlled, Order};
use super::node::{NodeInfo, NodeState};
use crate::admin;
use crate::args::Global;
use crate::layout::{How, Known, MemberSpec, carry_out};
use crate::output::Done;

/// Starts a node and makes it a member.
pub(super) async fn add(
    data: Option<&Path>,
    zone: String,
    weight: u32,
    how: &How,
    global: &Global,
) -> Result<Done> {
    let (dev, controlled) = find(data, &global.endpoint).await?;
    let known = Known::ask(&running(&controlled, None)).await?;
    // One that an earlier command has started, and was broken off before it was added, comes first.
    let node = match spare(&controlled).await {
        Some(node) => node,
        None => dev.give(Order::Add).await?.nodes.pop().context("`quorate dev` has started no node")?,
    };
    let spec =
        MemberSpec { address: node.grpc, name: Some(node.name), zone: Some(zone), weight: Some(weight) };
    let add = known.introduce(&[spec]).await?;
    let order = LayoutOrder::Alter(v1::Alteration { add, ..Default::default() });
    carry_out(&known, order, how, global).await?;
    Ok(Done::Ok)
}

/// Takes a node out of the cluster, and stops it.
pub(super) async fn remove(data: Option<&Path>, node: &str, global: &Global) -> Result<Done> {
    let (dev, controlled) = find(data, &global.endpoint).await?;
    let at = resolve(&controlled, node)?;
    let id = u64::from_str_radix(&controlled.nodes[at].id, 16).context("a node's id")?;
    let known = Known::ask(&running(&controlled, Some(at))).await?;
    // It has left when an earlier command was broken off before it was stopped.
    if known.layout.members.iter().any(|member| member.node_id == id) {
        let order = LayoutOrder::Alter(v1::Alteration { remove: vec![id], ..Default::default() });
        carry_out(&known, order, &How::default(), global).await?;
    }
    dev.give(Order::Remove(at)).await?;
    Ok(Done::Ok)
}

/// The `dev` on this directory, or the one that runs the node at an endpoint.
async fn find(data: Option<&Path>, endpoints: &[String]) -> Result<(Connection, Controlled)> {
    if let Some(data) = data {
        return Connection::open(data).await;
    }
    let mut errors = Vec::new();
    for endpoint in endpoints {
        match admin::status(endpoint, false).await {
            Ok(status) => {
                let found = Connection::of_node(&status).await;
                return found.with_context(|| {
                    format!("no `quorate dev` on this machine runs the node at {endpoint}")
                });
            }
            Err(error) => errors.push(format!("{error:#}")),
        }
    }
    bail!("no node answers: {}; name the data directory of the `quorate dev` with --data", errors.join("; "))
}

/// Where the nodes that run are reached, but for one.
fn running(controlled: &Controlled, but: Option<usize>) -> Vec<String> {
    let nodes = controlled.nodes.iter().enumerate().filter(|(at, _)| Some(*at) != but);
    let running = nodes.filter(|(_, node)| node.state == NodeState::Running);
    running.map(|(_, node)| node.grpc.clone()).collect()
}

/// A node that runs and belongs to no cluster.
async fn spare(controlled: &Controlled) -> Option<NodeInfo> {
    for node in controlled.nodes.iter().filter(|node| node.state == NodeState::Running) {
        let status = admin::status(&node.grpc, false).await;
        if status.is_ok_and(|status| status.membership() == v1::Membership::None) {
            return Some(node.clone());
        }
    }
    None
}

/// Which node is meant: its name, id, or number from 1.
fn resolve(controlled: &Controlled, text: &str) -> Result<usize> {
    let nodes = &controlled.nodes;
    if let Some(at) = nodes.iter().position(|node| node.name == text || node.id == text) {
        return Ok(at);
    }
    match text.parse::<usize>() {
        Ok(number) if (1..=nodes.len()).contains(&number) => Ok(number - 1),
        _ => bail!("node {text:?}: there is none of that name or id; the nodes are 1 to {}", nodes.len()),
    }
}
