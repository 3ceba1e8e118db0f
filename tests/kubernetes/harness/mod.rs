//! What all scenarios use: a namespace with an operator and a cluster of its own, and a checker of acknowledged writes beside it.
//!
//! | file | what it is |
//! | --- | --- |
//! | `commands` | `kubectl` and `helm`, as people use them |
//! | `operator` | the operator, from the chart: installed, killed, taken away |
//! | `database` | the `QuorateCluster`: what is asked of it, and how it is |
//! | `nodes` | its nodes, asked themselves |
//! | `checker` | the pod that writes and reads all the time |

pub(crate) mod checker;
pub(crate) mod commands;
pub(crate) mod database;
pub(crate) mod nodes;
pub(crate) mod operator;

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use kube::{Client, Config};
use serde_json::json;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use self::commands::{Input, kubectl, repository, run};

/// Names the image that the cluster has: without it no cluster is touched, whatever `KUBECONFIG` says.
const IMAGE: &str = "QUORATE_KUBERNETES_TEST_IMAGE";
/// Set, the namespace of a failed test stays.
const KEEP: &str = "QUORATE_KUBERNETES_TEST_KEEP";
/// Set to 1, scenarios that have a long form take it.
const LONG: &str = "QUORATE_LONG";
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// An operator that sees all namespaces would meddle with what the others' do: the test that has one is alone.
static ALONE: RwLock<()> = RwLock::const_new(());

/// A namespace, and what is in it.
pub(crate) struct Test {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    pub(crate) image: String,
    _turn: Turn,
}

/// Who else may run meanwhile.
#[expect(dead_code, reason = "they are held, not looked at")]
enum Turn {
    With(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
}

impl Test {
    /// A namespace of this name and some letters more. None, and a line that says why, when there is nothing to test with.
    pub(crate) async fn begin(name: &str) -> Option<Self> {
        let image = image(name)?;
        Some(Self::in_turn(name, image, Turn::With(ALONE.read().await)).await)
    }

    /// The same, while no other test runs.
    pub(crate) async fn begin_alone(name: &str) -> Option<Self> {
        let image = image(name)?;
        Some(Self::in_turn(name, image, Turn::Alone(ALONE.write().await)).await)
    }

    async fn in_turn(name: &str, image: String, turn: Turn) -> Self {
        static RESOURCE: OnceLock<()> = OnceLock::new();
        RESOURCE.get_or_init(define_resource);
        let mut config = Config::infer().await.expect("KUBECONFIG leads to a cluster");
        // What is refused is to be seen, not tried again.
        config.default_retry = false;
        let client = Client::try_from(config).expect("KUBECONFIG leads to a cluster");
        let namespace = format!("quorate-test-{name}-{:06x}", rand::random::<u32>() & 0x00ff_ffff);
        let labels = json!({ "pod-security.kubernetes.io/enforce": "restricted" });
        let manifest = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace, "labels": labels },
        });
        run(kubectl().args(["apply", "-f", "-"]), Input::Json(&manifest)).await.expect("a namespace is made");
        Self { client, namespace, image, _turn: turn }
    }

    /// One scenario: says how long it took.
    pub(crate) async fn scenario<T>(&self, number: &str, what: &str, done: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        tell(format_args!("{}: scenario {number} begins: {what}", self.namespace));
        let done = done.await;
        tell(format_args!("scenario {number}  {:6.1} s  {what}", begun.elapsed().as_secs_f64()));
        done
    }

    /// `kubectl` in the namespace.
    pub(crate) fn kubectl(&self) -> tokio::process::Command {
        let mut command = kubectl();
        command.args(["--namespace", &self.namespace]);
        command
    }
}

impl Drop for Test {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show_all();
            if std::env::var_os(KEEP).is_some() {
                return;
            }
        }
        let _ = std::process::Command::new("kubectl")
            .args(["delete", "namespace", &self.namespace, "--wait=false", "--ignore-not-found"])
            .output();
    }
}

impl Test {
    /// What helps to understand a failure.
    fn show_all(&self) {
        let looks: [&[&str]; 5] = [
            &["get", "qc,statefulsets,pods,pvc,deployments", "-o", "wide"],
            &["get", "qc", "-o", "jsonpath={range .items[*]}{.status}{\"\\n\"}{end}"],
            &["get", "events", "--sort-by=.metadata.creationTimestamp"],
            &["logs", "-l", "app.kubernetes.io/component=controller", "--tail=60"],
            &["logs", "-l", "app.kubernetes.io/component=node", "--tail=12", "--prefix"],
        ];
        for look in looks {
            let shown =
                std::process::Command::new("kubectl").args(["-n", &self.namespace]).args(look).output();
            if let Ok(shown) = shown {
                let text = [shown.stdout, shown.stderr].concat();
                tell(format_args!(
                    "{}$ {}\n{}",
                    self.namespace,
                    look.join(" "),
                    String::from_utf8_lossy(&text)
                ));
            }
        }
    }
}

fn image(name: &str) -> Option<String> {
    let image = std::env::var(IMAGE).ok().filter(|image| !image.is_empty());
    if image.is_none() {
        tell(format_args!("{name} is skipped: {IMAGE} is not set; tests/kubernetes/run.sh sets it"));
    }
    image
}

/// The resource's definition, as people apply it.
fn define_resource() {
    let manifest = repository().join("manifests/crd.yaml");
    let steps: [&[&str]; 2] = [
        &["apply", "--server-side", "--force-conflicts", "-f", manifest.to_str().expect("it is UTF-8")],
        &["wait", "--for=condition=Established", "crd/quorateclusters.quorate.dev", "--timeout=60s"],
    ];
    for step in steps {
        let done = std::process::Command::new("kubectl").args(step).output().expect("kubectl is there");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

/// Whether scenarios are to take their long forms.
pub(crate) fn is_long() -> bool {
    std::env::var(LONG).is_ok_and(|long| long == "1")
}

/// Looks until there is something, and fails with the last that was missing.
pub(crate) async fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let begun = Instant::now();
    loop {
        match look().await {
            Ok(found) => return found,
            Err(missing) => {
                assert!(begun.elapsed() < limit, "{what}: not within {limit:?}: {missing}");
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Looks all the time while something else happens, and returns what that returned.
pub(crate) async fn watching<T>(
    done: impl Future<Output = T>,
    every: Duration,
    mut look: impl AsyncFnMut(),
) -> T {
    let mut done = std::pin::pin!(done);
    loop {
        let next = async {
            look().await;
            tokio::time::sleep(every).await;
        };
        tokio::select! {
            done = &mut done => return done,
            () = next => {}
        }
    }
}

#[expect(clippy::print_stdout, reason = "it is for who runs the tests")]
pub(crate) fn tell(what: std::fmt::Arguments<'_>) {
    println!("{what}");
}
