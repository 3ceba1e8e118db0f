//! Makes objects so by server-side apply, and writes nothing where they are.
//!
//! An object carries the hash of what was applied last, so that what is not wanted any more is found out; and what it holds is compared
//! with what is wanted, so that what others have changed is, too. The API server writes some values in its own way (`0.5` as `500m`):
//! what it has made of them is remembered, and after a restart of the operator found out by applying once more, which changes nothing.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::memory::Memory;
use super::{FIELD_MANAGER, ReconcileError};
use crate::render::Objects;

/// The annotation with the hash of what was applied.
const APPLIED: &str = "quorate.dev/applied-hash";

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    /// Objects that were not there before, by kind and name.
    pub(super) created: Vec<String>,
    /// Objects that were different.
    pub(super) changed: Vec<String>,
}

/// All objects, the StatefulSet last: what its pods need is there then.
pub(super) async fn all(
    client: &Client,
    objects: &Objects,
    memory: &mut Memory,
) -> Result<Written, ReconcileError> {
    let mut written = Written::default();
    one(client, &objects.service_account, memory, &mut written).await?;
    one(client, &objects.config_map, memory, &mut written).await?;
    one(client, &objects.headless_service, memory, &mut written).await?;
    one(client, &objects.service, memory, &mut written).await?;
    match &objects.disruption_budget {
        Some(budget) => one(client, budget, memory, &mut written).await?,
        None => no_budget(client, objects, &mut written).await?,
    }
    one(client, &objects.stateful_set, memory, &mut written).await?;
    Ok(written)
}

async fn one<K>(
    client: &Client,
    wanted: &K,
    memory: &mut Memory,
    written: &mut Written,
) -> Result<(), ReconcileError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Serialize
        + DeserializeOwned
        + Clone
        + Debug,
{
    let name = wanted.name_any();
    let key = format!("{} {name}", K::kind(&()));
    let api: Api<K> = Api::namespaced(client.clone(), wanted.meta().namespace.as_deref().unwrap_or_default());
    let wanted = with_hash(value(wanted, &key)?);
    let live = api.get_opt(&name).await.map_err(ReconcileError::of(format!("read {key}")))?;
    let held = live.as_ref().map(|live| value(live, &key)).transpose()?;
    if held.as_ref().is_some_and(|held| is_so(&wanted, held, memory.applied.get(&key))) {
        return Ok(());
    }
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    let made = api.patch(&name, &parameters, &Patch::Apply(&wanted)).await;
    let made = made.map_err(ReconcileError::of(format!("apply {key}")))?;
    let made_version = made.resource_version();
    memory.applied.insert(key.clone(), part(&wanted, &value(&made, &key)?));
    match live {
        None => written.created.push(key),
        Some(live) if live.resource_version() != made_version => written.changed.push(key),
        Some(_) => {}
    }
    Ok(())
}

async fn no_budget(client: &Client, objects: &Objects, written: &mut Written) -> Result<(), ReconcileError> {
    use k8s_openapi::api::policy::v1::PodDisruptionBudget;
    let metadata = &objects.stateful_set.metadata;
    let (name, namespace) =
        (metadata.name.as_deref().unwrap_or_default(), metadata.namespace.as_deref().unwrap_or_default());
    let api: Api<PodDisruptionBudget> = Api::namespaced(client.clone(), namespace);
    let what = || format!("delete PodDisruptionBudget {name}");
    let Some(live) = api.get_metadata_opt(name).await.map_err(ReconcileError::of(what()))? else {
        return Ok(());
    };
    if owner(&live.metadata) != owner(metadata) {
        return Ok(());
    }
    let deleted = api.delete(name, &precisely(live.metadata.uid)).await;
    deleted.map_err(ReconcileError::of(what()))?;
    written.changed.push(format!("PodDisruptionBudget {name}"));
    Ok(())
}

/// Deletes the cluster's other ConfigMaps: no pod has them any more. Returns whether there was one.
pub(super) async fn drop_older(
    client: &Client,
    newest: &ConfigMap,
    memory: &mut Memory,
) -> Result<bool, ReconcileError> {
    let metadata = &newest.metadata;
    let api: Api<ConfigMap> =
        Api::namespaced(client.clone(), metadata.namespace.as_deref().unwrap_or_default());
    let labels: Vec<String> =
        metadata.labels.iter().flatten().map(|(name, value)| format!("{name}={value}")).collect();
    let all = api.list_metadata(&ListParams::default().labels(&labels.join(","))).await;
    let all = all.map_err(ReconcileError::of("list the ConfigMaps"))?;
    let mut dropped = false;
    for older in all.items.iter().map(|found| &found.metadata) {
        if older.name == metadata.name || owner(older) != owner(metadata) {
            continue;
        }
        let name = older.name.as_deref().unwrap_or_default();
        match api.delete(name, &precisely(older.uid.clone())).await {
            Ok(_) => dropped = true,
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {}
            Err(error) => return Err(ReconcileError::of(format!("delete ConfigMap {name}"))(error)),
        }
        memory.applied.remove(&format!("ConfigMap {name}"));
    }
    Ok(dropped)
}

/// Whose it is.
fn owner(metadata: &ObjectMeta) -> Option<&str> {
    let owners = metadata.owner_references.iter().flatten();
    owners.into_iter().find(|owner| owner.controller == Some(true)).map(|owner| owner.uid.as_str())
}

/// Deletes this very object, or nothing.
pub(super) fn precisely(uid: Option<String>) -> DeleteParams {
    let preconditions = kube::api::Preconditions { uid, ..Default::default() };
    DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() }
}

fn value(object: &impl Serialize, key: &str) -> Result<Value, ReconcileError> {
    serde_json::to_value(object)
        .map_err(|error| ReconcileError::of(format!("write {key} as JSON"))(kube::Error::SerdeError(error)))
}

fn with_hash(mut wanted: Value) -> Value {
    let hash = super::short_hash(&wanted.to_string());
    if let Some(metadata) = wanted.get_mut("metadata").and_then(Value::as_object_mut) {
        let annotations = metadata.entry("annotations").or_insert_with(|| Value::Object(Map::new()));
        if let Some(annotations) = annotations.as_object_mut() {
            annotations.insert(APPLIED.into(), Value::String(hash));
        }
    }
    wanted
}

/// Whether an object holds what is wanted: as it was written, or as the API server has made it before.
fn is_so(wanted: &Value, held: &Value, made: Option<&Value>) -> bool {
    let part = part(wanted, held);
    // What was made before of something else says nothing.
    let same_asked = hash(wanted) == hash(held);
    part == *wanted || same_asked && made == Some(&part)
}

fn hash(object: &Value) -> Option<&str> {
    object.get("metadata")?.get("annotations")?.get(APPLIED)?.as_str()
}

/// The part of `held` of which `wanted` speaks.
fn part(wanted: &Value, held: &Value) -> Value {
    match (wanted, held) {
        (Value::Object(wanted), Value::Object(held)) => Value::Object(
            wanted
                .iter()
                .filter_map(|(name, wanted)| Some((name.clone(), part(wanted, held.get(name)?))))
                .collect(),
        ),
        (Value::Array(wanted), Value::Array(held)) if wanted.len() == held.len() => {
            Value::Array(wanted.iter().zip(held).map(|(wanted, held)| part(wanted, held)).collect())
        }
        (_, held) => held.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_others_add_is_left_alone_and_what_they_change_is_not() {
        let wanted = with_hash(json!({
            "metadata": { "name": "a", "labels": { "x": "1" } },
            "spec": { "ports": [{ "port": 7700 }, { "port": 7701 }], "cpu": "0.5" },
        }));
        let mut held = wanted.clone();
        held["metadata"]["labels"]["theirs"] = json!("2");
        held["spec"]["ports"][0]["protocol"] = json!("TCP");
        held["spec"]["clusterIP"] = json!("10.0.0.1");
        assert!(is_so(&wanted, &held, None));
        held["spec"]["cpu"] = json!("500m");
        assert!(!is_so(&wanted, &held, None), "as far as is known");
        let made = part(&wanted, &held);
        assert!(is_so(&wanted, &held, Some(&made)), "the API server writes it so");
        for (pointer, other) in
            [("/spec/ports/1/port", json!(1)), ("/metadata/labels/x", json!("3")), ("/spec/cpu", json!("1"))]
        {
            let mut changed = held.clone();
            *changed.pointer_mut(pointer).expect("a field") = other;
            assert!(!is_so(&wanted, &changed, Some(&made)), "{pointer}");
        }
        held["spec"]["ports"].as_array_mut().expect("a list").push(json!({ "port": 9 }));
        assert!(!is_so(&wanted, &held, Some(&made)), "one more");
    }

    #[test]
    fn what_is_not_wanted_any_more_is_found_by_the_hash() {
        let before =
            with_hash(json!({ "metadata": { "name": "a" }, "spec": { "nodeSelector": { "disk": "fast" } } }));
        let after = with_hash(json!({ "metadata": { "name": "a" }, "spec": {} }));
        assert!(is_so(&before, &before, None));
        assert!(!is_so(&after, &before, None));
        assert!(!is_so(&after, &before, Some(&part(&after, &before))), "what was made was of something else");
    }
}
