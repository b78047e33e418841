//! Agent programs that exist, as they are, as workers (docs/agents.md): each fixes the sample's bug in a World, by models that
//! it reaches through the gateway and by nothing else.

use futures::future::try_join_all;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::PostParams;
use manyworlds_api::Money;
use manyworlds_tests::models::{CANARY, KEY, provider};
use manyworlds_tests::real::{LIMIT, create, finished, restricted, world};
use manyworlds_tests::{Cluster, Namespace, Result, resources};
use serde_json::{Value, json};

/// Where a World's worktree is, but for the order's name.
const WORKTREES: &str = "/manyworlds/work/worktrees/world-alpha";

/// A program, and what its worker is given.
const PROGRAMS: [(&str, &[&str]); 4] =
    [("claude-code", &[]), ("codex", &[]), ("gemini-cli", &[]), ("aider", &["xmltodict.py"])];

/// Reads a file of the tests, and puts its objects into the namespace.
fn sample(namespace: &Namespace, file: &str) -> Result<Vec<Value>> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("demo").join(file);
    let mut objects = resources::documents(&std::fs::read_to_string(path)?)?;
    for object in &mut objects {
        object["metadata"]["namespace"] = json!(namespace.name);
    }
    Ok(objects)
}

/// Starts a scripted model in the namespace that lets nobody in but with the Providers' key.
async fn scripted_model(cluster: &Cluster, namespace: &Namespace) -> Result {
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("agents/script.py");
    let printed = std::process::Command::new("python3").arg(script).args([WORKTREES, CANARY]).output()?;
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    let data = json!({"scripted-models.json": String::from_utf8(printed.stdout)?});
    let map = json!({"metadata": {"name": "scripted-models"}, "data": data});
    namespace.api::<ConfigMap>().create(&PostParams::default(), &serde_json::from_value(map)?).await?;
    for object in sample(namespace, "scripted-model.yaml")? {
        resources::apply(&cluster.client, &object).await?;
    }
    namespace
        .eventually("the scripted model is up", LIMIT, || async {
            let status = namespace.api::<Deployment>().get("scripted-model").await?.status;
            Ok((status.and_then(|status| status.available_replicas) == Some(1)).then_some(()))
        })
        .await
}

/// Makes a Provider for each of the three protocols, all with one key.
async fn providers(cluster: &Cluster, namespace: &Namespace) -> Result {
    let url = format!("http://scripted-model.{}.svc", namespace.name);
    let openai = json!({"baseUrl": format!("{url}/v1")});
    provider(cluster, namespace, &["scripted-codex", "scripted-aider"], &openai).await?;
    for (protocol, model) in [("Anthropic", "scripted-claude-code"), ("Gemini", "scripted-gemini-cli")] {
        let metadata = json!({"name": protocol.to_lowercase(), "namespace": namespace.name});
        let spec = json!({
            "protocol": protocol,
            "baseUrl": url,
            "secretRef": {"name": KEY},
            "models": [{"name": model, "prices": {"input": "1.00", "output": "2.00"}}],
            "limits": {"requestsPerMinute": 100_000, "tokensPerMinute": 100_000_000},
        });
        let object =
            json!({"apiVersion": "manyworlds.dev/v1alpha1", "kind": "Provider", "metadata": metadata, "spec": spec});
        resources::apply(&cluster.client, &object).await?;
    }
    Ok(())
}

/// Returns what the namespace's scripted model was asked for one model: the statuses of its answers.
async fn answered(cluster: &Cluster, namespace: &Namespace, model: &str) -> Result<Vec<Value>> {
    let path = format!("/api/v1/namespaces/{}/services/scripted-model:http/proxy/_calls", namespace.name);
    let text = cluster.client.request_text(http::Request::get(path).body(Vec::new())?).await?;
    let record: Value = serde_json::from_str(&text)?;
    let calls = record["calls"].as_array().ok_or("the scripted model keeps no record")?;
    Ok(calls.iter().filter(|call| call["model"] == model).map(|call| call["status"].clone()).collect())
}

/// One order for one program, whose worker can reach no host but the gateway: `manyworlds-only-gateway` sees to that.
async fn fixes(cluster: &Cluster, namespace: &Namespace, program: &str, arguments: &[&str]) -> Result {
    let model = format!("scripted-{program}");
    let mut order = sample(namespace, "coder.yaml")?.remove(0);
    let worker = format!("manyworlds-worker-{program}");
    let command: Vec<_> = ["manyworlds-only-gateway", &worker].into_iter().chain(arguments.iter().copied()).collect();
    order["metadata"]["name"] = json!(program);
    order["spec"]["worlds"]["variants"] = json!([{"name": "alpha", "model": model}]);
    order["spec"]["worlds"]["sizing"]["perWorld"] = json!({"cpu": "200m", "memory": "1Gi", "ephemeralStorage": "2Gi"});
    order["spec"]["worker"]["plugin"] = json!("command");
    order["spec"]["worker"]["image"] = json!("docker.io/manyworlds/agents:0.1.0");
    order["spec"]["worker"]["command"] = json!(command);
    create(namespace, &order).await?;
    let status = finished(namespace, program).await?;
    let alpha = world(namespace, &format!("{program}-alpha")).await?;
    assert_eq!(status.winner.as_deref(), Some("alpha"), "{program}: {:?} {alpha:?}", status.message);
    assert_eq!(alpha.score.map(|score| score.total), Some(100), "{program}: {:?}", alpha.reasons);
    let usage = status.usage.unwrap_or_default();
    let answers = answered(cluster, namespace, &model).await?;
    assert!(usage.cost > Money::default(), "{program} cost nothing");
    assert_eq!(usage.calls, i64::try_from(answers.len())?, "{program}: the ledger knows every call");
    assert!(!answers.is_empty() && answers.iter().all(|status| *status == 200), "{program}: {answers:?}");
    Ok(())
}

/// W9, W10: the bug is fixed, every call is paid for, the key is the Provider's, and no other host was needed.
#[tokio::test]
async fn agent_programs_fix_a_published_bug_through_the_gateway_alone() -> Result {
    let (cluster, namespace) = restricted("agents").await?;
    scripted_model(&cluster, &namespace).await?;
    providers(&cluster, &namespace).await?;
    try_join_all(PROGRAMS.iter().map(|(program, arguments)| fixes(&cluster, &namespace, program, arguments))).await?;
    Ok(())
}
