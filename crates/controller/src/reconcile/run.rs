//! Watches, and has a resource looked at when something happens that concerns it.

use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::core::PartialObjectMeta;
use kube::runtime::controller::{Config, Controller, Error};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt as _};

use super::{Context, after_failure, reconcile};
use crate::crd::QuorateCluster;

/// Events come in bursts.
const DEBOUNCE: Duration = Duration::from_millis(200);
/// Resources that are looked at at the same time.
const CONCURRENCY: u16 = 16;

/// Looks after the resources of one namespace, or of all, until `stop`.
pub async fn run(
    context: Arc<Context>,
    namespace: Option<&str>,
    stop: impl Future<Output = ()> + Send + Sync + 'static,
) {
    let client = &context.client;
    // Of what belongs to a cluster only metadata is watched, and nothing is kept: it says when to look.
    let ours = || watcher::Config::default().labels("app.kubernetes.io/managed-by=quorate-controller");
    let pods =
        watcher::Config::default().labels("app.kubernetes.io/name=quorate,app.kubernetes.io/component=node");
    let controller = Controller::new(clusters(client, namespace), watcher::Config::default());
    let store = controller.store();
    let looks = controller
        .owns(objects::<StatefulSet>(client, namespace), ours())
        .owns(objects::<Service>(client, namespace), ours())
        .owns(objects::<PodDisruptionBudget>(client, namespace), ours())
        .owns(objects::<ConfigMap>(client, namespace), ours())
        .watches(objects::<Pod>(client, namespace), pods, cluster_of)
        .with_config(Config::default().debounce(DEBOUNCE).concurrency(CONCURRENCY))
        .graceful_shutdown_on(stop)
        .run(reconcile, after_failure, context.clone());
    follow(
        looks,
        |key| {
            let (namespace, name) = key;
            let found = store.get(&ObjectRef::new(name).within(namespace)).is_some();
            if !found {
                context.metrics.forget(key);
            }
            found
        },
        || store.len(),
        &context,
    )
    .await;
}

/// The resources of one namespace, or of all.
pub fn clusters(client: &Client, namespace: Option<&str>) -> Api<QuorateCluster> {
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

fn objects<K>(client: &Client, namespace: Option<&str>) -> Api<PartialObjectMeta<K>>
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

fn cluster_of(pod: PartialObjectMeta<Pod>) -> Option<ObjectRef<QuorateCluster>> {
    let cluster = pod.labels().get("app.kubernetes.io/instance")?;
    Some(ObjectRef::new(cluster).within(&pod.namespace()?))
}

async fn follow<T, E>(
    looks: impl Stream<Item = Result<T, Error<E, watcher::Error>>>,
    exists: impl Fn(&(String, String)) -> bool,
    count: impl Fn() -> usize,
    context: &Context,
) where
    E: std::error::Error + 'static,
{
    let mut looks = std::pin::pin!(looks);
    while let Some(look) = looks.next().await {
        context.memories.retain(&exists);
        context.metrics.clusters(count());
        match look {
            // The first has nothing to look at any more, the second was told of where it failed.
            Ok(_) | Err(Error::ObjectNotFound(_) | Error::ReconcilerFailed(..)) => {}
            Err(error) => {
                context.metrics.failed();
                tracing::warn!(%error, "what happens cannot be watched at present");
            }
        }
    }
}
