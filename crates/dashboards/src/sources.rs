//! Reads dashboards and rules.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;

/// Below the root of the sources.
pub(crate) const DASHBOARDS: &str = "manifests/dashboards";
/// The rules' directory; their tests are below it.
pub(crate) const RULES: &str = "manifests/rules";

/// Something that Prometheus is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    /// Which panel, variable or alert asks it, for people.
    pub place: String,
    /// In Prometheus' language, with the dashboard's variables in it.
    pub text: String,
}

/// One panel of a dashboard that shows series over time.
#[derive(Clone, Debug, Deserialize)]
pub struct Panel {
    /// `timeseries` for those that are drawn.
    #[serde(rename = "type")]
    pub kind: String,
    /// Over it.
    pub title: String,
    /// What it asks; rows ask nothing.
    #[serde(default)]
    pub targets: Vec<Target>,
    #[serde(default, rename = "fieldConfig")]
    field_config: FieldConfig,
}

impl Panel {
    /// As Grafana names it: `s`, `bytes`, `none`...
    pub fn unit(&self) -> &str {
        &self.field_config.defaults.unit
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
struct FieldConfig {
    defaults: Defaults,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Defaults {
    #[serde(default)]
    unit: String,
}

/// One query of a panel.
#[derive(Clone, Debug, Deserialize)]
pub struct Target {
    /// In Prometheus' language, with the dashboard's variables in it.
    pub expr: String,
    /// What its series are called, with labels in `{{ }}`.
    #[serde(default, rename = "legendFormat")]
    pub legend: String,
}

#[derive(Deserialize)]
struct Dashboard {
    uid: String,
    panels: Vec<Panel>,
    #[serde(default)]
    templating: Templating,
}

#[derive(Default, Deserialize)]
struct Templating {
    list: Vec<Variable>,
}

#[derive(Deserialize)]
struct Variable {
    name: String,
    #[serde(default)]
    definition: String,
}

#[derive(Deserialize)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Alert>,
}

/// An alert rule.
#[derive(Clone, Debug, Deserialize)]
pub struct Alert {
    /// Its name.
    pub alert: String,
    /// When it holds.
    pub expr: String,
    /// `severity` among them.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// For people.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

/// Files of a directory that end so, sorted.
pub(crate) fn files(directory: &Path, ending: &str) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
    let mut paths: Vec<_> =
        paths.into_iter().filter(|path| path.extension().is_some_and(|e| e == ending)).collect();
    paths.sort();
    anyhow::ensure!(!paths.is_empty(), "there is no .{ending} in {}", directory.display());
    Ok(paths)
}

fn dashboards(root: &Path) -> anyhow::Result<Vec<Dashboard>> {
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is no dashboard", path.display()))
    };
    files(&root.join(DASHBOARDS), "json")?.into_iter().map(read).collect()
}

/// All panels of one dashboard, by its uid.
pub fn panels(root: &Path, uid: &str) -> anyhow::Result<Vec<Panel>> {
    let found = dashboards(root)?.into_iter().find(|dashboard| dashboard.uid == uid);
    Ok(found.with_context(|| format!("there is no dashboard {uid}"))?.panels)
}

/// All alerts.
pub fn alerts(root: &Path) -> anyhow::Result<Vec<Alert>> {
    let mut alerts = Vec::new();
    for path in files(&root.join(RULES), "yaml")? {
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let rules: Rules =
            serde_yaml::from_str(&text).with_context(|| format!("{} has no rules", path.display()))?;
        alerts.extend(rules.groups.into_iter().flat_map(|group| group.rules));
    }
    Ok(alerts)
}

/// Everything that dashboards and alerts ask.
pub fn expressions(root: &Path) -> anyhow::Result<Vec<Expression>> {
    let mut found = Vec::new();
    for dashboard in dashboards(root)? {
        let uid = &dashboard.uid;
        for panel in &dashboard.panels {
            found.extend(panel.targets.iter().map(|target| Expression {
                place: format!("dashboard {uid}, {:?}", panel.title),
                text: target.expr.clone(),
            }));
        }
        let variables = dashboard.templating.list.iter().filter(|variable| !variable.definition.is_empty());
        for variable in variables {
            let place = format!("dashboard {uid}, variable {}", variable.name);
            let text = label_values(&variable.definition)
                .with_context(|| format!("{place}: {:?} is no label_values(METRIC, LABEL)", variable.definition))?;
            found.push(Expression { place, text });
        }
    }
    for alert in alerts(root)? {
        found.push(Expression { place: format!("alert {}", alert.alert), text: alert.expr });
    }
    Ok(found)
}

/// Grafana's `label_values(METRIC, LABEL)` as Prometheus would say it.
fn label_values(definition: &str) -> Option<String> {
    let inner = definition.strip_prefix("label_values(")?.strip_suffix(')')?;
    let (metric, label) = inner.rsplit_once(',')?;
    Some(format!("count by ({}) ({metric})", label.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_a_query_too() {
        let definition = "label_values(quorate_info{namespace=\"$namespace\", x=\"1\"}, cluster)";
        let asked = "count by (cluster) (quorate_info{namespace=\"$namespace\", x=\"1\"})";
        assert_eq!(label_values(definition).as_deref(), Some(asked));
        assert_eq!(label_values("query_result(up)"), None);
    }
}
