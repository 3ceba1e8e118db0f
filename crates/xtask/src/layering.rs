//! Dependencies point one way, and the core depends on nothing that knows a clock, a thread, a socket or a file.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use serde::Deserialize;

/// Who may depend on which crates of the workspace, in what ships (tests and benches may use more).
const ALLOWED: [(&str, &[&str]); 11] = [
    ("quorate-protocol", &[]),
    ("quorate-storage", &["quorate-protocol"]),
    ("quorate-observe", &["quorate-protocol"]),
    ("quorate-dashboards", &[]),
    ("quorate-sim", &["quorate-protocol", "quorate-observe"]),
    ("quorate-proto", &["quorate-protocol"]),
    ("quorate-node", &["quorate-protocol", "quorate-storage", "quorate-proto"]),
    ("quorate-client", &["quorate-protocol", "quorate-proto"]),
    ("quorate-controller", &["quorate-proto", "quorate-protocol"]),
    (
        "quorate-cli",
        &["quorate-client", "quorate-node", "quorate-observe", "quorate-proto", "quorate-protocol"],
    ),
    ("quorate-xtask", &["quorate-controller", "quorate-dashboards"]),
];

/// What the core must not be built with: runtimes, sockets, files, the operating system's randomness, engines.
const IMPURE: [&str; 17] = [
    "async-std",
    "axum",
    "futures",
    "futures-util",
    "getrandom",
    "hyper",
    "kube",
    "mio",
    "parking_lot",
    "reqwest",
    "rustix",
    "sled",
    "smol",
    "socket2",
    "tokio",
    "tonic",
    "tracing",
];

/// Features that would bring in the operating system's randomness.
const IMPURE_FEATURES: [&str; 4] = ["os_rng", "sys_rng", "thread_rng", "getrandom"];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
}

/// Checks both; returns what is wrong.
pub fn check(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut wrong = directions(&cargo(root, &["metadata", "--format-version", "1", "--no-deps"])?)?;
    let tree = cargo(
        root,
        &["tree", "-p", "quorate-protocol", "-e", "normal", "--prefix", "none", "-f", "{p} [{f}]"],
    )?;
    wrong.extend(impurities(&tree));
    Ok(wrong)
}

fn cargo(root: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(arguments)
        .current_dir(root)
        .output()
        .with_context(|| format!("running cargo {}", arguments.join(" ")))?;
    ensure!(
        output.status.success(),
        "cargo {} failed: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

fn directions(metadata: &str) -> anyhow::Result<Vec<String>> {
    let metadata: Metadata = serde_json::from_str(metadata).context("reading cargo's metadata")?;
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.into_iter().collect();
    let mut wrong = Vec::new();
    for package in &metadata.packages {
        let Some(may) = allowed.get(package.name.as_str()) else {
            wrong.push(format!("{} has no place in the layers", package.name));
            continue;
        };
        for dependency in &package.dependencies {
            let ships = dependency.kind.is_none();
            let ours = allowed.contains_key(dependency.name.as_str());
            if ships && ours && !may.contains(&dependency.name.as_str()) {
                wrong.push(format!("{} depends on {}, which is not below it", package.name, dependency.name));
            }
        }
    }
    Ok(wrong)
}

/// `tree` has a line `name vVERSION [feature,feature]` for everything that the core is built with.
fn impurities(tree: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for line in tree.lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        if IMPURE.contains(&name) {
            wrong.push(format!("quorate-protocol is built with {name}"));
        }
        let features = line.rsplit_once('[').map_or("", |(_, features)| features.trim_end_matches(']'));
        for feature in features.split(',').filter(|feature| IMPURE_FEATURES.contains(feature)) {
            wrong.push(format!("quorate-protocol is built with {name}'s feature {feature}"));
        }
    }
    wrong.sort();
    wrong.dedup();
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_in_the_core_is_noticed() {
        assert_eq!(impurities("serde v1.0.0 [std]\nquorate-protocol v0.1.0 (/x) []").len(), 0);
        assert_eq!(impurities("tokio v1.0.0 [rt]\nrand v0.10.0 [std,thread_rng]").len(), 2);
    }

    #[test]
    fn a_dependency_upwards_is_noticed() {
        let package = |name: &str, on: &str, kind: &str| {
            format!(
                r#"{{"packages":[{{"name":"{name}","dependencies":[{{"name":"{on}","kind":{kind}}}]}}]}}"#
            )
        };
        let wrong = |name, on, kind| directions(&package(name, on, kind)).map(|list| list.len());
        assert_eq!(wrong("quorate-node", "quorate-storage", "null").ok(), Some(0));
        assert_eq!(wrong("quorate-storage", "quorate-node", "null").ok(), Some(1));
        assert_eq!(wrong("quorate-sim", "quorate-storage", "\"dev\"").ok(), Some(0));
        assert_eq!(wrong("quorate-unheard-of", "serde", "null").ok(), Some(1));
    }
}
