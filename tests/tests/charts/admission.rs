//! The policy of the API server that holds the operator to pods like those that it makes.

use manyworlds_api::labels;
use serde_json::{Value, json};

use super::{objects, only};

const KIND: &str = "ValidatingAdmissionPolicy";

/// Returns the specification of the policy.
fn policy(values: &Value) -> Value {
    only(&objects("manyworlds", values), KIND, "manyworlds")["spec"].clone()
}

/// Returns the expression of the policy whose message has these words.
fn expression(values: &Value, words: &str) -> String {
    let policy = policy(values);
    let validations = policy["validations"].as_array().unwrap();
    let mut found = validations.iter().filter(|validation| validation["message"].as_str().unwrap().contains(words));
    found.next().unwrap_or_else(|| panic!("no message with {words:?}"))["expression"].as_str().unwrap().to_owned()
}

#[test]
fn the_operator_alone_is_held_and_what_breaks_a_rule_is_denied() {
    let rendered = objects("manyworlds", &json!({}));
    let binding = &only(&rendered, "ValidatingAdmissionPolicyBinding", "manyworlds")["spec"];
    assert_eq!(*binding, json!({"policyName": "manyworlds", "validationActions": ["Deny"]}));
    let user = |values: &Value| policy(values)["matchConditions"][0]["expression"].clone();
    let account =
        |name: &str| format!("request.userInfo.username == \"system:serviceaccount:manyworlds-system:{name}\"");
    assert_eq!(user(&json!({})), account("manyworlds"));
    assert_eq!(user(&json!({"serviceAccount": {"create": false, "name": "own"}})), account("own"));
    let default = policy(&json!({}));
    assert_eq!(default["failurePolicy"], "Fail");
    for validation in default["validations"].as_array().unwrap() {
        assert_eq!(validation["reason"], "Forbidden", "{validation}");
    }
    let disabled = objects("manyworlds", &json!({"admissionPolicy": {"enabled": false}}));
    assert!(disabled.keys().all(|(kind, _)| !kind.starts_with(KIND)));
}

/// The operator takes a pod with its labels for its own.
#[test]
fn nobody_else_makes_a_pod_with_the_label_of_an_order() {
    let rendered = objects("manyworlds", &json!({"watchNamespace": "team-a"}));
    let others = &only(&rendered, KIND, "manyworlds-others")["spec"];
    assert_eq!(others["matchConstraints"]["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"], "team-a");
    let conditions = others["matchConditions"].as_array().unwrap();
    let account = "request.userInfo.username != \"system:serviceaccount:manyworlds-system:manyworlds\"";
    assert_eq!(conditions[0]["expression"], account);
    let labelled = conditions[1]["expression"].as_str().unwrap();
    assert_eq!(labelled.matches(&format!("\"{}\" in ", labels::WORK_ORDER)).count(), 2, "{labelled}");
    let binding = &only(&rendered, "ValidatingAdmissionPolicyBinding", "manyworlds-others")["spec"];
    assert_eq!(*binding, json!({"policyName": "manyworlds-others", "validationActions": ["Deny"]}));
    let everywhere = objects("manyworlds", &json!({}));
    let constraints = &only(&everywhere, KIND, "manyworlds-others")["spec"]["matchConstraints"];
    assert!(constraints["namespaceSelector"].is_null(), "{constraints}");
}

#[test]
fn the_operator_makes_pods_where_the_values_say_and_never_in_the_clusters_own_namespaces() {
    let namespaces = |values: &Value| expression(values, "in this namespace");
    let own = "!namespaceObject.metadata.name.startsWith(\"kube-\")";
    assert_eq!(namespaces(&json!({})), own);
    assert_eq!(
        namespaces(&json!({"watchNamespace": "team-a"})),
        format!("{own} && namespaceObject.metadata.name == \"team-a\"")
    );
    assert_eq!(
        namespaces(&json!({"admissionPolicy": {"namespaceLabels": {"example.com/worlds": "on"}}})),
        format!("{own} && namespaceObject.metadata.?labels[?\"example.com/worlds\"].orValue(\"\") == \"on\"")
    );
}

#[test]
fn a_pod_has_the_operators_labels_and_those_that_pod_templates_may_have() {
    let of = |values: &Value| expression(values, "the labels of an order");
    let default = of(&json!({}));
    for key in [labels::WORK_ORDER, labels::ROLE, labels::MANAGED_BY, labels::EXTRA_LABEL_PREFIX] {
        assert!(default.contains(&format!("\"{key}\"")), "{key}: {default}");
    }
    let allowed = of(&json!({"worlds": {"podTemplate": {"allowedLabels": ["team", "example.com/*"]}}}));
    let added = " || key == \"team\" || key.startsWith(\"example.com/\"))";
    assert_eq!(allowed, format!("{}{added}", default.strip_suffix(')').unwrap()));
}

#[test]
fn the_tokens_of_a_pod_are_those_that_its_stages_have() {
    let tokens = expression(&json!({}), "no token but its own");
    let audiences = format!("[\"{}\", \"{}\"]", labels::TOKEN_AUDIENCE, labels::GATEWAY_AUDIENCE);
    assert!(tokens.contains(&audiences), "{tokens}");
}
