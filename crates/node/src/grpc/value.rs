//! Values are what they claim to be, as over HTTP: media types are well-formed, and JSON is JSON.

use quorate_protocol::operation::{Failure, Operation, Timed};
use quorate_protocol::version::ContentType;
use serde_json::value::RawValue;

/// Refuses a put whose media type or JSON is malformed.
pub(super) fn checked(timed: Timed) -> Result<Timed, Failure> {
    if let Operation::Put(put) = &timed.operation {
        let invalid = |field, reason: String| Err(Failure::Invalid { field, reason });
        match &put.content_type {
            ContentType::OctetStream => {}
            ContentType::Json => {
                if let Err(error) = serde_json::from_slice::<&RawValue>(&put.value) {
                    return invalid("value", format!("it is not application/json: {error}"));
                }
            }
            ContentType::Other(name) if is_media_type(name) => {}
            ContentType::Other(name) => {
                let name: String = name.chars().take(64).collect();
                return invalid("content_type", format!("{name:?} is not a media type, such as text/plain"));
            }
        }
    }
    Ok(timed)
}

/// `type/subtype`, both tokens, and perhaps parameters after a semicolon, all of visible ASCII and blanks: such that it can
/// go out as a header (RFC 9110, sections 5.6.2 and 8.3.1).
fn is_media_type(name: &str) -> bool {
    let token = |text: &str| {
        let of_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        !text.is_empty() && text.bytes().all(of_token)
    };
    let (essence, parameters) = name.split_once(';').unwrap_or((name, ""));
    let visible = parameters.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    visible
        && essence
            .trim_end_matches([' ', '\t'])
            .split_once('/')
            .is_some_and(|(kind, sub)| token(kind) && token(sub))
}

#[cfg(test)]
mod tests {
    use quorate_protocol::operation::Put;

    use super::*;

    fn refused(content_type: &str, value: &'static [u8]) -> Option<&'static str> {
        let put = Put {
            bucket: String::new(),
            key: "k".into(),
            value: value.into(),
            content_type: content_type.into(),
            context: Default::default(),
            operation: Default::default(),
            ttl: Default::default(),
            quorum: Default::default(),
        };
        let timed = Timed { operation: Operation::Put(put), timeout: Default::default() };
        match checked(timed) {
            Err(Failure::Invalid { field, .. }) => Some(field),
            Err(other) => panic!("{other}"),
            Ok(_) => None,
        }
    }

    #[test]
    fn media_types_are_well_formed() {
        for taken in ["", "text/plain", "text/plain; charset=utf-8", "image/svg+xml", "a/b ;c=\"d e\""] {
            assert_eq!(refused(taken, b"\xff"), None, "{taken}");
        }
        for wrong in
            ["text", "/", "text/", "te xt/plain", "text/plain\n", "text/plain; a=\u{e4}", "t\u{e4}/x"]
        {
            assert_eq!(refused(wrong, b"v"), Some("content_type"), "{wrong:?}");
        }
    }

    #[test]
    fn json_is_json() {
        for taken in [&b"null"[..], b" {\"a\": 1e400} ", b"[1 ,2]"] {
            assert_eq!(refused("application/json", taken), None);
        }
        for wrong in [&b""[..], b"{", b"1 2", b"\"\xff\"", b"nul"] {
            assert_eq!(refused("application/json", wrong), Some("value"));
        }
    }
}
