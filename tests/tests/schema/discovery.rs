//! What the API server fills in and shows: defaults, the status subresource, names, columns and texts.

use http::Request;
use kube::api::{Patch, PatchParams, PostParams};
use manyworlds_api::conditions::{OrderCondition, Reason, Truth, condition};
use manyworlds_api::{WorkOrder, WorkOrderSpec};
use manyworlds_tests::{LIMIT, Result, eventually, orders};
use serde_json::{Value, json};

use super::{cluster, untyped};

async fn get(client: &kube::Client, path: &str, accept: &str) -> Result<Value> {
    let request = Request::get(path).header("accept", accept).body(Vec::new())?;
    Ok(client.request(request).await?)
}

#[tokio::test]
async fn the_api_server_fills_in_what_the_operator_would() -> Result {
    let (cluster, namespace) = cluster("defaults").await?;
    let manifest = orders::smallest("smallest");
    let api = untyped(&cluster.client, &namespace.name, &manifest);
    let created = api.create(&PostParams::default(), &serde_json::from_value(manifest.clone())?).await?;
    let names: Vec<_> =
        created.data["spec"]["worlds"]["variants"].as_array().unwrap().iter().map(|world| &world["name"]).collect();
    assert_eq!(names, ["alpha", "beta", "gamma", "delta", "epsilon"]);
    assert_eq!(created.data["spec"]["retry"]["maxAttempts"], 3);
    assert_eq!(created.data["spec"]["worker"]["phaseTimeouts"], json!({"coding": "30m", "testing": "45m"}));
    let by_server: WorkOrderSpec = serde_json::from_value(created.data["spec"].clone())?;
    let by_types: WorkOrderSpec = serde_json::from_value(manifest["spec"].clone())?;
    assert_eq!(by_server, by_types);
    Ok(())
}

#[tokio::test]
async fn worlds_that_are_given_in_part_are_filled_in_too() -> Result {
    let (cluster, namespace) = cluster("defaults").await?;
    let mut manifest = orders::smallest("partial");
    manifest["spec"]["worlds"] = json!({"sizing": {"perWorld": {"cpu": "1"}}});
    let api = untyped(&cluster.client, &namespace.name, &manifest);
    let created = api.create(&PostParams::default(), &serde_json::from_value(manifest)?).await?;
    let worlds = &created.data["spec"]["worlds"];
    assert_eq!(worlds["variants"].as_array().map(Vec::len), Some(5));
    assert_eq!(worlds["sizing"]["perWorld"], json!({"cpu": "1", "memory": "8Gi", "ephemeralStorage": "10Gi"}));
    Ok(())
}

#[tokio::test]
async fn status_and_spec_are_written_apart() -> Result {
    let (cluster, namespace) = cluster("status").await?;
    let orders_api = kube::Api::<WorkOrder>::namespaced(cluster.client.clone(), &namespace.name);
    let order: WorkOrder = serde_json::from_value(orders::smallest("status"))?;
    let created = orders::create(&orders_api, &order).await?;
    let now = serde_json::from_value(json!("2026-01-02T03:04:05Z"))?;
    let finished =
        condition(OrderCondition::Finished.as_str(), Truth::True, Reason::HighestScore, "It is over.", Some(1), now);
    let patch = json!({
        "status": {"conditions": [finished], "summary": "Succeeded", "winner": "beta"},
        "spec": {"priority": 7},
    });
    let name = "status";
    let patched = orders_api.patch_status(name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
    assert!(patched.is_finished());
    assert_eq!(patched.spec.priority, 0, "a write to /status does not change the spec");
    assert_eq!(patched.metadata.generation, created.metadata.generation);
    let other = json!({"spec": {"priority": 7}, "status": {"winner": "gamma"}});
    let patched = orders_api.patch(name, &PatchParams::default(), &Patch::Merge(&other)).await?;
    assert_eq!(patched.spec.priority, 7);
    assert_eq!(patched.status.and_then(|status| status.winner).as_deref(), Some("beta"));
    assert_eq!(patched.metadata.generation, Some(2));
    Ok(())
}

#[tokio::test]
async fn kinds_have_short_names_and_a_category() -> Result {
    let (cluster, _namespace) = cluster("names").await?;
    let answer = get(&cluster.client, "/apis/manyworlds.dev/v1alpha1", "application/json").await?;
    let resources = answer["resources"].as_array().unwrap();
    for (plural, short) in [("workorders", "wo"), ("worlds", "wd"), ("providers", "prov"), ("budgets", "bud")] {
        let resource = resources.iter().find(|resource| resource["name"] == plural).unwrap();
        assert_eq!(resource["shortNames"], json!([short]));
        assert_eq!(resource["categories"], json!(["manyworlds"]));
        assert!(resources.iter().any(|resource| resource["name"] == format!("{plural}/status")), "{plural}/status");
    }
    Ok(())
}

#[tokio::test]
async fn a_list_says_how_orders_stand() -> Result {
    let (cluster, namespace) = cluster("columns").await?;
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    for (plural, expected) in [
        ("workorders", vec!["Name", "Status", "Worlds", "Winner", "Score", "Cost", "Message", "Age"]),
        ("worlds", vec!["Name", "Order", "Stage", "Score", "Eligible", "Attempts", "Message", "Age"]),
        (
            "providers",
            vec!["Name", "Protocol", "Models", "Ready", "Reachable", "Breaker", "Used", "Today", "Message", "Age"],
        ),
        (
            "budgets",
            vec!["Name", "Amount", "Period", "Spent", "Reserved", "Left", "Forecast", "Exceeded", "Message", "Age"],
        ),
    ] {
        let path = format!("/apis/manyworlds.dev/v1alpha1/namespaces/{}/{plural}", namespace.name);
        let answer = get(&cluster.client, &path, table).await?;
        let names: Vec<_> =
            answer["columnDefinitions"].as_array().unwrap().iter().map(|column| &column["name"]).collect();
        assert_eq!(names, expected, "{plural}");
    }
    Ok(())
}

/// `kubectl explain` reads this document.
#[tokio::test]
async fn explain_has_a_text_for_every_field_of_evaluation() -> Result {
    let (cluster, _namespace) = cluster("explain").await?;
    let fields = eventually("the document has the order's schema", LIMIT, || async {
        let document = get(&cluster.client, "/openapi/v3/apis/manyworlds.dev/v1alpha1", "application/json").await?;
        let order = &document["components"]["schemas"]["dev.manyworlds.v1alpha1.WorkOrder"];
        let evaluation = &order["properties"]["spec"]["properties"]["evaluation"];
        let text = evaluation["description"].as_str().unwrap_or_default();
        Ok(text.contains("gates with points").then(|| evaluation["properties"].clone()))
    })
    .await?;
    let gate = fields["gates"]["items"]["properties"].as_object().unwrap();
    for (name, field) in fields.as_object().unwrap().iter().chain(gate) {
        assert!(field["description"].as_str().is_some_and(|text| text.len() > 10), "{name}: {field}");
    }
    assert!(gate.contains_key("points"));
    Ok(())
}
