//! The dashboards and alert rules under `manifests/`: every expression in them is taken out and parsed, and what it names is
//! looked for in what nodes and the controller really export.
//!
//! | file | what it does |
//! | --- | --- |
//! | `sources` | reads dashboards and rules |
//! | `used` | which metrics and labels an expression names |
//! | `scrape` | which there are, in Prometheus' text format |
//! | `check` | what is named and is not there; alerts that say too little |
//! | `copies` | the chart's copies of both |
//! | `query`, `picture` | a dashboard's panels, drawn from the series of a Prometheus |

mod check;
mod copies;
mod picture;
mod query;
mod scrape;
mod sources;
mod used;

pub use check::{Part, incomplete_alerts, missing, unparsable};
pub use copies::{drifted, write};
pub use picture::picture;
pub use query::{Prometheus, fetch};
pub use scrape::Scrape;
pub use sources::{Alert, Expression, Panel, Target, alerts, expressions, panels};
