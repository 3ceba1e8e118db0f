//! Bytes as text and back: values, keys, contexts, clocks.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use quorate_client::{Context, Value};
use quorate_protocol::version::peek;
use serde::Serialize;
use serde_json::value::RawValue;

pub(crate) const JSON: &str = "application/json";
pub(crate) const OCTETS: &str = "application/octet-stream";
const TEXT: &str = "text/plain; charset=utf-8";

/// What stands before bytes that are shown in base64.
pub(crate) const NAMED_BASE64: &str = "base64:";

/// Takes both with and without padding.
const FORGIVING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, FORGIVING);
const URL_SAFE: GeneralPurpose =
    GeneralPurpose::new(&alphabet::URL_SAFE, FORGIVING.with_encode_padding(false));

pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(crate) fn from_base64(text: &str) -> Result<Bytes> {
    Ok(STANDARD.decode(text).context("not base64")?.into())
}

/// A context as it is shown, in headers and on command lines: base64 in the alphabet that needs no quoting.
pub(crate) fn context_text(context: &Context) -> String {
    URL_SAFE.encode(context.as_bytes())
}

pub(crate) fn context_from_text(text: &str) -> Result<Context> {
    let bytes = URL_SAFE.decode(text).or_else(|_| STANDARD.decode(text));
    Ok(bytes.context("--context: this is no context, as `get` and `put` show it")?.into())
}

/// Sorts names as people do: runs of digits are numbers, so that node-2 comes before node-10.
pub(crate) fn natural(name: &str) -> Vec<(usize, &str)> {
    let mut parts = Vec::new();
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let digits = first.is_ascii_digit();
        let end = rest.find(|next: char| next.is_ascii_digit() != digits).unwrap_or(rest.len());
        let (part, more) = rest.split_at(end);
        let number = part.trim_start_matches('0');
        // The longer of two numbers is the greater one, and any number comes before what is none.
        parts.push(if digits { (number.len(), number) } else { (usize::MAX, part) });
        rest = more;
    }
    parts
}

/// What a context covers, by actor: how many of its writes. Dots beyond that by themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Clock {
    #[serde(flatten)]
    vector: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    dots: BTreeMap<String, Vec<u64>>,
}

impl Clock {
    /// Empty when the token is not one that this version can look into.
    pub(crate) fn of(context: &Context) -> Self {
        let seen = peek(context.as_bytes()).unwrap_or_default();
        let mut clock = Self::default();
        for (actor, seq) in seen.vector() {
            clock.vector.insert(actor.to_string(), *seq);
        }
        for dot in seen.cloud() {
            clock.dots.entry(dot.actor.to_string()).or_default().push(dot.seq);
        }
        clock
    }
}

impl std::fmt::Display for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let vector = self.vector.iter().map(|(actor, seq)| format!("{actor}:{seq}"));
        let dots = self.dots.iter().map(|(actor, seqs)| format!("{actor}:{seqs:?}"));
        f.write_str(&vector.chain(dots).collect::<Vec<_>>().join(" "))
    }
}

/// What the bytes of a new value are, when nobody says.
pub(crate) fn guess_content_type(value: &[u8]) -> &'static str {
    if serde_json::from_slice::<&RawValue>(value).is_ok() {
        JSON
    } else if std::str::from_utf8(value).is_ok() {
        TEXT
    } else {
        OCTETS
    }
}

/// A value's bytes as JSON text that can be put into a line, if they are that and nothing around it.
pub(crate) fn as_json_line(value: &Value) -> Option<&RawValue> {
    if value.content_type != JSON || value.bytes.contains(&b'\n') || value.bytes.contains(&b'\r') {
        return None;
    }
    let raw: &RawValue = serde_json::from_slice(&value.bytes).ok()?;
    // A parser skips blanks around the text; they have to come back too.
    (raw.get().len() == value.bytes.len()).then_some(raw)
}

/// The media type that a value without one has.
pub(crate) fn content_type(value: &Value) -> &str {
    if value.content_type.is_empty() { OCTETS } else { &value.content_type }
}

/// A value as a field of JSON output: as it is if it is JSON, else in base64 with its type.
#[derive(Serialize)]
pub(crate) struct ValueFields<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
}

impl<'a> ValueFields<'a> {
    pub(crate) fn new(value: &'a Value) -> Self {
        match as_json_line(value) {
            Some(raw) => Self { value: Some(raw), value_base64: None, content_type: None },
            None => Self {
                value: None,
                value_base64: Some(base64(&value.bytes)),
                content_type: Some(content_type(value)),
            },
        }
    }
}

/// A key as a field of JSON output: text, or base64 when it is not UTF-8.
#[derive(Serialize)]
pub(crate) struct KeyFields<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
}

impl<'a> KeyFields<'a> {
    pub(crate) fn new(key: &'a [u8]) -> Self {
        match std::str::from_utf8(key) {
            Ok(text) => Self { key: Some(text), key_base64: None },
            Err(_) => Self { key: None, key_base64: Some(base64(key)) },
        }
    }
}

/// A key for people, always on one line: text as it is, other bytes in base64, named so. What could be taken for the latter is shown as
/// it too.
pub(crate) fn key_line(key: &[u8]) -> String {
    match std::str::from_utf8(key) {
        Ok(text) if !text.chars().any(char::is_control) && !text.starts_with(NAMED_BASE64) => text.to_owned(),
        _ => format!("{NAMED_BASE64}{}", base64(key)),
    }
}

/// How long it is until this moment by this machine's clock, in milliseconds; at least 1.
pub(crate) fn left_ms(wall_ms: u64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    wall_ms.saturating_sub(u64::try_from(now.as_millis()).unwrap_or(u64::MAX)).max(1)
}

/// A time in its greatest whole unit: `90s`, `2h`, `7d`.
pub(crate) fn time(ms: u64) -> String {
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    match units.into_iter().find(|(_, unit_ms)| ms > 0 && ms.is_multiple_of(*unit_ms)) {
        Some((unit, unit_ms)) => format!("{}{unit}", ms / unit_ms),
        None => format!("{ms}ms"),
    }
}

/// Bytes for people: text as it is, other bytes in base64, named so.
pub(crate) fn readable(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')) => text.to_owned(),
        _ => format!("{NAMED_BASE64}{}", base64(bytes)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that meets the unexpected stops there")]
mod tests {
    use super::*;

    fn value(bytes: &'static [u8], content_type: &str) -> Value {
        Value { bytes: bytes.into(), content_type: content_type.into(), dot: None, expires_at_ms: None }
    }

    #[test]
    fn numbers_in_names_are_numbers() {
        let mut names = ["node-10", "b", "node-2", "a-0", "7", "node", "node-010b", "node-1", ""];
        names.sort_by_key(|name| natural(name));
        assert_eq!(names, ["", "7", "a-0", "b", "node", "node-1", "node-2", "node-10", "node-010b"]);
    }

    #[test]
    fn only_json_on_one_line_goes_out_as_it_is() {
        for json in ["null", "1.50", "\"\\u00e4\"", r#"{"b": 1,  "a":2}"#, "[ ]"] {
            let value = value(json.as_bytes(), JSON);
            assert_eq!(as_json_line(&value).unwrap().get(), json);
        }
        for other in ["", " 1", "1 ", "{", "[1,\n2]", "1 2"] {
            assert!(as_json_line(&value(other.as_bytes(), JSON)).is_none(), "{other:?}");
        }
        assert!(as_json_line(&value(b"1", "text/plain")).is_none());
        assert!(as_json_line(&value(b"\"\xff\"", JSON)).is_none());
    }

    #[test]
    fn types_are_guessed() {
        assert_eq!(guess_content_type(br#"{"a":1}"#), JSON);
        assert_eq!(guess_content_type(b"hello"), TEXT);
        assert_eq!(guess_content_type(b"\xff\x00"), OCTETS);
    }

    #[test]
    fn contexts_are_taken_in_both_alphabets() {
        let context = Context::from(vec![0xfb, 0xff, 0x01, 0x02]);
        let text = context_text(&context);
        assert!(!text.contains(['+', '/', '=']));
        assert_eq!(context_from_text(&text).unwrap(), context);
        assert_eq!(context_from_text(&base64(context.as_bytes())).unwrap(), context);
        assert!(context_from_text("not a context!").is_err());
    }

    #[test]
    fn values_show_as_json_or_in_base64() {
        let show = |value: &Value| serde_json::to_string(&ValueFields::new(value)).unwrap();
        assert_eq!(show(&value(b"{\"a\": 1}", JSON)), r#"{"value":{"a": 1}}"#);
        assert_eq!(
            show(&value(b"\xff", "")),
            r#"{"value_base64":"/w==","content_type":"application/octet-stream"}"#
        );
    }

    #[test]
    fn a_key_takes_one_line() {
        assert_eq!(key_line("ä/b c".as_bytes()), "ä/b c");
        assert_eq!(key_line(b"a\nb"), "base64:YQpi");
        assert_eq!(key_line(b"\xff"), "base64:/w==");
        assert_eq!(key_line(b"base64:YQ=="), "base64:YmFzZTY0OllRPT0=");
    }

    #[test]
    fn times_read_back() {
        for text in ["1ms", "1500ms", "90s", "10m", "36h", "7d"] {
            let time_ms = crate::args::duration(text).unwrap().as_millis();
            assert_eq!(time(u64::try_from(time_ms).unwrap()), text);
        }
    }

    #[test]
    fn keys_show_as_text_or_in_base64() {
        let show = |key: &[u8]| serde_json::to_string(&KeyFields::new(key)).unwrap();
        assert_eq!(show("ä/b c".as_bytes()), r#"{"key":"ä/b c"}"#);
        assert_eq!(show(b"\xff"), r#"{"key_base64":"/w=="}"#);
    }
}
