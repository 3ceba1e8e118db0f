//! Context tokens: bound to their key, bounded in size.

use bytes::Bytes;
use quorate_protocol::id::{ActorId, BucketId, ClusterId, OperationId};
use quorate_protocol::time::Hlc;
use quorate_protocol::version::{
    Container, ContentType, Context, Dot, EncodedContainer, Sibling, TokenError, TokenKey, peek,
};

const BUCKET: BucketId = BucketId(7);

fn key() -> TokenKey {
    TokenKey::new(ClusterId(1), None)
}

fn context() -> Context {
    let mut context = Context::default();
    context.advance_vector(ActorId(3), 9);
    context.add_dot(Dot { actor: ActorId(4), seq: 2 });
    context
}

fn put(container: &mut Container, seen: &Context, seq: u64) -> Dot {
    let dot = Dot { actor: ActorId(1), seq };
    let sibling = Sibling {
        dot,
        hlc: Hlc::default(),
        operation: OperationId(u128::from(seq)),
        expiry: None,
        content_type: ContentType::Json,
        value: Bytes::from_static(b"1"),
    };
    container.put(seen, sibling);
    dot
}

#[test]
fn containers_of_another_format_are_refused() {
    let mut container = Container::default();
    put(&mut container, &Context::default(), 1);
    let mut bytes = container.encode().0.to_vec();
    assert_eq!(bytes[0], 2);
    bytes[0] = 1;
    let error = EncodedContainer(bytes.into()).decode().expect_err("it is of another format");
    assert_eq!(error.to_string(), "not an encoded container: format 1, and only 2 is known");
}

#[test]
fn a_token_opens_for_its_own_key_only() {
    let token = key().seal(BUCKET, b"k", &context());
    assert_eq!(key().open(BUCKET, b"k", &token), Ok(context()));
    assert_eq!(peek(&token), Ok(context()));
    assert_eq!(key().open(BUCKET, b"l", &token), Err(TokenError::Foreign));
    assert_eq!(key().open(BucketId(8), b"k", &token), Err(TokenError::Foreign));
    assert_eq!(TokenKey::new(ClusterId(2), None).open(BUCKET, b"k", &token), Err(TokenError::Foreign));
    assert_eq!(TokenKey::new(ClusterId(1), Some("s")).open(BUCKET, b"k", &token), Err(TokenError::Foreign));
}

#[test]
fn no_token_and_the_empty_context_are_the_same() {
    assert!(key().seal(BUCKET, b"k", &Context::default()).is_empty());
    assert_eq!(key().open(BUCKET, b"k", b""), Ok(Context::default()));
}

#[test]
fn every_cut_and_every_flipped_bit_is_noticed() {
    let token = key().seal(BUCKET, b"k", &context());
    for end in 1..token.len() {
        assert!(key().open(BUCKET, b"k", &token[..end]).is_err(), "cut at {end}");
    }
    for bit in 0..token.len() * 8 {
        let mut altered = token.to_vec();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert!(key().open(BUCKET, b"k", &altered).is_err(), "bit {bit}");
    }
}

#[test]
fn puts_after_puts_without_a_read_keep_context_and_versions_small() {
    let mut container = Container::default();
    let mut seen = Context::default();
    for seq in 1..=10_000 {
        let dot = put(&mut container, &seen, seq);
        seen = container.answer_context(&seen, Some(dot), true);
        assert_eq!(container.siblings.len(), 1);
        assert!(
            key().seal(BUCKET, b"k", &seen).len() <= 64,
            "{} bytes",
            key().seal(BUCKET, b"k", &seen).len()
        );
    }
}

#[test]
fn a_blind_put_after_a_blind_put_is_a_sibling_and_each_answer_covers_one() {
    let mut container = Container::default();
    let first = put(&mut container, &Context::default(), 1);
    let first_context = container.answer_context(&Context::default(), Some(first), true);
    let second = put(&mut container, &Context::default(), 2);
    let second_context = container.answer_context(&Context::default(), Some(second), true);
    assert_eq!(container.siblings.len(), 2);
    assert!(second_context.covers(second) && !second_context.covers(first));
    assert!(first_context.covers(first) && !first_context.covers(second));
    // With the context of both, one is left.
    let both = container.context.clone();
    put(&mut container, &both, 3);
    assert_eq!(container.siblings.len(), 1);
}

#[test]
fn without_the_quorum_the_answer_stays_a_cloud() {
    let mut container = Container::default();
    let dot = put(&mut container, &Context::default(), 1);
    let context = container.answer_context(&Context::default(), Some(dot), false);
    assert_eq!((context.vector().len(), context.cloud()), (0, &[dot][..]));
}
