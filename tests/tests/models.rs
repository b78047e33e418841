//! Orders whose Worlds call models through the gateway of the operator that `make install` has put into the cluster.

use futures::future::try_join_all;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{DeleteParams, ListParams, LogParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use manyworlds_api::{Budget, Money, Provider, WorkOrder, World};
use manyworlds_tests::models::{CANARY, calls, provider};
use manyworlds_tests::real::{LIMIT, condition, create, finished, order, restricted, works, world};
use manyworlds_tests::{Cluster, Namespace, Result, eventually, resources};
use serde_json::{Value, json};

const SCRIPTED: [&str; 5] = ["scripted-alpha", "scripted-beta", "scripted-gamma", "scripted-delta", "scripted-epsilon"];

/// Calls the model over and over, as a worker in Python that knows nothing but the usual variables.
const LOOP: &str = r#"
import json, os, time, urllib.request, urllib.error
url, key = os.environ["OPENAI_BASE_URL"] + "/chat/completions", os.environ["OPENAI_API_KEY"]
body = json.dumps({"model": os.environ["MANYWORLDS_MODEL"], "max_tokens": 5, "messages": [{"role": "user", "content": "go on"}]})
while True:
    request = urllib.request.Request(url, body.encode(), {"authorization": "Bearer " + key, "content-type": "application/json"})
    try:
        print(urllib.request.urlopen(request).status, flush=True)
    except urllib.error.HTTPError as error:
        print(error.code, error.read().decode(), flush=True)
    time.sleep(0.02)
"#;

/// Returns an order whose one World calls a model until it is ended.
fn looping(name: &str, model: &str) -> Value {
    let mut order = order(name, "");
    order["spec"]["worker"]["command"] = json!(["python3", "-c", LOOP]);
    order["spec"]["worker"]["model"] = json!(model);
    order
}

fn sample(namespace: &Namespace) -> Result<Value> {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/coder.yaml");
    let mut order: Value =
        serde_saphyr::from_str(&std::fs::read_to_string(file)?).map_err(|error| error.to_string())?;
    order["metadata"]["namespace"] = json!(namespace.name);
    Ok(order)
}

/// W3, W16, S5: the built-in coder fixes the bug with scripted models; what was spent adds up; the key is seen nowhere.
#[tokio::test]
async fn the_coder_fixes_a_published_bug_and_its_cost_adds_up() -> Result {
    let (cluster, namespace) = restricted("coder").await?;
    provider(&cluster, &namespace, &SCRIPTED, &json!({})).await?;
    create(&namespace, &sample(&namespace)?).await?;
    let status = finished(&namespace, "fix-with-models").await?;
    assert_eq!(status.winner.as_deref(), Some("alpha"), "{:?}", status.message);
    let usage = status.usage.clone().unwrap();
    let worlds: Vec<World> = namespace.api::<World>().list(&ListParams::default()).await?.items;
    let costs = worlds.iter().filter_map(|world| world.status.as_ref()?.usage.as_ref());
    let sum: u128 = costs.clone().map(|usage| usage.cost.trillionths()).sum();
    assert!(usage.cost > Money::default());
    assert_eq!(usage.cost.trillionths(), sum, "the Worlds' costs add up to the order's");
    assert_eq!(usage.calls, costs.map(|usage| usage.calls).sum::<i64>());
    let epsilon = world(&namespace, "fix-with-models-epsilon").await?;
    assert!(epsilon.message.unwrap().contains("it repeats itself"));
    assert!(world(&namespace, "fix-with-models-gamma").await?.reasons.iter().any(|reason| reason.contains("tests/")));
    eventually("the Provider shows what today has cost", LIMIT, || async {
        let status = namespace.api::<Provider>().get("scripted").await?.status.unwrap_or_default();
        Ok((status.cost_today == Some(usage.cost)).then_some(()))
    })
    .await?;
    no_secret(&cluster, &namespace).await
}

/// W16: of three models the one is called that is strong enough for the task and no stronger; the others may not be missing.
#[tokio::test]
async fn a_model_is_chosen_by_how_hard_the_task_looks() -> Result {
    let (cluster, namespace) = restricted("auto").await?;
    let mut order = sample(&namespace)?;
    order["spec"]["worlds"]["variants"] = json!([{"name": "alpha", "model": "auto"}]);
    create(&namespace, &order).await?;
    eventually("the order says that there is nothing to choose from", LIMIT, || async {
        let (_, reason, message) = condition(&namespace, "fix-with-models", "Admitted").await?;
        Ok((reason == "ModelUnavailable" && message.contains("set strength at models")).then_some(()))
    })
    .await?;
    let prices = json!({"input": "1.00", "output": "2.00"});
    let models: Vec<_> = [("scripted-epsilon", 10), ("scripted-alpha", 75), ("scripted-beta", 100)]
        .iter()
        .map(|(name, strength)| json!({"name": name, "strength": strength, "prices": prices}))
        .collect();
    provider(&cluster, &namespace, &[], &json!({"models": models})).await?;
    let status = finished(&namespace, "fix-with-models").await?;
    assert_eq!(status.winner.as_deref(), Some("alpha"), "{:?}", status.message);
    let alpha = world(&namespace, "fix-with-models-alpha").await?;
    assert_eq!(alpha.score.map(|score| score.total), Some(100), "only the script of scripted-alpha gets all points");
    assert!(alpha.usage.is_some_and(|usage| usage.cost > Money::default()));
    Ok(())
}

/// W5: a World whose change does not build runs again with another model, in a pod of its own, and wins.
#[tokio::test]
async fn a_world_that_failed_runs_again_with_another_model() -> Result {
    let (cluster, namespace) = restricted("fallback").await?;
    provider(&cluster, &namespace, &SCRIPTED, &json!({})).await?;
    let mut order = sample(&namespace)?;
    order["spec"]["worlds"]["variants"] = json!([{"name": "delta", "model": "scripted-delta", "temperature": 0.8}]);
    order["spec"]["fallbacks"] = json!([{"switchModel": {"model": "scripted-alpha"}}]);
    create(&namespace, &order).await?;
    let status = finished(&namespace, "fix-with-models").await?;
    assert_eq!(status.winner.as_deref(), Some("delta"), "{:?}", status.message);
    let delta = world(&namespace, "fix-with-models-delta").await?;
    assert_eq!(delta.fallback.and_then(|fallback| fallback.model).as_deref(), Some("scripted-alpha"));
    assert_eq!((delta.attempt_count, delta.score.map(|score| score.total)), (2, Some(100)));
    Ok(())
}

/// Looks for the Provider's key wherever somebody could find it.
async fn no_secret(cluster: &Cluster, namespace: &Namespace) -> Result {
    let all = ListParams::default();
    let pods = namespace.api::<Pod>();
    let mut seen = vec![
        serde_json::to_string(&namespace.api::<WorkOrder>().list(&all).await?.items)?,
        serde_json::to_string(&namespace.api::<World>().list(&all).await?.items)?,
        serde_json::to_string(&namespace.api::<Provider>().list(&all).await?.items)?,
        serde_json::to_string(&namespace.api::<Event>().list(&all).await?.items)?,
    ];
    for pod in pods.list(&all).await?.items {
        seen.push(serde_json::to_string(&pod)?);
        for container in ["prepare", "work", "collect", "checkout", "judge"] {
            let logs = LogParams { container: Some(container.to_owned()), ..LogParams::default() };
            // A container that never ran has no log.
            seen.extend(pods.logs(&pod.name_any(), &logs).await);
        }
    }
    let operator: Api<Pod> = Api::namespaced(cluster.client.clone(), "manyworlds-system");
    for pod in operator.list(&ListParams::default().labels("app.kubernetes.io/name=manyworlds")).await?.items {
        seen.push(operator.logs(&pod.name_any(), &LogParams::default()).await?);
    }
    assert!(seen.iter().all(|text| !text.contains(CANARY)), "the key was seen");
    Ok(())
}

/// A World whose token is nobody's else, and whose order is stopped in one of four ways, makes no call after it is known.
#[tokio::test]
async fn after_a_stop_no_call_reaches_the_model() -> Result {
    let (cluster, namespace) = restricted("stop").await?;
    let stops = ["suspend", "cancel", "delete", "budget"];
    let models: Vec<String> = stops.iter().map(|stop| format!("{}-{stop}", namespace.name)).collect();
    let names: Vec<&str> = models.iter().map(String::as_str).collect();
    provider(&cluster, &namespace, &names, &json!({})).await?;
    try_join_all(stops.iter().zip(&models).map(|(stop, model)| stopped(&cluster, &namespace, stop, model))).await?;
    Ok(())
}

async fn stopped(cluster: &Cluster, namespace: &Namespace, stop: &str, model: &str) -> Result {
    let mut order = looping(stop, model);
    if stop == "budget" {
        // Some twenty calls of 40 and more tokens.
        order["spec"]["budget"] = json!({"maxCost": "0.001"});
    }
    create(namespace, &order).await?;
    works(namespace, &format!("{stop}-alpha-1")).await?;
    eventually("the World calls", LIMIT, || async { Ok((calls(cluster, model).await? > 3).then_some(())) }).await?;
    let orders: Api<WorkOrder> = namespace.api();
    let patch = |spec: Value| async move {
        orders.patch(stop, &PatchParams::default(), &Patch::Merge(&json!({"spec": spec}))).await.map(drop)
    };
    let orders: Api<WorkOrder> = namespace.api();
    match stop {
        "suspend" => patch(json!({"suspend": true})).await?,
        "cancel" => patch(json!({"cancel": true})).await?,
        "delete" => drop(orders.delete(stop, &DeleteParams::foreground()).await?),
        _ => {}
    }
    eventually("the operator has seen the stop", LIMIT, || async {
        let Some(order) = orders.get_opt(stop).await? else { return Ok(Some(())) };
        let summary = order.status.and_then(|status| status.summary).unwrap_or_default();
        let seen = order.metadata.deletion_timestamp.is_some()
            || ["Suspended", "Cancelled", "BudgetExhausted"].contains(&summary.as_str());
        Ok(seen.then_some(()))
    })
    .await?;
    if stop == "delete" {
        // The API server says so before the operator's watch can have heard of it.
        eventually("its pod is told to end", LIMIT, || async {
            let pod = namespace.api::<Pod>().get_opt("delete-alpha-1").await?;
            Ok(pod.is_none_or(|pod| pod.metadata.deletion_timestamp.is_some()).then_some(()))
        })
        .await?;
    }
    let before = calls(cluster, model).await?;
    eventually("its pod is gone", LIMIT, || async {
        let pod = namespace.api::<Pod>().get_opt(&format!("{stop}-alpha-1")).await?;
        let running = pod.is_some_and(|pod| pod.status.and_then(|status| status.phase).as_deref() == Some("Running"));
        Ok((!running).then_some(()))
    })
    .await?;
    assert_eq!(calls(cluster, model).await?, before, "{stop}: calls went on");
    if stop == "budget" {
        assert!(before < 60, "a thousandth of a dollar is {before} calls");
    }
    Ok(())
}

/// A used-up budget is a pause: raised, the order goes on by itself. A Budget holds every order that it selects.
#[tokio::test]
async fn a_used_up_budget_is_a_pause_until_it_is_raised() -> Result {
    let (cluster, namespace) = restricted("budget").await?;
    let model = format!("{}-a", namespace.name);
    provider(&cluster, &namespace, &[&model], &json!({})).await?;
    let metadata = json!({"name": "team", "namespace": namespace.name});
    let spec = |amount: &str| json!({"amount": amount, "period": "Total", "selector": {"matchLabels": {"team": "a"}}, "onExceeded": "Pause"});
    let budget = |amount: &str| json!({"apiVersion": "manyworlds.dev/v1alpha1", "kind": "Budget", "metadata": metadata, "spec": spec(amount)});
    resources::apply(&cluster.client, &budget("0.0005")).await?;
    let mut order = looping("held", &model);
    order["metadata"]["labels"] = json!({"team": "a"});
    create(&namespace, &order).await?;
    eventually("the order notes what holds it", LIMIT, || async {
        let status = namespace.api::<WorkOrder>().get("held").await?.status.unwrap_or_default();
        Ok((status.budgets == ["team"]).then_some(()))
    })
    .await?;
    // Other labels do not free it.
    let labels = json!({"metadata": {"labels": {"team": "b"}}});
    namespace.api::<WorkOrder>().patch("held", &PatchParams::default(), &Patch::Merge(&labels)).await?;
    eventually("the order is held", LIMIT, || async {
        let (status, reason, message) = condition(&namespace, "held", "Admitted").await?;
        Ok((status == "False" && reason == "BudgetExhausted" && message.contains("the Budget team")).then_some(()))
    })
    .await?;
    eventually("the Budget says what is spent", LIMIT, || async {
        let status = namespace.api::<Budget>().get("team").await?.status.unwrap_or_default();
        Ok((status.spent >= Some("0.0005".parse::<Money>()?)).then_some(()))
    })
    .await?;
    eventually("an Event warns", LIMIT, || async {
        let events = namespace.api::<Event>().list(&ListParams::default()).await?;
        let warned = |event: &Event| event.reason.as_deref() == Some("BudgetWarning");
        Ok(events.items.iter().any(warned).then_some(()))
    })
    .await?;
    let before = calls(&cluster, &model).await?;
    resources::apply(&cluster.client, &budget("1.00")).await?;
    works(&namespace, "held-alpha-2").await?;
    eventually("it calls again", LIMIT, || async { Ok((calls(&cluster, &model).await? > before).then_some(())) })
        .await?;
    let attempts = world(&namespace, "held-alpha").await?;
    assert_eq!(attempts.counted_attempts, 0, "what the budget ended does not count against the World");
    Ok(())
}

/// An order whose model nobody has, or whose price nobody knows, says what to do, and goes on once that is done.
#[tokio::test]
async fn a_model_that_cannot_be_called_is_said_on_the_order() -> Result {
    let (cluster, namespace) = restricted("unknown").await?;
    create(&namespace, &looping("early", "later-model")).await?;
    eventually("the order says that there is no such model", LIMIT, || async {
        let (_, reason, message) = condition(&namespace, "early", "Admitted").await?;
        Ok((reason == "ModelUnavailable" && message.contains("no Provider in this namespace")).then_some(()))
    })
    .await?;
    let unpriced = json!({"models": [{"name": "later-model"}]});
    provider(&cluster, &namespace, &[], &unpriced).await?;
    eventually("the order says how to price it", LIMIT, || async {
        let (_, _, message) = condition(&namespace, "early", "Admitted").await?;
        Ok(message.contains("set prices.input and prices.output").then_some(()))
    })
    .await?;
    let priced = json!({"models": [{"name": "later-model", "prices": {"input": "1.00", "output": "1.00"}}]});
    let providers: Api<Provider> = namespace.api();
    providers.patch("scripted", &PatchParams::default(), &Patch::Merge(&json!({"spec": priced}))).await?;
    works(&namespace, "early-alpha-1").await
}
