//! `quorate dev add` and `quorate dev remove`: the running `dev` has the processes, the cluster decides who belongs to it.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use futures::future::join_all;
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
    let at = resolve(&controlled, newest(&running(&controlled, None)).await.as_ref(), node)?;
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

/// The newest layout that any of these nodes knows; none when none of them answers.
async fn newest(endpoints: &[String]) -> Option<Known> {
    let asked = join_all(endpoints.iter().map(|endpoint| Known::ask(std::slice::from_ref(endpoint)))).await;
    asked.into_iter().filter_map(Result::ok).max_by_key(|known| known.layout.epoch)
}

/// Which node is meant: the member that `quorate members remove` would take, by name, id or number; or by the name or the id that it
/// has here, one that is no member.
fn resolve(controlled: &Controlled, known: Option<&Known>, text: &str) -> Result<usize> {
    let nodes = &controlled.nodes;
    let not_known = anyhow!("no node of this `quorate dev` tells who the members are");
    let member = known.ok_or(not_known).and_then(|known| known.resolve(text));
    let refused = match member {
        Ok(id) => {
            let here = nodes.iter().position(|node| node.id == format!("{id:016x}"));
            return here.with_context(|| format!("node {text}: this `quorate dev` does not run it"));
        }
        Err(refused) => refused,
    };
    nodes.iter().position(|node| node.name == text || node.id == text).ok_or(refused)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that meets the unexpected stops there")]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_the_member_that_all_commands_call_so() {
        let node = |name: &str, id: u64| NodeInfo {
            name: name.into(),
            id: format!("{id:016x}"),
            grpc: String::new(),
            http: String::new(),
            pid: 1,
            state: NodeState::Running,
        };
        // The first has left; the last took the second's place, under its name.
        let nodes = vec![node("node-1", 1), node("node-2", 2), node("node-10", 10), node("node-11", 11)];
        let controlled = Controlled { fault_injection: false, nodes };
        let member = |name: &str, node_id| v1::Member { node_id, name: name.into(), ..Default::default() };
        let members = vec![member("node-10", 10), member("node-2", 11), member("node-9", 9)];
        let known = Known::of(String::new(), v1::Layout { members, ..Default::default() });
        let found = |text: &str| resolve(&controlled, Some(&known), text).map_err(|error| error.to_string());
        for (text, at) in
            [("1", 3), ("node-2", 3), ("3", 2), ("node-10", 2), ("node-1", 0), ("0000000000000002", 1)]
        {
            assert_eq!(found(text).unwrap(), at, "{text}");
        }
        assert_eq!(found("2").unwrap_err(), "node 2: this `quorate dev` does not run it");
        assert!(found("4").unwrap_err().contains("the members are 1 to 3"));
        assert_eq!(resolve(&controlled, None, "node-1").unwrap(), 0);
        assert!(resolve(&controlled, None, "1").is_err());
    }
}
