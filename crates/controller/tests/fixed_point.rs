//! Plans carried out in a simulated cluster until nothing is left to do: whatever is asked for and whatever goes wrong, it ends as it
//! was asked for, and on the way nothing happens that must never happen.

mod simulated;

use simulated::{BAD_IMAGE, World};

/// Seeds for what a test throws in; each is a run of its own.
const SEEDS: u64 = 60;

#[test]
fn a_cluster_is_founded_once_all_nodes_are_there() {
    for replicas in [3, 5] {
        let mut world = World::new(1, replicas);
        world.settle();
        world.assert_as_asked();
        let founded = world.log.iter().filter(|line| line.starts_with("found")).count();
        assert_eq!(founded, 1, "{:?}", world.log);
        let layout = world.quorate.newest().expect("a layout");
        assert_eq!(layout.cluster, "0123456789abcdef0123456789abcdef", "the resource's UID");
    }
}

#[test]
fn all_new_members_come_in_one_change_and_leave_one_by_one() {
    let mut world = World::settled(1, 3);
    world.cluster.spec.replicas = 5;
    world.settle();
    world.assert_as_asked();
    assert_eq!(
        world.log.iter().filter(|line| line.starts_with("makes ex-3, ex-4 members")).count(),
        1,
        "{:?}",
        world.log
    );
    world.log.clear();
    world.cluster.spec.replicas = 3;
    world.settle();
    world.assert_as_asked();
    let expected = [
        "removes ex-4: it hands over what it holds first: Ok(())",
        "apply 4 pods of quorate:1",
        "removes ex-3: it hands over what it holds first: Ok(())",
        "apply 3 pods of quorate:1",
    ];
    assert_eq!(world.log, expected);
    assert_eq!(world.claims.len(), 5, "volumes are kept");
}

#[test]
fn who_comes_back_on_a_kept_volume_comes_as_another_node() {
    let mut world = World::settled(1, 3);
    let mut seen = Vec::new();
    for replicas in [5, 3, 5, 3, 5] {
        world.cluster.spec.replicas = replicas;
        world.settle();
        world.assert_as_asked();
        if replicas == 5 {
            let new = world
                .quorate
                .newest()
                .expect("a layout")
                .members
                .iter()
                .filter(|m| m.name == "ex-4")
                .map(|m| m.id);
            seen.extend(new);
        }
    }
    assert_eq!(seen.len(), 3);
    seen.dedup();
    assert_eq!(seen.len(), 3, "an id is never used again");
}

#[test]
fn volumes_of_leavers_are_deleted_where_that_is_asked_for() {
    let mut world = World::settled(1, 5);
    world.cluster.spec.storage.retention.when_scaled = quorate_controller::crd::RetentionPolicy::Delete;
    world.cluster.spec.replicas = 3;
    world.settle();
    world.assert_as_asked();
    assert_eq!(world.claims.len(), 3);
}

#[test]
fn a_lost_volume_is_replaced_at_once_and_a_distrusted_one_after_a_grace_time() {
    let mut world = World::settled(1, 3);
    let before = world.now;
    world.lose_volume(1);
    world.settle();
    world.assert_as_asked();
    assert!(world.now.as_second() - before.as_second() < 120, "at once");
    let before = world.now;
    world.distrust(2);
    world.settle();
    world.assert_as_asked();
    assert!(world.now.as_second() - before.as_second() >= 300, "its volume might have come back");
}

#[test]
fn a_leaver_whose_volume_is_lost_is_not_waited_for() {
    for ticks in 0..20 {
        let mut world = World::settled(ticks, 5);
        world.cluster.spec.replicas = 4;
        for _ in 0..ticks {
            world.tick();
        }
        if world.claims.contains_key(&4) {
            world.lose_volume(4);
        }
        world.settle();
        world.assert_as_asked();
    }
}

#[test]
fn a_roll_restarts_one_pod_at_a_time() {
    let mut world = World::settled(1, 3);
    world.cluster.spec.image = "quorate:2".into();
    world.settle();
    world.assert_as_asked();
    let restarted: Vec<&String> = world.log.iter().filter(|line| line.starts_with("delete pod")).collect();
    assert_eq!(restarted.len(), 3, "{:?}", world.log);
    assert!(
        restarted[0].starts_with("delete pod 2") && restarted[2].starts_with("delete pod 0"),
        "{restarted:?}"
    );
}

#[test]
fn a_bad_image_stops_at_the_first_pod_and_recovers_when_it_is_reverted() {
    let mut world = World::settled(1, 3);
    world.cluster.spec.image = BAD_IMAGE.into();
    for _ in 0..100 {
        world.tick();
    }
    assert_eq!(world.pods.values().filter(|pod| pod.revision == BAD_IMAGE).count(), 1);
    assert_eq!((world.condition("Degraded"), world.reason("Degraded")), ("True", "PodDoesNotRun"));
    assert_eq!(world.condition("Available"), "True");
    world.cluster.spec.image = "quorate:1".into();
    world.settle();
    world.assert_as_asked();
}

#[test]
fn a_bad_image_from_the_start_recovers() {
    let mut world = World::new(1, 3);
    world.cluster.spec.image = BAD_IMAGE.into();
    for _ in 0..50 {
        world.tick();
    }
    assert_eq!(world.condition("Degraded"), "True");
    world.cluster.spec.image = "quorate:1".into();
    world.settle();
    world.assert_as_asked();
}

#[test]
fn n_and_quorums_change_by_one_change_each() {
    let mut world = World::settled(1, 5);
    for (n, r, w) in [(4, 2, 3), (5, 3, 3), (4, 3, 2), (3, 2, 2), (3, 1, 3)] {
        world.log.clear();
        let replication = &mut world.cluster.spec.replication;
        (replication.factor, replication.read_quorum, replication.write_quorum) = (n, r, w);
        world.settle();
        world.assert_as_asked();
        assert_eq!(world.log, [format!("changes the replication to N {n}, R {r}, W {w}: Ok(())")]);
    }
}

#[test]
fn a_pause_stops_the_change_under_way_and_an_unpause_ends_it() {
    let mut world = World::settled(1, 3);
    world.cluster.spec.replicas = 5;
    while world.quorate.newest().is_some_and(|layout| layout.change.is_none()) {
        world.tick();
    }
    world.cluster.spec.operation.paused = true;
    world.settle();
    assert!(
        world.quorate.newest().and_then(|layout| layout.change.as_ref()).is_some_and(|change| change.paused)
    );
    assert_eq!((world.condition("Paused"), world.condition("LayoutStable")), ("True", "False"));
    world.cluster.spec.replicas = 4;
    world.cluster.spec.image = "quorate:2".into();
    world.settle();
    world.cluster.spec.operation.paused = false;
    world.settle();
    world.assert_as_asked();
}

#[test]
fn a_stopped_cluster_is_no_smaller_one() {
    let mut world = World::settled(1, 5);
    world.cluster.spec.replicas = 3;
    for pod in world.pods.values_mut() {
        pod.silent = 400;
    }
    world.log.clear();
    for _ in 0..300 {
        world.tick();
    }
    assert_eq!(world.log, Vec::<String>::new(), "silence is no proof of anything");
    assert_eq!(world.set.as_ref().map(|set| set.replicas), Some(5));
    assert_eq!(world.condition("Available"), "False");
    world.settle();
    world.assert_as_asked();
}

#[test]
fn a_stateful_set_that_was_deleted_comes_back_with_a_pod_for_each_member() {
    let mut world = World::settled(1, 5);
    world.cluster.spec.replicas = 3;
    world.set = None;
    world.pods.clear();
    world.tick();
    assert_eq!(world.set.as_ref().map(|set| set.replicas), Some(5));
    world.settle();
    world.assert_as_asked();
}

#[test]
fn a_cluster_that_has_lost_all_volumes_is_not_founded_anew() {
    let mut world = World::settled(1, 3);
    world.log.clear();
    for at in 0..3 {
        world.lose_volume(at);
    }
    for _ in 0..300 {
        world.tick();
    }
    assert_eq!(world.log, Vec::<String>::new());
    assert_eq!((world.condition("Degraded"), world.reason("Degraded")), ("True", "AllMembersLost"));
}

/// What people do, and what happens to pods, at random moments; and an operator that dies between any two actions.
#[test]
fn whatever_happens_it_ends_as_it_was_asked_for() {
    for seed in 1..=SEEDS {
        let mut world = World::settled(seed, 3);
        world.crashes = 20;
        for _ in 0..12 {
            disturb(&mut world);
            for _ in 0..world.random.below(30) {
                world.tick();
            }
        }
        world.cluster.spec.operation.paused = false;
        world.cluster.spec.image = "quorate:last".into();
        world.settle();
        world.crashes = 0;
        world.settle();
        world.assert_as_asked();
    }
}

fn disturb(world: &mut World) {
    let stable = world.quorate.newest().is_some_and(|layout| layout.change.is_none());
    let whole = world.pods.values().all(simulated::Pod::runs) && world.condition("Degraded") == "False";
    let pods = world.pods.keys().copied().collect::<Vec<i32>>();
    let any = pods[usize::try_from(world.random.below(pods.len() as u64)).expect("an index")];
    let factor = world.cluster.spec.replication.factor;
    match world.random.below(9) {
        0 | 1 => world.cluster.spec.replicas = factor + i32::try_from(world.random.below(4)).expect("small"),
        2 => world.cluster.spec.image = format!("quorate:{}", world.random.below(3)),
        3 => world.cluster.spec.image = BAD_IMAGE.into(),
        // The API server lets N change only while the layout is stable.
        4 if stable => {
            let n = if factor == 3 { 4 } else { 3 };
            world.cluster.spec.replicas = world.cluster.spec.replicas.max(n);
            (world.cluster.spec.replication.factor, world.cluster.spec.replication.write_quorum) = (n, n - 1);
        }
        5 => world.delete_pod(any, None),
        6 => {
            let ticks = u32::try_from(world.random.below(15)).expect("small");
            if let Some(pod) = world.pods.get_mut(&any) {
                pod.silent = ticks;
            }
        }
        // One volume at a time: who loses two of three has to say so.
        7 if whole && stable => world.lose_volume(any),
        _ => world.cluster.spec.operation.paused = !world.cluster.spec.operation.paused,
    }
}
