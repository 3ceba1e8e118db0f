//! The first layout: balance, zones, purity, and refusals that name the field.

use std::time::Duration;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use quorate_protocol::id::{BucketId, ClusterId, NodeId};
use quorate_protocol::layout::{
    Bootstrap, BucketSettings, ConflictPolicy, Layout, Member, QuorumMode, partition_of,
};
use quorate_protocol::limits::TTL_MAX;

fn member(node: u64, zone: &str, weight: u32) -> Member {
    Member {
        node: NodeId(node),
        name: format!("n{node}"),
        peer_address: format!("127.0.0.1:{node}"),
        zone: zone.into(),
        weight,
    }
}

fn settings(members: Vec<Member>, n: u32) -> Bootstrap {
    let majority = n / 2 + 1;
    Bootstrap {
        cluster: ClusterId(5),
        partitions: 256,
        n,
        r: majority,
        w: majority,
        members,
        buckets: Vec::new(),
    }
}

fn bucket(name: &str) -> BucketSettings {
    BucketSettings {
        name: name.into(),
        n: None,
        r: None,
        w: None,
        conflict: ConflictPolicy::Siblings,
        mode: QuorumMode::Strict,
        ttl: None,
    }
}

#[test]
fn the_order_of_members_does_not_matter() {
    let members: Vec<Member> = (1..=5).map(|node| member(node, "", 1)).collect();
    let reversed = members.iter().rev().cloned().collect();
    let layout = Layout::first(&settings(members, 3)).expect("valid");
    assert_eq!(layout, Layout::first(&settings(reversed, 3)).expect("valid"));
    assert_eq!(Layout::decode(&layout.encode()).expect("decodes"), layout);
}

#[test]
fn wrong_settings_name_their_field() {
    let good = || settings((1..=3).map(|node| member(node, "", 1)).collect(), 3);
    let field = |change: &dyn Fn(&mut Bootstrap)| {
        let mut settings = good();
        change(&mut settings);
        Layout::first(&settings).expect_err("it is wrong").field
    };
    assert_eq!(field(&|s| s.partitions = 100), "partitions");
    assert_eq!(field(&|s| s.partitions = 0), "partitions");
    assert_eq!(field(&|s| s.partitions = 1 << 16), "partitions");
    assert_eq!(field(&|s| s.n = 4), "n");
    assert_eq!(field(&|s| s.n = 0), "n");
    assert_eq!(field(&|s| s.r = 4), "r");
    assert_eq!(field(&|s| s.w = 0), "w");
    assert_eq!(field(&|s| s.members.clear()), "members");
    assert_eq!(field(&|s| s.members[1].weight = 0), "members.weight");
    assert_eq!(field(&|s| s.members[1].node = NodeId(1)), "members.node");
    assert_eq!(field(&|s| s.members[1].peer_address.clear()), "members.peer_address");
    assert_eq!(field(&|s| s.buckets.push(bucket(""))), "buckets.name");
    assert_eq!(field(&|s| s.buckets.push(bucket("a/b"))), "buckets.name");
    assert_eq!(field(&|s| s.buckets.push(bucket(&"x".repeat(65)))), "buckets.name");
    assert_eq!(field(&|s| s.buckets.extend([bucket("a"), bucket("a")])), "buckets");
    assert_eq!(field(&|s| s.buckets.push(BucketSettings { n: Some(4), ..bucket("a") })), "buckets.n");
    assert_eq!(field(&|s| s.buckets.push(BucketSettings { w: Some(4), ..bucket("a") })), "buckets.w");
    for ttl in [Duration::ZERO, Duration::from_micros(999), TTL_MAX + Duration::from_millis(1)] {
        let wrong = BucketSettings { ttl: Some(ttl), ..bucket("a") };
        assert_eq!(field(&|s| s.buckets.push(wrong.clone())), "buckets.ttl");
    }
    for ttl in [Duration::from_millis(1), TTL_MAX] {
        let settings =
            Bootstrap { buckets: vec![BucketSettings { ttl: Some(ttl), ..bucket("a") }], ..good() };
        let layout = Layout::first(&settings).expect("valid");
        let held_ms = layout.bucket("a").and_then(|bucket| bucket.ttl_ms).expect("it has one");
        assert_eq!(Duration::from_millis(held_ms), ttl);
    }
}

#[test]
fn keys_spread_evenly_and_one_partition_takes_all() {
    let mut counts = BTreeMap::new();
    for key in 0..64_000_u32 {
        *counts.entry(partition_of(64, BucketId(1), &key.to_be_bytes())).or_insert(0_u32) += 1;
    }
    assert_eq!(counts.len(), 64);
    assert!(counts.values().all(|count| (800..1200).contains(count)), "{counts:?}");
    assert_eq!(partition_of(1, BucketId(1), b"any").0, 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn owners_are_distinct_balanced_and_in_different_zones(
        nodes in 1_u64..40, zones in 1_u64..6, n in 1_u32..6, weighted in any::<bool>(),
    ) {
        let n = n.min(u32::try_from(nodes).expect("small"));
        let weight = |node: u64| if weighted { u32::try_from(node % 3).expect("small") + 1 } else { 1 };
        let members: Vec<Member> =
            (1..=nodes).map(|node| member(node, &format!("z{}", node % zones), weight(node))).collect();
        let layout = Layout::first(&settings(members.clone(), n)).expect("valid");
        let zone_of: BTreeMap<NodeId, &str> = members.iter().map(|m| (m.node, m.zone.as_str())).collect();
        let mut loads: BTreeMap<NodeId, u32> = BTreeMap::new();
        let mut firsts: BTreeMap<NodeId, u32> = BTreeMap::new();
        for owners in &layout.owners {
            let distinct: BTreeSet<_> = owners.iter().collect();
            prop_assert_eq!(distinct.len(), n as usize);
            let in_zones: BTreeSet<_> = owners.iter().map(|owner| zone_of[owner]).collect();
            let possible = (zones.min(nodes) as usize).min(n as usize);
            prop_assert_eq!(in_zones.len(), possible);
            for owner in owners {
                *loads.entry(*owner).or_default() += 1;
            }
            *firsts.entry(owners[0]).or_default() += 1;
        }
        // Without zones or weights to obey, nobody has more than one partition above another.
        if zones == 1 && !weighted {
            let least = loads.values().min().copied().unwrap_or(0);
            let most = loads.values().max().copied().unwrap_or(0);
            prop_assert!(loads.len() < nodes as usize || most - least <= 1, "{} to {}", least, most);
            let most_first = firsts.values().max().copied().unwrap_or(0);
            prop_assert!(u64::from(most_first) <= 256 / nodes + 4, "{}", most_first);
        }
    }
}
