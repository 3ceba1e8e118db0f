//! What is asked for and is not there.

use std::path::Path;

use crate::scrape::Scrape;
use crate::sources::{alerts, expressions};
use crate::used::used;

/// Who exports a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Nodes: `quorate_*`.
    Nodes,
    /// The controller: `quorate_controller_*`.
    Controller,
}

impl Part {
    fn of(metric: &str) -> Self {
        if metric.starts_with("quorate_controller_") { Self::Controller } else { Self::Nodes }
    }
}

/// Labels that Prometheus adds to what it scrapes, as the manifests configure it.
const TARGET_LABELS: [&str; 5] = ["cluster", "instance", "job", "namespace", "pod"];

/// Expressions that are wrong in themselves.
pub fn unparsable(root: &Path) -> anyhow::Result<Vec<String>> {
    let wrong = |(place, text): (String, String)| {
        used(&text).err().map(|error| format!("{place}: {text}: {error}"))
    };
    Ok(expressions(root)?.into_iter().map(|found| (found.place, found.text)).filter_map(wrong).collect())
}

/// Metrics, labels and values that dashboards and alerts name of this part, and that are not in what it exports after traffic.
pub fn missing(root: &Path, part: Part, scrape: &Scrape) -> anyhow::Result<Vec<String>> {
    let mut missing = Vec::new();
    for expression in expressions(root)? {
        let named = used(&expression.text).map_err(|error| anyhow::anyhow!("{}: {error}", expression.place))?;
        for (metric, asked) in named.iter().filter(|(metric, _)| Part::of(metric) == part) {
            let place = &expression.place;
            if !scrape.has(metric) {
                missing.push(format!("{place}: there is no {metric}"));
                continue;
            }
            let own = |label: &str| !TARGET_LABELS.contains(&label);
            for label in asked.labels.iter().filter(|label| own(label)) {
                if !scrape.has_label(metric, label) {
                    missing.push(format!("{place}: {metric} has no label {label}"));
                }
            }
            for (label, value) in asked.values.iter().filter(|(label, _)| own(label)) {
                if !scrape.has_value(metric, label, value) {
                    missing.push(format!("{place}: no {metric} has {label}={value:?}"));
                }
            }
        }
    }
    Ok(missing)
}

/// Alerts without severity, summary, description, or a page that tells what to do.
pub fn incomplete_alerts(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut wrong = Vec::new();
    for alert in alerts(root)? {
        let name = &alert.alert;
        let severity = alert.labels.get("severity").map(String::as_str);
        if !matches!(severity, Some("critical" | "warning")) {
            wrong.push(format!("alert {name}: severity is {severity:?}, and not critical or warning"));
        }
        for annotation in ["summary", "description"] {
            if alert.annotations.get(annotation).is_none_or(|text| text.trim().is_empty()) {
                wrong.push(format!("alert {name}: it has no {annotation}"));
            }
        }
        let page = format!("docs/runbooks/{name}.md");
        if alert.annotations.get("runbook_url") != Some(&page) {
            wrong.push(format!("alert {name}: its runbook_url is not {page}"));
        }
        if !root.join(&page).is_file() {
            wrong.push(format!("alert {name}: there is no {page}"));
        }
    }
    Ok(wrong)
}
