//! The admission policy of the chart, with the operator that `make install` has put into the cluster: who takes over the operator
//! gets no pod but one like those that it makes.

use std::io::Write;
use std::process::{Command, Stdio};

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{Patch, PatchParams};
use manyworlds_tests::real::{create, order, works};
use manyworlds_tests::{Cluster, Namespace, Result};
use serde_json::{Value, json};

/// The options of kubectl with which somebody acts as the operator.
const AS_OPERATOR: [&str; 1] = ["--as=system:serviceaccount:manyworlds-system:manyworlds"];

/// Has the API server say what it thinks of a pod, which is not made. Returns its refusal.
fn refusal(cluster: &Cluster, options: &[&str], namespace: &str, pod: &Value) -> Result<Option<String>> {
    let mut kubectl = Command::new("kubectl")
        .arg("--kubeconfig")
        .arg(&cluster.kubeconfig)
        .args(["create", "--dry-run=server", "--validate=false", "--filename=-", "--namespace", namespace])
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    // It ends once its input does.
    kubectl.stdin.take().ok_or("no standard input")?.write_all(pod.to_string().as_bytes())?;
    let output = kubectl.wait_with_output()?;
    Ok((!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned()))
}

/// Returns a pod that the operator has made, as it would be made again.
async fn own_pod(namespace: &Namespace) -> Result<Value> {
    create(namespace, &order("held", "exec sleep 50")).await?;
    works(namespace, "held-alpha-1").await?;
    let pod = namespace.api::<Pod>().get("held-alpha-1").await?;
    let mut spec = serde_json::to_value(&pod.spec)?;
    spec.as_object_mut().and_then(|spec| spec.remove("nodeName")).ok_or("the pod has no node")?;
    let metadata = json!({"name": "copy", "labels": pod.metadata.labels});
    Ok(json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}))
}

/// What makes a pod one that the policy refuses.
type Spoiling = fn(&mut Value);

/// W14: the operator may create pods in every namespace, so a policy of the API server says which.
#[tokio::test]
async fn the_operators_account_makes_no_pod_but_one_like_those_of_worlds() -> Result {
    let cluster = Cluster::any().await?;
    // Without a Pod Security Standard, which would refuse some of these pods of everybody.
    let namespace = Namespace::new(&cluster, "admission").await?;
    let own = own_pod(&namespace).await?;
    assert_eq!(refusal(&cluster, &AS_OPERATOR, &namespace.name, &own)?, None);
    let cases: [(&str, Spoiling); 8] = [
        ("uses nothing of its node", |pod| pod["spec"]["hostNetwork"] = json!(true)),
        ("uses nothing of its node", |pod| pod["spec"]["nodeName"] = json!("a-node")),
        ("does not run as root", |pod| pod["spec"]["securityContext"]["runAsNonRoot"] = json!(false)),
        ("no privilege and no capability", |pod| {
            pod["spec"]["containers"][0]["securityContext"] = json!({"privileged": true});
        }),
        ("runtime's seccomp profile", |pod| {
            pod["spec"]["securityContext"]["seccompProfile"] = json!({"type": "Unconfined"});
        }),
        ("no volume of its node", |pod| {
            let name = pod["spec"]["volumes"][0]["name"].clone();
            pod["spec"]["volumes"][0] = json!({"name": name, "hostPath": {"path": "/"}});
        }),
        ("no token but its own", |pod| pod["spec"]["automountServiceAccountToken"] = json!(true)),
        ("the labels of an order", |pod| pod["metadata"]["labels"]["app"] = json!("payments")),
    ];
    for (words, change) in cases {
        let mut pod = own.clone();
        change(&mut pod);
        let refused = refusal(&cluster, &AS_OPERATOR, &namespace.name, &pod)?.unwrap_or_default();
        assert!(refused.contains("ValidatingAdmissionPolicy") && refused.contains(words), "{words}: {refused}");
    }
    let elsewhere = refusal(&cluster, &AS_OPERATOR, "kube-system", &own)?.unwrap_or_default();
    assert!(elsewhere.contains("no pods in this namespace"), "{elsewhere}");
    let mut host = own.clone();
    host["spec"]["hostNetwork"] = json!(true);
    host["metadata"]["labels"] = json!({"app": "payments"});
    assert_eq!(refusal(&cluster, &[], &namespace.name, &host)?, None, "this policy is about nobody else");
    // The operator would believe what a pod with its labels says.
    let forged = refusal(&cluster, &[], &namespace.name, &own)?.unwrap_or_default();
    assert!(forged.contains("only the operator makes pods"), "{forged}");
    others_change_nothing_that_counts(&namespace).await
}

/// A pod of a World is as the operator made it, whoever may write pods.
async fn others_change_nothing_that_counts(namespace: &Namespace) -> Result {
    let pods: Api<Pod> = namespace.api();
    let patch =
        async |change: Patch<Value>| pods.patch("held-alpha-1", &PatchParams::default(), &change).await.map(drop);
    let changed = [
        patch(Patch::Strategic(json!({"spec": {"containers": [{"name": "collect", "image": "example.com/other"}]}})))
            .await,
        patch(Patch::Merge(json!({"metadata": {"labels": {"manyworlds.dev/attempt": "2"}}}))).await,
        patch(Patch::Merge(json!({"metadata": {"labels": {"manyworlds.dev/work-order": null}}}))).await,
    ];
    for answer in changed {
        let refused = answer.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(refused.contains("only the operator makes pods"), "{refused}");
    }
    Ok(patch(Patch::Merge(json!({"metadata": {"annotations": {"example.com/seen": "true"}}}))).await?)
}
