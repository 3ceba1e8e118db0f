//! How consistent a run was. Pure: a history goes in; figures, a table, CSV and an SVG come out.
//!
//! The simulator (`quorate-sim observe`) and real processes (`quorate bench --observe`) both record a [`History`] and ask
//! this crate what it says, so that "stale" means the same in both.
//!
//! * `history`: what is recorded; `analysis`: what that says; `quantile`: percentiles.
//! * `setting`: what a run was asked for: N, R, W, faults, keys.
//! * `report`: rows as an aligned table and as CSV; `plot`: as an SVG.
//! * `file`: the files that they go to, opened before anything is measured.

mod analysis;
mod file;
mod history;
mod plot;
mod quantile;
mod report;
mod setting;

pub use analysis::{Analysis, Figures};
pub use file::OutputFile;
pub use history::{Ending, History, Read, Write, dot_of};
pub use plot::{PlotError, svg};
pub use quantile::Quantiles;
pub use report::{Row, csv, table};
pub use setting::{Faults, Keys, Mode, Setting};
