//! Whose tokens open the gateway: those of Worlds that go on, and no others (S4, the bad input of models).
//!
//! The tokens are the API server's own, bound to pods as the kubelet asks for them.

use std::path::Path;

use http::StatusCode;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use manyworlds_api::labels;
use manyworlds_tests::models::{calls, provider};
use manyworlds_tests::played::{Caller, Stage, account_token, runs, token};
use manyworlds_tests::real::{LIMIT, create, order, restricted, works};
use manyworlds_tests::{Cluster, Namespace, OperatorProcess, Result, eventually};
use manyworlds_upstream::{Script, Upstream};
use serde_json::{Value, json};
use sqlx::{AnyPool, Row};

/// A call of each protocol, and where its error says what kind it is.
fn calls_of_each_protocol(model: &str) -> [(String, Value, &'static str); 3] {
    let messages = json!([{"role": "user", "content": "go on"}]);
    let body = json!({"model": model, "max_tokens": 5, "messages": messages});
    let gemini = json!({"contents": [{"parts": [{"text": "go on"}]}]});
    [
        ("/v1/chat/completions".to_owned(), body.clone(), "/error/code"),
        ("/v1/messages".to_owned(), body, "/error/type"),
        (format!("/v1beta/models/{model}:generateContent"), gemini, "/error/status"),
    ]
}

/// Makes a call of each protocol and returns what the refusals say.
async fn refused(caller: &Caller, model: &str) -> Result<Vec<(StatusCode, String)>> {
    let mut all = Vec::new();
    for (path, body, kind) in calls_of_each_protocol(model) {
        let (status, answer) = caller.post(&path, &body).await?;
        let said = answer.pointer("/error/message").and_then(Value::as_str).unwrap_or_default();
        assert!(!said.is_empty(), "{path}: {answer}");
        all.push((status, answer.pointer(kind).and_then(Value::as_str).unwrap_or_default().to_owned()));
    }
    Ok(all)
}

const STRANGER: [(u16, &str); 3] = [(401, "invalid_api_key"), (401, "authentication_error"), (401, "UNAUTHENTICATED")];
const STOPPED: [(u16, &str); 3] = [(403, "world_stopped"), (403, "permission_error"), (403, "PERMISSION_DENIED")];

fn is(found: &[(StatusCode, String)], expected: [(u16, &str); 3]) -> bool {
    found.iter().map(|(status, kind)| (status.as_u16(), kind.as_str())).eq(expected)
}

/// Returns how many requests the operator has refused.
async fn metered(operator: &OperatorProcess) -> Result<usize> {
    let text = operator.metrics().await?;
    let lines = text.lines().filter(|line| line.starts_with("manyworlds_gateway_refusals_total{"));
    Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok()).sum())
}

/// Returns how many calls the ledger has, ended or under way, and how many lines of its audit log are refusals.
async fn ledger(folder: &Path) -> Result<(i64, i64)> {
    sqlx::any::install_default_drivers();
    let pool = AnyPool::connect(&format!("sqlite://{}/ledger.db", folder.display())).await?;
    let sql = "SELECT (SELECT COUNT(*) FROM llm_calls) + (SELECT COUNT(*) FROM reservations), \
        (SELECT COUNT(*) FROM audit WHERE stage = 'gateway' AND result = 'Refused')";
    let row = sqlx::query(sql).fetch_one(&pool).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// Makes a pod that is no World, of an image that need not be there.
async fn stranger(namespace: &Namespace) -> Result<Pod> {
    let pod = json!({
        "metadata": {"name": "stranger"},
        "spec": {"containers": [{"name": "main", "image": "docker.io/library/none:1"}]},
    });
    Ok(namespace.api::<Pod>().create(&PostParams::default(), &serde_json::from_value(pod)?).await?)
}

/// The token of a World's pod opens the gateway while that pod is there; afterwards, and any other token, does not: each refusal
/// is in the words of the protocol, counted, written down, and costs nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_worlds_own_token_opens_the_gateway_and_only_while_its_pod_is_there() -> Result {
    let reply = json!({"models": {"*": [{"reply": {"text": "a", "usage": {"input": 100, "output": 20}}}]}});
    let upstream = Upstream::start(Script::read(&reply.to_string())?).await?;
    let stage = Stage::new("tokens").await?;
    stage.provider("p", &format!("{}/v1", upstream.url()), "m", &json!({})).await?;
    let operator = stage.operator().await?;
    stage.order("fix", "m").await?;
    let world = stage.world("fix", &operator).await?;
    assert_eq!(world.chat("m").await?.0, 200, "the token of a World that goes on");
    let pod = runs(&stage.namespace, &labels::pod_name("fix", "w1", 1)).await?;
    let elsewhere = Namespace::new(&stage.cluster, "elsewhere").await?;

    // None of these belongs to a World.
    let other_audience = token(&stage.namespace, &pod, labels::TOKEN_AUDIENCE).await?;
    let unbound = account_token(&stage.namespace, "default", labels::GATEWAY_AUDIENCE, None).await?;
    let mut strangers = vec![("made up", "a.b.c".to_owned()), ("audience", other_audience), ("no pod", unbound)];
    let account = account_token(&elsewhere, "default", labels::GATEWAY_AUDIENCE, None).await?;
    strangers.push(("no pod, elsewhere", account));
    let mut refusals = 0;
    for (what, token) in strangers {
        let found = refused(&Caller::new(operator.gateway(), token)?, "m").await?;
        assert!(is(&found, STRANGER), "{what}: {found:?}");
        refusals += found.len();
    }
    // The API server knows these pods, and the operator does not know them as Worlds.
    for namespace in [&stage.namespace, &elsewhere] {
        let token = token(namespace, &stranger(namespace).await?, labels::GATEWAY_AUDIENCE).await?;
        let found = refused(&Caller::new(operator.gateway(), token)?, "m").await?;
        assert!(is(&found, STOPPED), "a pod of {} that is no World: {found:?}", namespace.name);
        refusals += found.len();
    }
    // The API server still knows the token of a pod that has just gone; the operator does not.
    stage.namespace.api::<Pod>().delete(&labels::pod_name("fix", "w1", 1), &DeleteParams::default()).await?;
    runs(&stage.namespace, &labels::pod_name("fix", "w1", 2)).await?;
    let found = refused(&world, "m").await?;
    assert!(is(&found, STOPPED) || is(&found, STRANGER), "the token of a pod that has gone: {found:?}");
    refusals += found.len();

    assert_eq!(upstream.count(), 1, "no refused call has reached the model");
    assert_eq!(metered(&operator).await?, refusals);
    eventually("the ledger has one call and the refusals", LIMIT, || async {
        let (calls, lines) = ledger(&stage.settings.folder).await?;
        assert_eq!(calls, 1, "nothing was reserved or spent for what was refused");
        // Those that are the same within a minute are one line: a kind of refusal each.
        Ok((lines >= 2).then_some(()))
    })
    .await?;
    Ok(operator.kill()?)
}

/// Has an order with a World that calls nothing by itself, and returns a token of that World's pod.
async fn resting(cluster: &Cluster, namespace: &Namespace, model: &str) -> Result<Caller> {
    provider(cluster, namespace, &[model], &json!({})).await?;
    let mut order = order("rests", "exec sleep 600");
    order["spec"]["worker"]["model"] = json!(model);
    order["spec"]["worker"]["phaseTimeouts"]["coding"] = json!("10m");
    create(namespace, &order).await?;
    works(namespace, "rests-alpha-1").await?;
    let pods: Api<Pod> = namespace.api();
    let token = token(namespace, &pods.get("rests-alpha-1").await?, labels::GATEWAY_AUDIENCE).await?;
    Ok(Caller::installed(cluster, token))
}

/// The installed gateway, which serves all namespaces: a World may call its own namespace's model and none of another's, and
/// the token of a pod that was deleted opens nothing.
#[tokio::test]
async fn a_world_may_not_call_the_model_of_another_namespace() -> Result {
    let ((cluster, here), (_, there)) = (restricted("here").await?, restricted("there").await?);
    let (own, foreign) = (format!("{}-m", here.name), format!("{}-m", there.name));
    let (world, other) = futures::future::try_join(
        Box::pin(resting(&cluster, &here, &own)),
        Box::pin(resting(&cluster, &there, &foreign)),
    )
    .await?;
    for (caller, model) in [(&world, &own), (&other, &foreign)] {
        assert_eq!(caller.chat(model).await?.0, 200, "its own model");
    }
    for name in [foreign.clone(), format!("scripted/{foreign}"), format!("{}/scripted/{foreign}", there.name)] {
        let (status, refused) = world.chat(&name).await?;
        assert_eq!((status.as_u16(), refused["error"]["code"].as_str()), (403, Some("model_not_found")), "{refused}");
    }
    let stranger = works_as_stranger(&there).await?;
    let (status, refused) = Caller::installed(&cluster, stranger).chat(&foreign).await?;
    assert_eq!((status.as_u16(), refused["error"]["code"].as_str()), (403, Some("world_stopped")), "{refused}");

    here.api::<Pod>().delete("rests-alpha-1", &DeleteParams::default().grace_period(0)).await?;
    works(&here, "rests-alpha-2").await?;
    let (status, refused) = world.chat(&own).await?;
    let code = refused["error"]["code"].as_str().unwrap_or_default();
    assert!([(403, "world_stopped"), (401, "invalid_api_key")].contains(&(status.as_u16(), code)), "{refused}");
    assert_eq!(
        (calls(&cluster, &own).await?, calls(&cluster, &foreign).await?),
        (1, 1),
        "and nothing else has reached it"
    );
    Ok(())
}

/// Makes a pod that is no World, and returns its token.
async fn works_as_stranger(namespace: &Namespace) -> Result<String> {
    let security = json!({"runAsNonRoot": true, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}});
    let container = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
    let main = json!({"name": "main", "image": "docker.io/library/none:1", "securityContext": container});
    let pod = json!({"metadata": {"name": "stranger"}, "spec": {"securityContext": security, "containers": [main]}});
    let made = namespace.api::<Pod>().create(&PostParams::default(), &serde_json::from_value(pod)?).await?;
    token(namespace, &made, labels::GATEWAY_AUDIENCE).await
}
