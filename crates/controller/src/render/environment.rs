//! What a node learns from its environment.

use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, ObjectFieldSelector};

use super::names::{GRPC_PORT, HTTP_PORT, PEER_PORT, headless_name, name, namespace, peer_address};
use super::{RenderError, pod};
use crate::crd::QuorateCluster;

/// How many pods a node asks at first for where the others are. A constant: a template that changed with the number of
/// pods would restart all of them on every scaling. Those that do not exist are asked in vain.
const SEEDS: i32 = 3;

/// How nodes write logs, unless the resource says so itself.
const LOG_FORMAT: &str = "QUORATE_LOG_FORMAT";

/// The variables in order: `$(..)` only refers to earlier ones.
pub(super) fn variables(cluster: &QuorateCluster) -> Result<Vec<EnvVar>, RenderError> {
    let (name, namespace) = (name(cluster)?, namespace(cluster)?);
    let seeds: Vec<String> =
        (0..SEEDS).map(|ordinal| format!("{:?}", peer_address(name, namespace, ordinal))).collect();
    let mut variables = vec![
        field("POD_NAMESPACE", "metadata.namespace"),
        field("QUORATE_NAME", "metadata.name"),
        value(
            "QUORATE_ADVERTISE_HOST",
            format!("$(QUORATE_NAME).{}.$(POD_NAMESPACE).svc", headless_name(name)),
        ),
        value("QUORATE_DATA_DIR", pod::DATA_DIRECTORY.into()),
        value("QUORATE_GRPC_LISTEN", format!("0.0.0.0:{GRPC_PORT}")),
        value("QUORATE_HTTP_LISTEN", format!("0.0.0.0:{HTTP_PORT}")),
        value("QUORATE_PEER_LISTEN", format!("0.0.0.0:{PEER_PORT}")),
        value("QUORATE_SEEDS", format!("[{}]", seeds.join(", "))),
    ];
    let asked = &cluster.spec.pod_template.env;
    if let Some(taken) = asked.iter().find(|asked| variables.iter().any(|own| own.name == asked.name)) {
        return Err(RenderError::Reserved { field: "env", name: taken.name.clone() });
    }
    // The environment wins over the file: what the file says must not be undone here.
    let told = cluster.spec.settings.contains_key("log_format") || asked.iter().any(|v| v.name == LOG_FORMAT);
    if !told {
        variables.push(value(LOG_FORMAT, "json".into()));
    }
    variables.extend(asked.iter().cloned());
    Ok(variables)
}

fn value(name: &str, value: String) -> EnvVar {
    EnvVar { name: name.into(), value: Some(value), ..EnvVar::default() }
}

fn field(name: &str, path: &str) -> EnvVar {
    EnvVar {
        name: name.into(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path: path.into(),
                ..ObjectFieldSelector::default()
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    }
}
