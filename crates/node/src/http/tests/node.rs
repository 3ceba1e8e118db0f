//! Health, readiness, quorums that cannot be met, and the document against the routes.

use quorate_proto::v1::StatusRequest;
use quorate_proto::v1::admin_client::AdminClient;

use super::harness::Served;

#[tokio::test]
async fn a_node_without_layout_lives_and_is_not_ready() {
    let node = Served::start(None).await;
    assert_eq!(node.get("/healthz").await.status, 200);
    let ready = node.get("/readyz").await;
    assert_eq!((ready.status, &ready.json()["status"]), (503, &"not_ready".into()));
    for path in ["/kv/k", "/buckets", "/buckets/default/keys"] {
        let answer = node.get(path).await;
        assert_eq!((answer.status, answer.error().0.as_str()), (503, "not_bootstrapped"), "{path}");
        assert_eq!(answer.json()["error"]["attempted"], false, "{path}");
    }
}

#[tokio::test]
async fn a_node_with_its_quorums_is_ready() {
    let node = Served::start(Some(1)).await;
    assert_eq!(node.get("/readyz").await.text(), r#"{"status":"ready"}"#);
    let metrics = node.get("/metrics").await;
    assert_eq!((metrics.status, metrics.text()), (200, "quorate_info 1\n"));
    assert!(metrics.header("content-type").is_some_and(|text| text.starts_with("text/plain")));
    let head = node.request("HEAD", "/kv/k", &[], b"").await;
    assert_eq!((head.status, head.body.len()), (404, 0));
}

#[tokio::test]
async fn a_draining_node_serves_and_is_not_ready() {
    let node = Served::start(Some(1)).await;
    node.draining.begin();
    let ready = node.get("/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("draining"), "{}", ready.text());
    assert_eq!(node.get("/healthz").await.status, 200);
    assert_eq!(node.put("/kv/k", r#"{"value":1}"#).await.status, 200);
}

#[tokio::test]
async fn a_node_whose_loop_has_ended_is_to_be_left_alone_for_now() {
    let node = Served::start(Some(1)).await;
    node.driver.stop();
    while node.driver.view().await.is_some() {}
    for answer in [node.put("/kv/k", r#"{"value":1}"#).await, node.get("/kv/k").await] {
        assert_eq!((answer.status, answer.error().0.as_str()), (503, "coordinator_lost"));
        assert_eq!(answer.json()["error"]["attempted"], false);
    }
    assert_eq!(node.get("/buckets/default/keys").await.status, 503);
    assert_eq!(node.get("/healthz").await.status, 503);
}

#[tokio::test]
async fn unreachable_replicas_never_count() {
    let node = Served::start(Some(3)).await;
    assert_eq!(node.get("/readyz").await.status, 503);
    for (answer, what) in [
        (node.put("/kv/k", r#"{"value":1}"#).await, "w=2"),
        (node.get("/kv/k").await, "r=2"),
        (node.request("DELETE", "/kv/k", &[], b"").await, "a delete"),
    ] {
        assert_eq!((answer.status, answer.error().0.as_str()), (503, "quorum_unavailable"), "{what}");
        assert_eq!(answer.json()["error"]["attempted"], false, "{what}");
    }
    let put = node.put("/kv/k", r#"{"value":1,"w":1}"#).await;
    assert_eq!((put.status, &put.json()["replicas_written"]), (200, &1.into()), "{}", put.text());
    assert_eq!(node.get("/kv/k?r=1").await.json()["value"], 1);
}

#[tokio::test]
async fn the_document_and_the_routes_agree() {
    let node = Served::start(Some(1)).await;
    let served = node.get("/openapi.json").await;
    assert_eq!(served.header("content-type"), Some("application/json"));
    let document = served.json();
    assert_eq!(document, serde_json::to_value(crate::http::document()).expect("it serializes"));
    for (path, item) in document["paths"].as_object().expect("it has paths") {
        assert!(!path.contains('*'), "{path}");
        let concrete = path.replace("{bucket}", "default").replace("{key}", "k");
        for method in ["GET", "PUT", "POST", "DELETE", "PATCH"] {
            let answer = node.request(method, &concrete, &[], b"").await;
            let documented = item.get(method.to_lowercase()).is_some();
            assert_eq!(answer.status != 405, documented, "{method} {path}");
            assert!(!answer.text().starts_with(r#"{"error":{"code":"no_such_route""#), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_grpc_client_is_told_which_port_it_meant() {
    let node = Served::start(Some(1)).await;
    let mut admin = AdminClient::connect(format!("http://{}", node.address)).await.expect("it listens");
    let refused = admin.status(StatusRequest::default()).await.expect_err("this is not its port");
    assert_eq!(refused.code(), tonic::Code::Unimplemented);
    assert_eq!(refused.message(), "this port speaks HTTP and JSON; this node takes gRPC at host:7700");
}
