//! The bucket and the key that a path names.
//!
//! The key is what follows `/kv/` in the path as it was sent, percent-decoded once and not touched otherwise: `a//b`,
//! `a%2Fb`, a trailing slash, `..` and bytes that are not UTF-8 are keys like any other.

use bytes::Bytes;

use super::error::{ApiError, Code};

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// Empty: the default one.
    pub(super) bucket: String,
    /// Not empty.
    pub(super) key: Bytes,
}

/// Reads `/kv/{key}` and `/buckets/{bucket}/kv/{key}` from a path that was not decoded. None: it is neither.
pub(super) fn address(path: &str) -> Option<Result<Address, ApiError>> {
    let (bucket, key) = match path.strip_prefix("/buckets/") {
        Some(rest) => {
            let (bucket, rest) = rest.split_once('/')?;
            (Some(bucket).filter(|bucket| !bucket.is_empty())?, below_kv(rest)?)
        }
        None => ("", below_kv(path.strip_prefix('/')?)?),
    };
    Some(decode_address(bucket, key))
}

/// What follows `kv/`; nothing when the slash is missing, too.
fn below_kv(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("kv")?;
    if rest.is_empty() { Some("") } else { rest.strip_prefix('/') }
}

fn decode_address(bucket: &str, key: &str) -> Result<Address, ApiError> {
    let bucket = bucket_name(bucket)?;
    let key = percent_decode(key).ok_or_else(|| malformed("key"))?;
    if key.is_empty() {
        return Err(ApiError::invalid("key", "it is empty, and at least 1 byte is needed"));
    }
    Ok(Address { bucket, key: key.into() })
}

/// Decodes a bucket's name as it appears in a path.
pub(super) fn bucket_name(raw: &str) -> Result<String, ApiError> {
    let bytes = percent_decode(raw).ok_or_else(|| malformed("bucket"))?;
    String::from_utf8(bytes)
        .map_err(|_| ApiError::field(Code::UnknownBucket, "bucket", "bucket: its name is not UTF-8"))
}

fn malformed(field: &str) -> ApiError {
    ApiError::invalid(field, "a % in it is not followed by two hexadecimal digits")
}

/// Replaces every `%XX` by its byte, once. None: a `%` is not followed by two hexadecimal digits.
pub(super) fn percent_decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => hex_digit(bytes.next()?)? << 4 | hex_digit(bytes.next()?)?,
            other => other,
        });
    }
    Some(decoded)
}

fn hex_digit(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str) -> (String, Vec<u8>) {
        let address = address(path).expect("it is a key's path").expect("it is well-formed");
        (address.bucket, address.key.to_vec())
    }

    #[test]
    fn every_spelling_is_a_key_of_its_own() {
        for (path, key) in [
            ("/kv/a", b"a".as_slice()),
            ("/kv/a//b", b"a//b"),
            ("/kv//a", b"/a"),
            ("/kv/a/", b"a/"),
            ("/kv/a%2Fb", b"a/b"),
            ("/kv/a%20b", b"a b"),
            ("/kv/a+b", b"a+b"),
            ("/kv/%2520", b"%20"),
            ("/kv/%FF%fe", b"\xff\xfe"),
            ("/kv/../x/.", b"../x/."),
            ("/kv/schl%C3%BCssel", "schlüssel".as_bytes()),
            ("/kv/schlüssel", "schlüssel".as_bytes()),
            ("/kv/%00", b"\0"),
            ("/kv/kv/kv", b"kv/kv"),
        ] {
            assert_eq!(read(path), (String::new(), key.to_vec()), "{path}");
        }
    }

    #[test]
    fn the_bucket_is_the_segment_before() {
        assert_eq!(read("/buckets/carts/kv/a/b"), ("carts".into(), b"a/b".to_vec()));
        assert_eq!(read("/buckets/a%2Fb/kv/x"), ("a/b".into(), b"x".to_vec()));
        assert_eq!(read("/buckets/kv/kv/kv/x"), ("kv".into(), b"kv/x".to_vec()));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for path in
            ["/kv", "/kv/", "/buckets/b/kv", "/buckets/b/kv/", "/kv/%", "/kv/%2", "/kv/%zz", "/kv/%+1"]
        {
            let error = address(path).expect("it is a key's path").expect_err(path);
            assert_eq!(error.code, Code::Invalid, "{path}");
        }
        for path in ["/", "/kvx", "/buckets", "/buckets/b", "/buckets/b/keys", "/buckets//kv/x", "/x/kv/y"] {
            assert_eq!(address(path), None, "{path}");
        }
    }
}
