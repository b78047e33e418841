//! What an order may not do to its namespace and to others in it: run without the Worlds' network policy, or put its pods where
//! somebody else's objects take them for their own. With real pods, and the operator that `make install` has put into the cluster.

use k8s_openapi::api::core::v1::{Pod, ResourceQuota, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use manyworlds_api::{WorkOrder, WorkOrderStatus};
use manyworlds_tests::real::{LIMIT, SHOWN_WITHIN, create, finished, order, restricted, works};
use manyworlds_tests::{Namespace, Result, eventually};
use serde_json::{Value, json};

/// Name of the Worlds' network policy.
const POLICY: &str = "manyworlds-worlds";
/// Name of that of the pods that judge them.
const EVALUATIONS: &str = "manyworlds-evaluations";
/// Name of the quota that lets nobody make a network policy.
const QUOTA: &str = "no-policies";

async fn cancel(namespace: &Namespace, name: &str) -> Result {
    let cancel = Patch::Merge(json!({"spec": {"cancel": true}}));
    namespace.api::<WorkOrder>().patch(name, &PatchParams::default(), &cancel).await?;
    finished(namespace, name).await.map(drop)
}

/// Returns whether a condition of an order has such a reason.
fn has_reason(status: &WorkOrderStatus, reason: &str) -> bool {
    status.conditions.iter().any(|condition| condition.reason == reason)
}

/// Waits until a policy says such a thing, which it must soon.
async fn policy_is(namespace: &Namespace, policy: &str, what: &str, wanted: impl Fn(&NetworkPolicy) -> bool) -> Result {
    let policies: Api<NetworkPolicy> = namespace.api();
    let what = format!("{policy}: {what}");
    eventually(&what, SHOWN_WITHIN, || async { Ok(policies.get_opt(policy).await?.filter(&wanted)) }).await.map(drop)
}

/// Removes a policy and opens it in several ways, and waits each time until it is as it was.
async fn is_put_back(namespace: &Namespace, policy: &str) -> Result {
    let policies: Api<NetworkPolicy> = namespace.api();
    let before = policies.get(policy).await?;
    let same = |policy: &NetworkPolicy| policy.spec == before.spec;
    policies.delete(policy, &DeleteParams::default()).await?;
    policy_is(namespace, policy, "the removed policy is back", |policy| {
        policy.metadata.uid != before.metadata.uid && same(policy)
    })
    .await?;
    for opened in
        [json!({"egress": [{}]}), json!({"ingress": [{}]}), json!({"podSelector": {"matchLabels": {"a": "b"}}})]
    {
        let generation = policies.get(policy).await?.metadata.generation;
        policies.patch(policy, &PatchParams::default(), &Patch::Merge(&json!({"spec": opened}))).await?;
        policy_is(namespace, policy, &format!("the policy is as it was before {opened}"), |policy| {
            policy.metadata.generation > generation && same(policy)
        })
        .await?;
    }
    Ok(())
}

/// W14: somebody removes a policy, or adds a rule to it, while a World runs. It is put back without any new order.
#[tokio::test]
async fn a_removed_or_changed_network_policy_is_put_back_while_worlds_run() -> Result {
    let (_cluster, namespace) = restricted("policy").await?;
    create(&namespace, &order("runs", "exec sleep 50")).await?;
    works(&namespace, "runs-alpha-1").await?;
    for policy in [POLICY, EVALUATIONS] {
        is_put_back(&namespace, policy).await?;
    }
    cancel(&namespace, "runs").await
}

/// Lets nobody make a network policy in the namespace, and waits until that is so.
async fn forbid_policies(namespace: &Namespace) -> Result {
    let quotas: Api<ResourceQuota> = namespace.api();
    let hard = json!({"count/networkpolicies.networking.k8s.io": "0"});
    let quota = serde_json::from_value(json!({"metadata": {"name": QUOTA}, "spec": {"hard": hard}}))?;
    quotas.create(&PostParams::default(), &quota).await?;
    eventually("the quota holds", LIMIT, || async {
        let status = quotas.get(QUOTA).await?.status.unwrap_or_default();
        Ok(status.hard.is_some_and(|hard| !hard.is_empty()).then_some(()))
    })
    .await
}

/// W14: a pod of an order never starts without the policy, also where there was one before.
#[tokio::test]
async fn no_pod_starts_while_the_network_policy_cannot_be_made() -> Result {
    let (_cluster, namespace) = restricted("first").await?;
    create(&namespace, &order("first", "date > now")).await?;
    finished(&namespace, "first").await?;
    let policies: Api<NetworkPolicy> = namespace.api();
    policies.delete(POLICY, &DeleteParams::default()).await?;
    forbid_policies(&namespace).await?;
    // It may have been put back while the first order was ending.
    if policies.get_opt(POLICY).await?.is_some() {
        policies.delete(POLICY, &DeleteParams::default()).await?;
    }
    create(&namespace, &order("second", "date > now")).await?;
    let orders: Api<WorkOrder> = namespace.api();
    eventually("the order says what is missing", LIMIT, || async {
        let status = orders.get("second").await?.status.unwrap_or_default();
        Ok(has_reason(&status, "PermissionDenied").then_some(()))
    })
    .await?;
    let pods: Api<Pod> = namespace.api();
    let of_second = ListParams::default().labels("manyworlds.dev/work-order=second");
    assert!(pods.list(&of_second).await?.items.is_empty(), "a pod was made without the policy");
    assert!(policies.get_opt(POLICY).await?.is_none());
    namespace.api::<ResourceQuota>().delete(QUOTA, &DeleteParams::default()).await?;
    let status = finished(&namespace, "second").await?;
    assert_eq!(status.winner.as_deref(), Some("alpha"), "{:?}", status.message);
    Ok(policies.get(POLICY).await.map(drop)?)
}

/// Returns the addresses behind a Service.
async fn endpoints(namespace: &Namespace, service: &str) -> Result<Vec<String>> {
    let slices: Api<EndpointSlice> = namespace.api();
    let of_service = ListParams::default().labels(&format!("kubernetes.io/service-name={service}"));
    let slices = slices.list(&of_service).await?;
    Ok(slices.items.into_iter().flat_map(|slice| slice.endpoints).flat_map(|endpoint| endpoint.addresses).collect())
}

/// W14: an order whose pods would answer for somebody else's Service is refused, and says what would allow it.
#[tokio::test]
async fn an_order_that_takes_the_labels_of_others_is_refused() -> Result {
    let (_cluster, namespace) = restricted("labels").await?;
    let ports = json!([{"port": 80, "targetPort": 8080}]);
    let service = json!({"metadata": {"name": "payments"}, "spec": {"selector": {"app": "payments"}, "ports": ports}});
    namespace.api::<Service>().create(&PostParams::default(), &serde_json::from_value(service)?).await?;
    let asks = |name: &str, template: Value| {
        let mut manifest = order(name, "sleep 5; date > now");
        manifest["spec"]["worker"]["podTemplate"] = template;
        manifest["spec"]["evaluation"] = json!({"gates": [{
            "name": "listens", "kind": "Custom", "points": 100, "timeout": "30s",
            "command": ["python3", "-m", "http.server", "8080"],
        }]});
        manifest
    };
    let cases = [
        ("label", json!({"labels": {"app": "payments"}}), "worlds.podTemplate.allowedLabels"),
        ("class", json!({"priorityClassName": "system-cluster-critical"}), "worlds.podTemplate.allowedPriorityClasses"),
        ("taint", json!({"tolerations": [{"operator": "Exists"}]}), "worlds.podTemplate.allowedTolerations"),
    ];
    for (name, template, value) in cases {
        create(&namespace, &asks(name, template)).await?;
        let status = finished(&namespace, name).await?;
        assert!(has_reason(&status, "InvalidSpecification"), "{:?}", status.message);
        assert!(status.message.as_ref().is_some_and(|message| message.contains(value)), "{:?}", status.message);
    }
    assert!(namespace.api::<Pod>().list(&ListParams::default()).await?.items.is_empty());
    assert_eq!(endpoints(&namespace, "payments").await?, Vec::<String>::new());

    let labels = json!({"labels": {"label.manyworlds.dev/app": "payments"}});
    create(&namespace, &asks("own", labels)).await?;
    works(&namespace, "own-alpha-1").await?;
    let pod = namespace.api::<Pod>().get("own-alpha-1").await?;
    assert_eq!(pod.metadata.labels.unwrap_or_default()["label.manyworlds.dev/app"], "payments");
    assert_eq!(endpoints(&namespace, "payments").await?, Vec::<String>::new());
    cancel(&namespace, "own").await
}
