//! Requests and answers survive the way to the wire and back.

#![allow(clippy::unwrap_used, reason = "tests stop where something is wrong")]

use bytes::Bytes;

use super::*;

fn mint() -> OperationId {
    OperationId(77)
}

pub(in crate::convert) fn operations() -> Vec<Operation> {
    let quorum = QuorumOptions { n: Some(3), r: Some(0), w: None, pr: Some(2), pw: None, mode: None };
    let types = ["", "application/json", "text/plain; charset=utf-8"];
    let ttls = [Ttl::Bucket, Ttl::Never, Ttl::After(Duration::from_millis(1))];
    let mut all: Vec<_> = types
        .into_iter()
        .zip(ttls)
        .map(|(name, ttl)| {
            Operation::Put(Put {
                bucket: "carts".into(),
                key: Bytes::from_static(b"\0key"),
                value: Bytes::from_static(b"value"),
                content_type: ContentType::from(name),
                context: Bytes::from_static(b"context"),
                operation: OperationId(u128::MAX - 1),
                ttl,
                quorum,
            })
        })
        .collect();
    all.push(Operation::Get(Get {
        bucket: String::new(),
        key: Bytes::from_static(b"k"),
        quorum: QuorumOptions::default(),
    }));
    all.push(Operation::Delete(Delete {
        bucket: "b".into(),
        key: Bytes::from_static(b"k"),
        context: Bytes::new(),
        quorum,
    }));
    all
}

pub(in crate::convert) fn results() -> Vec<OperationResult> {
    let written =
        Written { context: Bytes::from_static(b"token"), primaries: 2, fallbacks: 1, epoch: Epoch(u64::MAX) };
    let sibling = Sibling {
        dot: Dot { actor: ActorId(u64::MAX), seq: 9 },
        hlc: Hlc::default(),
        operation: OperationId::default(),
        expiry: Some(1_750_000_000_000),
        content_type: ContentType::Json,
        value: Bytes::from_static(b"[]"),
    };
    let absent =
        Found { siblings: Vec::new(), context: Bytes::new(), primaries: 1, fallbacks: 0, epoch: Epoch(1) };
    let found = Found { siblings: vec![sibling.clone(), sibling], ..absent.clone() };
    let outcomes =
        [Outcome::Put(written.clone()), Outcome::Delete(written), Outcome::Get(absent), Outcome::Get(found)];
    let failures = crate::convert::failure::tests::failures();
    outcomes.into_iter().map(Ok).chain(failures.into_iter().map(Err)).collect()
}

#[test]
fn operations_come_back_as_they_went() {
    for operation in operations() {
        for timeout in [Duration::ZERO, Duration::from_millis(1), Duration::from_secs(60)] {
            let timed = Timed { operation: operation.clone(), timeout };
            let request = request_to_wire(u64::MAX, timed.clone()).unwrap();
            assert_eq!(request.id, u64::MAX);
            assert_eq!(operation_from_wire(request.operation, mint).unwrap(), timed);
        }
    }
}

#[test]
fn results_come_back_as_they_went() {
    for result in results() {
        let wire = response_to_wire(5, result.clone());
        assert_eq!(response_from_wire(wire).unwrap(), (5, result));
    }
}

#[test]
fn a_put_without_a_name_is_given_one() {
    let named = |operation_id: &'static [u8]| {
        put_from_wire(
            v1::PutRequest { operation_id: Bytes::from_static(operation_id), ..Default::default() },
            mint,
        )
    };
    let Operation::Put(put) = named(b"").unwrap().operation else { panic!("not a put") };
    assert_eq!(put.operation, mint());
    let failure = Failure::from(named(b"short").unwrap_err());
    assert!(matches!(failure, Failure::Invalid { field: "operation_id", .. }));
}

#[test]
fn what_is_missing_is_named() {
    assert_eq!(operation_from_wire(None, mint).unwrap_err().field, "request");
    assert_eq!(response_from_wire(v1::Response { id: 1, result: None }).unwrap_err().field, "result");
    let found = v1::GetResponse { siblings: vec![v1::Sibling::default()], ..Default::default() };
    assert_eq!(found_from_wire(found).unwrap_err().field, "siblings.dot");
}

#[test]
fn a_timeout_never_becomes_the_default() {
    assert_eq!(timeout_to_wire(Duration::from_nanos(1)), 1);
    assert_eq!(timeout_to_wire(Duration::MAX), u32::MAX);
    assert_eq!(timeout_to_wire(Duration::ZERO), 0);
}

#[test]
fn a_time_to_live_never_becomes_never() {
    assert_eq!(ttl_to_wire(Ttl::After(Duration::ZERO)), Some(1));
    assert_eq!(ttl_to_wire(Ttl::After(Duration::from_nanos(1))), Some(1));
    assert_eq!(ttl_to_wire(Ttl::After(Duration::MAX)), Some(u64::MAX));
    assert_eq!(ttl_to_wire(Ttl::Never), Some(0));
    assert_eq!(ttl_from_wire(ttl_to_wire(Ttl::Bucket)), Ttl::Bucket);
}

#[test]
fn values_are_not_copied_on_their_way_out_and_do_not_keep_the_buffer_that_they_came_in() {
    let value = Bytes::from(vec![7; 4096]);
    let Operation::Put(mut put) = operations().remove(0) else { panic!("not a put") };
    put.value = value.clone();
    let wire = put_to_wire(put, Duration::ZERO);
    assert_eq!(wire.value.as_ptr(), value.as_ptr());
    let received = Bytes::from(prost::Message::encode_to_vec(&wire));
    let buffer = received.as_ptr_range();
    let wire: v1::PutRequest = prost::Message::decode(received.clone()).unwrap();
    assert!(buffer.contains(&wire.value.as_ptr()), "the decoder copies already");
    let Operation::Put(put) = put_from_wire(wire, mint).unwrap().operation else { panic!("not a put") };
    assert_eq!(put.value, value);
    assert!(!buffer.contains(&put.key.as_ptr()) && !buffer.contains(&put.value.as_ptr()));
}
