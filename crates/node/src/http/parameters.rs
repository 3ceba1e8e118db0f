//! Parameters of requests, from the query, the body or a header: each at most once, none unknown.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use quorate_protocol::Limits;
use quorate_protocol::layout::QuorumMode;
use quorate_protocol::operation::{QuorumOptions, Ttl};
use serde_json::value::RawValue;

use super::answer::read_context;
use super::error::ApiError;
use super::key::percent_decode;

/// What a read takes.
pub(super) const OF_READS: &[&str] = &["n", "r", "pr", "mode", "timeout_ms"];
/// What a delete takes.
pub(super) const OF_DELETES: &[&str] = &["n", "r", "w", "pr", "pw", "mode", "timeout_ms", "context"];
/// What a put takes.
pub(super) const OF_PUTS: &[&str] = &["n", "r", "w", "pr", "pw", "mode", "timeout_ms", "context", "ttl_ms"];
/// What a listing takes.
pub(super) const OF_LISTINGS: &[&str] = &["n", "r", "pr", "mode", "timeout_ms", "cursor", "limit"];
/// What a listing of buckets, and every other request without parameters, takes.
pub(super) const NONE: &[&str] = &[];

/// A parameter's value as it came.
#[derive(Clone, Copy, Debug)]
pub(super) enum Given<'a> {
    /// From the query or a header.
    Text(&'a str),
    /// A member of the body.
    Json(&'a RawValue),
}

impl<'a> Given<'a> {
    /// What stands there, quotes included if it is JSON.
    fn token(self) -> &'a str {
        match self {
            Self::Text(text) => text,
            Self::Json(raw) => raw.get(),
        }
    }

    fn text(self, name: &str) -> Result<Cow<'a, str>, ApiError> {
        match self {
            Self::Text(text) => Ok(text.into()),
            Self::Json(raw) => serde_json::from_str::<String>(raw.get())
                .map(Cow::Owned)
                .map_err(|_| ApiError::invalid(name, "it is not a string")),
        }
    }

    /// A whole number; whether it is in bounds, others know.
    fn number<N: std::str::FromStr>(self, name: &str, bound: &str) -> Result<N, ApiError> {
        let token = self.token();
        let digits = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.then(|| token.parse().ok()).flatten();
        number.ok_or_else(|| {
            let token: String = token.chars().take(32).collect();
            ApiError::invalid(name, format!("{token} is not a whole number {bound}"))
        })
    }
}

/// The parameters of one request.
#[derive(Debug)]
pub(super) struct Parameters {
    known: &'static [&'static str],
    given: Vec<&'static str>,
    timeout_max: Duration,
    ttl_max: Duration,
    /// Quorums, where they are not the bucket's.
    pub(super) quorum: QuorumOptions,
    /// Zero: the node's default.
    pub(super) timeout: Duration,
    /// Of a put: how long its value is shown.
    pub(super) ttl: Ttl,
    /// Empty: none.
    pub(super) context: Bytes,
    /// Where a listing goes on.
    pub(super) cursor: Option<String>,
    /// The most keys of a listing.
    pub(super) limit: Option<u32>,
}

impl Parameters {
    /// None so far, of those that are known to the route.
    pub(super) fn new(known: &'static [&'static str], limits: &Limits) -> Self {
        Self {
            known,
            given: Vec::new(),
            timeout_max: limits.timeout,
            ttl_max: limits.ttl,
            quorum: QuorumOptions::default(),
            timeout: Duration::ZERO,
            ttl: Ttl::Bucket,
            context: Bytes::new(),
            cursor: None,
            limit: None,
        }
    }

    /// Those of a query.
    pub(super) fn of_query(
        known: &'static [&'static str],
        limits: &Limits,
        query: Option<&str>,
    ) -> Result<Self, ApiError> {
        let mut parameters = Self::new(known, limits);
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decode = |text: &str| percent_decode(text).and_then(|bytes| String::from_utf8(bytes).ok());
            let name = decode(name).ok_or_else(|| ApiError::invalid(name, "its name is not well-formed"))?;
            let value = decode(value).ok_or_else(|| ApiError::invalid(&name, "it is not well-formed"))?;
            parameters.set(&name, Given::Text(&value))?;
        }
        Ok(parameters)
    }

    /// Adds one. `null` is as good as absent.
    pub(super) fn set(&mut self, name: &str, given: Given<'_>) -> Result<(), ApiError> {
        let Some(&name) = self.known.iter().find(|known| **known == name) else {
            let known = if self.known.is_empty() { "none".into() } else { self.known.join(", ") };
            return Err(ApiError::invalid(name, format!("it is not known here; known are: {known}")));
        };
        if self.given.contains(&name) {
            return Err(ApiError::invalid(name, "it is given twice"));
        }
        self.given.push(name);
        if matches!(given, Given::Json(raw) if raw.get() == "null") {
            return Ok(());
        }
        match name {
            "n" => self.quorum.n = Some(quorum(name, given, 1)?),
            "r" => self.quorum.r = Some(quorum(name, given, 1)?),
            "w" => self.quorum.w = Some(quorum(name, given, 1)?),
            "pr" => self.quorum.pr = Some(quorum(name, given, 0)?),
            "pw" => self.quorum.pw = Some(quorum(name, given, 0)?),
            "mode" => self.quorum.mode = Some(mode(given)?),
            "ttl_ms" => self.ttl = ttl(given, self.ttl_max)?,
            "timeout_ms" => self.timeout = timeout(given, self.timeout_max)?,
            "limit" => self.limit = Some(given.number(name, "from 1")?),
            // A client that always sends one has none at first.
            "cursor" => {
                self.cursor = Some(given.text(name)?.into_owned()).filter(|cursor| !cursor.is_empty())
            }
            _ => {
                self.context = read_context(&given.text(name)?)
                    .ok_or_else(|| ApiError::invalid(name, "it cannot be decoded: it is not base64url"))?;
            }
        }
        Ok(())
    }
}

/// A number of replicas. The core knows the bucket's n and names it; it is not bothered with what is no number.
fn quorum(name: &str, given: Given<'_>, min: u32) -> Result<u32, ApiError> {
    given.number(name, &format!("from {min} to the bucket's n"))
}

fn mode(given: Given<'_>) -> Result<QuorumMode, ApiError> {
    match given.text("mode")?.as_ref() {
        "strict" => Ok(QuorumMode::Strict),
        "sloppy" => Ok(QuorumMode::Sloppy),
        other => {
            let other: String = other.chars().take(32).collect();
            Err(ApiError::invalid("mode", format!("{other:?} is neither strict nor sloppy")))
        }
    }
}

fn ttl(given: Given<'_>, max: Duration) -> Result<Ttl, ApiError> {
    let max_ms = max.as_millis();
    let bound = format!("from 1 to {max_ms}, or 0 for a value that stays");
    match given.number("ttl_ms", &bound)? {
        0 => Ok(Ttl::Never),
        ms if u128::from(ms) > max_ms => Err(ApiError::invalid("ttl_ms", format!("{ms} is not {bound}"))),
        ms => Ok(Ttl::After(Duration::from_millis(ms))),
    }
}

fn timeout(given: Given<'_>, max: Duration) -> Result<Duration, ApiError> {
    let max_ms = max.as_millis();
    let bound = format!("from 1 to {max_ms}");
    let ms: u64 = given.number("timeout_ms", &bound)?;
    if ms == 0 || u128::from(ms) > max_ms {
        return Err(ApiError::invalid("timeout_ms", format!("{ms} is not {bound}")));
    }
    Ok(Duration::from_millis(ms))
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::*;

    fn query(text: &str) -> Result<Parameters, ApiError> {
        Parameters::of_query(OF_PUTS, &Limits::default(), Some(text))
    }

    #[test]
    fn a_query_gives_all() {
        let parameters =
            query("n=3&r=2&w=%32&pr=0&pw=1&mode=sloppy&timeout_ms=250&context=AQID&ttl_ms=60000")
                .expect("it is well-formed");
        let quorum = QuorumOptions {
            n: Some(3),
            r: Some(2),
            w: Some(2),
            pr: Some(0),
            pw: Some(1),
            mode: Some(QuorumMode::Sloppy),
        };
        assert_eq!(parameters.quorum, quorum);
        assert_eq!(parameters.ttl, Ttl::After(Duration::from_secs(60)));
        assert_eq!(query("ttl_ms=0&mode=strict").expect("it is well-formed").ttl, Ttl::Never);
        assert_eq!(parameters.timeout, Duration::from_millis(250));
        assert_eq!(parameters.context.as_ref(), [1, 2, 3]);
        assert!(query("").expect("it is empty").context.is_empty());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, field) in [
            ("w=-1", "w"),
            ("w=1.5", "w"),
            ("w=", "w"),
            ("w", "w"),
            ("w=%2B1", "w"),
            ("n=99999999999999999999", "n"),
            ("timeout_ms=0", "timeout_ms"),
            ("timeout_ms=60001", "timeout_ms"),
            ("context=*", "context"),
            ("mode=loose", "mode"),
            ("mode=", "mode"),
            ("ttl_ms=-1", "ttl_ms"),
            ("ttl_ms=1h", "ttl_ms"),
            ("ttl_ms=315619200001", "ttl_ms"),
            ("ttl_ms=1&ttl_ms=1", "ttl_ms"),
            ("context=AQ%3D%3D", "context"),
            ("w=1&w=1", "w"),
            ("limit=1", "limit"),
            ("W=1", "W"),
            ("=1", ""),
            ("w=%zz", "w"),
        ] {
            let error = query(text).expect_err(text);
            assert_eq!(error.field.as_deref(), Some(field), "{text}");
            assert_eq!(error.into_response().status(), 400, "{text}");
        }
    }

    #[test]
    fn json_numbers_are_numbers() {
        let set = |text: &str| {
            let raw: &RawValue = serde_json::from_str(text).expect("it is JSON");
            let mut parameters = Parameters::new(OF_PUTS, &Limits::default());
            parameters.set("w", Given::Json(raw)).map(|()| parameters.quorum.w)
        };
        assert_eq!(set("2"), Ok(Some(2)));
        assert_eq!(set("null"), Ok(None));
        for text in ["\"2\"", "2.0", "2e0", "-2", "true", "[2]"] {
            assert!(set(text).is_err(), "{text}");
        }
    }

    #[test]
    fn json_contexts_are_strings() {
        let mut parameters = Parameters::new(OF_PUTS, &Limits::default());
        let raw: &RawValue = serde_json::from_str("7").expect("it is JSON");
        assert!(parameters.set("context", Given::Json(raw)).is_err());
    }
}
