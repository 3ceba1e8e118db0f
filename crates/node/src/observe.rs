//! What the surfaces tell of the requests that they serve.

/// Takes note of one request: its operation, its outcome, and how long it took.
pub type Observer = std::sync::Arc<dyn Fn(&'static str, &'static str, std::time::Duration) + Send + Sync>;
