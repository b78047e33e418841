//! What goes wrong with real pods becomes a condition that says what to do, soon after it can be known.

use std::time::Instant;

use k8s_openapi::api::core::v1::{Pod, ResourceQuota};
use kube::api::{Api, DeleteParams, EvictParams, ListParams, Patch, PatchParams, PostParams};
use manyworlds_api::result::{FailureClass, GateOutcome};
use manyworlds_api::{WorkOrder, World};
use manyworlds_tests::real::{
    LIMIT, SHOWN_WITHIN, condition, create, finished, judges, order, restricted, works, world,
};
use manyworlds_tests::{Namespace, Result, eventually};
use serde_json::{Value, json};

/// Waits until a pod is what `known` looks for, and then for what the order says of it; returns the message.
async fn shown(namespace: &Namespace, name: &str, reason: &str, known: fn(&Pod) -> bool) -> Result<String> {
    let pods: Api<Pod> = namespace.api();
    eventually(&format!("{reason} can be known of {name}"), LIMIT, || async {
        Ok(pods.list(&ListParams::default()).await?.iter().any(|pod| belongs(pod, name) && known(pod)).then_some(()))
    })
    .await?;
    let start = Instant::now();
    let message = eventually(&format!("{name} says {reason}"), LIMIT, || async {
        let (_, shown, message) = condition(namespace, name, "Succeeded").await?;
        Ok((shown == reason).then_some(message))
    })
    .await?;
    assert!(start.elapsed() <= SHOWN_WITHIN, "{name}: {reason} was shown after {:?}", start.elapsed());
    Ok(message)
}

fn belongs(pod: &Pod, order: &str) -> bool {
    pod.metadata.name.as_deref().is_some_and(|name| name.starts_with(&format!("{order}-")))
}

fn is_unschedulable(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.reason.as_deref() == Some("Unschedulable"))
}

fn cannot_pull(pod: &Pod) -> bool {
    let statuses = pod.status.iter().flat_map(|status| status.init_container_statuses.iter().flatten());
    let waiting = statuses.filter_map(|status| status.state.as_ref()?.waiting.as_ref()?.reason.as_deref());
    waiting.into_iter().any(|reason| ["ErrImagePull", "ImagePullBackOff"].contains(&reason))
}

fn has_failed(pod: &Pod) -> bool {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Failed")
}

fn with(mut manifest: Value, pointer: &str, value: Value) -> Value {
    let (parent, field) = pointer.rsplit_once('/').unwrap_or(("", pointer));
    if let Some(object) = manifest.pointer_mut(parent) {
        object[field] = value;
    }
    manifest
}

/// An order whose Worlds cannot start says why, and what it holds is free once it is cancelled.
async fn cancelled(namespace: &Namespace, name: &str) -> Result {
    let api: Api<WorkOrder> = namespace.api();
    let cancel = Patch::Merge(json!({"spec": {"cancel": true}}));
    api.patch(name, &PatchParams::default(), &cancel).await?;
    finished(namespace, name).await?;
    let pods: Api<Pod> = namespace.api();
    eventually(&format!("no pod of {name} holds a slot"), LIMIT, || async {
        let held = pods.list(&ListParams::default()).await?.iter().any(|pod| belongs(pod, name) && !has_failed(pod));
        Ok((!held).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_pod_that_cannot_be_scheduled_is_shown() -> Result {
    let (_cluster, namespace) = restricted("unschedulable").await?;
    let needs = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{"matchExpressions": [{"key": "gpu", "operator": "Exists"}]}]}}});
    let manifest = with(order("nowhere", "true"), "/spec/worker/podTemplate", json!({"affinity": needs}));
    create(&namespace, &manifest).await?;
    let message = shown(&namespace, "nowhere", "Unschedulable", is_unschedulable).await?;
    assert!(message.contains("node affinity") && message.contains("worker.podTemplate"), "{message}");
    assert_eq!(condition(&namespace, "nowhere", "Stalled").await?.0, "True");
    cancelled(&namespace, "nowhere").await
}

#[tokio::test]
async fn an_image_that_cannot_be_pulled_is_shown() -> Result {
    let (_cluster, namespace) = restricted("image").await?;
    create(&namespace, &with(order("image", "true"), "/spec/worker/image", json!("registry.invalid/none:1"))).await?;
    let message = shown(&namespace, "image", "ImagePullFailed", cannot_pull).await?;
    assert!(message.contains("registry.invalid/none:1") && message.contains("imagePullSecrets"), "{message}");
    assert_eq!(condition(&namespace, "image", "Stalled").await?.0, "True");
    cancelled(&namespace, "image").await
}

#[tokio::test]
async fn a_repository_that_cannot_be_reached_is_shown_and_tried_again() -> Result {
    let (_cluster, namespace) = restricted("unreachable").await?;
    let url = json!("http://git.nowhere.svc/repository.git");
    create(&namespace, &with(order("away", "true"), "/spec/source/git/url", url)).await?;
    let message = shown(&namespace, "away", "AwaitingRetry", has_failed).await?;
    assert!(message.contains("git.nowhere.svc has no address"), "{message}");
    assert!(message.contains("check source.git.url"), "{message}");
    let attempts = world(&namespace, "away-alpha").await?.attempts;
    assert_eq!(attempts[0].class, Some(FailureClass::Infrastructure));
    assert!(!attempts[0].counted, "the worker is not to blame");
    cancelled(&namespace, "away").await
}

#[tokio::test]
async fn a_worker_that_uses_too_much_memory_is_named() -> Result {
    let (_cluster, namespace) = restricted("memory").await?;
    create(&namespace, &order("memory", "python3 -c 'x = bytearray(1 << 30)'; exit 1")).await?;
    let status = finished(&namespace, "memory").await?;
    let world = world(&namespace, "memory-alpha").await?;
    let attempt = &world.attempts[0];
    assert_eq!((attempt.class, attempt.reason.as_str()), (Some(FailureClass::Worker), "OutOfMemory"), "{attempt:?}");
    assert!(attempt.counted);
    let message = status.message.unwrap_or_default();
    assert!(message.contains("raise worlds.sizing.perWorld.memory"), "{message}");
    Ok(())
}

/// A worker may go on when a program of its own was killed. The kubelet starts no stage after that, and does not end the pod.
#[tokio::test]
async fn a_program_that_uses_too_much_memory_does_not_leave_the_pod_waiting() -> Result {
    let (_cluster, namespace) = restricted("program").await?;
    create(&namespace, &order("program", "python3 -c 'x = bytearray(1 << 30)'; date > now")).await?;
    let status = finished(&namespace, "program").await?;
    assert_eq!(world(&namespace, "program-alpha").await?.attempts[0].reason, "OutOfMemory", "{:?}", status.message);
    let pods: Api<Pod> = namespace.api();
    eventually("its pod is gone", LIMIT, || async {
        Ok(pods.list(&ListParams::default()).await?.items.is_empty().then_some(()))
    })
    .await
}

#[tokio::test]
async fn an_evicted_pod_is_replaced_and_costs_the_world_nothing() -> Result {
    let (_cluster, namespace) = restricted("evicted").await?;
    create(&namespace, &order("evicted", "sleep 4; date > now")).await?;
    let pods: Api<Pod> = namespace.api();
    works(&namespace, "evicted-alpha-1").await?;
    pods.evict("evicted-alpha-1", &EvictParams::default()).await?;
    let status = finished(&namespace, "evicted").await?;
    assert_eq!(status.winner.as_deref(), Some("alpha"), "{:?}", status.message);
    let world = world(&namespace, "evicted-alpha").await?;
    assert_eq!((world.attempt_count, world.counted_attempts), (2, 1), "{:?}", world.attempts);
    assert_eq!(world.attempts[0].class, Some(FailureClass::Infrastructure), "{:?}", world.attempts);
    Ok(())
}

/// W4: what a worker has done is judged, whatever becomes of the pod that judges it. The worker does not run again.
#[tokio::test]
async fn a_world_whose_evaluation_is_evicted_is_judged_again_and_not_worked_anew() -> Result {
    let (_cluster, namespace) = restricted("judged").await?;
    let mut manifest = order("judged", "date > now");
    manifest["spec"]["evaluation"] = json!({"gates": [
        {"name": "slow", "kind": "Custom", "points": 100, "timeout": "50s", "command": ["sh", "-c", "sleep 4; test -f now"]},
    ]});
    create(&namespace, &manifest).await?;
    judges(&namespace, "judged-alpha-1-e1").await?;
    let pods: Api<Pod> = namespace.api();
    pods.evict("judged-alpha-1-e1", &EvictParams::default()).await?;
    let status = finished(&namespace, "judged").await?;
    assert_eq!(status.winner.as_deref(), Some("alpha"), "{:?}", status.message);
    let world = world(&namespace, "judged-alpha").await?;
    assert_eq!((world.attempt_count, world.counted_attempts), (1, 1), "{:?}", world.attempts);
    assert_eq!(world.attempts[0].message, "it took 2 evaluations");
    assert!(pods.get_opt("judged-alpha-2").await?.is_none(), "the worker ran once");
    Ok(())
}

/// W3: a gate whose program is missing is known before any World is judged by it, and the order says what to do.
#[tokio::test]
async fn an_order_whose_gate_has_no_program_ends_before_a_world_is_scored() -> Result {
    let (_cluster, namespace) = restricted("programless").await?;
    let mut manifest = order("programless", "sleep 20; date > now");
    manifest["spec"]["evaluation"] = json!({"gates": [
        {"name": "missing", "kind": "Custom", "points": 100, "command": ["no-such-program"]},
    ]});
    create(&namespace, &manifest).await?;
    let status = finished(&namespace, "programless").await?;
    let message = status.message.unwrap_or_default();
    let (_, reason, _) = condition(&namespace, "programless", "Succeeded").await?;
    assert_eq!(reason, "GateCannotRun", "{message}");
    for words in ["gate missing", "no-such-program", "evaluation.image"] {
        assert!(message.contains(words), "{message}");
    }
    let gates = status.baseline.map(|baseline| baseline.gates).unwrap_or_default();
    assert!(gates.iter().any(|gate| gate.outcome == GateOutcome::CannotRun), "{gates:?}");
    assert!(status.ranking.iter().all(|ranked| ranked.score.is_none()), "{:?}", status.ranking);
    assert!(world(&namespace, "programless-alpha").await?.score.is_none());
    Ok(())
}

#[tokio::test]
async fn an_order_deleted_while_its_pod_cannot_start_leaves_nothing() -> Result {
    let (_cluster, namespace) = restricted("deleted").await?;
    create(&namespace, &with(order("stuck", "true"), "/spec/worker/image", json!("registry.invalid/none:1"))).await?;
    shown(&namespace, "stuck", "ImagePullFailed", cannot_pull).await?;
    namespace.api::<WorkOrder>().delete("stuck", &DeleteParams::default()).await?;
    let (pods, worlds): (Api<Pod>, Api<World>) = (namespace.api(), namespace.api());
    eventually("nothing is left of it", LIMIT, || async {
        let left = pods.list(&ListParams::default()).await?.items.len()
            + worlds.list(&ListParams::default()).await?.items.len();
        Ok((left == 0).then_some(()))
    })
    .await
}

/// W3, W4: where what judges was at fault and not the change, the change is judged again; its work is not done again.
#[tokio::test]
async fn a_change_is_judged_again_and_not_made_again() -> Result {
    let (_cluster, namespace) = restricted("again").await?;
    let mut manifest = order("again", "date > now");
    // It fails in the first pod that judges, and passes in the second one.
    let command = ["sh", "-c", "grep -q e2 /etc/hostname"];
    let gate = json!({"name": "check", "kind": "Custom", "command": command, "points": 100, "required": true});
    manifest["spec"]["evaluation"] = json!({"gates": [gate]});
    create(&namespace, &manifest).await?;
    let status = finished(&namespace, "again").await?;
    assert_eq!((status.winner, status.worlds.scored), (None, 1), "{:?}", status.message);

    let orders: Api<WorkOrder> = namespace.api();
    let request = Patch::Merge(json!({"spec": {"reevaluate": {"request": "again", "world": "alpha"}}}));
    orders.patch("again", &PatchParams::default(), &request).await?;
    let status = eventually("the order has chosen anew", LIMIT, || async {
        let order = orders.get("again").await?;
        let is_finished = order.is_finished();
        let status = order.status.unwrap_or_default();
        let answered = status.reevaluation.as_ref().is_some_and(|answer| answer.request == "again");
        Ok((is_finished && answered).then_some(status))
    })
    .await?;
    assert_eq!(status.winner.as_deref(), Some("alpha"), "{:?}", status.message);
    let mut made = Vec::new();
    for pod in namespace.api::<Pod>().list(&ListParams::default()).await? {
        made.extend(pod.metadata.name.filter(|name| name.starts_with("again-alpha-")));
    }
    made.sort();
    assert_eq!(made, ["again-alpha-1", "again-alpha-1-e1", "again-alpha-1-e2"], "the worker ran once");
    let world = world(&namespace, "again-alpha").await?;
    assert_eq!((world.attempt_count, world.counted_attempts, world.eligible), (1, 1, Some(true)));
    Ok(())
}

/// W7: an order whose pods its namespace's quota refuses says so, and keeps nobody else from the nodes, whatever its
/// priority is.
#[tokio::test]
async fn an_order_whose_pods_are_refused_holds_no_slot() -> Result {
    let (_cluster, greedy) = restricted("refused").await?;
    let (_cluster, other) = restricted("unharmed").await?;
    let quota = json!({"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}});
    let quotas: Api<ResourceQuota> = greedy.api();
    quotas.create(&PostParams::default(), &serde_json::from_value(quota)?).await?;
    eventually("the quota counts", LIMIT, || async {
        let status = quotas.get("none").await?.status;
        Ok(status.and_then(|status| status.hard).map(drop))
    })
    .await?;
    let variants: Vec<Value> = (1..=50).map(|number| json!({"name": format!("w{number}")})).collect();
    let mut manifest = order("greedy", "true");
    manifest["spec"]["priority"] = json!(1_000_000);
    manifest["spec"]["worlds"]["parallelism"] = json!(50);
    manifest["spec"]["worlds"]["variants"] = json!(variants);
    manifest["spec"]["worlds"]["sizing"]["perWorld"]["cpu"] = json!("1");
    create(&greedy, &manifest).await?;
    eventually("the order says that it is refused", LIMIT, || async {
        let (_, reason, message) = condition(&greedy, "greedy", "Stalled").await?;
        let says = reason == "PermissionDenied" && message.contains("exceeded quota: none");
        Ok((says && message.contains("no slot is held")).then_some(()))
    })
    .await?;
    create(&other, &order("unharmed", "date > now")).await?;
    let status = finished(&other, "unharmed").await?;
    assert_eq!(status.winner.as_deref(), Some("alpha"), "{:?}", status.message);
    let pods: Api<Pod> = greedy.api();
    assert!(pods.list(&ListParams::default()).await?.items.is_empty(), "it was refused all the time");

    quotas.delete("none", &DeleteParams::default()).await?;
    eventually("the order goes on by itself", LIMIT, || async { Ok(pods.get_opt("greedy-w1-1").await?) }).await?;
    cancelled(&greedy, "greedy").await
}
