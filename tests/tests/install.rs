//! Install, upgrade and uninstall with Helm on a real API server, and the orders that the texts show.
//!
//! Needs Helm, on the `PATH` or named in `MANYWORLDS_HELM`. No pod has to run: the operator that `make install` leaves in
//! the cluster is waited for there.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test does")]

use std::path::{Path, PathBuf};
use std::process::Command;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Service};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::DeleteParams;
use kube::{Api, ResourceExt};
use manyworlds_tests::{Cluster, Namespace, Result, definitions, resources};
use serde_json::Value;

const DEFINITIONS: [&str; 4] =
    ["workorders.manyworlds.dev", "worlds.manyworlds.dev", "providers.manyworlds.dev", "budgets.manyworlds.dev"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Runs Helm against the cluster and returns what it printed.
fn helm(cluster: &Cluster, arguments: &[&str]) -> Result<String> {
    let program = std::env::var("MANYWORLDS_HELM").unwrap_or_else(|_| "helm".to_owned());
    let output = Command::new(&program)
        .args(arguments)
        .env("KUBECONFIG", &cluster.kubeconfig)
        .current_dir(root())
        .output()
        .map_err(|error| format!("{program} does not run ({error}); install Helm 3 or name it in MANYWORLDS_HELM"))?;
    if !output.status.success() {
        return Err(format!("helm {arguments:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Installs or upgrades the definitions as the user does, whoever wrote them before.
fn install_definitions(cluster: &Cluster, label: &str) -> Result<String> {
    let label = format!("labels.manyworlds-test={label}");
    helm(
        cluster,
        &[
            "upgrade",
            "--install",
            "manyworlds-crds",
            "charts/manyworlds-crds",
            "--namespace",
            "manyworlds-system",
            "--create-namespace",
            "--take-ownership",
            "--set-string",
            &label,
        ],
    )
}

/// Value of an environment variable of the operator.
fn environment(deployment: &Deployment, name: &str) -> Option<String> {
    let pod = deployment.spec.as_ref()?.template.spec.as_ref()?;
    pod.containers[0].env.as_ref()?.iter().find(|variable| variable.name == name)?.value.clone()
}

/// Returns the WorkOrder of the first block of YAML in a text, in the namespace `default`.
fn shown_order(file: &str) -> Value {
    let text = std::fs::read_to_string(root().join(file)).unwrap();
    let (_, rest) = text.split_once("```yaml\n").unwrap();
    let (block, _) = rest.split_once("```").unwrap();
    let mut manifests = block.split("\n---\n").map(|manifest| serde_saphyr::from_str::<Value>(manifest).unwrap());
    let mut order = manifests.find(|manifest| manifest["kind"] == "WorkOrder").unwrap();
    order["metadata"]["namespace"] = "default".into();
    order
}

#[tokio::test]
async fn the_orders_in_the_readme_and_the_page_of_the_coder_are_accepted() {
    let cluster = Cluster::any().await.unwrap();
    definitions::install(&cluster.client).await.unwrap();
    for file in ["README.md", "docs/coder.md"] {
        // Applying refuses a field that the schema does not have, rather than dropping it.
        resources::dry_run(&cluster.client, &shown_order(file)).await.unwrap();
    }
}

/// One test and not several: the definitions are one for the whole cluster. Other tests see them all the time.
#[tokio::test]
async fn definitions_are_upgraded_by_helm_and_kept_on_uninstall() {
    let cluster = Cluster::any().await.unwrap();
    let interface: Api<CustomResourceDefinition> = Api::all(cluster.client.clone());

    install_definitions(&cluster, "first").unwrap();
    for name in DEFINITIONS {
        assert_eq!(interface.get(name).await.unwrap().labels()["manyworlds-test"], "first");
    }
    let before = interface.get(DEFINITIONS[0]).await.unwrap().uid();

    install_definitions(&cluster, "second").unwrap();
    for name in DEFINITIONS {
        assert_eq!(interface.get(name).await.unwrap().labels()["manyworlds-test"], "second");
    }

    helm(&cluster, &["uninstall", "manyworlds-crds", "--namespace", "manyworlds-system"]).unwrap();
    let kept = interface.get(DEFINITIONS[0]).await.unwrap();
    assert_eq!(kept.uid(), before, "not even made again, or every WorkOrder would be gone");
    assert!(kept.metadata.deletion_timestamp.is_none());

    install_definitions(&cluster, "third").unwrap();
    assert_eq!(interface.get(DEFINITIONS[0]).await.unwrap().uid(), before);
}

#[tokio::test]
async fn the_operator_is_installed_upgraded_and_removed_and_its_artifacts_are_kept() {
    let cluster = Cluster::any().await.unwrap();
    let namespace = Namespace::new(&cluster, "install").await.unwrap();
    // A prefix of its own: objects without a namespace must not meet those of the cluster's own operator.
    let name = namespace.name.as_str();
    let values = format!("watchNamespace={name},fullnameOverride={name},persistence.size=1Gi");
    let install = |more: &str| {
        let values = format!("{values},{more}");
        let place = ["--namespace", name, "--set", values.as_str()];
        let arguments = [&["upgrade", "--install", "second", "charts/manyworlds"][..], &place[..]].concat();
        helm(&cluster, &arguments)
    };
    let deployments: Api<Deployment> = namespace.api();
    let cluster_roles: Api<ClusterRole> = Api::all(cluster.client.clone());

    let notes = install("log.level=info").unwrap();
    assert!(notes.contains(&format!("rollout status deployment/{name}")), "{notes}");
    let installed = deployments.get(name).await.unwrap();
    assert_eq!(environment(&installed, "MANYWORLDS_LOG").as_deref(), Some("info"));
    assert!(namespace.api::<Role>().get_opt(name).await.unwrap().is_some());
    assert!(cluster_roles.get_opt(name).await.unwrap().is_some());

    install("log.level=debug").unwrap();
    let upgraded = deployments.get(name).await.unwrap();
    assert_eq!(environment(&upgraded, "MANYWORLDS_LOG").as_deref(), Some("debug"));
    assert_eq!(upgraded.uid(), installed.uid(), "changed in place");

    helm(&cluster, &["uninstall", "second", "--namespace", name, "--wait"]).unwrap();
    assert!(deployments.get_opt(name).await.unwrap().is_none());
    assert!(namespace.api::<Service>().get_opt(name).await.unwrap().is_none());
    assert!(namespace.api::<Role>().get_opt(name).await.unwrap().is_none());
    assert!(namespace.api::<RoleBinding>().get_opt(name).await.unwrap().is_none());
    assert!(cluster_roles.get_opt(name).await.unwrap().is_none());
    let bindings: Api<ClusterRoleBinding> = Api::all(cluster.client.clone());
    assert!(bindings.get_opt(name).await.unwrap().is_none());

    let claims: Api<PersistentVolumeClaim> = namespace.api();
    let claim = format!("{name}-artifacts");
    let kept = claims.get(&claim).await.unwrap();
    assert!(kept.metadata.deletion_timestamp.is_none());

    // Installed again, it takes the claim and with it the artifacts back.
    install("log.level=info").unwrap();
    assert_eq!(claims.get(&claim).await.unwrap().uid(), kept.uid());
    helm(&cluster, &["uninstall", "second", "--namespace", name, "--wait"]).unwrap();
    claims.delete(&claim, &DeleteParams::default()).await.unwrap();
}
