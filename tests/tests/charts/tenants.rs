//! What tenants may have of the cluster: artifacts, networks, pod templates and slots.

use serde_json::{Value, json};

use super::{deployment, environment};

#[test]
fn artifacts_have_bounds_and_an_age_unless_the_user_says_otherwise() {
    let settings = |values: &Value| {
        let deployment = deployment(values);
        ["_RETENTION", "S_PER_WORLD", "S_PER_ORDER", "S_PER_NAMESPACE"]
            .map(|name| environment(&deployment, &format!("MANYWORLDS_ARTIFACT{name}")))
    };
    assert_eq!(settings(&json!({})), ["720h", "256Mi", "2Gi", "5Gi"]);
    let none = json!({"perWorld": "0", "perOrder": "0", "perNamespace": "0"});
    assert_eq!(settings(&json!({"artifacts": {"retention": "0s", "quota": none}})), ["0s", "0", "0", "0"]);
}

#[test]
fn worlds_reach_the_internet_but_no_private_address_and_no_metadata_service() {
    let text = environment(&deployment(&json!({})), "MANYWORLDS_REPOSITORY_EGRESS");
    let rules: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
    let ports: Vec<i64> =
        rules[0]["ports"].as_array().unwrap().iter().filter_map(|port| port["port"].as_i64()).collect();
    assert_eq!(ports, [443, 80, 22]);
    let except = rules[0]["to"][0]["ipBlock"]["except"].as_array().unwrap();
    for range in ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10"] {
        assert!(except.iter().any(|excepted| excepted == range), "{range} is open");
    }

    let disabled = deployment(&json!({"worlds": {"networkPolicy": {"enabled": false, "repositoryEgress": []}}}));
    assert_eq!(environment(&disabled, "MANYWORLDS_NETWORK_POLICY"), "Disabled");
    assert_eq!(environment(&disabled, "MANYWORLDS_REPOSITORY_EGRESS"), "[]");
}

#[test]
fn worlds_find_the_dns_that_the_values_name() {
    let rules = |values: &Value| -> Value {
        serde_json::from_str(environment(&deployment(values), "MANYWORLDS_DNS_EGRESS").as_str().unwrap()).unwrap()
    };
    let default = rules(&json!({}));
    assert_eq!(default[0]["to"][0]["podSelector"]["matchLabels"], json!({"k8s-app": "kube-dns"}));
    let cache =
        json!([{"to": [{"ipBlock": {"cidr": "169.254.20.10/32"}}], "ports": [{"protocol": "UDP", "port": 53}]}]);
    assert_eq!(rules(&json!({"worlds": {"networkPolicy": {"dns": cache}}})), cache);
}

#[test]
fn pod_templates_may_ask_for_nothing_of_others_unless_a_value_allows_it() {
    let rules = |values: &Value| -> Value {
        serde_json::from_str(environment(&deployment(values), "MANYWORLDS_POD_TEMPLATE").as_str().unwrap()).unwrap()
    };
    for (name, allowed) in rules(&json!({})).as_object().unwrap() {
        let expected = match name.as_str() {
            "allowedConfigMaps" => json!(["manyworlds-*"]),
            "allowedNodeLabels" => json!(["*"]),
            "allowedAffinity" => json!(["nodeAffinity"]),
            _ => json!([]),
        };
        assert_eq!(*allowed, expected, "{name}");
    }
    let gpu = json!([{"key": "gpu", "operator": "Exists"}]);
    let allowed = rules(&json!({"worlds": {"podTemplate": {"allowedTolerations": gpu}}}));
    assert_eq!(allowed["allowedTolerations"], gpu);
}

#[test]
fn shares_of_namespaces_reach_the_operator() {
    let shares = |values: &Value| -> Value {
        let text = environment(&deployment(values), "MANYWORLDS_CAPACITY");
        serde_json::from_str(text.as_str().unwrap()).unwrap()
    };
    let equal = json!({"default": {"weight": 1, "limit": 0, "maxPriority": 1_000_000}, "namespaces": []});
    assert_eq!(shares(&json!({})), equal);
    let named = json!({"capacity": {"namespaces": [{"name": "a", "weight": 3, "limit": 8, "maxPriority": 100_000}]}});
    assert_eq!(shares(&named)["namespaces"], named["capacity"]["namespaces"]);
}
