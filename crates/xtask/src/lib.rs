//! Checks that the project runs on itself: `cargo xtask planted`, `layering`, `tidy`, `crdgen`, `dashboards`.
//!
//! All but `planted` also run as tests, so that a bare `cargo test` runs them.

pub mod crdgen;
pub mod layering;
pub mod monitoring;
pub mod planted;
pub mod tidy;

use std::path::{Path, PathBuf};

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}
