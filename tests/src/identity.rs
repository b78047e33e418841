//! The operator under test: a ServiceAccount with the rights that the chart gives it, and no more.
//!
//! An administrator's credential would hide a missing right, and goes round the API server's priority and fairness.

use std::fs;
use std::path::{Path, PathBuf};

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};

use crate::namespace::{clean_up, unique};
use crate::{Cluster, LIMIT, Result, eventually, resources};

/// Namespace of the operator; the audit policy of the test cluster knows its ServiceAccounts.
pub const OPERATOR_NAMESPACE: &str = "manyworlds-system";
/// Name of the role that the chart gives the operator.
const ROLE: &str = "manyworlds";
/// The lifetime of a token: longer than any run of tests.
const TOKEN_SECONDS: i64 = 24 * 3600;

/// A ServiceAccount with the rights of the installed operator.
pub struct OperatorIdentity {
    /// Name of the ServiceAccount in [`OPERATOR_NAMESPACE`].
    pub account: String,
    /// A token of it.
    pub token: String,
    /// A kubeconfig with that token.
    pub kubeconfig: PathBuf,
    cluster: Cluster,
    folder: PathBuf,
}

impl OperatorIdentity {
    /// Makes a ServiceAccount of its own and gives it what `manifests/install.yaml` gives the operator.
    ///
    /// - **Shape:** files are put into `folder`.
    ///
    /// # Errors
    ///
    /// When the manifests cannot be read, or whatever the API server says.
    pub async fn new(cluster: &Cluster, folder: &Path) -> Result<Self> {
        let account = unique("operator");
        for object in objects(&account)? {
            resources::apply(&cluster.client, &object).await?;
        }
        let accounts: Api<ServiceAccount> = Api::namespaced(cluster.client.clone(), OPERATOR_NAMESPACE);
        let request = TokenRequest {
            spec: TokenRequestSpec { expiration_seconds: Some(TOKEN_SECONDS), ..TokenRequestSpec::default() },
            ..TokenRequest::default()
        };
        let answer = eventually("the operator has a token", LIMIT, || async {
            Ok(Some(accounts.create_token_request(&account, &PostParams::default(), &request).await?))
        })
        .await?;
        let token = answer.status.ok_or("a token request without an answer")?.token;
        fs::create_dir_all(folder)?;
        let mut identity =
            Self { kubeconfig: PathBuf::new(), account, token, cluster: cluster.clone(), folder: folder.to_owned() };
        let clusters = read_kubeconfig(&cluster.kubeconfig)?["clusters"].clone();
        identity.kubeconfig = identity.write("direct", &clusters[0]["cluster"], &json!({"token": identity.token}))?;
        Ok(identity)
    }

    /// Returns the name with which the API server's audit log calls the ServiceAccount.
    pub fn user(&self) -> String {
        format!("system:serviceaccount:{OPERATOR_NAMESPACE}:{}", self.account)
    }

    /// Returns a client with the rights of the ServiceAccount.
    ///
    /// # Errors
    ///
    /// When the kubeconfig cannot be read.
    pub async fn cluster(&self) -> Result<Cluster> {
        Cluster::from_file(&self.kubeconfig).await
    }

    /// Writes a kubeconfig that leads to a proxy without TLS and without a credential of its own.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn kubeconfig_through(&self, address: &str) -> Result<PathBuf> {
        self.write(&address.replace(':', "-"), &json!({"server": format!("http://{address}")}), &json!({}))
    }

    fn write(&self, name: &str, cluster: &Value, user: &Value) -> Result<PathBuf> {
        let path = self.folder.join(format!("{}-{name}.kubeconfig", self.account));
        let content = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "operator", "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "operator", "namespace": OPERATOR_NAMESPACE}}],
            "current-context": "test",
        });
        fs::write(&path, serde_json::to_string_pretty(&content)?)?;
        Ok(path)
    }
}

impl Drop for OperatorIdentity {
    /// Takes the ServiceAccount and its rights away again, and with it its tokens.
    fn drop(&mut self) {
        let account = self.account.clone();
        clean_up(&self.cluster.kubeconfig, &self.account, async move |client| {
            for object in objects(&account)?.iter().filter(|object| object["kind"] != "Namespace") {
                resources::interface(&client, object)?.delete(&account, &DeleteParams::default()).await?;
            }
            Ok(())
        });
    }
}

fn read_kubeconfig(path: &Path) -> Result<Value> {
    serde_saphyr::from_str(&fs::read_to_string(path)?).map_err(|error| error.to_string().into())
}

/// Returns what makes a ServiceAccount an operator: the namespace, the account, and the chart's roles under its name.
fn objects(account: &str) -> Result<Vec<Value>> {
    let mut objects = vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": OPERATOR_NAMESPACE}}),
        json!({"apiVersion": "v1", "kind": "ServiceAccount",
               "metadata": {"name": account, "namespace": OPERATOR_NAMESPACE}}),
    ];
    let mut found = false;
    for role in resources::documents(&fs::read_to_string(manifests())?)? {
        let kind = role["kind"].as_str().unwrap_or_default();
        if role["metadata"]["name"] != ROLE || !["ClusterRole", "Role"].contains(&kind) {
            continue;
        }
        found = true;
        let mut metadata = json!({"name": account});
        if let Some(namespace) = role["metadata"]["namespace"].as_str() {
            metadata["namespace"] = json!(namespace);
        }
        let group = "rbac.authorization.k8s.io";
        let version = format!("{group}/v1");
        objects.push(json!({"apiVersion": version, "kind": kind, "metadata": metadata, "rules": role["rules"]}));
        objects.push(json!({
            "apiVersion": version, "kind": format!("{kind}Binding"), "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": kind, "name": account},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": OPERATOR_NAMESPACE}],
        }));
    }
    if found { Ok(objects) } else { Err(format!("{} gives no role {ROLE}", manifests().display()).into()) }
}

/// Returns the path of the manifests that the chart renders to.
fn manifests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/install.yaml")
}
