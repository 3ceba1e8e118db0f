//! Settings that `quorate dev` gives to its nodes.

use std::str::FromStr;

use quorate_node::config::Settings;

/// What `dev` itself says to each node.
const OWN: [&str; 7] = [
    "data_dir",
    "grpc_listen",
    "http_listen",
    "peer_listen",
    "advertise_host",
    "seeds",
    "unsafe_fault_injection",
];

/// `NAME=VALUE`, named as in a node's configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeSetting {
    name: String,
    value: String,
}

impl NodeSetting {
    /// As the environment of a node's process has it.
    pub(super) fn variable(&self) -> (String, &str) {
        (format!("QUORATE_{}", self.name.to_uppercase()), &self.value)
    }
}

impl FromStr for NodeSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').ok_or("it is not NAME=VALUE")?;
        if OWN.contains(&name) {
            return Err(format!("{name} differs from node to node: dev sets it itself"));
        }
        // The node would pass over a variable that is no setting.
        let names = Settings::names();
        if !names.iter().any(|known| known == name) {
            let others: Vec<String> =
                names.into_iter().filter(|known| !OWN.contains(&known.as_str())).collect();
            return Err(format!("{name:?} is none of {}", others.join(", ")));
        }
        Ok(Self { name: name.to_owned(), value: value.to_owned() })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that meets the unexpected stops there")]
mod tests {
    use super::*;

    #[test]
    fn settings_of_nodes_are_known_by_name() {
        let setting: NodeSetting = "message_age_ms=1000".parse().unwrap();
        assert_eq!(setting.variable(), ("QUORATE_MESSAGE_AGE_MS".to_owned(), "1000"));
        for (text, told) in [
            ("message_age_ms", "NAME=VALUE"),
            ("mesage_age_ms=1", "is none of"),
            ("data_dir=/tmp", "dev sets it itself"),
        ] {
            let error = text.parse::<NodeSetting>().unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
        for own in OWN {
            assert!(Settings::names().iter().any(|name| name == own), "{own}");
        }
    }
}
