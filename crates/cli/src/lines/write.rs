//! From what is stored to a line.

use anyhow::Result;
use quorate_client::Value;
use serde::Serialize;

use crate::text::{KeyFields, ValueFields, left_ms};

#[derive(Serialize)]
struct Single<'a> {
    #[serde(flatten)]
    key: KeyFields<'a>,
    #[serde(flatten)]
    value: LineFields<'a>,
}

#[derive(Serialize)]
struct Siblings<'a> {
    #[serde(flatten)]
    key: KeyFields<'a>,
    siblings: Vec<LineFields<'a>>,
}

#[derive(Serialize)]
struct LineFields<'a> {
    #[serde(flatten)]
    value: ValueFields<'a>,
    /// What is left of its time.
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_ms: Option<u64>,
}

impl<'a> LineFields<'a> {
    fn new(value: &'a Value) -> Self {
        Self { value: ValueFields::new(value), ttl_ms: value.expires_at_ms.map(left_ms) }
    }
}

/// Appends the line of a key, with its line end; nothing for a key without values.
pub(crate) fn write(key: &[u8], values: &[Value], out: &mut Vec<u8>) -> Result<()> {
    let key = KeyFields::new(key);
    match values {
        [] => return Ok(()),
        [value] => serde_json::to_writer(&mut *out, &Single { key, value: LineFields::new(value) })?,
        values => {
            let siblings = values.iter().map(LineFields::new).collect();
            serde_json::to_writer(&mut *out, &Siblings { key, siblings })?;
        }
    }
    out.push(b'\n');
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that meets the unexpected stops there")]
mod tests {
    use quorate_client::Ttl;

    use super::*;
    use crate::lines::{LineValue, read};
    use crate::text::{JSON, OCTETS};

    fn value(bytes: &'static [u8], content_type: &str) -> Value {
        Value { bytes: bytes.into(), content_type: content_type.into(), dot: None, expires_at_ms: None }
    }

    fn written(key: &[u8], values: &[Value]) -> String {
        let mut out = Vec::new();
        write(key, values, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_of_json_is_as_it_came() {
        let line = "{\"key\":\"a \\\"b\\\" ä\",\"value\":{\"b\": 1.50,  \"a\":null}}\n";
        assert_eq!(written("a \"b\" ä".as_bytes(), &[value(b"{\"b\": 1.50,  \"a\":null}", JSON)]), line);
    }

    #[test]
    fn what_is_written_reads_back() {
        let cases: [(&[u8], Vec<Value>); 4] = [
            (b"json", vec![value(b"[null]", JSON)]),
            (b"\xff\0", vec![value(b"\x80", "image/png")]),
            (b"several", vec![value(b"1", JSON), value(b"plain", "text/plain"), value(b"", OCTETS)]),
            // Valid, but not on one line: its bytes must survive.
            (b"pretty", vec![value(b"{\n  \"a\": 1\n}", JSON)]),
        ];
        for (key, values) in cases {
            let text = written(key, &values);
            assert_eq!(text.matches('\n').count(), 1);
            let line = read(text.trim_end().as_bytes()).unwrap();
            assert_eq!(line.key, key);
            let expected = values.into_iter().map(|value| LineValue {
                bytes: value.bytes,
                content_type: value.content_type,
                ttl: Ttl::Bucket,
            });
            assert_eq!(line.values, expected.collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_is_left_of_a_time_is_written() {
        let hour_ms = 3_600_000;
        let soon = std::time::SystemTime::now() + std::time::Duration::from_millis(hour_ms);
        let soon_ms = soon.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
        let expires_at_ms = Some(u64::try_from(soon_ms).unwrap());
        let values = [Value { expires_at_ms, ..value(b"1", JSON) }, value(b"2", JSON)];
        let line = read(written(b"k", &values).trim_end().as_bytes()).unwrap();
        let Ttl::After(left) = line.values[0].ttl else { panic!("{line:?}") };
        assert!((1..=u128::from(hour_ms)).contains(&left.as_millis()), "{left:?}");
        assert_eq!(line.values[1].ttl, Ttl::Bucket);
        // One whose time is over while it is written out goes at once, and does not stay for ever.
        let over = Value { expires_at_ms: Some(1), ..value(b"1", JSON) };
        assert!(written(b"k", &[over]).contains("\"ttl_ms\":1"));
    }

    #[test]
    fn a_key_without_values_has_no_line() {
        assert_eq!(written(b"k", &[]), "");
    }
}
