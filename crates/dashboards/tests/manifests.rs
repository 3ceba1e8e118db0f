//! The dashboards and alerts that this project ships, as far as that needs nothing that runs.

use std::path::{Path, PathBuf};

use quorate_dashboards::{Part, Scrape, drifted, expressions, incomplete_alerts, missing, unparsable};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the workspace").to_path_buf()
}

fn none(wrong: anyhow::Result<Vec<String>>) {
    let wrong = wrong.expect("the manifests can be read");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_expression_parses() {
    let found = expressions(&root()).expect("the manifests can be read");
    assert!(found.len() > 60, "{}", found.len());
    none(unparsable(&root()));
}

#[test]
fn every_alert_says_what_to_do() {
    none(incomplete_alerts(&root()));
}

#[test]
fn the_charts_copies_are_copies() {
    none(drifted(&root()));
}

#[test]
fn what_is_not_exported_is_found() {
    let mut scrape = Scrape::default();
    scrape.add("quorate_members{other=\"down\"} 0\nquorate_info{epoch=\"1\"} 1\n").expect("it is read");
    let found = missing(&root(), Part::Nodes, &scrape).expect("the manifests can be read").join("\n");
    assert!(found.contains("there is no quorate_hints\n"), "{found}");
    assert!(found.contains("quorate_members has no label state"), "{found}");
    assert!(found.contains("no quorate_members has state=\"down\""), "{found}");
    assert!(!found.contains("quorate_info") && !found.contains("quorate_controller"), "{found}");
}
