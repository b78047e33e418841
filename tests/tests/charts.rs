//! The charts: what they render, what they refuse, and that everything generated from them is up to date.
//!
//! Needs Helm, on the `PATH` or named in `MANYWORLDS_HELM`; no cluster.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper of a test fails as the test does")]

#[path = "charts/admission.rs"]
mod admission;
#[path = "charts/operation.rs"]
mod operation;
#[path = "charts/tenants.rs"]
mod tenants;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

const NAMESPACE: &str = "manyworlds-system";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn helm() -> String {
    std::env::var("MANYWORLDS_HELM").unwrap_or_else(|_| "helm".to_owned())
}

fn run(command: &mut Command) -> Output {
    match command.output() {
        Ok(output) => output,
        Err(error) => panic!("{command:?} does not run ({error}); install Helm 3 or name it in MANYWORLDS_HELM"),
    }
}

/// Renders a chart with values given as JSON, as `helm install` would; without the notes.
fn template(chart: &str, values: &Value) -> Output {
    let folder = scratch(&format!("values-{chart}"));
    let file = folder.join("values.json");
    fs::write(&file, values.to_string()).unwrap();
    let output = run(Command::new(helm())
        .args(["template", "manyworlds", "--namespace", NAMESPACE, "--kube-version", "1.33.0", "--values"])
        .arg(&file)
        .arg(root().join("charts").join(chart)));
    fs::remove_dir_all(folder).unwrap();
    output
}

/// The objects of a chart, by kind and name.
fn objects(chart: &str, values: &Value) -> BTreeMap<(String, String), Value> {
    let output = template(chart, values);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    documents.into_iter().filter(|object| !object.is_null()).map(|object| (key(&object), object)).collect()
}

fn key(object: &Value) -> (String, String) {
    (object["kind"].as_str().unwrap().to_owned(), object["metadata"]["name"].as_str().unwrap().to_owned())
}

fn only<'a>(objects: &'a BTreeMap<(String, String), Value>, kind: &str, name: &str) -> &'a Value {
    objects.get(&(kind.to_owned(), name.to_owned())).unwrap_or_else(|| panic!("no {kind} {name}"))
}

fn deployment(values: &Value) -> Value {
    only(&objects("manyworlds", values), "Deployment", "manyworlds").clone()
}

/// Value of an environment variable of the operator.
fn environment(deployment: &Value, name: &str) -> Value {
    let variables = deployment["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap();
    variables.iter().find(|variable| variable["name"] == name).unwrap_or_else(|| panic!("no variable {name}"))["value"]
        .clone()
}

/// An empty folder of this test's own.
fn scratch(name: &str) -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("charts-{name}-{number}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Every rule of a Role or ClusterRole as `group/resource:verb`.
fn rights(role: &Value) -> Vec<String> {
    let words = |rule: &Value, field: &str| -> Vec<String> {
        rule[field].as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    let mut rights = Vec::new();
    for rule in role["rules"].as_array().unwrap() {
        for group in words(rule, "apiGroups") {
            for resource in words(rule, "resources") {
                for verb in words(rule, "verbs") {
                    rights.push(format!("{group}/{resource}:{verb}"));
                }
            }
        }
    }
    rights.sort();
    rights
}

#[test]
fn generated_files_are_up_to_date() {
    let folder = scratch("render");
    let output = run(Command::new(root().join("charts/render")).arg(&folder));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut generated = vec![
        "charts/manyworlds/Chart.yaml".to_owned(),
        "charts/manyworlds-crds/Chart.yaml".to_owned(),
        "manifests/install.yaml".to_owned(),
    ];
    for tree in [&folder, &root()] {
        for entry in fs::read_dir(tree.join("charts/manyworlds-crds/files")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            generated.push(format!("charts/manyworlds-crds/files/{name}"));
        }
    }
    for path in generated {
        let expected = fs::read_to_string(folder.join(&path)).unwrap_or_default();
        let found = fs::read_to_string(root().join(&path)).unwrap_or_default();
        assert!(expected == found, "{path} is out of date; run `make generate`");
    }
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn the_chart_of_definitions_changes_nothing_but_labels_and_annotations() {
    let rendered = objects("manyworlds-crds", &json!({}));
    assert_eq!(rendered.len(), 4);
    for (file, name) in [
        ("manyworlds.dev_budgets.yaml", "budgets.manyworlds.dev"),
        ("manyworlds.dev_providers.yaml", "providers.manyworlds.dev"),
        ("manyworlds.dev_workorders.yaml", "workorders.manyworlds.dev"),
        ("manyworlds.dev_worlds.yaml", "worlds.manyworlds.dev"),
    ] {
        let text = fs::read_to_string(root().join("crds").join(file)).unwrap();
        let original: Value = serde_saphyr::from_str(&text).unwrap();
        let definition = only(&rendered, "CustomResourceDefinition", name);
        assert_eq!(definition["spec"], original["spec"]);
    }
}

#[test]
fn definitions_are_kept_on_uninstall_unless_the_user_says_otherwise() {
    let policy = |values: &Value| -> Vec<Value> {
        let definitions = objects("manyworlds-crds", values);
        definitions
            .values()
            .map(|object| object["metadata"]["annotations"]["helm.sh/resource-policy"].clone())
            .collect()
    };
    assert_eq!(policy(&json!({})), vec![json!("keep"); 4]);
    assert_eq!(policy(&json!({"keep": false})), vec![Value::Null; 4]);
    assert_eq!(policy(&json!({"annotations": {"a": "b"}})), vec![json!("keep"); 4]);
}

#[test]
fn bad_values_are_refused_with_their_place_and_reason() {
    let cases = [
        ("manyworlds-crds", json!({"kep": true}), "", "'kep' not allowed"),
        ("manyworlds", json!({"replicas": 2}), "", "'replicas' not allowed"),
        ("manyworlds", json!({"log": {"format": "xml"}}), "/log/format", "'json', 'text'"),
        ("manyworlds", json!({"persistence": {"size": "huge"}}), "/persistence/size", "does not match pattern"),
        ("manyworlds", json!({"persistence": {"siz": "1Gi"}}), "/persistence", "'siz' not allowed"),
        ("manyworlds", json!({"artifacts": {"retention": "soon"}}), "/artifacts/retention", "does not match pattern"),
        (
            "manyworlds",
            json!({"artifacts": {"quota": {"perWorld": "much"}}}),
            "/artifacts/quota/perWorld",
            "does not match pattern",
        ),
        ("manyworlds", json!({"watchNamespace": "Team A"}), "/watchNamespace", "does not match pattern"),
        ("manyworlds", json!({"watchNamespace": ["a"]}), "/watchNamespace", "want string"),
        ("manyworlds", json!({"capacity": {"namespaces": [{"limit": 1}]}}), "/capacity/namespaces/0", "'name'"),
        ("manyworlds", json!({"image": {"digest": "sha256:1"}}), "/image/digest", "does not match pattern"),
        ("manyworlds", json!({"image": {"pullPolicy": "never"}}), "/image/pullPolicy", "'IfNotPresent'"),
        ("manyworlds", json!({"extraEnv": [{"value": "x"}]}), "/extraEnv/0", "missing property 'name'"),
        (
            "manyworlds",
            json!({"worlds": {"networkPolicy": {"repositoryEgress": [{"too": []}]}}}),
            "/worlds/networkPolicy/repositoryEgress/0",
            "'too' not allowed",
        ),
        (
            "manyworlds",
            json!({"worlds": {"networkPolicy": {"dns": [{"too": []}]}}}),
            "/worlds/networkPolicy/dns/0",
            "'too' not allowed",
        ),
        (
            "manyworlds",
            json!({"worlds": {"podTemplate": {"allowedLabel": ["team"]}}}),
            "/worlds/podTemplate",
            "'allowedLabel' not allowed",
        ),
    ];
    for (chart, values, place, reason) in cases {
        let output = template(chart, &values);
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{values} was accepted");
        assert!(message.contains(&format!("at '{place}'")), "{values}: {message}");
        assert!(message.contains(reason), "{values}: {message}");
    }
}

#[test]
fn budgets_are_required_where_the_value_says_so() {
    for (value, expected) in
        [(json!("none"), r#""none""#), (json!("all"), r#""all""#), (json!(["a", "b"]), r#"["a","b"]"#)]
    {
        let values = json!({"budgets": {"required": value}});
        assert_eq!(environment(&deployment(&values), "MANYWORLDS_BUDGETS_REQUIRED"), expected);
    }
    assert!(!template("manyworlds", &json!({"budgets": {"required": "some"}})).status.success());
}

#[test]
fn every_value_is_described_in_the_schema() {
    fn check(place: &str, schema: &Value) {
        assert!(schema["description"].is_string() || place.is_empty(), "{place} has no description");
        let Some(properties) = schema["properties"].as_object() else { return };
        for (name, property) in properties {
            check(&format!("{place}/{name}"), property);
        }
    }
    for chart in ["manyworlds", "manyworlds-crds"] {
        let text = fs::read_to_string(root().join("charts").join(chart).join("values.schema.json")).unwrap();
        check("", &serde_json::from_str(&text).unwrap());
    }
}

#[test]
fn all_namespaces_need_a_cluster_role_and_one_namespace_a_role() {
    let everywhere = objects("manyworlds", &json!({}));
    assert!(everywhere.keys().all(|(kind, _)| kind != "Role" && kind != "RoleBinding"));
    let wide = rights(only(&everywhere, "ClusterRole", "manyworlds"));

    let one = objects("manyworlds", &json!({"watchNamespace": "team-a"}));
    let role = only(&one, "Role", "manyworlds");
    assert_eq!(role["metadata"]["namespace"], "team-a");
    assert_eq!(only(&one, "RoleBinding", "manyworlds")["subjects"][0]["namespace"], NAMESPACE);
    let cluster = rights(only(&one, "ClusterRole", "manyworlds"));
    assert_eq!(
        cluster,
        [
            "/nodes:get",
            "/nodes:list",
            "/nodes:watch",
            "authentication.k8s.io/tokenreviews:create",
            "authorization.k8s.io/subjectaccessreviews:create",
        ]
    );
    let mut both = [rights(role), cluster].concat();
    both.sort();
    assert_eq!(both, wide, "together they are the same rights");
    assert!(one.contains_key(&("Role".to_owned(), "manyworlds-artifact-reader".to_owned())));
    assert_eq!(
        environment(&one[&("Deployment".to_owned(), "manyworlds".to_owned())], "MANYWORLDS_WATCH_NAMESPACE"),
        "team-a"
    );
}

#[test]
fn the_operator_has_no_right_that_it_does_not_need() {
    let role = rights(only(&objects("manyworlds", &json!({})), "ClusterRole", "manyworlds"));
    assert_eq!(
        role,
        [
            "/events:create",
            "/events:patch",
            "/nodes:get",
            "/nodes:list",
            "/nodes:watch",
            "/pods:create",
            "/pods:delete",
            "/pods:get",
            "/pods:list",
            "/pods:watch",
            "authentication.k8s.io/tokenreviews:create",
            "authorization.k8s.io/subjectaccessreviews:create",
            "events.k8s.io/events:create",
            "events.k8s.io/events:patch",
            "manyworlds.dev/budgets/status:patch",
            "manyworlds.dev/budgets:get",
            "manyworlds.dev/budgets:list",
            "manyworlds.dev/budgets:watch",
            "manyworlds.dev/providers/status:patch",
            "manyworlds.dev/providers:get",
            "manyworlds.dev/providers:list",
            "manyworlds.dev/providers:watch",
            "manyworlds.dev/workorders/status:patch",
            "manyworlds.dev/workorders:delete",
            "manyworlds.dev/workorders:get",
            "manyworlds.dev/workorders:list",
            "manyworlds.dev/workorders:patch",
            "manyworlds.dev/workorders:watch",
            "manyworlds.dev/worlds/status:patch",
            "manyworlds.dev/worlds:create",
            "manyworlds.dev/worlds:delete",
            "manyworlds.dev/worlds:get",
            "manyworlds.dev/worlds:list",
            "manyworlds.dev/worlds:watch",
            "networking.k8s.io/networkpolicies:create",
            "networking.k8s.io/networkpolicies:get",
            "networking.k8s.io/networkpolicies:list",
            "networking.k8s.io/networkpolicies:patch",
            "networking.k8s.io/networkpolicies:watch",
        ]
    );
}

#[test]
fn people_get_rights_through_the_cluster_roles_that_they_have() {
    let rendered = objects("manyworlds", &json!({}));
    let view = only(&rendered, "ClusterRole", "manyworlds-view");
    let edit = only(&rendered, "ClusterRole", "manyworlds-edit");
    assert_eq!(view["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-view"], "true");
    assert_eq!(edit["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-edit"], "true");
    assert!(edit["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-view"].is_null());
    assert!(rights(view).iter().all(|right| !right.ends_with(":create")));
    assert!(rights(edit).iter().all(|right| !right.contains("/worlds")), "only the operator writes Worlds");
    assert!(rights(edit).iter().all(|right| !right.contains("/providers") && !right.contains("/budgets")));
    let admin = only(&rendered, "ClusterRole", "manyworlds-admin");
    assert!(rights(admin).contains(&"manyworlds.dev/budgets:update".to_owned()));
    assert!(admin["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-edit"].is_null());
    let none = objects("manyworlds", &json!({"rbac": {"aggregate": false}}));
    assert!(!none.contains_key(&("ClusterRole".to_owned(), "manyworlds-view".to_owned())));
}

#[test]
fn the_operator_meets_the_restricted_pod_security_standard() {
    let pod = &deployment(&json!({}))["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["runAsUser"], 65532);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    let container = &pod["containers"][0]["securityContext"];
    assert_eq!(
        *container,
        json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}})
    );
    assert!(pod["hostNetwork"].is_null() && pod["hostPID"].is_null());
}

#[test]
fn there_is_one_operator_at_a_time() {
    let spec = &deployment(&json!({}))["spec"];
    assert_eq!(spec["replicas"], 1);
    assert_eq!(spec["strategy"], json!({"type": "Recreate"}));
}

#[test]
fn the_service_and_the_network_policy_find_the_operators_pod() {
    let rendered = objects("manyworlds", &json!({"podLabels": {"team": "a"}}));
    let labels = &only(&rendered, "Deployment", "manyworlds")["spec"]["template"]["metadata"]["labels"];
    assert_eq!(labels["team"], "a");
    let service = &only(&rendered, "Service", "manyworlds")["spec"]["selector"];
    let policy = &only(&rendered, "NetworkPolicy", "manyworlds")["spec"]["podSelector"]["matchLabels"];
    for selector in [service, policy] {
        for (name, value) in selector.as_object().unwrap() {
            assert_eq!(labels[name], *value);
        }
    }
}

#[test]
fn another_release_name_gives_other_names_and_a_matching_address() {
    let rendered = objects("manyworlds", &json!({"fullnameOverride": "second"}));
    let deployment = only(&rendered, "Deployment", "second");
    assert_eq!(environment(deployment, "MANYWORLDS_SERVICE_URL"), "http://second.manyworlds-system.svc:8080");
    assert!(rendered.keys().all(|(_, name)| name.starts_with("second")));
}

#[test]
fn artifacts_live_on_a_claim_an_existing_claim_or_in_the_pod() {
    let volume = |values: &Value| deployment(values)["spec"]["template"]["spec"]["volumes"][0].clone();
    let claim = |name: &str| json!({"name": "artifacts", "persistentVolumeClaim": {"claimName": name}});
    let made = ("PersistentVolumeClaim".to_owned(), "manyworlds-artifacts".to_owned());

    let default = objects("manyworlds", &json!({}));
    assert_eq!(volume(&json!({})), claim("manyworlds-artifacts"));
    assert_eq!(default[&made]["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
    assert!(default[&made]["spec"]["storageClassName"].is_null(), "the cluster's default class");

    let existing = json!({"persistence": {"existingClaim": "mine"}});
    assert_eq!(volume(&existing), claim("mine"));
    assert!(!objects("manyworlds", &existing).contains_key(&made));

    let none = json!({"persistence": {"enabled": false, "size": "2Gi"}});
    assert_eq!(volume(&none), json!({"name": "artifacts", "emptyDir": {"sizeLimit": "2Gi"}}));
    assert!(!objects("manyworlds", &none).contains_key(&made));
}

#[test]
fn a_digest_goes_before_a_tag() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let image = |values: &Value| deployment(values)["spec"]["template"]["spec"]["containers"][0]["image"].clone();
    assert_eq!(image(&json!({})), format!("docker.io/manyworlds/operator:{}", env!("CARGO_PKG_VERSION")));
    assert_eq!(image(&json!({"image": {"tag": "next"}})), "docker.io/manyworlds/operator:next");
    assert_eq!(
        image(&json!({"image": {"tag": "next", "digest": digest}})),
        format!("docker.io/manyworlds/operator@{digest}")
    );
}
