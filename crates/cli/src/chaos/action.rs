//! What can be done to a cluster, as it is typed: on the command line and in schedules.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use clap::Subcommand;

use crate::args;

/// The longest delay that nodes take.
const DELAY_MAX: Duration = Duration::from_secs(60);

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub(super) enum Action {
    /// End a node's process at once (SIGKILL); it stays dead until it is revived.
    Kill {
        /// Which node: its number from 1, its name or its id.
        node: NodeName,
    },
    /// Stop a node's process where it stands (SIGSTOP): its connections stay up and nobody answers.
    Pause {
        /// Which node.
        node: NodeName,
    },
    /// Let a paused node go on (SIGCONT).
    Resume {
        /// Which node.
        node: NodeName,
    },
    /// Start a node that died, on its data and its addresses.
    Revive {
        /// Which node.
        node: NodeName,
    },
    /// Cut groups of nodes off from each other, silently: connections stay up, messages are lost.
    ///
    /// Nodes in no group keep their links to all. A single group is cut off from all other nodes. Cuts add up until `heal`.
    Partition {
        /// Groups of nodes, separated by spaces; the nodes of a group by commas: 1,2 3,4,5.
        #[arg(required = true, value_name = "GROUP")]
        groups: Vec<Group>,
    },
    /// Lose a part of what a node sends to others.
    ///
    /// The last word on a pair of nodes counts; but those that a partition has cut off from each other stay so until `heal`.
    Drop {
        /// Whose messages.
        node: NodeName,
        /// How many of them, from 0 (none) to 1 (all).
        #[arg(value_parser = fraction, allow_negative_numbers = true)]
        fraction: f64,
        /// Only those to this node.
        #[arg(long, value_name = "NODE")]
        to: Option<NodeName>,
    },
    /// Hold up what a node sends to others; its order stays.
    Delay {
        /// Whose messages.
        node: NodeName,
        /// For how long (50ms), up to 60s; 0s: not at all.
        #[arg(value_parser = delay, allow_negative_numbers = true)]
        delay: Duration,
        /// And for up to this much longer.
        #[arg(long, value_parser = delay, default_value = "0s", hide_default_value = true)]
        jitter: Duration,
        /// Only those to this node.
        #[arg(long, value_name = "NODE")]
        to: Option<NodeName>,
    },
    /// End all partitions, loss and delay.
    ///
    /// Nodes that are paused or dead stay so (`resume`, `revive`). A paused one cannot be told: it is healed by another `heal` once
    /// it is resumed. A dead one comes back without faults.
    Heal,
}

/// What somebody calls a node: a number from 1, a name or an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NodeName(pub(super) String);

impl NodeName {
    /// Of the node with this index from 0.
    pub(super) fn number(index: usize) -> Self {
        Self((index + 1).to_string())
    }
}

impl FromStr for NodeName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.contains(',') {
            return Err("it is not one node: a number from 1, a name or an id".into());
        }
        Ok(Self(text.to_owned()))
    }
}

/// Nodes that stay together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group(pub(super) Vec<NodeName>);

impl FromStr for Group {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let nodes = text.split(',').map(|node| {
            node.parse().map_err(|_| "a node is missing: nodes separated by commas, as in 1,2".to_owned())
        });
        Ok(Self(nodes.collect::<Result<_, _>>()?))
    }
}

fn fraction(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(fraction) if (0.0..=1.0).contains(&fraction) => Ok(fraction),
        Ok(fraction) => Err(format!("{fraction} is not from 0 to 1")),
        Err(_) => Err("it is no number from 0 to 1".into()),
    }
}

fn delay(text: &str) -> Result<Duration, String> {
    let delay = args::duration(text)?;
    if delay > DELAY_MAX {
        return Err("it is not from 0s to 60s".into());
    }
    if !delay.subsec_nanos().is_multiple_of(1_000_000) {
        return Err("it is no whole number of milliseconds".into());
    }
    Ok(delay)
}

/// A time as [`args::duration`] reads it, in whole milliseconds.
pub(super) fn time(time: Duration) -> String {
    if time.subsec_millis() == 0 { format!("{}s", time.as_secs()) } else { format!("{}ms", time.as_millis()) }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes: Vec<&str> = self.0.iter().map(|node| node.0.as_str()).collect();
        f.write_str(&nodes.join(","))
    }
}

impl fmt::Display for Action {
    /// As it is typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to = |to: &Option<NodeName>| to.as_ref().map_or(String::new(), |to| format!(" --to {to}"));
        match self {
            Self::Kill { node } => write!(f, "kill {node}"),
            Self::Pause { node } => write!(f, "pause {node}"),
            Self::Resume { node } => write!(f, "resume {node}"),
            Self::Revive { node } => write!(f, "revive {node}"),
            Self::Partition { groups } => {
                f.write_str("partition")?;
                groups.iter().try_for_each(|group| write!(f, " {group}"))
            }
            Self::Drop { node, fraction, to: one } => write!(f, "drop {node} {fraction}{}", to(one)),
            Self::Delay { node, delay, jitter, to: one } => {
                write!(f, "delay {node} {}", time(*delay))?;
                if *jitter > Duration::ZERO {
                    write!(f, " --jitter {}", time(*jitter))?;
                }
                f.write_str(&to(one))
            }
            Self::Heal => f.write_str("heal"),
        }
    }
}
