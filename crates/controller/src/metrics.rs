//! What the operator tells of itself, and whether it is ready, over HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::{
    Encoder as _, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use tokio::net::TcpListener;

/// All metrics of the operator.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    reconciled: IntCounterVec,
    took: Histogram,
    errors: IntCounter,
    actions: IntCounterVec,
    leader: IntGauge,
    clusters: IntGauge,
    members_absent: IntGaugeVec,
    ready: AtomicBool,
}

impl Metrics {
    /// All at zero.
    ///
    /// # Errors
    /// When a name is used twice.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let name = |name: &str| format!("quorate_controller_{name}");
        let reconciled =
            IntCounterVec::new(Opts::new(name("reconcile_total"), "Looks at a resource."), &["outcome"])?;
        let took = HistogramOpts::new(name("reconcile_duration_seconds"), "How long a look took.")
            .buckets(vec![0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]);
        let took = Histogram::with_opts(took)?;
        let errors = IntCounter::new(
            name("reconcile_errors_total"),
            "Looks that have failed, and watches that have broken.",
        )?;
        let actions =
            IntCounterVec::new(Opts::new(name("actions_total"), "Things done, by kind."), &["action"])?;
        let leader = IntGauge::new(name("leader"), "Whether this replica is the one that acts.")?;
        let clusters = IntGauge::new(name("clusters"), "Resources that are looked after.")?;
        let members_absent = IntGaugeVec::new(
            Opts::new(name("members_absent"), "Members of a cluster that do not answer."),
            &["namespace", "cluster"],
        )?;
        registry.register(Box::new(reconciled.clone()))?;
        registry.register(Box::new(took.clone()))?;
        registry.register(Box::new(errors.clone()))?;
        registry.register(Box::new(actions.clone()))?;
        registry.register(Box::new(leader.clone()))?;
        registry.register(Box::new(clusters.clone()))?;
        registry.register(Box::new(members_absent.clone()))?;
        // Rates need a series from the start.
        for outcome in ["ok", "error"] {
            reconciled.with_label_values(&[outcome]);
        }
        for action in ["apply", "found", "change_layout", "delete_pod", "delete_claim", "grow_claim"] {
            actions.with_label_values(&[action]);
        }
        let ready = AtomicBool::new(false);
        Ok(Self { registry, reconciled, took, errors, actions, leader, clusters, members_absent, ready })
    }

    /// A look has ended.
    pub fn reconciled(&self, took: Duration, well: bool) {
        self.reconciled.with_label_values(&[if well { "ok" } else { "error" }]).inc();
        self.took.observe(took.as_secs_f64());
        if !well {
            self.errors.inc();
        }
    }

    /// Something outside of a look has failed.
    pub fn failed(&self) {
        self.errors.inc();
    }

    /// Something was done.
    pub fn acted(&self, action: &str) {
        self.actions.with_label_values(&[action]).inc();
    }

    /// How many members of a cluster, by namespace and name, do not answer.
    pub fn members_absent(&self, (namespace, cluster): &(String, String), absent: i64) {
        self.members_absent.with_label_values(&[namespace, cluster]).set(absent);
    }

    /// How many resources there are.
    pub fn clusters(&self, clusters: usize) {
        self.clusters.set(i64::try_from(clusters).unwrap_or(i64::MAX));
    }

    /// A resource is gone.
    pub fn forget(&self, (namespace, cluster): &(String, String)) {
        // It may never have been told of.
        let _ = self.members_absent.remove_label_values(&[namespace, cluster]);
    }

    /// Whether this replica is the one that acts.
    pub fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// The API server knows the resource.
    pub fn serves(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }
}

/// Serves `/metrics`, `/readyz` and `/healthz` until the process ends.
///
/// # Errors
/// When no connections can be taken any more.
pub async fn serve(listener: TcpListener, metrics: Arc<Metrics>) -> std::io::Result<()> {
    let router = Router::new()
        .route("/metrics", get(show))
        .route("/readyz", get(readyz))
        .route("/healthz", get(|| async { "ok\n" }))
        .with_state(metrics);
    axum::serve(listener, router).await
}

async fn show(State(metrics): State<Arc<Metrics>>) -> Response {
    let mut text = Vec::new();
    let encoder = TextEncoder::new();
    match encoder.encode(&metrics.registry.gather(), &mut text) {
        Ok(()) => ([(CONTENT_TYPE, encoder.format_type().to_owned())], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn readyz(State(metrics): State<Arc<Metrics>>) -> Response {
    if metrics.ready.load(Ordering::Relaxed) {
        return "ok\n".into_response();
    }
    let why = "the API server does not serve quorateclusters.quorate.dev yet\n";
    (StatusCode::SERVICE_UNAVAILABLE, why).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_cluster_that_is_gone_is_told_of_no_more() {
        let metrics = Arc::new(Metrics::new().expect("metrics"));
        let key = ("ns".to_owned(), "a".to_owned());
        metrics.members_absent(&key, 2);
        metrics.acted("apply");
        let text = |metrics: &Metrics| {
            let mut text = Vec::new();
            TextEncoder::new().encode(&metrics.registry.gather(), &mut text).expect("text");
            String::from_utf8(text).expect("text")
        };
        let before = text(&metrics);
        assert!(
            before.contains("quorate_controller_members_absent{cluster=\"a\",namespace=\"ns\"} 2"),
            "{before}"
        );
        assert!(before.contains("quorate_controller_actions_total{action=\"apply\"} 1"), "{before}");
        metrics.forget(&key);
        assert!(!text(&metrics).contains("cluster=\"a\""));
        assert_eq!(readyz(State(metrics.clone())).await.status(), StatusCode::SERVICE_UNAVAILABLE);
        metrics.serves();
        assert_eq!(readyz(State(metrics)).await.status(), StatusCode::OK);
    }
}
