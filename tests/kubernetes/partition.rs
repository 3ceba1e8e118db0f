//! Pods that cannot reach each other, while clients and the operator reach all of them.

use serde_json::json;

use crate::harness::database::{NAME, PATIENCE};
use crate::harness::nodes::pod;
use crate::harness::{Test, tell, until};

/// Enough for all kinds: with both, one or none of three owners on the smaller side.
const KEYS: usize = 24;
const UNAVAILABLE: [u16; 2] = [503, 504];

/// Scenario 18: two of five nodes on one side. Three own each key, so the smaller side has a quorum for some keys only; in sloppy
/// mode its other node stands in.
#[tokio::test]
async fn scenario_18_a_partition_heals() {
    let Some(test) = Test::begin("18").await else { return };
    test.install_operator().await;
    let mut manifest = test.manifest(5, json!({}));
    manifest["spec"]["podTemplate"] = json!({ "args": ["--unsafe-fault-injection"] });
    test.create(&manifest).await;
    test.start_checker(200).await;
    let what = "pods are partitioned: strict refuses on the smaller side, sloppy goes on, then all converge";
    test.scenario("18", what, async {
        let sides = [format!("{},{}", pod(0), pod(1)), format!("{},{},{}", pod(2), pod(3), pod(4))];
        test.quorate(&pod(0), &["chaos", "partition", &sides[0], &sides[1]]).await.expect("it is cut in two");
        // Until it is noticed, what is passed on to the other side is lost, and its outcome unknown.
        until("the smaller side has noticed", PATIENCE, async || {
            let down = test.metric("quorate_members{state=\"down\"}").await;
            let noticed = [pod(0), pod(1)].iter().all(|pod| down.get(pod) == Some(&3.0));
            if noticed { Ok(()) } else { Err(format!("{down:?}")) }
        })
        .await;
        let (mut refused, mut stood_in) = (0, 0);
        let mut taken = Vec::new();
        for number in 0..KEYS {
            let strict = format!("{NAME}-strict-{number}");
            match test.put(&pod(0), &strict, "strict").await {
                Ok(fallbacks) => {
                    assert_eq!(fallbacks, 0, "strict counts owners only");
                    taken.push(strict);
                }
                Err(code) => {
                    assert!(UNAVAILABLE.contains(&code), "{code}");
                    refused += 1;
                }
            }
            let sloppy = format!("{NAME}-sloppy-{number}");
            let fallbacks = test.put(&pod(1), &sloppy, "sloppy").await.expect("the other node stands in");
            stood_in += u64::from(fallbacks > 0);
            taken.push(sloppy);
        }
        tell(format_args!(
            "{}: of {KEYS} strict puts {refused} were refused; {stood_in} of {KEYS} sloppy ones had a stand-in",
            test.namespace
        ));
        assert!(refused > 0, "the smaller side has no quorum for some keys");
        assert!(stood_in > 0, "somebody stood in");
        let hints: f64 = test.metric("quorate_hints").await.values().sum();
        assert!(hints > 0.0, "the smaller side keeps what the owners missed");
        test.quorate(&pod(0), &["chaos", "heal"]).await.expect("it is healed");
        test.settled().await;
        for key in &taken {
            for ordinal in [0, 4] {
                until("what was taken is everywhere", PATIENCE, async || {
                    let found = test.get(&pod(ordinal), key).await?;
                    if found["value"] == json!(key) { Ok(()) } else { Err(found.to_string()) }
                })
                .await;
            }
        }
    })
    .await;
    test.finish_checker().await;
    test.converged().await;
}
