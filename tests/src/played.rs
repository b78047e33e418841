//! An operator of a test's own on fake nodes, whose Worlds are played by the test: with tokens as their pods would have them, it
//! calls models through the operator's gateway.

use std::env;
use std::path::PathBuf;

use http::header::CONTENT_TYPE;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::PostParams;
use kube::client::Body;
use kube::{Api, Client, Config};
use manyworlds_api::{WorkOrder, labels};
use serde_json::{Value, json};

use crate::identity::OPERATOR_NAMESPACE;
use crate::{
    Cluster, LIMIT, Namespace, OperatorIdentity, OperatorProcess, OperatorSettings, Result, definitions, eventually,
    models, namespace, orders, resources,
};

/// With this annotation a fake pod in which a World works does not end by itself.
pub const RUNS: &str = "fake/runs";

/// A namespace on fake nodes, and what an operator for it is started with.
pub struct Stage {
    /// The cluster.
    pub cluster: Cluster,
    /// The namespace, the only one that the operator looks at.
    pub namespace: Namespace,
    /// Its settings. Its log is `operator.log` in the folder.
    pub settings: OperatorSettings,
    // Its rights end with it.
    identity: OperatorIdentity,
}

impl Stage {
    /// Makes a namespace, and an identity for the operator.
    ///
    /// # Errors
    ///
    /// Whatever the API server says.
    pub async fn new(purpose: &str) -> Result<Self> {
        let cluster = Cluster::fake().await?;
        definitions::install(&cluster.client).await?;
        let namespace = Namespace::new(&cluster, purpose).await?;
        let folder: PathBuf = env::temp_dir().join(namespace::unique(purpose));
        let identity = OperatorIdentity::new(&cluster, &folder).await?;
        let settings = OperatorSettings {
            kubeconfig: identity.kubeconfig.clone(),
            folder,
            watch_namespace: namespace.name.clone(),
            environment: Vec::new(),
        };
        Ok(Self { cluster, namespace, settings, identity })
    }

    /// Starts the operator and waits until it is ready.
    ///
    /// # Errors
    ///
    /// When it does not become ready.
    pub async fn operator(&self) -> Result<OperatorProcess> {
        let mut operator = OperatorProcess::start(&self.settings)?;
        operator.ready().await?;
        Ok(operator)
    }

    /// Makes a Provider's key that the operator may read, to be named as `secretRef` by [`models::KEY`].
    ///
    /// # Errors
    ///
    /// Whatever the API server says.
    pub async fn key(&self) -> Result {
        models::key(&self.cluster, &self.namespace, (OPERATOR_NAMESPACE, &self.identity.account)).await
    }

    /// Makes a Provider of one model that needs no key. `more` is put over the rest of its spec.
    ///
    /// # Errors
    ///
    /// Whatever the API server says.
    pub async fn provider(&self, name: &str, base_url: &str, model: &str, more: &Value) -> Result {
        models::provider_at(&self.cluster, &self.namespace, (name, base_url), &[model], more).await
    }

    /// Makes an order of one World, `w1`, which calls `model` and goes on until it is ended, and waits until its pod runs.
    ///
    /// # Errors
    ///
    /// Whatever the API server says, or when the pod does not run.
    pub async fn order(&self, name: &str, model: &str) -> Result<WorkOrder> {
        self.order_of(name, &json!({"model": model})).await
    }

    /// Makes an order as [`Stage::order`] does, of such a worker.
    ///
    /// # Errors
    ///
    /// As [`Stage::order`].
    pub async fn order_of(&self, name: &str, worker: &Value) -> Result<WorkOrder> {
        let mut order = serde_json::to_value(orders::fake(name, 1)?)?;
        resources::overlay(&mut order["spec"]["worker"], worker);
        order["spec"]["worker"]["podTemplate"]["annotations"][RUNS] = json!("true");
        let made = orders::create(&self.namespace.api(), &serde_json::from_value(order)?).await?;
        runs(&self.namespace, &labels::pod_name(name, "w1", 1)).await?;
        Ok(made)
    }

    /// Returns the World of an order that [`Stage::order`] has made, at the gateway of an operator.
    ///
    /// # Errors
    ///
    /// Whatever the API server says.
    pub async fn world(&self, order: &str, operator: &OperatorProcess) -> Result<Caller> {
        let pod = labels::pod_name(order, "w1", 1);
        let token = token(&self.namespace, &runs(&self.namespace, &pod).await?, labels::GATEWAY_AUDIENCE).await?;
        Caller::new(operator.gateway(), token)
    }

    /// Waits until `kubectl get wo` says such a thing of an order, and returns the sentence beside it.
    ///
    /// # Errors
    ///
    /// When that takes longer than the limit of tests.
    pub async fn says(&self, order: &str, summary: &str) -> Result<String> {
        let orders: Api<WorkOrder> = self.namespace.api();
        eventually(&format!("{order} says {summary}"), LIMIT, || async {
            let status = orders.get(order).await?.status.unwrap_or_default();
            let said = status.message.unwrap_or_default();
            if status.summary.as_deref() == Some(summary) {
                return Ok(Some(said));
            }
            Err(format!("it says {:?}: {said}", status.summary).into())
        })
        .await
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // What a test that failed has left is for a person to read.
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.settings.folder);
        }
    }
}

/// Waits until a pod runs, and returns it.
///
/// # Errors
///
/// When that takes longer than the limit of tests.
pub async fn runs(namespace: &Namespace, pod: &str) -> Result<Pod> {
    let pods: Api<Pod> = namespace.api();
    eventually(&format!("{pod} runs"), LIMIT, || async {
        let runs = |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running");
        Ok(pods.get_opt(pod).await?.filter(runs))
    })
    .await
}

/// Returns a token that is bound to a pod, as the kubelet would ask for it.
///
/// # Errors
///
/// Whatever the API server says.
pub async fn token(namespace: &Namespace, pod: &Pod, audience: &str) -> Result<String> {
    let bound = BoundObjectReference {
        kind: Some("Pod".to_owned()),
        api_version: Some("v1".to_owned()),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
    };
    let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref()).unwrap_or("default");
    account_token(namespace, account, audience, Some(bound)).await
}

/// Returns a token of a ServiceAccount.
///
/// # Errors
///
/// Whatever the API server says.
pub async fn account_token(
    namespace: &Namespace,
    account: &str,
    audience: &str,
    bound: Option<BoundObjectReference>,
) -> Result<String> {
    let audiences = vec![audience.to_owned()];
    let spec = TokenRequestSpec { audiences, bound_object_ref: bound, ..TokenRequestSpec::default() };
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let accounts: Api<ServiceAccount> = namespace.api();
    let answer = accounts.create_token_request(account, &PostParams::default(), &request).await?;
    Ok(answer.status.ok_or("a token request without an answer")?.token)
}

/// A caller of a gateway, with its token.
pub struct Caller {
    client: Client,
    prefix: String,
    token: String,
}

impl Caller {
    /// Returns who calls the gateway at an address.
    ///
    /// # Errors
    ///
    /// When the address is none.
    pub fn new(address: &str, token: String) -> Result<Self> {
        // What the gateway refuses is what is asked for, not tried again.
        let mut config = Config::new(format!("http://{address}").parse()?);
        config.default_retry = false;
        let client = Client::try_from(config)?;
        Ok(Self { client, prefix: String::new(), token })
    }

    /// Returns who calls the gateway that `make install` has put into the cluster, by way of the API server.
    pub fn installed(cluster: &Cluster, token: String) -> Self {
        let prefix = "/api/v1/namespaces/manyworlds-system/services/manyworlds:gateway/proxy".to_owned();
        Self { client: cluster.client.clone(), prefix, token }
    }

    /// Sends a request, and returns the status and the body of the answer.
    ///
    /// - **Shape:** the token goes as `x-api-key`, which the API server's proxy lets pass.
    ///
    /// # Errors
    ///
    /// When there is no answer, or one that is no JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Result<(StatusCode, Value)> {
        let request = Request::post(format!("{}{path}", self.prefix))
            .header(CONTENT_TYPE, "application/json")
            .header("x-api-key", &self.token)
            .body(Body::from(serde_json::to_vec(body)?))?;
        let answer = self.client.send(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        Ok((status, serde_json::from_slice(&body)?))
    }

    /// Asks a model of OpenAI's protocol something.
    ///
    /// # Errors
    ///
    /// As [`Caller::post`].
    pub async fn chat(&self, model: &str) -> Result<(StatusCode, Value)> {
        self.ask(model, "go on").await
    }

    /// Says something to a model of OpenAI's protocol.
    ///
    /// # Errors
    ///
    /// As [`Caller::post`].
    pub async fn ask(&self, model: &str, content: &str) -> Result<(StatusCode, Value)> {
        let messages = json!([{"role": "user", "content": content}]);
        self.post("/v1/chat/completions", &json!({"model": model, "max_tokens": 5, "messages": messages})).await
    }
}
