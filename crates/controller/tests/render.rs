//! What is rendered, byte by byte. After a change that is meant: `QUORATE_WRITE_GOLDEN=1 cargo test -p quorate-controller --test render`.

use std::path::Path;

use k8s_openapi::api::core::v1::{EnvVar, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use quorate_controller::crd::{AllowedSetting, QuorateCluster};
use quorate_controller::render::{Objects, RenderError, SETTINGS_HASH, objects};
use serde::Serialize;

const MINIMAL: &str = "
apiVersion: quorate.dev/v1alpha1
kind: QuorateCluster
metadata: {name: shop, namespace: prod, uid: 6a5cbd0c-6d5f-4f6e-9d0a-1f4f3c1b7a52}
spec: {replicas: 3, image: 'quorate:0.1.0', storage: {size: 10Gi}}
";

const FULL: &str = "
apiVersion: quorate.dev/v1alpha1
kind: QuorateCluster
metadata: {name: shop, namespace: prod, uid: 6a5cbd0c-6d5f-4f6e-9d0a-1f4f3c1b7a52}
spec:
  replicas: 7
  replication: {factor: 5, readQuorum: 3, writeQuorum: 3}
  partitions: 1024
  image: quorate:0.1.0
  imagePullPolicy: Always
  storage: {size: 20Gi, storageClassName: fast, retention: {whenDeleted: Delete, whenScaled: Delete}}
  topology: {zoneKey: topology.kubernetes.io/zone}
  resources: {requests: {cpu: 2, memory: 1Gi}, limits: {memory: 1Gi}}
  podTemplate:
    labels: {team: shop}
    annotations: {example.org/note: by hand}
    env: [{name: QUORATE_TOKEN_SECRET, valueFrom: {secretKeyRef: {name: tokens, key: secret}}}]
    args: [--log-format, text]
    nodeSelector: {disk: fast}
    tolerations: [{key: databases, operator: Exists}]
    topologySpreadConstraints: [{maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule}]
    priorityClassName: high
    imagePullSecrets: [{name: pull}]
    terminationGracePeriodSeconds: 120
  settings: {transfer_bytes_per_s: 1000000, read_repair: false, log_format: text}
  operation: {paused: true}
";

fn cluster(yaml: &str) -> QuorateCluster {
    serde_yaml::from_str(yaml).expect("the resource can be read")
}

fn rendered(yaml: &str, pods: i32) -> Objects {
    objects(&cluster(yaml), pods, None).expect("the resource can be rendered")
}

fn template(objects: &Objects) -> PodTemplateSpec {
    objects.stateful_set.spec.clone().expect("it has a spec").template
}

fn yaml(object: &impl Serialize) -> String {
    serde_yaml::to_string(object).expect("it can be written")
}

fn all(objects: &Objects) -> String {
    let mut documents = vec![
        yaml(&objects.config_map),
        yaml(&objects.service_account),
        yaml(&objects.headless_service),
        yaml(&objects.service),
        yaml(&objects.stateful_set),
    ];
    documents.extend(objects.disruption_budget.as_ref().map(yaml));
    documents.join("---\n")
}

fn is_golden(name: &str, text: &str, why: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("QUORATE_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, text).expect("the golden file can be written");
    }
    let golden = std::fs::read_to_string(&path).expect("the golden file can be read");
    assert_eq!(text, golden, "{name}: {why}");
}

#[test]
fn the_least_that_can_be_asked_for() {
    is_golden("minimal.yaml", &all(&rendered(MINIMAL, 3)), "this is what users get");
}

#[test]
fn all_that_can_be_asked_for() {
    is_golden("full.yaml", &all(&rendered(FULL, 7)), "this is what users get");
}

#[test]
fn an_operator_upgrade_restarts_no_database() {
    let why = "with another template every pod of every cluster is restarted when the operator is updated; \
               where that is meant, CHANGELOG.md has to say so";
    is_golden("pod_template.yaml", &yaml(&template(&rendered(MINIMAL, 3))), why);
}

#[test]
fn scaling_changes_no_pod_and_neither_does_a_larger_volume() {
    let before = rendered(MINIMAL, 3);
    assert_eq!(template(&before), template(&rendered(MINIMAL, 9)));
    let mut larger = cluster(MINIMAL);
    larger.spec.replicas = 9;
    larger.spec.storage.size = "20Gi".into();
    let after = objects(&larger, 3, Some(&Quantity("10Gi".into()))).expect("it can be rendered");
    assert_eq!(before.stateful_set, after.stateful_set, "the template keeps the size that it was made with");
}

#[test]
fn other_settings_restart_the_pods() {
    let hash = |objects: &Objects| {
        let annotations =
            template(objects).metadata.and_then(|metadata| metadata.annotations).expect("annotations");
        annotations[SETTINGS_HASH].clone()
    };
    let mut other = cluster(MINIMAL);
    other.spec.settings.insert("hints_max".into(), AllowedSetting::Number(5));
    let other = objects(&other, 3, None).expect("it can be rendered");
    assert_ne!(hash(&rendered(MINIMAL, 3)), hash(&other));
    assert_eq!(other.config_map.data.expect("data")["node.toml"], "hints_max = 5\n");
}

#[test]
fn the_budget_leaves_quorums() {
    let budget = |n, r, w| {
        let mut cluster = cluster(FULL);
        cluster.spec.replication.factor = n;
        cluster.spec.replication.read_quorum = r;
        cluster.spec.replication.write_quorum = w;
        let budget =
            objects(&cluster, 7, None).expect("it can be rendered").disruption_budget.expect("a budget");
        yaml(&budget.spec.and_then(|spec| spec.max_unavailable)).trim().to_owned()
    };
    assert_eq!(budget(5, 3, 3), "2");
    assert_eq!(budget(5, 1, 5), "1", "or no node could ever be drained");
    assert_eq!(budget(3, 2, 2), "1");
    assert_eq!(budget(5, 2, 1), "3");
    let mut without = cluster(MINIMAL);
    without.spec.pdb.enabled = false;
    assert_eq!(objects(&without, 3, None).expect("it can be rendered").disruption_budget, None);
}

#[test]
fn what_the_operator_decides_cannot_be_asked_for() {
    let refused = |change: fn(&mut QuorateCluster)| {
        let mut cluster = cluster(MINIMAL);
        change(&mut cluster);
        objects(&cluster, 3, None).expect_err("it is refused").to_string()
    };
    let setting = |cluster: &mut QuorateCluster, name: &str| {
        cluster.spec.settings.insert(name.to_owned(), AllowedSetting::Text("x".into()));
    };
    for own in ["data_dir", "grpc_listen", "advertise_host", "name", "zone", "weight", "seeds"] {
        let mut cluster = cluster(MINIMAL);
        setting(&mut cluster, own);
        let error = objects(&cluster, 3, None).expect_err("it is refused");
        assert_eq!(error.to_string(), format!("spec.settings.{own}: is set by the operator itself"));
    }
    assert!(
        refused(|c| _ = c.spec.settings.insert("token_secret".into(), AllowedSetting::Number(1)))
            .contains("Secret")
    );
    assert!(
        refused(|c| _ = c.spec.settings.insert("a b".into(), AllowedSetting::Number(1)))
            .contains("lower-case")
    );
    let list = |c: &mut QuorateCluster| {
        c.spec.settings.insert("hints_max".into(), AllowedSetting::Other(serde_json::json!([])));
    };
    assert!(refused(list).contains("spec.settings.hints_max: must be a whole number, a text, true or false"));
    let label = |c: &mut QuorateCluster| {
        c.spec.pod_template.labels.insert("app.kubernetes.io/instance".into(), "other".into());
    };
    assert!(refused(label).contains("spec.podTemplate.labels: \"app.kubernetes.io/instance\""));
    let env = |c: &mut QuorateCluster| {
        c.spec.pod_template.env.push(EnvVar { name: "QUORATE_SEEDS".into(), ..EnvVar::default() });
    };
    assert!(refused(env).contains("spec.podTemplate.env: \"QUORATE_SEEDS\""));
    let nowhere = |c: &mut QuorateCluster| c.metadata.namespace = None;
    assert_eq!(refused(nowhere), RenderError::Incomplete { field: "metadata.namespace" }.to_string());
}

#[test]
fn one_odd_resource_can_be_read_beside_others() {
    let odd = cluster(
        &MINIMAL.replace("replicas: 3,", "replicas: 3, settings: {a: {}, b: null, c: true, d: 1, e: x},"),
    );
    let settings = odd.spec.settings;
    assert_eq!(settings["a"], AllowedSetting::Other(serde_json::json!({})));
    assert_eq!(settings["b"], AllowedSetting::Other(serde_json::Value::Null));
    assert_eq!(settings["c"], AllowedSetting::Boolean(true));
    assert_eq!(settings["d"], AllowedSetting::Number(1));
    assert_eq!(settings["e"], AllowedSetting::Text("x".into()));
    cluster(&MINIMAL.replace("replicas: 3,", "replicas: 3, fromTheFuture: 1,"));
}
