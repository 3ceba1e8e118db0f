//! Tables of cases for single plans: what is seen, and what follows from it.

mod seen;

use k8s_openapi::jiff::SignedDuration;
use quorate_controller::crd::{MemberState, TopologyState};
use quorate_controller::observed::{BucketSeen, ChangeSeen, Membership, Observed, ProgressSeen, Trouble};
use quorate_controller::plan::{Action, Change, Failure, Pace, all_are_newest, failing, plan};
use quorate_proto::v1;
use quorate_proto::v1::change_layout_request::Order;
use seen::{bare, condition, founded, node, pod};

/// What a plan does beside making the objects so.
fn actions(observed: &Observed) -> Vec<Action> {
    let mut actions = plan(observed).actions;
    actions.retain(|action| !matches!(action, Action::Apply { .. }));
    actions
}

fn pods(observed: &Observed) -> Option<i32> {
    plan(observed).actions.iter().find_map(|action| match action {
        Action::Apply { pods } => Some(*pods),
        _ => None,
    })
}

fn alteration(observed: &Observed) -> Option<v1::Alteration> {
    actions(observed).into_iter().find_map(|action| match action {
        Action::ChangeLayout { order: Order::Alter(alteration), .. } => Some(alteration),
        _ => None,
    })
}

#[test]
fn where_all_is_as_asked_nothing_is_done_and_the_same_is_told_again() {
    let mut observed = founded(3);
    let first = plan(&observed);
    assert_eq!(first.actions, [Action::Apply { pods: 3 }]);
    assert_eq!(condition(&first.status, "Ready"), ("True", "AllServe"));
    assert_eq!(first.status.topology, TopologyState::Stable);
    observed.cluster.status = Some(first.status.clone());
    observed.now += SignedDuration::from_secs(500);
    let second = plan(&observed);
    assert_eq!((second.status, second.notices.len(), second.pace), (first.status, 0, Pace::Quiet));
}

#[test]
fn a_condition_keeps_since_when_it_is_what_it_is() {
    let mut observed = founded(3);
    observed.cluster.status = Some(plan(&observed).status);
    let since = |observed: &Observed, name: &str| {
        let status = plan(observed).status;
        let found = status.conditions.into_iter().find(|condition| condition.type_ == name);
        found.map(|condition| condition.last_transition_time.0)
    };
    let before = observed.now;
    observed.now += SignedDuration::from_secs(90);
    observed.pods.insert(2, pod(&observed, 2, None));
    assert_eq!(since(&observed, "Available"), Some(before), "it still is");
    assert_eq!(since(&observed, "Ready"), Some(observed.now), "it is no more");
    let notices = plan(&observed).notices;
    assert!(notices.iter().any(|notice| notice.warning && notice.message.contains("ex-2")), "{notices:?}");
}

#[test]
fn the_request_that_founds_the_cluster_is_the_same_each_time() {
    let mut observed = bare(3);
    for (at, id) in [(0, 30), (1, 10), (2, 20)] {
        observed.pods.insert(at, pod(&observed, at, Some(node(id, Membership::None, 0))));
    }
    let expected = v1::BootstrapRequest {
        cluster_id: (0..16).map(|byte| byte * 16 + byte).collect::<Vec<u8>>().into(),
        partitions: 256,
        n: 3,
        r: 2,
        w: 2,
        members: [(10, 1), (20, 2), (30, 0)]
            .map(|(node_id, at)| v1::Member {
                node_id,
                name: format!("ex-{at}"),
                peer_address: format!("ex-{at}.ex-nodes.ns.svc:7702"),
                zone: String::new(),
                weight: 1,
            })
            .to_vec(),
        buckets: Vec::new(),
    };
    assert_eq!(actions(&observed), [Action::Found { pods: vec![0, 1, 2], request: expected }]);
}

#[test]
fn the_cluster_is_not_founded_before_all_are_there_nor_twice() {
    type Disturb = fn(&mut Observed);
    let cases: [(&str, Disturb); 5] = [
        ("one is missing", |o| drop(o.pods.remove(&1))),
        ("one does not answer", |o| drop(o.pods.insert(1, pod(o, 1, None)))),
        ("one is being stopped", |o| o.pods.get_mut(&1).expect("a pod").deleting = true),
        ("one is a member", |o| drop(o.pods.insert(1, pod(o, 1, Some(node(9, Membership::Member, 1)))))),
        ("it was founded before", |o| o.cluster.status = Some(plan(&founded(3)).status)),
    ];
    for (name, disturb) in cases {
        let mut observed = bare(3);
        for at in 0..3_i32 {
            let id = u64::from(at.unsigned_abs()) + 10;
            observed.pods.insert(at, pod(&observed, at, Some(node(id, Membership::None, 0))));
        }
        assert_eq!(actions(&observed).len(), 1);
        disturb(&mut observed);
        assert_eq!(actions(&observed), [], "{name}");
    }
}

#[test]
fn pods_come_first_and_their_nodes_are_added_when_all_are_there() {
    let mut observed = founded(3);
    observed.cluster.spec.replicas = 5;
    assert_eq!((pods(&observed), actions(&observed)), (Some(5), vec![]));
    observed.stateful_set.as_mut().expect("a set").replicas = 5;
    observed.pods.insert(3, pod(&observed, 3, Some(node(3, Membership::None, 0))));
    assert_eq!(actions(&observed), [], "one is missing");
    assert!(plan(&observed).status.conditions.iter().any(|c| c.message == "waits for the node in pod ex-4"));
    observed.pods.insert(4, pod(&observed, 4, Some(node(4, Membership::None, 0))));
    let added = alteration(&observed).expect("an alteration");
    assert_eq!(added.add.iter().map(|member| member.name.as_str()).collect::<Vec<_>>(), ["ex-3", "ex-4"]);
    // A node that has left comes back as another one, once its pod was restarted.
    observed.pods.insert(4, pod(&observed, 4, Some(node(4, Membership::Left, 5))));
    assert!(matches!(actions(&observed)[..], [Action::DeletePod { ordinal: 4, .. }]));
}

#[test]
fn a_member_leaves_only_when_all_agree_and_its_pod_goes_only_after_it_has() {
    let asked = || {
        let mut observed = founded(5);
        observed.cluster.spec.replicas = 3;
        observed
    };
    assert_eq!(alteration(&asked()).expect("an alteration").remove, [4]);
    type Disturb = fn(&mut Observed);
    // What passes by itself is no blockade.
    let blocked: [(&str, &str, Disturb); 3] = [
        ("the leaver is silent", "LeaverSilent", |o| drop(o.pods.insert(4, pod(o, 4, None)))),
        ("a survivor is silent", "Unconfirmed", |o| drop(o.pods.insert(1, pod(o, 1, None)))),
        ("one has not heard", "", |o| {
            drop(o.pods.insert(1, pod(o, 1, Some(node(1, Membership::Member, 4)))));
        }),
    ];
    for (name, reason, disturb) in blocked {
        let mut observed = asked();
        disturb(&mut observed);
        assert_eq!(actions(&observed), [], "{name}");
        assert_eq!(pods(&observed), Some(5), "{name}");
        let expected = if reason.is_empty() { ("False", "NotBlocked") } else { ("True", reason) };
        assert_eq!(condition(&plan(&observed).status, "ScaleDownBlocked"), expected, "{name}");
    }
}

#[test]
fn a_member_stays_while_as_many_are_owners() {
    // The API server refuses such a spec; who gets past it is refused here.
    let mut observed = founded(5);
    observed.cluster.spec.replicas = 3;
    observed.cluster.spec.replication.factor = 5;
    let layout = observed.layout.as_mut().expect("a layout");
    (layout.n, layout.buckets[0].n) = (5, 5);
    assert_eq!((pods(&observed), actions(&observed)), (Some(5), vec![]));
    // N goes down first.
    observed.cluster.spec.replication.factor = 3;
    let altered = alteration(&observed).expect("an alteration");
    assert_eq!((altered.n, altered.remove), (Some(4), vec![]));
    // Members beyond what is asked for, none of which can be spared.
    observed.cluster.spec.replication.factor = 4;
    let layout = observed.layout.as_mut().expect("a layout");
    (layout.n, layout.buckets[0].n) = (4, 4);
    layout.members.retain(|member| member.id != 3);
    assert_eq!(actions(&observed), []);
}

#[test]
fn the_last_pod_goes_when_its_node_has_left_and_holds_nothing() {
    let left = || {
        let mut observed = founded(5);
        observed.cluster.spec.replicas = 3;
        observed.layout.as_mut().expect("a layout").members.retain(|member| member.id != 4);
        observed.pods.insert(4, pod(&observed, 4, Some(node(4, Membership::Left, 5))));
        observed
    };
    assert_eq!((pods(&left()), actions(&left())), (Some(4), vec![]), "one thing at a time");
    type Disturb = fn(&mut Observed);
    let stays: [(&str, &str, Disturb); 4] = [
        ("it keeps hints", "True", |o| {
            let mut told = node(4, Membership::Left, 5);
            told.hints = 1;
            drop(o.pods.insert(4, pod(o, 4, Some(told))));
        }),
        ("it believes to be a member", "False", |o| {
            drop(o.pods.insert(4, pod(o, 4, Some(node(4, Membership::Member, 4)))))
        }),
        ("a survivor is silent", "True", |o| drop(o.pods.insert(0, pod(o, 0, None)))),
        ("a change is under way", "False", |o| {
            let members = vec![0, 1, 2, 3];
            o.layout.as_mut().expect("a layout").change = Some(ChangeSeen { members, ..Default::default() });
        }),
    ];
    for (name, blocked, disturb) in stays {
        let mut observed = left();
        disturb(&mut observed);
        assert_eq!(pods(&observed), Some(5), "{name}");
        assert_eq!(condition(&plan(&observed).status, "ScaleDownBlocked").0, blocked, "{name}");
        assert_eq!(condition(&plan(&observed).status, "Ready").0, "False", "{name}");
    }
    let mut silent = left();
    silent.pods.remove(&4);
    assert_eq!(pods(&silent), Some(4), "the others say that it has left");
}

#[test]
fn a_member_is_lost_when_its_pod_runs_another_node_on_another_volume_or_for_long() {
    let displaced = || {
        let mut observed = founded(3);
        observed.cluster.status = Some(plan(&observed).status);
        observed.pods.insert(1, pod(&observed, 1, Some(node(77, Membership::None, 0))));
        observed
    };
    let mut observed = displaced();
    observed.strangers_since.insert(77, observed.now - SignedDuration::from_secs(299));
    assert_eq!(actions(&observed), [], "its volume may come back");
    assert_eq!(condition(&plan(&observed).status, "Degraded"), ("True", "MemberLost"));
    observed.strangers_since.insert(77, observed.now - SignedDuration::from_secs(300));
    let replaced = alteration(&observed).expect("an alteration");
    assert_eq!((replaced.add[0].node_id, replaced.lost), (77, vec![1]));

    let mut observed = displaced();
    observed.claims.get_mut(&1).expect("a claim").uid = "other".into();
    let replaced = alteration(&observed).expect("an alteration");
    assert_eq!((replaced.add[0].node_id, replaced.lost, replaced.remove), (77, vec![1], vec![]));

    let layout = observed.layout.as_mut().expect("a layout");
    layout.change = Some(ChangeSeen { began: 5, members: vec![0, 1, 2], sizes: true, ..Default::default() });
    let declared = actions(&observed);
    let expected = Order::DeclareLost(v1::DeclareLost { nodes: vec![1] });
    assert!(
        matches!(&declared[..], [Action::ChangeLayout { order, .. }] if *order == expected),
        "{declared:?}"
    );

    let mut silent = displaced();
    silent.claims.get_mut(&1).expect("a claim").uid = "other".into();
    silent.pods.insert(1, pod(&silent, 1, None));
    assert_eq!(actions(&silent), [], "silence is no proof");
    assert_eq!(plan(&silent).status.members[1].state, MemberState::Absent);
    assert_eq!(plan(&silent).status.members[1].claim_uid, "claim-1", "that with which it was seen last");
}

#[test]
fn a_change_that_waits_for_people_says_what_to_do() {
    let message = |observed: &Observed| {
        let status = plan(observed).status;
        let degraded = status.conditions.into_iter().find(|condition| condition.type_ == "Degraded");
        degraded.expect("it is told").message
    };
    let mut observed = founded(3);
    let layout = observed.layout.as_mut().expect("a layout");
    layout.change = Some(ChangeSeen {
        began: 5,
        members: vec![0, 1, 2],
        lost: vec![1],
        added: vec![7],
        ..Default::default()
    });
    assert_ne!(condition(&plan(&observed).status, "Degraded").1, "LossToBeAccepted");
    let mut told = node(2, Membership::Member, 5);
    told.change = Some(ProgressSeen { began: 5, lacks_owners: true, ..Default::default() });
    observed.pods.insert(2, pod(&observed, 2, Some(told)));
    assert_eq!(condition(&plan(&observed).status, "Degraded"), ("True", "LossToBeAccepted"));
    let said = message(&observed);
    assert!(
        said.contains("quorate layout accept-loss --yes") && said.contains("docs/OPERATIONS.md"),
        "{said}"
    );
    let notices = plan(&observed).notices;
    assert!(
        notices.iter().any(|notice| notice.warning && notice.reason == "LossToBeAccepted"),
        "{notices:?}"
    );

    // Two of three voters run as other nodes, or do not answer at all.
    let mut observed = founded(3);
    observed.pods.insert(1, pod(&observed, 1, Some(node(77, Membership::None, 0))));
    assert_eq!(condition(&plan(&observed).status, "Degraded").1, "MemberLost", "two of three can choose");
    observed.pods.insert(2, pod(&observed, 2, Some(node(78, Membership::None, 0))));
    assert_eq!(condition(&plan(&observed).status, "Degraded"), ("True", "VotersMissing"));
    let said = message(&observed);
    for part in ["of 3 these are missing: ex-1, ex-2", "quorate directory force-lost", "docs/OPERATIONS.md"] {
        assert!(said.contains(part), "{said}");
    }
    // One of those that are left was told to do without them.
    observed.layout.as_mut().expect("a layout").voters = vec![0];
    assert_eq!(condition(&plan(&observed).status, "Degraded").1, "MemberLost");
    // A pod that has just been started is waited for.
    let mut observed = founded(3);
    for at in [1, 2] {
        let mut starts = pod(&observed, at, None);
        starts.created = observed.now;
        observed.pods.insert(at, starts);
    }
    assert_eq!(condition(&plan(&observed).status, "Degraded").0, "False");
}

#[test]
fn one_member_and_several_are_spoken_of_as_such() {
    let absent = |silent: &[i32]| {
        let mut observed = founded(5);
        for &at in silent {
            observed.pods.insert(at, pod(&observed, at, None));
        }
        let status = plan(&observed).status;
        status
            .conditions
            .into_iter()
            .find(|condition| condition.type_ == "Degraded")
            .expect("it is told")
            .message
    };
    assert_eq!(absent(&[1]), "ex-1 does not answer");
    assert_eq!(absent(&[1, 3]), "ex-1, ex-3 do not answer");
    assert_eq!(Change::Zones(vec!["ex-1".into()]).in_words(), "ex-1 is in another zone");
    assert_eq!(Change::Add(vec!["ex-3".into()]).in_words(), "makes ex-3 a member");
}

#[test]
fn n_moves_by_one_and_buckets_that_would_not_fit_move_with_it() {
    let mut observed = founded(5);
    let layout = observed.layout.as_mut().expect("a layout");
    layout.n = 4;
    layout.buckets = [("default", 4, 2, 3), ("carts", 4, 4, 4), ("small", 2, 1, 2)]
        .map(|(name, n, r, w)| BucketSeen { name: name.into(), n, r, w })
        .to_vec();
    let altered = alteration(&observed).expect("an alteration");
    let sizes =
        |bucket: &str, n, r, w| v1::BucketSizes { bucket: bucket.into(), n: Some(n), r: Some(r), w: Some(w) };
    assert_eq!((altered.n, altered.sizes), (Some(3), vec![sizes("", 3, 2, 2), sizes("carts", 3, 3, 3)]));

    let mut observed = founded(5);
    observed.cluster.spec.replication.factor = 5;
    let (status, done) = (plan(&observed).status, alteration(&observed).expect("an alteration"));
    assert_eq!(done.n, Some(4), "one more at a time");
    assert_eq!(status.effective_replication.map(|now| now.factor), Some(3), "what is enforced");
}

#[test]
fn members_are_where_their_pods_are() {
    let mut observed = founded(3);
    observed.pods.get_mut(&1).expect("a pod").zone = "south".into();
    assert_eq!(actions(&observed), [], "zones do not matter");
    observed.cluster.spec.topology.zone_key = Some("topology.kubernetes.io/zone".into());
    let set = alteration(&observed).expect("an alteration").set;
    assert_eq!(set, [v1::MemberSettings { node_id: 1, zone: Some("south".into()), weight: None }]);
}

/// All pods are of an older revision.
fn rolling() -> Observed {
    let mut observed = founded(3);
    observed.stateful_set.as_mut().expect("a set").update_revision = "new".into();
    observed
}

#[test]
fn a_pod_is_restarted_only_when_nothing_is_missing_anywhere() {
    assert!(matches!(actions(&rolling())[..], [Action::DeletePod { ordinal: 2, .. }]));
    type Disturb = fn(&mut Observed);
    let waits: [(&str, Disturb); 6] = [
        ("one keeps hints", |o| {
            let mut told = node(0, Membership::Member, 5);
            told.hints = 3;
            drop(o.pods.insert(0, pod(o, 0, Some(told))));
        }),
        ("one does not reach all", |o| {
            let mut told = node(0, Membership::Member, 5);
            told.partitions_under_replicated = 1;
            drop(o.pods.insert(0, pod(o, 0, Some(told))));
        }),
        ("a restarted one is not ready", |o| {
            let restarted = o.pods.get_mut(&2).expect("a pod");
            (restarted.ready, restarted.revision) = (false, "new".into());
        }),
        ("one is being stopped", |o| o.pods.get_mut(&1).expect("a pod").deleting = true),
        ("a change is under way", |o| {
            let change = ChangeSeen { members: vec![0, 1, 2], sizes: true, ..Default::default() };
            o.layout.as_mut().expect("a layout").change = Some(change);
        }),
        ("its controller has not looked yet", |o| {
            o.stateful_set.as_mut().expect("a set").update_revision = String::new();
        }),
    ];
    for (name, disturb) in waits {
        let mut observed = rolling();
        disturb(&mut observed);
        assert_eq!(actions(&observed), [], "{name}");
    }
    // The one that does not run goes first, whatever else.
    let mut observed = rolling();
    let mut stuck = pod(&observed, 1, None);
    stuck.trouble = Some(Trouble { reason: "ErrImageNeverPull".into(), message: "not there".into() });
    observed.pods.insert(1, stuck);
    let told = plan(&observed);
    assert!(matches!(actions(&observed)[..], [Action::DeletePod { ordinal: 1, .. }]));
    assert!(
        told.status
            .conditions
            .iter()
            .any(|c| c.message == "pod ex-1 does not run: ErrImageNeverPull: not there"),
        "{:?}",
        told.status.conditions
    );
}

#[test]
fn nobody_is_restarted_onto_a_template_that_does_not_run() {
    let mut observed = rolling();
    let newest = observed.stateful_set.as_ref().expect("there is one").update_revision.clone();
    let trouble = || Some(Trouble { reason: "CrashLoopBackOff".into(), message: "a setting".into() });
    let mut tried = pod(&observed, 2, None);
    (tried.revision, tried.trouble) = (newest, trouble());
    observed.pods.insert(2, tried);
    assert_eq!(actions(&observed), []);
    // The process of an older one has crashed: it comes back by itself, on what it ran with.
    let mut crashed = pod(&observed, 1, None);
    crashed.trouble = trouble();
    observed.pods.insert(1, crashed);
    assert_eq!(actions(&observed), []);
    assert!(!all_are_newest(&observed));
}

#[test]
fn older_settings_are_needed_while_a_pod_is_older_or_missing() {
    let mut observed = rolling();
    assert!(!all_are_newest(&observed));
    let newest = observed.stateful_set.as_ref().expect("there is one").update_revision.clone();
    observed.pods.values_mut().for_each(|pod| pod.revision = newest.clone());
    assert!(all_are_newest(&observed));
    let last = observed.pods.pop_last().expect("there are pods");
    assert!(!all_are_newest(&observed));
    observed.pods.insert(last.0, last.1);
    observed.stateful_set.as_mut().expect("there is one").update_revision.clear();
    assert!(!all_are_newest(&observed), "Kubernetes has not taken the newest template yet");
}

#[test]
fn a_pause_ends_with_the_pause() {
    let mut observed = founded(3);
    observed.cluster.spec.replicas = 5;
    observed.cluster.spec.operation.paused = true;
    let told = plan(&observed);
    assert_eq!(told.actions, [], "not even the pods");
    assert_eq!(condition(&told.status, "Paused"), ("True", "Asked"));
    let change = ChangeSeen { members: vec![0, 1, 2], sizes: true, ..Default::default() };
    observed.layout.as_mut().expect("a layout").change = Some(change.clone());
    assert!(matches!(actions(&observed)[..], [Action::ChangeLayout { change: Change::Pause, .. }]));
    observed.layout.as_mut().expect("a layout").change = Some(ChangeSeen { paused: true, ..change });
    assert_eq!(plan(&observed).actions, []);
    observed.cluster.spec.operation.paused = false;
    observed.cluster.spec.replicas = 3;
    assert!(matches!(actions(&observed)[..], [Action::ChangeLayout { change: Change::Resume, .. }]));
}

#[test]
fn a_spec_that_cannot_be_made_so_is_told_and_nothing_is_done() {
    let mut observed = founded(3);
    observed.cluster.spec.replicas = 5;
    observed.refused_spec = Some("spec.settings.data_dir: is set by the operator".into());
    let told = plan(&observed);
    assert_eq!(told.actions, []);
    assert_eq!(condition(&told.status, "Degraded"), ("True", "InvalidSpec"));
    assert_eq!(condition(&told.status, "Available").0, "True", "what is there serves");
    assert!(told.notices.iter().any(|notice| notice.warning && notice.reason == "InvalidSpec"));
}

#[test]
fn volumes_grow_with_the_spec_and_say_when_they_cannot() {
    let mut observed = founded(3);
    observed.cluster.spec.storage.size = "2Gi".into();
    let grown: Vec<Action> = actions(&observed);
    assert_eq!(grown.len(), 3);
    assert!(
        matches!(&grown[0], Action::GrowClaim { ordinal: 0, uid, size } if uid == "claim-0" && size == "2Gi")
    );
    observed.growth_refused = Some("the storage class does not allow it".into());
    assert_eq!(actions(&observed), []);
    let told = plan(&observed).status;
    assert_eq!(condition(&told, "StorageReady"), ("False", "GrowthRefused"));
    assert_eq!(condition(&told, "Ready"), ("False", "GrowthRefused"), "it is not as its spec says");
    assert_eq!(condition(&told, "Available").0, "True");
}

#[test]
fn what_cannot_be_done_is_not_ready_and_what_serves_is_still_available() {
    let observed = founded(3);
    let whole = plan(&observed).status;
    let refused = Failure { message: "apply: apply StatefulSet ex: it is invalid".into(), lasts: true };
    let told = failing(None, whole.clone(), &refused, observed.now);
    for (name, expected) in [
        ("Ready", ("False", "ActionFailed")),
        ("Progressing", ("False", "ActionFailed")),
        ("Degraded", ("True", "ActionFailed")),
        ("Available", ("True", "QuorumsReached")),
    ] {
        assert_eq!(condition(&told, name), expected, "{name}");
    }
    let degraded =
        told.conditions.iter().find(|condition| condition.type_ == "Degraded").expect("it is told");
    assert_eq!((&degraded.message, degraded.observed_generation), (&refused.message, Some(1)));
    // An API server that does not answer may do so the next time.
    let passes = Failure { lasts: false, ..refused.clone() };
    let told = failing(None, whole, &passes, observed.now);
    assert_eq!((condition(&told, "Ready").0, condition(&told, "Degraded").0), ("False", "False"));
    // What was wrong before may be why.
    let mut lost = founded(3);
    lost.pods.insert(1, pod(&lost, 1, Some(node(77, Membership::None, 0))));
    let told = failing(None, plan(&lost).status, &refused, lost.now);
    assert_eq!(condition(&told, "Degraded"), ("True", "MemberLost"));
    let degraded =
        told.conditions.iter().find(|condition| condition.type_ == "Degraded").expect("it is told");
    assert!(degraded.message.ends_with(&refused.message), "{}", degraded.message);
}

#[test]
fn kept_volumes_with_another_number_of_partitions_are_told_of_and_nothing_is_done() {
    let mut observed = founded(3);
    observed.cluster.status = Some(plan(&observed).status);
    observed.cluster.spec.partitions = 128;
    let told = plan(&observed);
    assert_eq!(actions(&observed), []);
    for (name, expected) in [("Ready", "False"), ("Degraded", "True")] {
        assert_eq!(condition(&told.status, name), (expected, "PartitionsDiffer"), "{name}");
    }
    assert_eq!(condition(&told.status, "Available").0, "True", "what is there serves");
    let notice = told.notices.iter().find(|notice| notice.reason == "PartitionsDiffer").expect("an event");
    let said =
        "the volumes hold a cluster of 256 partitions; spec.partitions says 128, and cannot be changed: ";
    assert!(notice.warning && notice.message.starts_with(said), "{notice:?}");
    // What can be mended is told first.
    observed.pods.insert(1, pod(&observed, 1, None));
    assert_eq!(condition(&plan(&observed).status, "Degraded").1, "MembersAbsent");
}

#[test]
fn a_volume_of_another_cluster_is_no_member_and_no_stranger() {
    let mut observed = founded(3);
    let mut foreign = node(99, Membership::Member, 8);
    foreign.cluster = "ff".repeat(16);
    observed.pods.insert(1, pod(&observed, 1, Some(foreign)));
    assert_eq!(actions(&observed), []);
    assert_eq!(condition(&plan(&observed).status, "Degraded"), ("True", "ForeignVolume"));
}

#[test]
fn a_resource_that_is_being_deleted_is_left_alone() {
    let mut observed = founded(3);
    observed.cluster.spec.replicas = 5;
    observed.cluster.metadata.deletion_timestamp =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(observed.now));
    assert_eq!(plan(&observed).actions, []);
}
