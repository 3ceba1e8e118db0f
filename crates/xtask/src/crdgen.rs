//! The definition of the resource, written from its types: for `kubectl apply`, and for the chart.

use std::fs;
use std::path::Path;

use anyhow::Context;
use quorate_controller::crd;

/// Where the definition is, and for whom.
const PLAIN: &str = "manifests/crd.yaml";
const CHART: &str = "charts/quorate/templates/crd.yaml";

const HEADER: &str = "# Written by `cargo xtask crdgen` from crates/controller/src/crd.\n";

/// Writes both files.
pub fn write(root: &Path) -> anyhow::Result<()> {
    for (name, text) in wanted()? {
        let path = root.join(name);
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
        }
        fs::write(&path, text).with_context(|| format!("writing {name}"))?;
    }
    Ok(())
}

/// Says which files are not what they would be if they were written now.
pub fn check(root: &Path) -> anyhow::Result<Vec<String>> {
    let differing = wanted()?
        .into_iter()
        .filter(|(name, text)| fs::read_to_string(root.join(name)).map_or(true, |there| there != *text));
    Ok(differing.map(|(name, _)| format!("{name} is out of date: run cargo xtask crdgen")).collect())
}

fn wanted() -> anyhow::Result<[(&'static str, String); 2]> {
    let plain = format!("{HEADER}{}", crd::yaml()?);
    let mut definition = crd::definition();
    // Helm would delete the definition with the release, and Kubernetes every cluster with the definition.
    definition
        .metadata
        .annotations
        .get_or_insert_default()
        .insert("helm.sh/resource-policy".into(), "keep".into());
    let chart = format!(
        "{HEADER}{{{{- if .Values.crd.install }}}}\n{}{{{{- end }}}}\n",
        crd::definition_yaml(&definition)?
    );
    Ok([(PLAIN, plain), (CHART, chart)])
}
