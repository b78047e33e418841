//! What an operator in service needs: alerts, and a database of its own for the ledger.

use std::fs;

use serde_json::{Value, json};

use super::{NAMESPACE, deployment, objects, only, root};

fn rules(values: &Value) -> Vec<Value> {
    let rendered = objects("manyworlds", values);
    let rule = only(&rendered, "PrometheusRule", "manyworlds");
    rule["spec"]["groups"][0]["rules"].as_array().unwrap().clone()
}

/// R12: an alert on the length of the queue of calls, whose metric is one that the operator has.
#[test]
fn alerts_are_on_metrics_that_there_are_and_one_is_on_the_length_of_the_queue() {
    assert!(objects("manyworlds", &json!({})).keys().all(|(kind, _)| kind != "PrometheusRule"), "only where asked for");
    let documented = fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let all = rules(&json!({"prometheusRule": {"enabled": true, "callsWaiting": 7}}));
    for rule in &all {
        let expression = rule["expr"].as_str().unwrap();
        let begin = expression.find("manyworlds_").unwrap();
        let name: String = expression[begin..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        assert!(documented.contains(&format!("| `{name}` |")), "no metric {name}");
        assert!(rule["annotations"]["description"].is_string(), "{rule} says what to do");
    }
    let queue = all.iter().find(|rule| rule["alert"] == "ManyworldsCallsWaiting").unwrap();
    assert_eq!(queue["expr"], "sum by (namespace) (manyworlds_llm_calls_waiting) > 7");
    assert_eq!(queue["for"], "1m");
    let volume = all.iter().find(|rule| rule["alert"] == "ManyworldsVolumeNearlyFull").unwrap();
    assert!(volume["expr"].as_str().unwrap().ends_with(" < 15"), "before uploads or calls stop: {volume}");
    let without = rules(&json!({"prometheusRule": {"enabled": true}, "gateway": {"enabled": false}}));
    assert!(without.iter().all(|rule| !rule["expr"].as_str().unwrap().contains("llm")));
}

fn variable<'a>(deployment: &'a Value, name: &str) -> &'a Value {
    let variables = deployment["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap();
    variables.iter().find(|variable| variable["name"] == name).unwrap()
}

/// W10: the URL of a PostgreSQL database, which has a password, comes from a Secret and is in no object of the chart.
#[test]
fn the_ledgers_url_comes_from_a_secret_or_is_a_file_on_the_volume() {
    let file = deployment(&json!({}));
    let file = variable(&file, "MANYWORLDS_LEDGER");
    assert_eq!(file["value"], "sqlite:///var/lib/manyworlds/ledger/ledger.db");
    for (secret, key) in [(json!({"name": "ledger-postgres"}), "url"), (json!({"name": "db", "key": "uri"}), "uri")] {
        let rendered = objects("manyworlds", &json!({"ledger": {"urlSecret": secret}}));
        let found = variable(only(&rendered, "Deployment", "manyworlds"), "MANYWORLDS_LEDGER");
        assert_eq!(found["valueFrom"], json!({"secretKeyRef": {"name": secret["name"], "key": key}}));
        assert!(found["value"].is_null());
        assert!(rendered.keys().all(|(kind, _)| kind != "Secret"), "it is the user's own");
        let namespace = &only(&rendered, "Deployment", "manyworlds")["metadata"]["namespace"];
        assert_eq!(namespace, NAMESPACE);
    }
}

/// A claim of its own is mounted where the file is, and only where there is a file.
#[test]
fn the_ledgers_file_has_a_claim_of_its_own_where_the_user_names_one() {
    let mounts = |ledger: &Value| {
        let pod = deployment(&json!({"ledger": ledger}))["spec"]["template"]["spec"].clone();
        let volume = pod["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == "ledger").cloned();
        let mounts = pod["containers"][0]["volumeMounts"].as_array().unwrap().clone();
        let mount = mounts.into_iter().find(|mount| mount["name"] == "ledger");
        (volume, mount)
    };
    let (volume, mount) = mounts(&json!({"existingClaim": "money"}));
    assert_eq!(volume.unwrap()["persistentVolumeClaim"], json!({"claimName": "money"}));
    assert_eq!(mount.unwrap()["mountPath"], "/var/lib/manyworlds/ledger");
    assert_eq!(mounts(&json!({})), (None, None));
    assert_eq!(mounts(&json!({"existingClaim": "money", "urlSecret": {"name": "postgres"}})), (None, None));
}
