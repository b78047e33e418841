//! The volume of the operator that `make install` has put into the cluster.

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, LogParams};
use serde_json::json;

use crate::real::{LIMIT, order};
use crate::{Cluster, Result, eventually, namespace, resources};

/// The namespace of the operator.
pub const SYSTEM: &str = "manyworlds-system";

/// Runs a program in Python beside the operator, with the operator's volume at `/data`, and returns what it printed.
///
/// - **Guarantees:** the program cannot write to the volume.
///
/// # Errors
///
/// When the program has not ended well in time, or whatever the API server says.
pub async fn run_beside(cluster: &Cluster, program: &str, arguments: &[String]) -> Result<String> {
    let image = order("image", "")["spec"]["worker"]["image"].clone();
    let name = namespace::unique("reader");
    let mut command = vec!["python3", "-c", program];
    command.extend(arguments.iter().map(String::as_str));
    let security = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
    let main = json!({
        "name": "main", "image": image, "command": command, "securityContext": security,
        "volumeMounts": [{"name": "data", "mountPath": "/data", "readOnly": true}],
    });
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": SYSTEM},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
                                "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [main],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "manyworlds-artifacts"}}],
        },
    });
    resources::apply(&cluster.client, &pod).await?;
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), SYSTEM);
    let printed = eventually("the volume was read", LIMIT, || async {
        let phase = pods.get(&name).await?.status.and_then(|status| status.phase).unwrap_or_default();
        match phase.as_str() {
            "Succeeded" => Ok(Some(pods.logs(&name, &LogParams::default()).await?)),
            _ => Err(format!("the pod {name} is {phase}").into()),
        }
    })
    .await;
    pods.delete(&name, &DeleteParams::default()).await?;
    printed
}
