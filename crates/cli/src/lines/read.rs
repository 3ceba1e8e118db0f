//! From a line to what is to be stored.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use quorate_client::Ttl;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::text::{self, JSON, OCTETS};

/// A key and its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) key: Bytes,
    /// At least one.
    pub(crate) values: Vec<LineValue>,
}

/// A value to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LineValue {
    pub(crate) bytes: Bytes,
    pub(crate) content_type: String,
    pub(crate) ttl: Ttl,
}

/// A line as it is written; which fields go together is checked afterwards, for better errors.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields<'a> {
    #[serde(default, borrow)]
    key: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    key_base64: Option<Cow<'a, str>>,
    #[serde(default, borrow, deserialize_with = "even_null")]
    value: Option<&'a RawValue>,
    #[serde(default, borrow)]
    value_base64: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    content_type: Option<Cow<'a, str>>,
    #[serde(default)]
    ttl_ms: Option<u64>,
    #[serde(default, borrow)]
    siblings: Option<Vec<ValueFields<'a>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ValueFields<'a> {
    #[serde(default, borrow, deserialize_with = "even_null")]
    value: Option<&'a RawValue>,
    #[serde(default, borrow)]
    value_base64: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    content_type: Option<Cow<'a, str>>,
    #[serde(default)]
    ttl_ms: Option<u64>,
}

/// `null` is a value like any other, not the absence of one.
fn even_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Reads a line, or says what is wrong with it.
pub(crate) fn read(line: &[u8]) -> Result<Line, String> {
    let text = std::str::from_utf8(line).map_err(|error| format!("not UTF-8: {error}"))?;
    let fields: Fields<'_> = serde_json::from_str(text).map_err(|error| in_line(&error))?;
    let key = key(fields.key, fields.key_base64)?;
    let single = ValueFields {
        value: fields.value,
        value_base64: fields.value_base64,
        content_type: fields.content_type,
        ttl_ms: fields.ttl_ms,
    };
    let has_single = single.value.is_some()
        || single.value_base64.is_some()
        || single.content_type.is_some()
        || single.ttl_ms.is_some();
    let values = match fields.siblings {
        None => vec![value(single)?],
        Some(_) if has_single => {
            return Err("it has a value and siblings; it can have only one of them".into());
        }
        Some(siblings) if siblings.is_empty() => return Err("siblings: there is none".into()),
        Some(siblings) => siblings.into_iter().map(value).collect::<Result<_, _>>()?,
    };
    Ok(Line { key, values })
}

fn key(text: Option<Cow<'_, str>>, base64: Option<Cow<'_, str>>) -> Result<Bytes, String> {
    let key = match (text, base64) {
        (Some(text), None) => Bytes::from(text.into_owned()),
        (None, Some(base64)) => {
            text::from_base64(&base64).map_err(|error| format!("key_base64: {error:#}"))?
        }
        (None, None) => return Err("key: it is missing".into()),
        (Some(_), Some(_)) => {
            return Err("it has a key and a key_base64; it can have only one of them".into());
        }
    };
    if key.is_empty() {
        return Err("key: it is empty".into());
    }
    Ok(key)
}

fn value(fields: ValueFields<'_>) -> Result<LineValue, String> {
    let ttl = match fields.ttl_ms {
        None => Ttl::Bucket,
        Some(0) => Ttl::Never,
        Some(ms) => Ttl::After(Duration::from_millis(ms)),
    };
    match (fields.value, fields.value_base64) {
        (Some(_), None) if fields.content_type.is_some() => {
            Err("content_type: it belongs to value_base64; a value is JSON".into())
        }
        (Some(raw), None) => {
            let bytes = Bytes::copy_from_slice(raw.get().as_bytes());
            Ok(LineValue { bytes, content_type: JSON.to_owned(), ttl })
        }
        (None, Some(base64)) => {
            let bytes = text::from_base64(&base64).map_err(|error| format!("value_base64: {error:#}"))?;
            let content_type = fields.content_type.map_or_else(|| OCTETS.to_owned(), Cow::into_owned);
            Ok(LineValue { bytes, content_type, ttl })
        }
        (None, None) => Err("value: it is missing".into()),
        (Some(_), Some(_)) => Err("it has a value and a value_base64; it can have only one of them".into()),
    }
}

/// A parser counts lines itself, but it sees only one.
fn in_line(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let cause = text.split(" at line 1 column ").next().unwrap_or(&text);
    format!("column {}: {cause}", error.column())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that meets the unexpected stops there")]
mod tests {
    use super::*;

    fn one(line: &str) -> (Bytes, Bytes, String) {
        let mut line = read(line.as_bytes()).unwrap();
        let value = line.values.remove(0);
        assert!(line.values.is_empty());
        assert_eq!(value.ttl, Ttl::Bucket);
        (line.key, value.bytes, value.content_type)
    }

    #[test]
    fn values_keep_their_bytes() {
        for json in ["null", "1.50", r#"{"b": 1,  "a":"\u00e4"}"#, "\"\"", "[1 ,2]", "false"] {
            let line = format!(r#"{{"key":"k","value":{json}}}"#);
            assert_eq!(one(&line), ("k".into(), Bytes::from(json), JSON.into()));
        }
    }

    #[test]
    fn other_bytes_come_in_base64() {
        let line = r#"{"key_base64":"/w==","value_base64":"AAE=","content_type":"image/png"}"#;
        let expected = (Bytes::from_static(b"\xff"), Bytes::from_static(b"\0\x01"), "image/png".into());
        assert_eq!(one(line), expected);
        let (_, _, content_type) = one(r#"{"key":"k","value_base64":""}"#);
        assert_eq!(content_type, OCTETS);
    }

    #[test]
    fn siblings_are_several_values() {
        let line =
            read(br#"{"key":"k","siblings":[{"value":null,"ttl_ms":9},{"value_base64":"AA"}]}"#).unwrap();
        let ttl = Ttl::After(Duration::from_millis(9));
        let values = [
            LineValue { bytes: "null".into(), content_type: JSON.into(), ttl },
            LineValue { bytes: Bytes::from_static(b"\0"), content_type: OCTETS.into(), ttl: Ttl::Bucket },
        ];
        assert_eq!(line.values, values);
    }

    #[test]
    fn a_value_can_stay_in_a_bucket_where_others_expire() {
        assert_eq!(read(br#"{"key":"k","value":1,"ttl_ms":0}"#).unwrap().values[0].ttl, Ttl::Never);
    }

    #[test]
    fn escapes_in_keys_are_undone() {
        assert_eq!(one(r#"{"key":"a\"\u00e4\n","value":1}"#).0, "a\"ä\n");
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, word) in [
            ("", "EOF"),
            ("{", "EOF"),
            (r#"{"key":"k","value":1} x"#, "column 23: trailing characters"),
            (r#"["k",1]"#, "column"),
            (r#"{"value":1}"#, "key: it is missing"),
            (r#"{"key":"","value":1}"#, "key: it is empty"),
            (r#"{"key":"k","key_base64":"aw==","value":1}"#, "only one"),
            (r#"{"key":5,"value":1}"#, "expected a string"),
            (r#"{"key":"k"}"#, "value: it is missing"),
            (r#"{"key":"k","value":1,"value_base64":"AA=="}"#, "only one"),
            (r#"{"key":"k","value_base64":"?"}"#, "value_base64: not base64"),
            (r#"{"key_base64":"?","value":1}"#, "key_base64: not base64"),
            (r#"{"key":"k","value":1,"content_type":"a/b"}"#, "content_type"),
            (r#"{"key":"k","value":1,"ttl":1}"#, "unknown field `ttl`"),
            (r#"{"key":"k","value":1,"value":2}"#, "duplicate field"),
            (r#"{"key":"k","value":1,"ttl_ms":-1}"#, "expected u64"),
            (r#"{"key":"k","siblings":[{"value":1}],"ttl_ms":1}"#, "only one"),
            (r#"{"key":"k","siblings":[]}"#, "siblings: there is none"),
            (r#"{"key":"k","value":1,"siblings":[{"value":1}]}"#, "only one"),
        ] {
            let error = read(line.as_bytes()).unwrap_err();
            assert!(error.contains(word), "{line}: {error}");
        }
        assert!(read(b"{\"key\":\"\xff\"}").unwrap_err().contains("not UTF-8"));
    }
}
