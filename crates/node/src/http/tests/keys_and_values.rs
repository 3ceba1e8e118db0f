//! What is put comes back, under every key and of every type.

use quorate_protocol::operation::{Operation, Put, QuorumOptions, Timed};
use quorate_protocol::version::ContentType;
use serde_json::json;

use super::harness::Served;

#[tokio::test]
async fn json_values_come_back_byte_for_byte() {
    let node = Served::start(Some(1)).await;
    let values = [
        "null",
        "true",
        "1.0",
        "-0",
        "1e400",
        "123456789012345678901234567890.10",
        r#""""#,
        r#""\u00e9 é \ud83d\ude00 \/""#,
        "[ ]",
        "{\"b\": 1,\n  \"a\":\t[1.50, {}], \"b\": 2}",
    ];
    for (at, value) in values.into_iter().enumerate() {
        let path = format!("/kv/value-{at}");
        let put = node.put(&path, &format!("{{\"value\": {value} }}")).await;
        assert_eq!(put.status, 200, "{}", put.text());
        assert_eq!(put.json()["key"], format!("value-{at}"));
        assert_eq!(put.json()["status"], "success");
        assert_eq!(put.json()["replicas_written"], 1);
        let got = node.get(&path).await;
        assert_eq!(got.status, 200);
        let start = format!("{{\"status\":\"success\",\"value\":{value},\"context\":\"");
        assert!(got.text().starts_with(&start), "{}", got.text());
        let context = got.header("x-quorate-context").expect("there is a context");
        assert!(got.text().contains(&format!("\"context\":\"{context}\",\"vector_clock\":{{\"")));
    }
    let clock = &node.get("/kv/value-0").await.json()["vector_clock"];
    let (actor, seq) = clock.as_object().and_then(|clock| clock.iter().next()).expect("an actor");
    assert_eq!((actor.len(), seq.as_u64().is_some()), (16, true), "{clock}");
}

#[tokio::test]
async fn keys_are_what_the_path_says() {
    let node = Served::start(Some(1)).await;
    let keys = [
        ("a%2F%2Fb", "/kv/a//b", json!("a//b")),
        ("a%2Fb%2F", "/kv/a/b/", json!("a/b/")),
        ("a/b", "/kv/a%2fb", json!("a/b")),
        ("with%20a%20space", "/kv/%77ith%20a%20space", json!("with a space")),
        ("%252F", "/kv/%252F", json!("%2F")),
        ("schl%C3%BCssel", "/kv/schlüssel", json!("schlüssel")),
        (".%2E/./x", "/kv/.././x", json!(".././x")),
        ("kv/kv", "/kv/kv/kv", json!("kv/kv")),
    ];
    for (at, (written, _, key)) in keys.iter().enumerate() {
        let put = node.put(&format!("/kv/{written}"), &format!("{{\"value\":{at}}}")).await;
        assert_eq!((put.status, &put.json()["key"]), (200, key), "{written}");
    }
    for (at, (_, path, _)) in keys.iter().enumerate() {
        let got = node.get(path).await;
        assert_eq!((got.status, &got.json()["value"]), (200, &json!(at)), "{path}: {}", got.text());
    }
    let put = node.put("/kv/%FF%00", r#"{"value":1}"#).await;
    assert_eq!(put.json()["key_base64"], "/wA=");
    assert_eq!(node.get("/kv/%ff%00").await.json()["value"], 1);
    assert_eq!(node.get("/kv/%FF").await.json()["key_base64"], "/w==");
}

#[tokio::test]
async fn raw_bytes_come_back_as_they_were() {
    let node = Served::start(Some(1)).await;
    let value: Vec<u8> = (0..=255).collect();
    let put = node.put_raw("/kv/raw?w=1", &[], &value).await;
    assert_eq!(put.status, 200, "{}", put.text());
    let got = node.get("/kv/raw").await;
    assert_eq!((got.status, &got.body), (200, &value));
    assert_eq!(got.header("content-type"), Some("application/octet-stream"));
    assert_eq!(got.header("x-content-type-options"), Some("nosniff"));
    let context = got.header("x-quorate-context").expect("there is a context").to_owned();
    let clock = got.header("x-quorate-vector-clock").expect("there is a clock");
    assert!(serde_json::from_str::<serde_json::Value>(clock).expect("it is JSON").is_object());
    let put = node.put_raw("/kv/raw", &[&format!("X-Quorate-Context: {context}")], b"").await;
    assert_eq!(put.status, 200, "{}", put.text());
    let got = node.get("/kv/raw").await;
    assert_eq!((got.status, got.body.as_slice()), (200, b"".as_slice()), "the context was taken");
}

#[tokio::test]
async fn concurrent_values_are_all_shown_until_one_has_seen_them() {
    let node = Served::start(Some(1)).await;
    node.put("/kv/cart", r#"{"value":["milk"]}"#).await;
    node.put_raw("/kv/cart", &[], b"\xff").await;
    let conflict = node.get("/kv/cart").await;
    assert_eq!(conflict.status, 200);
    let body = conflict.json();
    assert_eq!(body["status"], "conflict");
    let siblings = body["siblings"].as_array().expect("there are siblings");
    let of = |name: &str| siblings.iter().find(|sibling| !sibling[name].is_null()).expect("it is there");
    assert_eq!(of("value")["value"], json!(["milk"]));
    assert_eq!(of("value_base64")["value_base64"], "/w==");
    assert_eq!(of("value_base64")["content_type"], "application/octet-stream");
    assert_ne!(of("value")["vector_clock"], of("value_base64")["vector_clock"]);
    let merge = json!({"value": "merged", "context": conflict.context()});
    assert_eq!(node.put("/kv/cart", &merge.to_string()).await.status, 200);
    assert_eq!(node.get("/kv/cart").await.json()["value"], "merged");
}

#[tokio::test]
async fn what_is_deleted_is_gone_and_leaves_its_context() {
    let node = Served::start(Some(1)).await;
    let absent = node.get("/kv/k").await;
    assert_eq!((absent.status, absent.text()), (404, r#"{"status":"not_found","key":"k"}"#));
    assert_eq!(absent.header("x-quorate-context"), None);
    let first = node.put("/kv/k", r#"{"value":1}"#).await;
    node.put("/kv/k", r#"{"value":2}"#).await;
    let body = json!({"w": 1, "context": first.context()}).to_string();
    let headers = ["Content-Type: application/json"];
    let deleted = node.request("DELETE", "/kv/k", &headers, body.as_bytes()).await;
    assert_eq!((deleted.status, &deleted.json()["status"]), (200, &json!("success")));
    assert_eq!(node.get("/kv/k").await.json()["value"], 2, "what was not seen stays");
    assert_eq!(node.request("DELETE", "/kv/k?r=1", &[], b"").await.status, 200);
    let absent = node.get("/kv/k").await;
    assert_eq!(absent.status, 404);
    assert_eq!(absent.header("x-quorate-context"), Some(absent.context().as_str()));
}

#[tokio::test]
async fn a_retry_takes_effect_once() {
    let node = Served::start(Some(1)).await;
    let headers = ["Content-Type: application/json", "Idempotency-Key: order-7"];
    for _ in 0..2 {
        assert_eq!(node.request("PUT", "/kv/once", &headers, br#"{"value":1}"#).await.status, 200);
    }
    assert_eq!(node.get("/kv/once").await.json()["status"], "success");
}

#[tokio::test]
async fn buckets_are_apart_and_have_their_ways() {
    let node = Served::start(Some(1)).await;
    node.put("/kv/k", r#"{"value":"default"}"#).await;
    for value in 1..=2 {
        let put = node.put("/buckets/profiles/kv/k", &format!("{{\"value\":{value}}}")).await;
        assert_eq!(put.status, 200, "{}", put.text());
    }
    assert_eq!(node.get("/buckets/profiles/kv/k").await.json()["value"], 2);
    assert_eq!(node.get("/buckets/default/kv/k").await.json()["value"], "default");
    let buckets = json!([
        {"name": "default", "n": 1, "r": 1, "w": 1, "conflict": "siblings", "mode": "strict"},
        {"name": "profiles", "n": 1, "r": 1, "w": 1, "conflict": "lww", "mode": "strict", "ttl_ms": 3600000},
    ]);
    assert_eq!(node.get("/buckets").await.json(), json!({"epoch": 1, "buckets": buckets}));
}

#[tokio::test]
async fn keys_are_listed_page_by_page() {
    let node = Served::start(Some(1)).await;
    let mut expected: Vec<String> = (0..25).map(|at| format!("key-{at:02}")).collect();
    for key in &expected {
        node.put(&format!("/kv/{key}"), r#"{"value":1}"#).await;
    }
    expected.retain(|key| key != "key-03");
    node.request("DELETE", "/kv/key-03", &[], b"").await;
    let mut listed = Vec::new();
    // A client that always sends a cursor has none at first.
    let mut path = "/buckets/default/keys?limit=4&cursor=".to_owned();
    loop {
        let page = node.get(&path).await.json();
        let keys = page["keys"].as_array().expect("there are keys").iter();
        let before = listed.len();
        listed.extend(keys.map(|key| key["key"].as_str().expect("it is text").to_owned()));
        assert!(listed.len() - before <= 4);
        let Some(cursor) = page["cursor"].as_str() else { break };
        path = format!("/buckets/default/keys?limit=4&cursor={cursor}");
    }
    listed.sort_unstable();
    assert_eq!(listed, expected);
}

/// What a clock shows now, in milliseconds since the Unix epoch.
fn wall_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is later");
    u64::try_from(now.as_millis()).expect("it is not that late")
}

#[tokio::test]
async fn values_expire() {
    let node = Served::start(Some(1)).await;
    let before_ms = wall_ms();
    node.put("/kv/long", r#"{"value":1,"ttl_ms":60000}"#).await;
    let octets = "content-type: application/octet-stream";
    node.request("PUT", "/kv/raw?ttl_ms=60000", &[octets], b"1").await;
    node.put("/buckets/profiles/kv/hour", r#"{"value":1}"#).await;
    node.put("/buckets/profiles/kv/stays", r#"{"value":1,"ttl_ms":0}"#).await;
    let after_ms = wall_ms();
    let long = node.get("/kv/long").await.json();
    let right = |expiry: u64, ttl_ms: u64| (before_ms + ttl_ms..=after_ms + ttl_ms).contains(&expiry);
    assert!(right(long["expires_at_ms"].as_u64().expect("it expires"), 60_000), "{long}");
    let raw = node.get("/kv/raw").await;
    let header = raw.header("x-quorate-expires-at-ms").and_then(|text| text.parse().ok());
    assert!(right(header.expect("it expires"), 60_000));
    let hour = node.get("/buckets/profiles/kv/hour").await.json();
    assert!(right(hour["expires_at_ms"].as_u64().expect("it expires"), 3_600_000), "{hour}");
    assert!(node.get("/buckets/profiles/kv/stays").await.json()["expires_at_ms"].is_null());

    node.put("/kv/short", r#"{"value":1,"ttl_ms":1}"#).await;
    let gone = loop {
        let got = node.get("/kv/short").await;
        if got.status == 404 {
            break got;
        }
        assert!(wall_ms() < after_ms + 30_000, "it is still shown: {}", got.text());
    };
    assert!(gone.header("x-quorate-context").is_some(), "it was there");
    let keys = node.get("/buckets/default/keys").await.json();
    assert_eq!(keys["keys"].as_array().map(Vec::len), Some(2), "{keys}");
}

#[tokio::test]
async fn answers_and_buckets_tell_the_mode() {
    let node = Served::start(Some(1)).await;
    let put = node.put("/kv/k?mode=strict", r#"{"value":1}"#).await.json();
    assert_eq!(
        (&put["replicas_written"], &put["primaries"], &put["fallbacks"]),
        (&json!(1), &json!(1), &json!(0))
    );
    let found = node.get("/kv/k?mode=strict").await.json();
    assert_eq!((&found["primaries"], &found["fallbacks"]), (&json!(1), &json!(0)));
    let buckets = node.get("/buckets").await.json();
    let profiles =
        buckets["buckets"].as_array().and_then(|all| all.iter().find(|one| one["name"] == "profiles"));
    assert_eq!(
        profiles.map(|one| (&one["mode"], &one["ttl_ms"])),
        Some((&json!("strict"), &json!(3_600_000)))
    );
}

#[tokio::test]
async fn what_only_claims_to_be_json_does_not_break_the_answer() {
    let node = Served::start(Some(1)).await;
    let operation = Operation::Put(Put {
        bucket: String::new(),
        key: "k".into(),
        value: "{\"a\":".into(),
        content_type: ContentType::Json,
        context: Default::default(),
        operation: Default::default(),
        ttl: Default::default(),
        quorum: QuorumOptions::default(),
    });
    node.driver.run(Timed { operation, timeout: Default::default() }).await.expect("it is stored");
    let got = node.get("/kv/k").await;
    assert_eq!((got.status, got.text()), (200, "{\"a\":"));
    node.put("/kv/k", r#"{"value":1}"#).await;
    assert_eq!(node.get("/kv/k").await.json()["siblings"].as_array().map(Vec::len), Some(2));
}
