//! What an order says while its model's Provider has no room for it, or keeps failing (W6, W9, R12).
//!
//! The Worlds are on fake nodes and played by the test; the operator, its gateway and its ledger are the real ones.

use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use manyworlds_api::Provider;
use manyworlds_tests::played::Stage;
use manyworlds_tests::real::LIMIT;
use manyworlds_tests::{Result, eventually};
use manyworlds_upstream::{Script, Upstream};
use serde_json::{Value, json};

async fn upstream(reply: &Value) -> Result<Upstream> {
    Ok(Upstream::start(Script::read(&json!({"models": {"*": [{"reply": reply}]}}).to_string())?).await?)
}

/// Waits until an Event of such a reason about an order says such a thing.
async fn told(stage: &Stage, order: &str, reason: &str, said: &str) -> Result {
    eventually(&format!("an Event tells {reason} of {order}"), LIMIT, || async {
        let events = stage.namespace.api::<Event>().list(&ListParams::default()).await?;
        let tells = |event: &Event| {
            event.reason.as_deref() == Some(reason)
                && event.involved_object.name.as_deref() == Some(order)
                && event.message.as_deref().is_some_and(|message| message.contains(said))
        };
        Ok(events.items.iter().any(tells).then_some(()))
    })
    .await
}

async fn change(stage: &Stage, provider: &str, spec: Value) -> Result {
    let providers: Api<Provider> = stage.namespace.api();
    providers.patch(provider, &PatchParams::default(), &Patch::Merge(&json!({"spec": spec}))).await?;
    Ok(())
}

/// W9, R12: a call that waits for room is said with the Provider and what to do, and taken back when calls flow.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_says_rate_limited_while_its_calls_wait_for_room() -> Result {
    let upstream = upstream(&json!({"text": "a"})).await?;
    let stage = Stage::new("limits").await?;
    let limits = json!({"limits": {"requestsPerMinute": 2, "tokensPerMinute": 1_000_000}});
    stage.provider("narrow", &format!("{}/v1", upstream.url()), "m", &limits).await?;
    let operator = stage.operator().await?;
    stage.order("waits", "m").await?;
    let world = stage.world("waits", &operator).await?;
    for _ in 0..2 {
        assert_eq!(world.chat("m").await?.0, 200);
    }
    stage.says("waits", "Running").await?;
    let said = tokio::select! {
        answered = world.chat("m") => return Err(format!("there was room: {answered:?}").into()),
        said = stage.says("waits", "RateLimited") => said?,
    };
    for part in ["the Provider narrow since 20", "raise spec.limits", "lower worlds.parallelism"] {
        assert!(said.contains(part), "{part} is missing in: {said}");
    }
    told(&stage, "waits", "RateLimited", "the Provider narrow").await?;
    let queue = operator.metrics().await?;
    assert!(queue.contains("\nmanyworlds_llm_calls_waiting "), "R12: the length of the queue is a metric");
    assert_eq!(upstream.count(), 2);

    let wide = json!({"limits": {"requestsPerMinute": 1000}});
    change(&stage, "narrow", wide).await?;
    eventually("calls flow", LIMIT, || async { Ok((world.chat("m").await?.0 == 200).then_some(())) }).await?;
    stage.says("waits", "Running").await?;
    Ok(operator.kill()?)
}

/// W9: upstream's own word that it wants no call for a while is said at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_says_rate_limited_while_upstream_wants_no_call() -> Result {
    let upstream = upstream(&json!({"status": 429, "headers": {"retry-after": "60"}})).await?;
    let stage = Stage::new("paused").await?;
    stage.provider("busy", &format!("{}/v1", upstream.url()), "m", &json!({})).await?;
    let operator = stage.operator().await?;
    stage.order("waits", "m").await?;
    let world = stage.world("waits", &operator).await?;
    let said = tokio::select! {
        answered = world.chat("m") => return Err(format!("it was not waited for: {answered:?}").into()),
        said = stage.says("waits", "RateLimited") => said?,
    };
    assert!(said.contains("the Provider busy"), "{said}");
    assert_eq!(upstream.count(), 1);
    Ok(operator.kill()?)
}

/// W6: a Provider at which nothing listens is said on the order, by an Event and on the Provider, until it answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_says_provider_unavailable_while_nothing_answers() -> Result {
    let upstream = upstream(&json!({"text": "a"})).await?;
    let stage = Stage::new("refused").await?;
    let breaker = json!({"breaker": {"failures": 2, "openFor": "20s", "successes": 1}, "retries": {"maxAttempts": 1}});
    // Nothing listens there on any machine.
    stage.provider("away", "http://127.0.0.1:1/v1", "m", &breaker).await?;
    let operator = stage.operator().await?;
    stage.order("waits", "m").await?;
    let world = stage.world("waits", &operator).await?;
    for _ in 0..2 {
        assert_eq!(world.chat("m").await?.0, 502);
    }
    let (status, refused) = world.chat("m").await?;
    assert_eq!((status.as_u16(), refused["error"]["code"].as_str()), (503, Some("server_error")), "{refused}");
    let said = stage.says("waits", "ProviderUnavailable").await?;
    assert!(said.contains("the model m of the Provider away"), "{said}");
    told(&stage, "waits", "ProviderUnavailable", "the Provider away").await?;
    eventually("the Provider shows it", LIMIT, || async {
        let status = serde_json::to_value(stage.namespace.api::<Provider>().get("away").await?.status)?;
        let reachable =
            status["conditions"].as_array().and_then(|all| all.iter().find(|one| one["type"] == "Reachable"));
        let shown = reachable.is_some_and(|one| one["status"] == "False" && one["reason"] == "ProviderUnavailable");
        Ok((shown && status["breaker"] == "Open").then_some(()))
    })
    .await?;
    change(&stage, "away", json!({"baseUrl": format!("{}/v1", upstream.url())})).await?;
    eventually("calls are answered", LIMIT, || async { Ok((world.chat("m").await?.0 == 200).then_some(())) }).await?;
    stage.says("waits", "Running").await?;
    Ok(operator.kill()?)
}
