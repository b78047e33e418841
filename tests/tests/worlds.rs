//! Whole orders in real pods, with the operator that `make install` has put into the cluster.

use std::path::Path;

use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{DeleteParams, ListParams, LogParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use manyworlds_api::world::WorldStage;
use manyworlds_api::{WorkOrder, World};
use manyworlds_tests::real::{LIMIT, create, finished, order, restricted, works, world};
use manyworlds_tests::{Result, eventually, orders};
use serde_json::{Value, json};

/// W1, W3, W14: five real pods, five different results, one winner, and nothing that the others did could help them.
#[tokio::test]
async fn five_worlds_fix_a_published_bug_and_the_best_one_wins() -> Result {
    let (_cluster, namespace) = restricted("sample").await?;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/samples/fix-published-bug.yaml");
    let sample: WorkOrder = serde_saphyr::from_str(&std::fs::read_to_string(file)?)?;
    orders::create(&namespace.api(), &sample).await?;
    let status = finished(&namespace, "fix-published-bug").await?;
    assert_eq!(status.winner.as_deref(), Some("alpha"), "{:?}", status.message);
    let ranked: Vec<(&str, Option<i32>, bool)> =
        status.ranking.iter().map(|ranked| (ranked.world.as_str(), ranked.score, ranked.eligible)).collect();
    let [("alpha", Some(100), true), ("beta", Some(beta), true), ..] = ranked.as_slice() else { panic!("{ranked:?}") };
    assert!((70..100).contains(beta), "beta fixes a part of it: {beta}");
    let stage = async |name: &str| world(&namespace, &format!("fix-published-bug-{name}")).await;
    assert!(stage("gamma").await?.reasons.iter().any(|reason| reason.contains("tests/test_dicttoxml.py")));
    assert!(stage("delta").await?.message.unwrap().contains("required gate build"));
    let epsilon = stage("epsilon").await?;
    assert_eq!((epsilon.stage, epsilon.attempts[0].reason.as_str()), (Some(WorldStage::Failed), "WorkerTimedOut"));
    assert_eq!(stage("alpha").await?.sealed, Some(true));
    Ok(())
}

/// The samples do what they say; `plugin` is a third party's plugin in Python (R4), in a pod.
#[tokio::test]
async fn the_samples_succeed() -> Result {
    let (_cluster, namespace) = restricted("samples").await?;
    let samples = ["command", "echo", "plugin", "policies"];
    for name in samples {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../manifests/samples/{name}.yaml"));
        for document in std::fs::read_to_string(file)?.split("\n---\n") {
            let document: Value = serde_saphyr::from_str(document)?;
            if document["kind"] == "ConfigMap" {
                let map: ConfigMap = serde_json::from_value(document)?;
                namespace.api::<ConfigMap>().create(&PostParams::default(), &map).await?;
            } else {
                create(&namespace, &document).await?;
            }
        }
    }
    for name in samples {
        let status = finished(&namespace, name).await?;
        assert_eq!(status.summary.as_deref(), Some("Succeeded"), "{name}: {:?}", status.message);
    }
    assert_eq!(world(&namespace, "plugin-alpha").await?.score.map(|score| score.total), Some(100));
    Ok(())
}

#[tokio::test]
async fn a_world_holds_no_secret_and_may_reach_little() -> Result {
    let (_cluster, namespace) = restricted("locked").await?;
    create(&namespace, &order("locked", "date > now; env | sort; id; ls -la /var/run/secrets /run/secrets; true"))
        .await?;
    finished(&namespace, "locked").await?;
    let pods: Api<Pod> = namespace.api();
    let pod = pods.get("locked-alpha-1").await?;
    let spec = pod.spec.clone().unwrap();
    assert_eq!(spec.automount_service_account_token, Some(false));
    for volume in spec.volumes.unwrap() {
        assert!(volume.secret.is_none() && volume.host_path.is_none(), "{}", volume.name);
        for source in volume.projected.into_iter().flat_map(|projected| projected.sources.unwrap_or_default()) {
            assert_eq!(source.service_account_token.unwrap().audience.as_deref(), Some("manyworlds"));
        }
    }
    let judge = pods.get("locked-alpha-1-e1").await?;
    assert_eq!(judge.labels()["manyworlds.dev/network"], "evaluations");
    let volumes = judge.spec.unwrap().volumes.unwrap_or_default();
    assert!(volumes.iter().all(|volume| volume.name != "work" && volume.secret.is_none()), "{volumes:?}");
    let work = LogParams { container: Some("work".to_owned()), ..LogParams::default() };
    let log = pods.logs("locked-alpha-1", &work).await?;
    assert!(log.contains("uid=10001"), "{log}");
    assert!(!log.contains("token"), "the worker sees no token: {log}");
    for policy in ["manyworlds-worlds", "manyworlds-evaluations"] {
        let policy: NetworkPolicy = namespace.api().get(policy).await?;
        assert_eq!(policy.spec.unwrap().policy_types.unwrap(), ["Ingress", "Egress"]);
    }
    Ok(())
}

/// W14: a worker leaves what it can on each folder that it shares with anybody, and the gates see none of it.
#[tokio::test]
async fn nothing_of_a_worker_but_its_change_reaches_its_judge() -> Result {
    let (_cluster, namespace) = restricted("apart").await?;
    let plants =
        "for folder in /tmp /dev/shm /manyworlds/work /cache; do date > $folder/planted || true; done; date > now";
    let mut manifest = order("apart", plants);
    manifest["spec"]["worker"]["podTemplate"] =
        json!({"volumes": [{"name": "cache", "mountPath": "/cache", "emptyDir": {}}]});
    let sees = "test -f now && ! find /tmp /dev/shm /manyworlds /cache -name planted 2>/dev/null | grep .";
    manifest["spec"]["evaluation"] = json!({"gates": [
        {"name": "apart", "kind": "Custom", "points": 100, "command": ["sh", "-c", sees]},
    ]});
    create(&namespace, &manifest).await?;
    let status = finished(&namespace, "apart").await?;
    assert_eq!(status.winner.as_deref(), Some("alpha"), "{:?}", status.message);
    Ok(())
}

/// W14: hostile candidates in a real pod. Each costs its own World the points and is named; the order goes on.
#[tokio::test]
async fn hostile_candidates_fail_and_cost_the_others_nothing() -> Result {
    let (_cluster, namespace) = restricted("hostile").await?;
    let token = "/var/run/secrets/manyworlds/token/token";
    let attacks = [
        ("honest", "true"),
        ("forges", "echo '{\"version\":1}' > /dev/termination-log"),
        ("rewrites", "echo x > /manyworlds/evaluation/evidence/report || touch /manyworlds/order/change"),
        ("steals", &format!("cat {token}")),
        ("reads", "cat /proc/1/environ || cat /proc/1/mem || ls /proc/1/fd/"),
        ("kills", "kill -9 1"),
        ("ends", "kill -TERM 1"),
        ("spoils", "chmod 0 /manyworlds/evaluation/evidence/repository.git"),
        ("lingers", "(setsid sh -c 'sleep 300; echo x > /dev/termination-log' &) ; true"),
        ("floods", "yes | head -c 40000000; true"),
    ];
    let mut manifest = order("hostile", "date > now");
    manifest["spec"]["worlds"]["variants"] = attacks
        .iter()
        .map(|(name, script)| json!({"name": name, "worker": {"env": [{"name": "ATTACK", "value": script}]}}))
        .collect();
    manifest["spec"]["worlds"]["parallelism"] = json!(attacks.len());
    manifest["spec"]["evaluation"] = json!({"gates": [
        {"name": "attack", "kind": "Custom", "points": 100, "timeout": "30s", "command": ["sh", "-c", "eval \"$ATTACK\""]},
    ]});
    create(&namespace, &manifest).await?;
    let status = finished(&namespace, "hostile").await?;
    let score = |name: &str| status.ranking.iter().find(|ranked| ranked.world == name).unwrap().score;
    assert_eq!(score("honest"), Some(100));
    for name in ["forges", "rewrites", "steals", "reads", "kills", "ends"] {
        assert_eq!(score(name), Some(0), "{name}");
    }
    let reached = "reached for what belongs to its judge";
    for (name, word) in [
        ("forges", reached),
        ("rewrites", reached),
        ("steals", reached),
        ("reads", reached),
        ("kills", reached),
        ("ends", reached),
        ("spoils", "changed what belongs to its judge"),
        ("lingers", "left"),
        ("floods", "flooded"),
    ] {
        let reasons = world(&namespace, &format!("hostile-{name}")).await?.reasons;
        assert!(reasons.iter().any(|reason| reason.contains(word)), "{name}: {reasons:?}");
    }
    Ok(())
}

/// W14: what a worker leaves outside of its worktree is not there for its judge, who is in a pod of its own.
#[tokio::test]
async fn nothing_of_a_workers_pod_but_its_change_reaches_the_judge() -> Result {
    let (_cluster, namespace) = restricted("apart").await?;
    let places = "/dev/shm /cache /tmp";
    let plant = format!("for place in {places}; do echo x > $place/planted || exit 1; done; date > now");
    let look =
        format!("test -s now && test -d /cache && for place in {places}; do test ! -e $place/planted || exit 1; done");
    let mut manifest = order("apart", &plant);
    manifest["spec"]["worker"]["podTemplate"] =
        json!({"volumes": [{"name": "cache", "mountPath": "/cache", "emptyDir": {}}]});
    manifest["spec"]["evaluation"] = json!({"gates": [
        {"name": "look", "kind": "Custom", "points": 100, "timeout": "30s", "command": ["sh", "-c", look]},
    ]});
    create(&namespace, &manifest).await?;
    let status = finished(&namespace, "apart").await?;
    assert_eq!(status.winner.as_deref(), Some("alpha"), "{:?}", status.message);
    Ok(())
}

/// W3: what an earlier gate leaves is not there for a later one, in the folders that a real pod has.
#[tokio::test]
async fn each_gate_begins_as_the_first_one_did() -> Result {
    let (_cluster, namespace) = restricted("ground").await?;
    let places = "/tmp /dev/shm . $HOME";
    let leave =
        format!("for place in {places}; do echo x > $place/left || exit 1; done; mkdir kept; echo x > kept/file");
    let look = format!("test -f kept/file && for place in {places}; do test ! -e $place/left || exit 1; done");
    let mut manifest = order("ground", "date > now");
    manifest["spec"]["evaluation"] = json!({"keep": ["kept/"], "gates": [
        {"name": "leave", "kind": "Custom", "points": 50, "timeout": "30s", "command": ["sh", "-c", leave]},
        {"name": "look", "kind": "Custom", "points": 50, "timeout": "30s", "command": ["sh", "-c", look]},
    ]});
    create(&namespace, &manifest).await?;
    let status = finished(&namespace, "ground").await?;
    assert_eq!(status.best.as_ref().and_then(|best| best.score), Some(100), "{:?}", status.message);
    let world = world(&namespace, "ground-alpha").await?;
    assert!(world.landlock_abi >= Some(3), "{:?}", world.landlock_abi);
    Ok(())
}

/// W14: workers may do what they like in their own container, and cannot end the runner in it.
#[tokio::test]
async fn hostile_workers_are_named_and_cost_the_others_nothing() -> Result {
    let (_cluster, namespace) = restricted("workers").await?;
    let variants = [
        ("honest", "date > now"),
        ("ends", "kill -TERM 1; kill -9 1; sleep 1; date > now"),
        ("forges", "echo '{\"version\":1}' > /dev/termination-log; date > now"),
        ("lingers", "(setsid sleep 300 >/dev/null 2>&1 &); sleep 0.5; date > now"),
    ];
    let mut manifest = order("workers", "true");
    manifest["spec"]["worlds"]["variants"] = variants
        .iter()
        .map(|(name, script)| json!({"name": name, "worker": {"command": ["sh", "-c", script]}}))
        .collect();
    manifest["spec"]["worlds"]["parallelism"] = json!(variants.len());
    create(&namespace, &manifest).await?;
    let status = finished(&namespace, "workers").await?;
    for (name, word) in
        [("honest", None), ("ends", Some("told the runner to end")), ("forges", None), ("lingers", Some("left"))]
    {
        let ranked = status.ranking.iter().find(|ranked| ranked.world == name).unwrap();
        assert_eq!(ranked.score, Some(100), "{name}: its change is judged like any other");
        let reasons = world(&namespace, &format!("workers-{name}")).await?.reasons;
        let named = word.is_none_or(|word| reasons.iter().any(|reason| reason.contains(word)));
        assert!(named && reasons.is_empty() == word.is_none(), "{name}: {reasons:?}");
    }
    Ok(())
}

/// W7: the operator does not keep the texts of a long order in memory, and its Worlds get them all the same.
#[tokio::test]
async fn a_long_order_reaches_its_worker_whole() -> Result {
    let (_cluster, namespace) = restricted("long").await?;
    let mut manifest = order(
        "long",
        "test \"$WORD\" = yes && grep -q \"$(printf 'a%.0s' $(seq 1000))\" \"$MANYWORLDS_ORDER_FILE\" && date > now",
    );
    manifest["spec"]["task"]["body"] = json!("a".repeat(40_000));
    manifest["spec"]["worker"]["env"] = json!([{"name": "WORD", "value": "yes"}]);
    create(&namespace, &manifest).await?;
    let status = finished(&namespace, "long").await?;
    assert_eq!(status.winner.as_deref(), Some("alpha"), "{:?}", status.message);
    Ok(())
}

/// The log of a worker that left nothing to judge is stored all the same: its container's own goes with the pod.
#[tokio::test]
async fn the_log_of_a_failed_worker_outlives_its_pod() -> Result {
    let (_cluster, namespace) = restricted("logs").await?;
    let mut manifest = order("logs", "echo said; exec sleep 100");
    manifest["spec"]["worker"]["phaseTimeouts"] = json!({"coding": "2s"});
    create(&namespace, &manifest).await?;
    finished(&namespace, "logs").await?;
    let world = world(&namespace, "logs-alpha").await?;
    assert_eq!(world.attempts[0].reason.as_str(), "WorkerTimedOut");
    let pods: Api<Pod> = namespace.api();
    let log = LogParams { container: Some("collect".to_owned()), ..LogParams::default() };
    let log = pods.logs("logs-alpha-1", &log).await?;
    assert!(log.contains("WorkerTimedOut") && !log.contains("did not take") && !log.contains("is lost"), "{log}");
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_with_an_order_is_said_on_the_order() -> Result {
    let (_cluster, namespace) = restricted("wrong").await?;
    let mut revision = order("revision", "true");
    revision["spec"]["source"]["git"]["revision"] = json!("no-such-branch");
    let mut secret = order("secret", "true");
    secret["spec"]["source"]["git"]["secretRef"] = json!({"name": "login"});
    let mut image = order("image", "true");
    image["spec"]["worker"]["image"] = json!("Not An Image");
    let program = order("program", "exit 9");
    let cases = [
        (revision, "RevisionNotFound", "no branch, tag or commit no-such-branch"),
        (secret, "SecretMissing", "Secret login does not exist"),
        (image, "ImagePullFailed", "check its name"),
        (program, "NoEligibleWorld", "exit code 9"),
    ];
    for (manifest, _, _) in &cases {
        create(&namespace, manifest).await?;
    }
    for (manifest, reason, words) in &cases {
        let name = manifest["metadata"]["name"].as_str().unwrap();
        let status = finished(&namespace, name).await?;
        let succeeded = status.conditions.iter().find(|condition| condition.type_ == "Succeeded").unwrap();
        assert_eq!((succeeded.status.as_str(), succeeded.reason.as_str()), ("False", *reason), "{name}");
        assert!(status.message.as_ref().unwrap().contains(words), "{name}: {:?}", status.message);
    }
    Ok(())
}

#[tokio::test]
async fn an_order_is_suspended_resumed_cancelled_and_deleted() -> Result {
    let (_cluster, namespace) = restricted("control").await?;
    let api: Api<WorkOrder> = namespace.api();
    let pods: Api<Pod> = namespace.api();
    create(&namespace, &order("control", "exec sleep 50")).await?;
    let runs = async |pod: &str| {
        eventually(&format!("{pod} exists"), LIMIT, || async { Ok(pods.get_opt(pod).await?) }).await.map(drop)
    };
    let set = async |field: &str, value: bool| {
        let patch = json!({"spec": {field: value}});
        api.patch("control", &PatchParams::default(), &Patch::Merge(&patch)).await.map(drop)
    };
    runs("control-alpha-1").await?;
    set("suspend", true).await?;
    eventually("no pod is left", LIMIT, || async {
        Ok(pods.list(&ListParams::default()).await?.items.is_empty().then_some(()))
    })
    .await?;
    assert_eq!(api.get("control").await?.status.unwrap().summary.as_deref(), Some("Suspended"));
    set("suspend", false).await?;
    runs("control-alpha-2").await?;
    set("cancel", true).await?;
    let status = finished(&namespace, "control").await?;
    assert_eq!((status.summary.as_deref(), status.worlds.cut), (Some("Cancelled"), 1));
    api.delete("control", &DeleteParams::default()).await?;
    let worlds: Api<World> = namespace.api();
    eventually("nothing is left of it", LIMIT, || async {
        let left = pods.list(&ListParams::default()).await?.items.len()
            + worlds.list(&ListParams::default()).await?.items.len();
        Ok((left == 0).then_some(()))
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_deleted_pod_is_replaced_and_the_order_still_succeeds() -> Result {
    let (_cluster, namespace) = restricted("deleted").await?;
    create(&namespace, &order("deleted", "sleep 4; date > now")).await?;
    let pods: Api<Pod> = namespace.api();
    works(&namespace, "deleted-alpha-1").await?;
    pods.delete("deleted-alpha-1", &DeleteParams::default().grace_period(1)).await?;
    let status = finished(&namespace, "deleted").await?;
    assert_eq!(status.winner.as_deref(), Some("alpha"), "{:?}", status.message);
    let world = world(&namespace, "deleted-alpha").await?;
    assert_eq!((world.attempt_count, world.counted_attempts), (2, 1), "{:?}", world.attempts);
    assert_eq!(pods.get("deleted-alpha-2").await?.name_any(), "deleted-alpha-2");
    Ok(())
}
