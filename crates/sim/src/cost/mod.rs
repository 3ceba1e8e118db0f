//! How many messages things cost without faults: counted, and held against a [`model`].
//!
//! `fleet` runs clusters for counting; `count` says what went where; `operations`, `background` and `change` are what is measured.

mod background;
mod change;
mod count;
mod fleet;
pub mod model;
mod operations;
mod plans;

use std::fmt;

pub use background::background;
pub use change::{Change, change};
pub use operations::operations;
pub use plans::plans;

/// How large a cluster is, and its quorums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// How many members.
    pub nodes: usize,
    /// How many partitions.
    pub partitions: u32,
    /// Owners of each.
    pub n: u32,
    /// How many answer a read.
    pub r: u32,
    /// How many acknowledge a write.
    pub w: u32,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { nodes, partitions, n, r, w } = self;
        write!(f, "{nodes} nodes, {partitions} partitions, N{n} R{r} W{w}")
    }
}

/// One count, beside what the model says.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Of what,
    pub size: Size,
    /// when,
    pub part: &'static str,
    /// which messages, and for what.
    pub what: &'static str,
    /// What was counted,
    pub counted: f64,
    /// and what the model says.
    pub model: f64,
    /// How far from the model the count may be, as a share of it; 0: they are equal.
    pub within: f64,
}

impl Row {
    /// Whether the count is as near to the model as it should be.
    pub fn is_right(&self) -> bool {
        (self.counted - self.model).abs() <= self.within * self.model + 1e-9
    }
}

/// The rows as comma-separated values.
pub fn csv(rows: &[Row]) -> String {
    let mut text = "part,nodes,partitions,n,r,w,what,counted,model,within\n".to_owned();
    for Row { size: Size { nodes, partitions, n, r, w }, part, what, counted, model, within } in rows {
        text += &format!("{part},{nodes},{partitions},{n},{r},{w},{what},{counted:.3},{model:.3},{within}\n");
    }
    text
}

/// The rows as a table of Markdown.
pub fn table(rows: &[Row]) -> String {
    let mut text = "| part | nodes | partitions | N R W | messages | counted | model |\n".to_owned();
    text += "| --- | --- | --- | --- | --- | --- | --- |\n";
    for row in rows {
        let Row { size: Size { nodes, partitions, n, r, w }, part, what, counted, model, .. } = row;
        let wrong = if row.is_right() { "" } else { " (!)" };
        text += &format!(
            "| {part} | {nodes} | {partitions} | {n} {r} {w} | {what} | {}{wrong} | {} |\n",
            figure(*counted),
            figure(*model)
        );
    }
    text
}

/// With as many decimals as say something.
fn figure(value: f64) -> String {
    if value.fract().abs() < 1e-9 || value >= 1000.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}
