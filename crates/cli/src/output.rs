//! What the command prints: the only place that writes to standard output.

use std::io::{self, Write as _};

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use serde::Serialize;

/// How results are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    // Documented here and not for clap, which would take ten lines of every help for it.
    // For people.
    #[default]
    Table,
    // For programs: one JSON text on one line.
    Json,
}

/// How a command that did not fail ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    Ok,
    /// There is no such key.
    NotFound,
}

/// Writes one line.
pub(crate) fn line(text: impl AsRef<str>) -> Result<()> {
    raw(format!("{}\n", text.as_ref()).as_bytes())
}

/// Writes bytes as they are.
pub(crate) fn raw(bytes: &[u8]) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).context("writing to standard output")
}

/// For much output at once.
pub(crate) fn bulk() -> impl io::Write {
    io::BufWriter::with_capacity(1 << 16, io::stdout())
}

/// Writes a value as one line of JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<()> {
    line(serde_json::to_string(value)?)
}

/// Tells something beside the result, on standard error.
pub(crate) fn note(text: impl AsRef<str>) {
    // With standard error closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "{}", text.as_ref());
}

/// Rows under a heading, each column as wide as its widest cell.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<const N: usize>(heading: [&str; N]) -> Self {
        Self { rows: vec![heading.map(str::to_owned).to_vec()] }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }

    pub(crate) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let render_row = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        self.rows.iter().map(render_row).collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn print(&self) -> Result<()> {
        line(self.render())
    }
}

/// A time for people.
pub(crate) fn seconds(time: std::time::Duration) -> String {
    match time.as_secs() {
        0..60 => format!("{:.1} s", time.as_secs_f64()),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

/// Bytes for people.
pub(crate) fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(["NAME", "N"]);
        table.row(["ünïcode".into(), "3".into()]);
        table.row(["x".into(), String::new()]);
        assert_eq!(table.render(), "NAME     N\nünïcode  3\nx");
    }
}
