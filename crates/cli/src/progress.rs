//! How far long work has come: a bar on a terminal, a line every few seconds elsewhere. On standard error.

use std::io::{IsTerminal as _, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::output;

/// Between two lines, where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Bytes of a total that is known.
    BytesOf(u64),
    /// Things of a total that is known.
    Of(u64),
    /// Things, nobody knows of how many.
    Unknown,
}

pub(crate) struct Progress {
    what: &'static str,
    unit: Unit,
    /// None: there is no terminal.
    bar: Option<ProgressBar>,
    position: u64,
    begun: Instant,
    line_at: Instant,
}

impl Progress {
    pub(crate) fn new(what: &'static str, unit: Unit) -> Self {
        let bar = stderr().is_terminal().then(|| bar(what, unit));
        let now = Instant::now();
        Self { what, unit, bar, position: 0, begun: now, line_at: now + LINE_EVERY }
    }

    /// This far, with a word on details.
    pub(crate) fn set(&mut self, position: u64, detail: &dyn Fn() -> String) {
        self.position = position;
        if let Some(bar) = &self.bar {
            bar.set_position(position);
            bar.set_message(detail());
        } else if Instant::now() >= self.line_at {
            self.line_at = Instant::now() + LINE_EVERY;
            output::note(format!("{}: {} {}", self.what, self.so_far(), detail()).trim_end());
        }
    }

    /// There is more, or less, of it than was thought.
    pub(crate) fn set_total(&mut self, total: u64) {
        self.unit = match self.unit {
            Unit::BytesOf(_) => Unit::BytesOf(total),
            Unit::Of(_) => Unit::Of(total),
            Unit::Unknown => Unit::Unknown,
        };
        if let Some(bar) = &self.bar {
            bar.set_length(total);
        }
    }

    /// Says something that is to stay on the screen.
    pub(crate) fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => output::note(text),
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(self) -> Duration {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.begun.elapsed()
    }

    fn so_far(&self) -> String {
        match self.unit {
            Unit::BytesOf(total) => format!("{} of {}", output::bytes(self.position), output::bytes(total)),
            Unit::Of(total) => format!("{} of {total}", self.position),
            Unit::Unknown => self.position.to_string(),
        }
    }
}

fn bar(what: &'static str, unit: Unit) -> ProgressBar {
    let (bar, template) = match unit {
        Unit::BytesOf(total) => (
            ProgressBar::new(total),
            "{prefix} {wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta} {msg}",
        ),
        Unit::Of(total) => (ProgressBar::new(total), "{prefix} {wide_bar} {pos}/{len} {per_sec} {eta} {msg}"),
        Unit::Unknown => (ProgressBar::new_spinner(), "{spinner} {prefix} {pos} {per_sec} {msg}"),
    };
    // The templates are right: a test looks at them.
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.with_style(style).with_prefix(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_how_far_it_is() {
        let mut progress = Progress::new("test", Unit::BytesOf(2048));
        progress.position = 1024;
        assert_eq!(progress.so_far(), "1.00 KiB of 2.00 KiB");
        progress.unit = Unit::Of(10);
        assert_eq!(progress.so_far(), "1024 of 10");
    }
}
