//! Models for orders of real pods: the scripted one that `make install` serves, behind Providers of a test's own.

use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::{Cluster, Namespace, Result, resources};

/// The address of the scripted model, for the operator.
const URL: &str = "http://scripted-model.manyworlds-demo.svc/v1";
/// The record of what has reached it, by way of the API server.
const RECORD: &str = "/api/v1/namespaces/manyworlds-demo/services/scripted-model:http/proxy/_calls";
/// The operator's ServiceAccount, as `make install` makes it.
const OPERATOR: (&str, &str) = ("manyworlds-system", "manyworlds");
/// Name of the Secret with a Provider's key.
pub const KEY: &str = "model-key";
/// A key that must be seen nowhere.
pub const CANARY: &str = "sk-canary-0123456789-never-to-be-seen";

/// Makes a Provider for the scripted model with a key of its own, and lets the operator read the key.
///
/// - **Shape:** `models` are the entries of `spec.models`; `more` is put over the rest of the spec.
///
/// # Errors
///
/// Whatever the API server says.
pub async fn provider(cluster: &Cluster, namespace: &Namespace, models: &[&str], more: &Value) -> Result {
    key(cluster, namespace, OPERATOR).await?;
    let mut spec = json!({"secretRef": {"name": KEY}});
    resources::overlay(&mut spec, more);
    provider_at(cluster, namespace, ("scripted", URL), models, &spec).await
}

/// Makes a Provider of a name at a base URL that needs no key.
///
/// - **Shape:** as [`provider`].
///
/// # Errors
///
/// Whatever the API server says.
pub async fn provider_at(
    cluster: &Cluster,
    namespace: &Namespace,
    (name, base_url): (&str, &str),
    models: &[&str],
    more: &Value,
) -> Result {
    let models: Vec<_> =
        models.iter().map(|name| json!({"name": name, "prices": {"input": "1.00", "output": "2.00"}})).collect();
    let mut spec = json!({
        "protocol": "OpenAI",
        "baseUrl": base_url,
        "models": models,
        "limits": {"requestsPerMinute": 100_000, "tokensPerMinute": 100_000_000},
    });
    resources::overlay(&mut spec, more);
    let metadata = json!({"name": name, "namespace": namespace.name});
    let object =
        json!({"apiVersion": "manyworlds.dev/v1alpha1", "kind": "Provider", "metadata": metadata, "spec": spec});
    resources::apply(&cluster.client, &object).await.map(drop)
}

/// Makes the Secret [`KEY`] with the key [`CANARY`], and lets an operator, by the namespace and name of its ServiceAccount, read
/// it.
///
/// # Errors
///
/// Whatever the API server says.
pub async fn key(cluster: &Cluster, namespace: &Namespace, operator: (&str, &str)) -> Result {
    let secret = json!({"metadata": {"name": KEY}, "stringData": {"apiKey": CANARY}});
    namespace.api::<Secret>().create(&PostParams::default(), &serde_json::from_value(secret)?).await?;
    let (account_namespace, account) = operator;
    let rights = json!([{"apiGroups": [""], "resources": ["secrets"], "resourceNames": [KEY], "verbs": ["get"]}]);
    let reference = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": KEY});
    let subjects = json!([{"kind": "ServiceAccount", "name": account, "namespace": account_namespace}]);
    let metadata = json!({"name": KEY, "namespace": namespace.name});
    let rbac = "rbac.authorization.k8s.io/v1";
    for object in [
        json!({"apiVersion": rbac, "kind": "Role", "metadata": metadata, "rules": rights}),
        json!({"apiVersion": rbac, "kind": "RoleBinding", "metadata": metadata, "roleRef": reference, "subjects": subjects}),
    ] {
        resources::apply(&cluster.client, &object).await?;
    }
    Ok(())
}

/// Returns how many calls for a model have reached the scripted one.
///
/// # Errors
///
/// Whatever the API server says.
pub async fn calls(cluster: &Cluster, model: &str) -> Result<u64> {
    let request = http::Request::get(RECORD).body(Vec::new())?;
    let record: Value = serde_json::from_str(&cluster.client.request_text(request).await?)?;
    let calls = record["models"].as_object().ok_or("the scripted model keeps no record")?;
    Ok(calls.get(model).and_then(Value::as_u64).unwrap_or_default())
}
