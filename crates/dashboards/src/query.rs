//! What a Prometheus answers.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::Deserialize;

/// What is at this address, as text.
pub fn fetch(url: &str) -> anyhow::Result<String> {
    let mut answer = ureq::get(url).call().with_context(|| format!("asking {url}"))?;
    answer.body_mut().read_to_string().with_context(|| format!("reading {url}"))
}

/// A Prometheus, by the address of its HTTP API.
#[derive(Clone, Debug)]
pub struct Prometheus {
    /// `http://host:port`
    pub url: String,
}

/// One series over time.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    /// Its labels.
    pub(crate) labels: BTreeMap<String, String>,
    /// Seconds since the epoch, and values; what is no number is left out.
    pub(crate) points: Vec<(f64, f64)>,
}

#[derive(Deserialize)]
struct Answer {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    result: Vec<Found>,
}

#[derive(Deserialize)]
struct Found {
    metric: BTreeMap<String, String>,
    values: Vec<(f64, String)>,
}

impl Prometheus {
    /// An expression's series from `start_s` to `end_s`, in seconds since the epoch, every `step_s` seconds.
    pub(crate) fn range(
        &self,
        expression: &str,
        start_s: f64,
        end_s: f64,
        step_s: f64,
    ) -> anyhow::Result<Vec<Series>> {
        let url = format!("{}/api/v1/query_range", self.url);
        let request = ureq::get(&url)
            .query("query", expression)
            .query("start", format!("{start_s:.3}"))
            .query("end", format!("{end_s:.3}"))
            .query("step", format!("{step_s:.3}"));
        let mut answer = request.call().with_context(|| format!("asking {url} for {expression}"))?;
        let text = answer.body_mut().read_to_string().with_context(|| format!("reading {url}"))?;
        let answer: Answer = serde_json::from_str(&text).with_context(|| format!("{url} answers {text:.200}"))?;
        let number = |(at, value): (f64, String)| {
            value.parse::<f64>().ok().filter(|value| value.is_finite()).map(|value| (at, value))
        };
        let series = |found: Found| Series {
            labels: found.metric,
            points: found.values.into_iter().filter_map(number).collect(),
        };
        Ok(answer.data.result.into_iter().map(series).filter(|series| !series.points.is_empty()).collect())
    }
}
