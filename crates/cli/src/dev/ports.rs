//! Where the nodes listen.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context as _, Result, bail};

/// From one node's ports to the next one's.
const STEP: u16 = 10;

/// A node's ports; 0: a free one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) grpc: u16,
    pub(super) http: u16,
    pub(super) peer: u16,
}

/// The ports of so many nodes. A base of 0 makes all of them free ones.
pub(super) fn plan(base: u16, nodes: u16) -> Result<Vec<Ports>> {
    if base == 0 {
        return Ok(vec![Ports::default(); nodes.into()]);
    }
    let ports = |node: u16| {
        let grpc = node.checked_mul(STEP)?.checked_add(base)?;
        Some(Ports { grpc, http: grpc.checked_add(1)?, peer: grpc.checked_add(2)? })
    };
    let all: Option<Vec<Ports>> = (0..nodes).map(ports).collect();
    all.with_context(|| format!("--port-base {base}: there is no room for {nodes} nodes below port 65536"))
}

/// Finds out whether a port of these nodes, by their numbers, is taken, before anything is started.
pub(super) fn check_free<'a>(all: impl IntoIterator<Item = (u16, &'a Ports)>) -> Result<()> {
    for (node, ports) in all {
        for (port, what) in [(ports.grpc, "gRPC"), (ports.http, "HTTP"), (ports.peer, "peers")] {
            if port != 0
                && let Err(error) = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            {
                let name = super::record::node_name(node.into());
                if error.kind() == std::io::ErrorKind::AddrInUse {
                    bail!(
                        "port {port} ({name}, {what}) is taken: stop what listens there, or choose other ports with \
                         --port-base"
                    );
                }
                bail!("port {port} ({name}, {what}): {error}");
            }
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that meets the unexpected stops there")]
mod tests {
    use super::*;

    #[test]
    fn ports_follow_the_base() {
        let ports = plan(7700, 3).unwrap();
        assert_eq!(ports[2], Ports { grpc: 7720, http: 7721, peer: 7722 });
        assert_eq!(plan(0, 2).unwrap(), [Ports::default(); 2]);
        assert!(plan(65530, 2).is_err());
        assert!(plan(65534, 1).is_err());
        assert!(plan(65533, 1).is_ok());
    }

    #[test]
    fn a_taken_port_is_named() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let ports = [Ports::default(), Ports { http: port, ..Ports::default() }];
        let error = check_free((0..).zip(&ports)).unwrap_err().to_string();
        assert!(error.contains(&port.to_string()) && error.contains("node-2, HTTP"), "{error}");
    }
}
