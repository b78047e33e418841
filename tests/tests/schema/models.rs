//! The rules of Provider and Budget: what breaks one is refused with its message, what is next to it is not.

use std::path::Path;

use kube::api::PostParams;
use manyworlds_api::{BudgetSpec, ProviderSpec};
use manyworlds_tests::Result;
use serde_json::{Value, json};

use super::rules::{Case, case, every_case_holds, missed};
use super::{cluster, complaints, complete, untyped};

const PROVIDERS: &str = "manyworlds.dev_providers.yaml";
const BUDGETS: &str = "manyworlds.dev_budgets.yaml";

fn provider_cases() -> Vec<Case> {
    let name = "the name of a Provider has at most 63 characters";
    let address = "baseUrl must be an address";
    let url = "/spec/baseUrl";
    let times = "timeouts must be between 1s and 1h";
    let longest = "must not be longer than total";
    vec![
        case(name, [("/metadata/name", json!("a".repeat(64)))], [("/metadata/name", json!("a".repeat(63)))]),
        case(name, [("/metadata/name", json!("a.b"))], [("/metadata/name", json!("a-b"))]),
        case(address, [(url, json!("api.example.com/v1"))], [(url, json!("https://api.example.com"))]),
        case(address, [(url, json!("file:///etc/passwd"))], [(url, json!("http://models.default.svc:8000/v1/"))]),
        case(address, [(url, json!("https://user:key@example.com"))], [(url, json!("https://example.com/~user"))]),
        case(address, [(url, json!("https://example.com/v1?a=b"))], [(url, json!("http://[fd00::1]:8000/v1"))]),
        case(address, [(url, json!("https://example.com/#a"))], [(url, json!("http://127.0.0.1:8000"))]),
        case(address, [(url, json!("https://example.com/../v1"))], [(url, json!("https://example.com/v1.0"))]),
        case(
            "the names of models must be unique",
            [("/spec/models/1/name", json!("large"))],
            [("/spec/models/1/name", json!("large2"))],
        ),
        case(
            "the sizes above which tiers begin must be unique",
            [("/spec/models/0/prices/tiers/1/above", json!(200_000))],
            [("/spec/models/0/prices/tiers/1/above", json!(200_001))],
        ),
        case(
            "maxWait must be at most 1h",
            [("/spec/limits/maxWait", json!("3601s"))],
            [("/spec/limits/maxWait", json!("3600s"))],
        ),
        case(
            "openFor must be between 1s and 1h",
            [("/spec/breaker/openFor", json!("999ms"))],
            [("/spec/breaker/openFor", json!("1s"))],
        ),
        case(times, [("/spec/timeouts/connect", json!("500ms"))], [("/spec/timeouts/connect", json!("1s"))]),
        case(times, [("/spec/timeouts/total", json!("61m"))], [("/spec/timeouts/total", json!("60m"))]),
        case(longest, [("/spec/timeouts/idle", json!("31m"))], [("/spec/timeouts/idle", json!("30m"))]),
        case(longest, [("/spec/timeouts/total", json!("9m"))], [("/spec/timeouts/total", json!("10m"))]),
    ]
}

fn budget_cases() -> Vec<Case> {
    let values = "values are needed for the operators In and NotIn";
    vec![
        case(
            "amount must be greater than zero",
            [("/spec/amount", json!("0.00"))],
            [("/spec/amount", json!("0.000000000001"))],
        ),
        case(
            "the percentages of warnAt must be unique",
            [("/spec/warnAt", json!([50, 50]))],
            [("/spec/warnAt", json!([50, 51]))],
        ),
        case(
            values,
            [("/spec/selector/matchExpressions/0/values", Value::Null)],
            [("/spec/selector/matchExpressions/0/operator", json!("NotIn"))],
        ),
        case(
            values,
            [("/spec/selector/matchExpressions/1/values", json!(["a"]))],
            [("/spec/selector/matchExpressions/1/operator", json!("Exists"))],
        ),
    ]
}

#[test]
fn every_rule_has_a_case() {
    assert_eq!(missed(PROVIDERS, &provider_cases()), Vec::new());
    assert_eq!(missed(BUDGETS, &budget_cases()), Vec::new());
}

#[tokio::test]
async fn every_rule_of_a_provider_refuses_what_breaks_it_and_nothing_next_to_it() -> Result {
    every_case_holds(&complete::provider("complete"), provider_cases()).await
}

#[tokio::test]
async fn every_rule_of_a_budget_refuses_what_breaks_it_and_nothing_next_to_it() -> Result {
    every_case_holds(&complete::budget("complete"), budget_cases()).await
}

#[tokio::test]
async fn the_api_server_fills_in_what_the_operator_would() -> Result {
    let (cluster, namespace) = cluster("models").await?;
    let provider = json!({
        "apiVersion": "manyworlds.dev/v1alpha1", "kind": "Provider", "metadata": {"name": "smallest"},
        "spec": {"protocol": "Anthropic", "baseUrl": "https://api.example.com", "models": [{"name": "a"}],
                 "secretRef": {"name": "key"}, "limits": {"tokensPerMinute": 1000}},
    });
    let budget = json!({
        "apiVersion": "manyworlds.dev/v1alpha1", "kind": "Budget", "metadata": {"name": "smallest"},
        "spec": {"amount": "5"},
    });
    let mut specs = Vec::new();
    for manifest in [&provider, &budget] {
        let api = untyped(&cluster.client, &namespace.name, manifest);
        let created = api.create(&PostParams::default(), &serde_json::from_value(manifest.clone())?).await?;
        specs.push(created.data["spec"].clone());
    }
    assert_eq!(specs[0]["limits"], json!({"requestsPerMinute": 50, "tokensPerMinute": 1000, "maxWait": "2m"}));
    assert_eq!(specs[0]["secretRef"]["key"], "apiKey");
    assert_eq!(specs[1]["warnAt"], json!([50, 80, 95]));
    let by_server: ProviderSpec = serde_json::from_value(specs[0].clone())?;
    assert_eq!(by_server, serde_json::from_value(provider["spec"].clone())?);
    let by_server: BudgetSpec = serde_json::from_value(specs[1].clone())?;
    assert_eq!(by_server, serde_json::from_value(budget["spec"].clone())?);
    Ok(())
}

#[tokio::test]
async fn the_api_server_takes_the_samples() -> Result {
    let (cluster, namespace) = cluster("samples").await?;
    for file in ["provider-openai.yaml", "provider-anthropic.yaml", "budget.yaml"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/samples").join(file);
        let manifest: Value =
            serde_saphyr::from_str(&std::fs::read_to_string(path)?).map_err(|error| error.to_string())?;
        let api = untyped(&cluster.client, &namespace.name, &manifest);
        assert_eq!(complaints(&api, &manifest).await?, [], "{file}");
    }
    Ok(())
}
