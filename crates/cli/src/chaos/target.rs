//! The cluster that things are done to.

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use quorate_proto::v1;

use super::action::NodeName;
use crate::admin;
use crate::dev::{Connection, Controlled, NodeState, Order};
use crate::text::natural;

/// A cluster, and the `quorate dev` that runs it where there is one.
pub(super) struct Target {
    dev: Option<Connection>,
    /// Whether the nodes may be told to lose messages.
    pub(super) fault_injection: bool,
    /// In the order of their numbers.
    pub(super) nodes: Vec<TargetNode>,
}

/// One node, as it was when it was last looked at.
#[derive(Clone, Debug)]
pub(super) struct TargetNode {
    pub(super) name: String,
    pub(super) id: u64,
    /// Where clients reach it; empty: not known.
    pub(super) grpc: String,
    /// None: nobody here runs it.
    pub(super) process: Option<(NodeState, u32)>,
}

impl TargetNode {
    /// Whether it can be told something: a process that is dead or paused does not listen.
    pub(super) fn listens(&self) -> bool {
        self.process.is_none_or(|(state, _)| state == NodeState::Running)
    }

    /// How its process is, for people.
    pub(super) fn state(&self) -> &'static str {
        match self.process {
            None => "not run by dev",
            Some((NodeState::Running, _)) => "running",
            Some((NodeState::Paused, _)) => "paused",
            Some((NodeState::Dead, _)) => "dead",
        }
    }
}

impl Target {
    /// That of the `quorate dev` on this directory; or of the node at an endpoint, whoever runs it.
    pub(super) async fn find(data: Option<&Path>, endpoints: &[String]) -> Result<Self> {
        if let Some(data) = data {
            let (dev, controlled) = Connection::open(data).await?;
            return Self::of_dev(dev, &controlled);
        }
        let (endpoint, status) = first_status(endpoints).await?;
        if let Some((dev, controlled)) = Connection::of_node(&status).await {
            return Self::of_dev(dev, &controlled);
        }
        let mut admin = admin::connect(endpoint).await?;
        let layout = admin.get_layout(v1::GetLayoutRequest {}).await;
        let layout = layout.map_err(|status| admin::refused(endpoint, &status))?.into_inner();
        let mut nodes: Vec<TargetNode> = layout.addresses.into_iter().map(of_layout).collect();
        nodes.sort_by(|a, b| (natural(&a.name), a.id).cmp(&(natural(&b.name), b.id)));
        Ok(Self { dev: None, fault_injection: status.unsafe_fault_injection, nodes })
    }

    fn of_dev(dev: Connection, controlled: &Controlled) -> Result<Self> {
        let mut target = Self { dev: Some(dev), fault_injection: false, nodes: Vec::new() };
        target.update(controlled)?;
        Ok(target)
    }

    fn update(&mut self, controlled: &Controlled) -> Result<()> {
        self.fault_injection = controlled.fault_injection;
        let node = |node: &crate::dev::NodeInfo| {
            Ok(TargetNode {
                name: node.name.clone(),
                id: u64::from_str_radix(&node.id, 16).context("a node's id")?,
                grpc: node.grpc.clone(),
                process: Some((node.state, node.pid)),
            })
        };
        self.nodes = controlled.nodes.iter().map(node).collect::<Result<_>>()?;
        Ok(())
    }

    /// The data directory of the `quorate dev` that runs it.
    pub(super) fn directory(&self) -> Option<&Path> {
        self.dev.as_ref().map(Connection::directory)
    }

    /// Looks how the processes are, where that can be known.
    pub(super) async fn refresh(&mut self) -> Result<()> {
        match &self.dev {
            Some(_) => self.order(Order::Show).await,
            None => Ok(()),
        }
    }

    /// Has the `quorate dev` do something.
    pub(super) async fn order(&mut self, order: Order) -> Result<()> {
        let Some(dev) = &self.dev else {
            bail!(
                "no `quorate dev` on this machine runs this cluster, and only those can have their nodes killed, paused and \
                 revived"
            )
        };
        let controlled = dev.give(order).await?;
        self.update(&controlled)
    }

    /// Which node is meant.
    pub(super) fn resolve(&self, name: &NodeName) -> Result<usize> {
        let count = self.nodes.len();
        let text = &name.0;
        let named =
            self.nodes.iter().position(|node| node.name == *text || format!("{:016x}", node.id) == *text);
        if let Some(at) = named {
            return Ok(at);
        }
        // An id may consist of digits.
        let number = if text.len() < 16 { text.parse::<usize>().ok() } else { None };
        match number {
            Some(number) if (1..=count).contains(&number) => Ok(number - 1),
            Some(number) => bail!("node {number}: the nodes are 1 to {count}"),
            None => bail!("node {text:?}: there is none of that name or id; the nodes are 1 to {count}"),
        }
    }

    /// Fails unless the nodes may be told to lose messages.
    pub(super) fn require_fault_injection(&self) -> Result<()> {
        ensure!(
            self.fault_injection,
            "the nodes were started without --unsafe-fault-injection: partitions, loss and delay need it (`quorate dev \
             --unsafe-fault-injection`)"
        );
        Ok(())
    }
}

async fn first_status(endpoints: &[String]) -> Result<(&str, v1::StatusResponse)> {
    let mut errors = Vec::new();
    for endpoint in endpoints {
        match admin::status(endpoint, false).await {
            Ok(status) => return Ok((endpoint, status)),
            Err(error) => errors.push(format!("{error:#}")),
        }
    }
    bail!(
        "no node answers: {}; name one that lives with --endpoint, or the data directory of the `quorate dev` with --data",
        errors.join("; ")
    )
}

fn of_layout(peer: v1::Peer) -> TargetNode {
    TargetNode { name: peer.name, id: peer.node_id, grpc: peer.grpc_address, process: None }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that meets the unexpected stops there")]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_found_by_number_name_and_id() {
        let node = |name: &str, id| TargetNode { name: name.into(), id, grpc: String::new(), process: None };
        // An id may look like a number, and a name too.
        let nodes = vec![node("node-1", 0xAB), node("1", 0x1111_1111_1111_1111), node("c", 3)];
        let target = Target { dev: None, fault_injection: false, nodes };
        for (text, at) in [
            ("2", 1),
            ("3", 2),
            ("node-1", 0),
            ("1", 1),
            ("00000000000000ab", 0),
            ("1111111111111111", 1),
            ("0000000000000003", 2),
        ] {
            assert_eq!(target.resolve(&NodeName(text.into())).unwrap(), at, "{text}");
        }
        for (text, told) in [("0", "the nodes are 1 to 3"), ("4", "node 4: "), ("node-2", "\"node-2\"")] {
            let error = target.resolve(&NodeName(text.into())).unwrap_err().to_string();
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
