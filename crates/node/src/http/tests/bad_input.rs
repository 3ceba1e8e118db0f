//! What is wrong is refused, by the name of what is wrong, and has no effect.

use super::harness::Served;

const JSON: &str = "Content-Type: application/json";

#[tokio::test]
async fn every_refusal_names_its_field() {
    let node = Served::start(Some(1)).await;
    let long_key = format!("/kv/{}", "x".repeat(1025));
    let cases: &[(&str, &str, &str, u16, &str, &str)] = &[
        ("PUT", "/kv/", r#"{"value":1}"#, 400, "invalid", "key"),
        ("GET", "/kv", "", 400, "invalid", "key"),
        ("DELETE", "/buckets/default/kv/", "", 400, "invalid", "key"),
        ("GET", "/kv/%zz", "", 400, "invalid", "key"),
        ("PUT", &long_key, r#"{"value":1}"#, 413, "too_large", "key"),
        ("PUT", "/kv/k", r#"{"w":1}"#, 400, "invalid", "value"),
        ("PUT", "/kv/k", r#"{"value":1,"ttl":5}"#, 400, "invalid", "ttl"),
        ("PUT", "/kv/k", r#"{"value":1,"w":0}"#, 400, "invalid", "w"),
        ("PUT", "/kv/k", r#"{"value":1,"w":2}"#, 400, "invalid", "w"),
        ("PUT", "/kv/k", r#"{"value":1,"w":-1}"#, 400, "invalid", "w"),
        ("PUT", "/kv/k", r#"{"value":1,"n":2}"#, 400, "invalid", "n"),
        ("PUT", "/kv/k", r#"{"value":1,"pw":2}"#, 400, "invalid", "pw"),
        ("PUT", "/kv/k", r#"{"value":1,"timeout_ms":60001}"#, 400, "invalid", "timeout_ms"),
        ("PUT", "/kv/k", r#"{"value":1,"context":"?"}"#, 400, "invalid", "context"),
        ("PUT", "/kv/k", r#"{"value":1,"context":"AAAA"}"#, 400, "invalid", "context"),
        ("PUT", "/kv/k?w=1", r#"{"value":1,"w":1}"#, 400, "invalid", "w"),
        ("PUT", "/kv/k", r#"{"value":1"#, 400, "invalid", "body"),
        ("PUT", "/kv/k", "", 400, "invalid", "body"),
        ("PUT", "/kv/k", "[1]", 400, "invalid", "body"),
        ("GET", "/kv/k?r=0", "", 400, "invalid", "r"),
        ("GET", "/kv/k?r=2", "", 400, "invalid", "r"),
        ("GET", "/kv/k?r=1.0", "", 400, "invalid", "r"),
        ("GET", "/kv/k?w=1", "", 400, "invalid", "w"),
        ("GET", "/kv/k?consistent=1", "", 400, "invalid", "consistent"),
        ("DELETE", "/kv/k", r#"{"value":1}"#, 400, "invalid", "value"),
        ("GET", "/buckets/nope/kv/k", "", 404, "unknown_bucket", "bucket"),
        ("GET", "/buckets/%FF/kv/k", "", 404, "unknown_bucket", "bucket"),
        ("GET", "/buckets/nope/keys", "", 404, "unknown_bucket", "bucket"),
        ("GET", "/buckets/default/keys?limit=0", "", 400, "invalid", "limit"),
        ("GET", "/buckets/default/keys?limit=1001", "", 400, "invalid", "limit"),
        ("GET", "/buckets/default/keys?cursor=AA", "", 400, "invalid", "cursor"),
        ("GET", "/buckets?x=1", "", 400, "invalid", "x"),
    ];
    for &(method, path, body, status, code, field) in cases {
        let answer = node.request(method, path, &[JSON], body.as_bytes()).await;
        let expected = (status, (code.to_owned(), Some(field.to_owned())));
        assert_eq!((answer.status, answer.error()), expected, "{method} {path} {body}");
        assert_eq!(answer.json()["error"]["attempted"], false, "{method} {path} {body}");
    }
    assert_eq!(node.get("/kv/k").await.status, 404, "nothing had an effect");
}

#[tokio::test]
async fn contexts_are_of_their_key_and_bucket() {
    let node = Served::start(Some(1)).await;
    let context = node.put("/kv/one", r#"{"value":1}"#).await.context();
    for path in ["/kv/two", "/buckets/profiles/kv/one"] {
        let answer = node.put(path, &format!(r#"{{"value":1,"context":"{context}"}}"#)).await;
        assert_eq!((answer.status, answer.error().1.as_deref()), (400, Some("context")), "{path}");
    }
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let node = Served::start(Some(1)).await;
    let value = vec![b'x'; 1 << 20];
    assert_eq!(node.put_raw("/kv/k", &[], &value).await.status, 200);
    let refused = |answer: super::harness::Answer| {
        assert_eq!((answer.status, answer.error()), (413, ("too_large".into(), Some("value".into()))));
        assert!(answer.text().contains("1048576"), "{}", answer.text());
    };
    refused(node.put_raw("/kv/k", &[], &[&value[..], b"y"].concat()).await);
    let value = String::from_utf8(value).expect("it is text");
    refused(node.put("/kv/k", &format!(r#"{{"value":"{value}"}}"#)).await);
    refused(node.put("/kv/k", &format!(r#"{{"value":"{value}{value}"}}"#)).await);
    // Only announced: refused before any of it is sent.
    let head = "PUT /kv/k HTTP/1.1\r\nHost: node\r\nConnection: close\r\nExpect: 100-continue\r\n\
                Content-Type: application/octet-stream\r\nContent-Length: 99999999999\r\n\r\n";
    refused(node.send(head.as_bytes()).await);
    assert_eq!(node.get("/kv/k").await.body.len(), 1 << 20, "nothing had an effect");
}

#[tokio::test]
async fn content_types_are_not_guessed() {
    let node = Served::start(Some(1)).await;
    for content_type in
        ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1"]
    {
        let headers = [&*format!("Content-Type: {content_type}")];
        let answer = node.request("PUT", "/kv/k", &headers, br#"{"value":1}"#).await;
        let expected = (415, ("unsupported_content_type".into(), Some("content-type".into())));
        assert_eq!((answer.status, answer.error()), expected, "{content_type}");
    }
    assert_eq!(node.get("/kv/k").await.status, 404);
}

#[tokio::test]
async fn a_truncated_body_is_refused() {
    let node = Served::start(Some(1)).await;
    for content_type in ["application/json", "application/octet-stream"] {
        let head = format!(
            "PUT /kv/k HTTP/1.1\r\nHost: node\r\nConnection: close\r\nContent-Type: {content_type}\r\n\
             Content-Length: 20\r\n\r\n"
        );
        let answer = node.send_all(format!("{head}{{\"value\":1}}").as_bytes()).await;
        assert_eq!((answer.status, answer.error().0.as_str()), (400, "invalid"), "{content_type}");
    }
    assert_eq!(node.get("/kv/k").await.status, 404);
}

#[tokio::test]
async fn headers_are_checked_too() {
    let node = Served::start(Some(1)).await;
    let long = format!("Idempotency-Key: {}", "x".repeat(256));
    for (header, field) in [
        ("Idempotency-Key:", "idempotency-key"),
        (&*long, "idempotency-key"),
        ("Idempotency-Key: a\r\nIdempotency-Key: b", "idempotency-key"),
        ("X-Quorate-Context: ???", "context"),
    ] {
        let answer = node.request("PUT", "/kv/k", &[JSON, header], br#"{"value":1}"#).await;
        assert_eq!((answer.status, answer.error().1.as_deref()), (400, Some(field)), "{header}");
    }
}

#[tokio::test]
async fn strangers_are_answered_in_the_same_form() {
    let node = Served::start(Some(1)).await;
    for path in ["/", "/nope", "/kvx", "/buckets/", "/buckets//kv/k", "/healthz/"] {
        let answer = node.get(path).await;
        assert_eq!((answer.status, answer.error().0.as_str()), (404, "no_such_route"), "{path}");
    }
    for (method, path) in [("POST", "/kv/k"), ("PATCH", "/kv/k"), ("PUT", "/buckets"), ("DELETE", "/healthz")]
    {
        let answer = node.request(method, path, &[], b"").await;
        assert_eq!(
            (answer.status, answer.error().0.as_str()),
            (405, "method_not_allowed"),
            "{method} {path}"
        );
        assert!(answer.header("allow").is_some(), "{method} {path}");
    }
}
