//! The nodes' configuration file and its hash.

use std::collections::BTreeMap;

use super::RenderError;
use crate::crd::AllowedSetting;

/// What the operator itself tells every node.
const OWN: [&str; 9] = [
    "advertise_host",
    "data_dir",
    "grpc_listen",
    "http_listen",
    "name",
    "peer_listen",
    "seeds",
    "weight",
    "zone",
];

/// The file. The nodes know which settings there are and which bounds they have: an operator that is older than them need not.
pub(super) fn render(settings: &BTreeMap<String, AllowedSetting>) -> Result<String, RenderError> {
    let mut table = toml::Table::new();
    for (name, value) in settings {
        let refused = |reason: &str| RenderError::Setting { name: name.clone(), reason: reason.into() };
        if OWN.contains(&name.as_str()) {
            return Err(refused("is set by the operator itself"));
        }
        if name == "token_secret" {
            return Err(refused(
                "is no secret in a ConfigMap: give QUORATE_TOKEN_SECRET from a Secret in spec.podTemplate.env",
            ));
        }
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if name.is_empty() || !name.chars().all(plain) {
            return Err(refused("a setting's name has lower-case letters, digits and '_' only"));
        }
        let value = match value {
            AllowedSetting::Boolean(value) => toml::Value::Boolean(*value),
            AllowedSetting::Number(value) => toml::Value::Integer(*value),
            AllowedSetting::Text(value) => toml::Value::String(value.clone()),
            AllowedSetting::Other(_) => return Err(refused("must be a whole number, a text, true or false")),
        };
        table.insert(name.clone(), value);
    }
    Ok(table.to_string())
}

/// Changes with the file, and with nothing else.
pub(super) fn hash(file: &str) -> String {
    blake3::hash(file.as_bytes()).to_hex().chars().take(16).collect()
}
