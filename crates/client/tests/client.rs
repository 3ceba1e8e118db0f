//! The client against nodes that fail as ordered: what goes where, what is repeated, and what is told.

#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected stops there")]

mod fake;

use std::time::{Duration, Instant};

use bytes::Bytes;
use quorate_client::{
    Client, ConnectError, Delete, Error, Failure, Found, Get, ListKeys, Options, Put, Reason, RetryOptions,
    Session, Written,
};
use quorate_proto::v1::operation_error::Code;
use quorate_proto::v1::request::Operation;

use crate::fake::{Fake, Order, Seen, error};

/// Unary calls and sessions keep the same promises, so most tests run on both.
enum Way {
    Unary(Client),
    Session(Session),
}

impl Way {
    async fn get(&self, get: Get) -> Result<Found, Error> {
        match self {
            Self::Unary(client) => client.get(get).await,
            Self::Session(session) => session.get(get).await,
        }
    }

    async fn put(&self, put: Put) -> Result<Written, Error> {
        match self {
            Self::Unary(client) => client.put(put).await,
            Self::Session(session) => session.put(put).await,
        }
    }

    async fn delete(&self, delete: Delete) -> Result<Written, Error> {
        match self {
            Self::Unary(client) => client.delete(delete).await,
            Self::Session(session) => session.delete(delete).await,
        }
    }
}

async fn both_ways(fake: &Fake) -> [Way; 2] {
    let client = Client::connect(fake.endpoints()).await.unwrap();
    let session = client.session();
    [Way::Unary(client), Way::Session(session)]
}

fn nodes(seen: &[Seen]) -> Vec<usize> {
    seen.iter().map(|seen| seen.node).collect()
}

fn operation_ids(seen: &[Seen]) -> Vec<Bytes> {
    let id = |seen: &Seen| match &seen.operation {
        Operation::Put(put) => put.operation_id.clone(),
        Operation::Get(_) | Operation::Delete(_) => Bytes::new(),
    };
    seen.iter().map(id).collect()
}

/// Waits for what another task brings about; the time is only for a test that fails.
async fn eventually(mut condition: impl AsyncFnMut() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(20);
    while !condition().await {
        assert!(Instant::now() < give_up, "it did not come about");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn operations_go_to_the_first_owner() {
    for way in 0..2 {
        let fake = Fake::start(3);
        let way = &both_ways(&fake).await[way];
        for key in 0..30 {
            let key = format!("key-{key}");
            way.put(Put::new(key.clone(), "value")).await.unwrap();
            let found = way.get(Get::new(key.clone())).await.unwrap();
            assert_eq!(found.values[0].bytes, "value");
            assert_eq!(found.values[0].content_type, "text/plain");
            assert_eq!((found.primaries, found.epoch), (1, 1));
            way.delete(Delete::new(key.clone())).await.unwrap();
            let seen = fake.seen();
            let owner = fake.owners(key.as_bytes())[0];
            assert_eq!(nodes(&seen[seen.len() - 3..]), [owner; 3]);
        }
    }
}

#[tokio::test]
async fn an_absent_key_is_no_error() {
    let fake = Fake::start(1);
    let [unary, session] = both_ways(&fake).await;
    let found = unary.get(Get::new("nothing")).await.unwrap();
    assert!(found.is_absent());
    assert_eq!(found.context.as_bytes(), "seen");
    assert!(session.get(Get::new("nothing")).await.unwrap().is_absent());
}

#[tokio::test]
async fn keys_come_in_pages() {
    let fake = Fake::start(3);
    let client = Client::connect(fake.endpoints()).await.unwrap();
    for key in ["a", "b", "c"] {
        client.put(Put::new(key, "value")).await.unwrap();
    }
    let mut list = ListKeys::new().limit(2);
    let mut pages = Vec::new();
    loop {
        let page = client.keys(list.clone()).await.unwrap();
        pages.push(page.keys);
        let Some(next) = page.next else { break };
        list = list.after(next);
    }
    assert_eq!(pages, [vec!["a", "b"], vec!["c"], vec![]]);
}

#[tokio::test]
async fn what_was_not_attempted_goes_to_the_next_owner() {
    for way in 0..2 {
        let fake = Fake::start(3);
        let way = &both_ways(&fake).await[way];
        let owners = fake.owners(b"key");
        fake.order(owners[0], Order::Fail(error(Code::QuorumUnavailable, false)));
        way.put(Put::new("key", "value")).await.unwrap();
        assert_eq!(nodes(&fake.seen()), owners[..2]);
    }
}

#[tokio::test]
async fn a_node_that_has_left_is_asked_no_more() {
    for way in 0..2 {
        let fake = Fake::start_with(3, 2);
        let way = &both_ways(&fake).await[way];
        let gone = fake.owners(b"key")[0];
        fake.remove(gone);
        // It says so itself; the refusal makes the client look at the layout.
        for _ in 0..100 {
            fake.order(gone, Order::Fail(error(Code::NotAMember, false)));
        }
        way.put(Put::new("key", "value")).await.unwrap();
        assert_eq!(nodes(&fake.seen())[0], gone);
        let begun = std::time::Instant::now();
        let asked = || nodes(&fake.seen()).last().copied();
        loop {
            let before = fake.seen().len();
            way.put(Put::new("key", "value")).await.unwrap();
            if fake.seen().len() == before + 1 && asked() != Some(gone) {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "the client never looks at the layout");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(asked(), Some(fake.owners(b"key")[0]), "the first of the owners that are left");
    }
}

#[tokio::test]
async fn an_indeterminate_put_is_repeated_under_its_operation_id() {
    for way in 0..2 {
        for order in [Order::DoAndFail(error(Code::CoordinatorLost, true)), Order::DoAndDie] {
            let fake = Fake::start(3);
            let way = &both_ways(&fake).await[way];
            let owners = fake.owners(b"key");
            fake.order(owners[0], order);
            way.put(Put::new("key", "value")).await.unwrap();
            let ids = operation_ids(&fake.seen());
            assert_eq!(nodes(&fake.seen()), owners[..2]);
            assert!(ids[0].len() == 16 && ids[0] == ids[1]);
        }
    }
}

#[tokio::test]
async fn an_indeterminate_delete_is_repeated_only_with_a_context() {
    for way in 0..2 {
        let fake = Fake::start(3);
        let way = &both_ways(&fake).await[way];
        let owner = fake.owners(b"key")[0];
        let lost = || Order::DoAndFail(error(Code::CoordinatorLost, true));
        fake.order(owner, lost());
        let failed = way.delete(Delete::new("key")).await.unwrap_err();
        assert!(matches!(
            failed,
            Error::Indeterminate { reason: Reason::Node(Failure::CoordinatorLost(_)), .. }
        ));
        assert_eq!(fake.seen().len(), 1);

        fake.order(owner, lost());
        let context = Bytes::from_static(b"context");
        way.delete(Delete::new("key").context(context.into())).await.unwrap();
        assert_eq!(fake.seen().len(), 3);
    }
}

#[tokio::test]
async fn a_delete_goes_on_with_what_its_read_half_saw() {
    let fake = Fake::start(3);
    for way in both_ways(&fake).await {
        let lost = fake::error(Code::CoordinatorLost, true);
        let context = Bytes::from_static(b"what it saw");
        fake.order(
            fake.owners(b"key")[0],
            Order::Fail(quorate_proto::v1::OperationError { context: context.clone(), ..lost }),
        );
        way.delete(Delete::new("key")).await.unwrap();
        let Operation::Delete(last) = fake.seen().pop().unwrap().operation else {
            panic!("the last operation is a delete");
        };
        assert_eq!(last.context, context);
    }
}

#[tokio::test]
async fn an_unclear_try_leaves_the_whole_unclear() {
    for way in 0..2 {
        let fake = Fake::start(3);
        let way = &both_ways(&fake).await[way];
        let owners = fake.owners(b"key");
        fake.order(owners[0], Order::Fail(error(Code::Storage, true)));
        fake.order(owners[1], Order::Fail(error(Code::Invalid, false)));
        let put = Put::new("key", "value");
        let failed = way.put(put.clone()).await.unwrap_err();
        let Error::Indeterminate {
            reason: Reason::Node(Failure::Invalid { .. }),
            operation: Some(operation),
            ..
        } = failed
        else {
            panic!("{failed:?}");
        };
        assert_eq!(
            operation_ids(&fake.seen())[0][..],
            operation.0.to_be_bytes(),
            "it names the id to repeat it under"
        );
    }
}

#[tokio::test]
async fn what_no_retry_changes_is_not_repeated() {
    for code in [Code::Invalid, Code::TooLarge, Code::UnknownBucket, Code::ReadFirst, Code::TimedOut] {
        let fake = Fake::start(3);
        for way in both_ways(&fake).await {
            let before = fake.seen().len();
            fake.order(fake.owners(b"key")[0], Order::Fail(error(code, false)));
            let failed = way.put(Put::new("key", "value")).await.unwrap_err();
            assert!(!failed.is_indeterminate());
            assert_eq!(fake.seen().len(), before + 1, "{code:?}");
        }
    }
}

#[tokio::test]
async fn failed_reads_change_nothing() {
    let fake = Fake::start(1);
    for way in both_ways(&fake).await {
        fake.order(0, Order::Fail(error(Code::TimedOut, true)));
        let failed = way.get(Get::new("key")).await.unwrap_err();
        assert!(!failed.is_indeterminate(), "{failed:?}");
    }
}

#[tokio::test]
async fn retries_end_with_the_attempts_and_with_the_budget() {
    let fake = Fake::start(3);
    let options = Options {
        retries: RetryOptions { attempts_max: 3, per_success: 0.0, per_second: 0.0, saved_max: 2.0 },
        ..Options::default()
    };
    let client = Client::connect_with(fake.endpoints(), options).await.unwrap();
    for _ in 0..10 {
        for node in 0..3 {
            fake.order(node, Order::Fail(error(Code::Overloaded, false)));
        }
    }
    let failed = client.put(Put::new("key", "value")).await.unwrap_err();
    assert!(matches!(failed, Error::NotAttempted { reason: Reason::Node(Failure::Overloaded(_)) }));
    assert_eq!(fake.seen().len(), 3, "attempts_max");
    client.put(Put::new("key", "value")).await.unwrap_err();
    assert_eq!(fake.seen().len(), 4, "the budget is spent");
}

#[tokio::test]
async fn silence_is_not_taken_for_failure() {
    let fake = Fake::start(3);
    for way in both_ways(&fake).await {
        fake.order(fake.owners(b"key")[0], Order::Hang);
        let begun = Instant::now();
        let put = Put::new("key", "value").timeout(Duration::from_millis(100));
        let failed = way.put(put).await.unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(5));
        assert!(matches!(failed, Error::Indeterminate { reason: Reason::NoAnswer { .. }, .. }));
    }
}

#[tokio::test]
async fn a_node_that_never_speaks_keeps_nobody_longer_than_they_asked() {
    for way in 0..2 {
        let mut fake = Fake::start(1);
        let way = &both_ways(&fake).await[way];
        let _listener = fake.fall_silent(0);
        let begun = Instant::now();
        let put = Put::new("key", "value").timeout(Duration::from_millis(200));
        way.put(put).await.unwrap_err();
        assert!(begun.elapsed() < Duration::from_millis(2500), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_dead_node_is_gone_around_and_comes_back() {
    for way in 0..2 {
        let mut fake = Fake::start(3);
        let way = &both_ways(&fake).await[way];
        let owners = fake.owners(b"key");
        way.put(Put::new("key", "value")).await.unwrap();
        fake.kill(owners[0]);
        for _ in 0..3 {
            way.get(Get::new("key")).await.unwrap();
        }
        assert_eq!(nodes(&fake.seen())[1..], [owners[1]; 3]);
        fake.revive(owners[0]);
        eventually(async || {
            way.get(Get::new("key")).await.unwrap();
            fake.seen().last().unwrap().node == owners[0]
        })
        .await;
    }
}

#[tokio::test]
async fn with_all_nodes_dead_nothing_is_attempted() {
    for way in 0..2 {
        let mut fake = Fake::start(2);
        let way = &both_ways(&fake).await[way];
        fake.kill(0);
        fake.kill(1);
        // The first may still meet a connection that it has to lose.
        let _ = way.put(Put::new("key", "value")).await;
        let failed = way.put(Put::new("key", "value")).await.unwrap_err();
        assert!(matches!(failed, Error::NotAttempted { reason: Reason::Unreachable { .. } }), "{failed:?}");
    }
}

#[tokio::test]
async fn a_newer_epoch_makes_the_client_ask_for_the_layout() {
    let fake = Fake::start(3);
    let client = Client::connect(fake.endpoints()).await.unwrap();
    fake.raise_epoch();
    assert_eq!(client.layout().epoch.0, 1);
    client.put(Put::new("key", "value")).await.unwrap();
    eventually(async || client.layout().epoch.0 == 2).await;
}

#[tokio::test]
async fn session_requests_travel_together_and_are_answered_in_any_order() {
    let fake = Fake::start(3);
    let client = Client::connect(fake.endpoints()).await.unwrap();
    let session = client.session();
    let tasks: Vec<_> = (0..2000_u32)
        .map(|number| {
            let session = session.clone();
            tokio::spawn(async move {
                let (key, value) = (format!("key-{number}"), format!("value-{number}"));
                session.put(Put::new(key.clone(), value.clone())).await.unwrap();
                let found = session.get(key).await.unwrap();
                assert_eq!(found.values[0].bytes, value);
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(fake.seen().len(), 4000);
    assert!(fake.session_messages() < 2000, "{} messages for 4000 operations", fake.session_messages());
}

#[tokio::test]
async fn values_of_the_largest_size_pass_through_a_session() {
    let fake = Fake::start(3);
    let client = Client::connect(fake.endpoints()).await.unwrap();
    let session = client.session();
    let value = Bytes::from(vec![7; 1 << 20]);
    let tasks: Vec<_> = (0..40_u32)
        .map(|number| {
            let (session, value) = (session.clone(), value.clone());
            tokio::spawn(async move {
                let key = Bytes::copy_from_slice(&number.to_be_bytes());
                session.put(Put::new(key.clone(), value.clone())).await.unwrap();
                assert_eq!(session.get(key).await.unwrap().values[0].bytes, value);
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn connecting_tells_what_is_wrong() {
    let none: [&str; 0] = [];
    assert_eq!(Client::connect(none).await.unwrap_err(), ConnectError::NoEndpoints);
    assert!(matches!(
        Client::connect(["https://a:1"]).await.unwrap_err(),
        ConnectError::InvalidEndpoint { .. }
    ));
    let mut fake = Fake::start(1);
    fake.forget_layout();
    assert_eq!(Client::connect(fake.endpoints()).await.unwrap_err(), ConnectError::NotBootstrapped);
    fake.kill(0);
    assert!(matches!(Client::connect(fake.endpoints()).await.unwrap_err(), ConnectError::Unreachable { .. }));
}
