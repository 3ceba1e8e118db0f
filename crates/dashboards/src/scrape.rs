//! Which metrics there are, in Prometheus' text format.

use std::collections::{BTreeMap, BTreeSet};

/// What was scraped, of one or of several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scrape {
    /// By the name of the series, then by label: the values seen.
    metrics: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
}

impl Scrape {
    /// Adds what one text holds. An error names the line.
    pub fn add(&mut self, text: &str) -> Result<(), String> {
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            self.add_line(line).ok_or_else(|| format!("{line:?} is not a sample"))?;
        }
        Ok(())
    }

    fn add_line(&mut self, line: &str) -> Option<()> {
        let (name, rest) = line.split_at(line.find(['{', ' '])?);
        let labels = self.metrics.entry(name.to_owned()).or_default();
        let mut rest = match rest.strip_prefix('{') {
            None => rest,
            Some(mut rest) => loop {
                if let Some(after) = rest.strip_prefix('}') {
                    break after;
                }
                let (label, after) = rest.split_once("=\"")?;
                let (value, after) = quoted(after)?;
                labels.entry(label.to_owned()).or_default().insert(value);
                rest = after.strip_prefix(',').unwrap_or(after);
            },
        };
        rest = rest.strip_prefix(' ')?;
        rest.split(' ').next()?.parse::<f64>().ok().map(drop)
    }

    /// Whether this metric was there.
    pub fn has(&self, metric: &str) -> bool {
        self.metrics.contains_key(metric)
    }

    /// Whether some series of it had this label.
    pub fn has_label(&self, metric: &str, label: &str) -> bool {
        self.metrics.get(metric).is_some_and(|labels| labels.contains_key(label))
    }

    /// Whether some series of it had this value.
    pub fn has_value(&self, metric: &str, label: &str, value: &str) -> bool {
        let labels = self.metrics.get(metric);
        labels.and_then(|labels| labels.get(label)).is_some_and(|values| values.contains(value))
    }
}

/// Up to the closing quote, unescaped, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    loop {
        match characters.next()? {
            (at, '"') => return Some((value, &text[at + 1..])),
            (_, '\\') => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            (_, other) => value.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_labels_and_values_are_found() {
        let mut scrape = Scrape::default();
        let text = "# HELP a is\n# TYPE a counter\na{x=\"1\",y=\"q\\\"{},=\"} 3\na{x=\"2\",y=\"\"} 1e-3\nb 7\nc_bucket{le=\"+Inf\"} 4 1700\n";
        scrape.add(text).expect("it is read");
        assert!(scrape.has("a") && scrape.has("b") && !scrape.has("c"));
        assert!(scrape.has_label("a", "y") && !scrape.has_label("b", "y"));
        assert!(scrape.has_value("a", "x", "2") && scrape.has_value("a", "y", "q\"{},="));
        assert!(scrape.has_value("c_bucket", "le", "+Inf") && !scrape.has_value("a", "x", "3"));
    }

    #[test]
    fn what_is_no_sample_is_told() {
        for wrong in ["<html>", "a", "a b", "a{x=\"1\" 3", "a{x=\"1} 3", "a{x} 3"] {
            let error = Scrape::default().add(wrong).expect_err(wrong);
            assert!(error.contains("is not a sample"), "{error}");
        }
    }
}
