//! Planted secrets are looked for wherever somebody could find them (S4, S5): a Provider's key, the credential of the order's
//! repository, and a Secret that nothing names.
//!
//! Each place is searched for a word that is known to be there as well, so that a search that looks at nothing fails.

use std::process::Command;

use k8s_openapi::api::core::v1::{Event, Pod, Secret};
use kube::api::{ListParams, LogParams, PostParams};
use kube::{Api, ResourceExt};
use manyworlds_api::{Budget, Provider, WorkOrder, World};
use manyworlds_tests::models::{CANARY, calls, provider};
use manyworlds_tests::real::{create, finished, order, restricted, works};
use manyworlds_tests::volume::{self, SYSTEM};
use manyworlds_tests::{Cluster, LIMIT as SOON, Namespace, Result, eventually, resources};
use serde_json::{Value, json};

/// The password of the repository, and what is in a Secret that nothing names: neither looks like a key of any vendor.
const PASSWORD: &str = "planted-password-8d1f27c4b9";
const UNNAMED: &str = "planted-unnamed-5a9b30e2d7";

/// Calls the model once, says a word, leaves a change, and goes on until it is told that it was seen.
const WORKER: &str = r#"
import json, os, time, urllib.request
url, key = os.environ["OPENAI_BASE_URL"] + "/chat/completions", os.environ["OPENAI_API_KEY"]
body = json.dumps({"model": os.environ["MANYWORLDS_MODEL"], "max_tokens": 5, "messages": [{"role": "user", "content": "go on"}]})
headers = {"authorization": "Bearer " + key, "content-type": "application/json"}
print(urllib.request.urlopen(urllib.request.Request(url, body.encode(), headers)).read().decode(), flush=True)
print("said", os.environ["MANYWORLDS_MODEL"], flush=True)
open("change.txt", "w").write(os.environ["MANYWORLDS_MODEL"] + "\n")
while not os.path.exists("/tmp/seen"):
    time.sleep(0.1)
"#;

/// Prints what a process of the worker's user can read of the environment, the processes and the mounts of its container.
const LOOK: &str = r#"
import os, sys
def show(path):
    try:
        data = open(path, "rb").read(4 << 20)
    except OSError as error:
        data = repr(error).encode()
    sys.stdout.buffer.write(b"\n== " + path.encode() + b"\n" + data)
for pid in filter(str.isdigit, os.listdir("/proc")):
    for name in ["environ", "cmdline", "mountinfo"]:
        show("/proc/%s/%s" % (pid, name))
for top in ["/var/run/secrets", "/run/secrets", "/manyworlds", "/etc", "/tmp", "/dev/termination-log", os.path.expanduser("~")]:
    if os.path.isfile(top):
        show(top)
    for folder, _, files in os.walk(top):
        for name in files:
            show(os.path.join(folder, name))
"#;

/// Counts words in the bytes of every file below the operator's volume: the ledger with its log, and the artifacts.
const COUNT: &str = r#"
import json, os, sys
found = {}
for folder, _, files in os.walk("/data"):
    for name in files:
        path = os.path.join(folder, name)
        part = "ledger" if "/ledger/" in path else "artifacts"
        data = open(path, "rb").read()
        for word in sys.argv[1:]:
            found.setdefault(part, {}).setdefault(word, 0)
            found[part][word] += data.count(word.encode())
print(json.dumps(found))
"#;

/// Returns each planted secret as it is, and in the ways in which Kubernetes and HTTP write it.
fn planted() -> Vec<String> {
    let base64 = |text: &str| {
        let bytes = k8s_openapi::ByteString(text.as_bytes().to_vec());
        serde_json::to_value(bytes).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
    };
    let basic = base64(&format!("user:{PASSWORD}"));
    let each = [CANARY, PASSWORD, UNNAMED].into_iter();
    each.flat_map(|secret| [secret.to_owned(), base64(secret)]).chain([basic]).collect()
}

/// Looks for the secrets in a text, in which a word is known to be.
fn search(place: &str, text: &str, known: &str) {
    assert!(
        text.contains(known),
        "{place}: what was searched does not even have {known:?}; it has {} bytes",
        text.len()
    );
    for secret in planted() {
        assert!(!text.contains(&secret), "{place}: {secret} was seen");
    }
}

fn kubectl(cluster: &Cluster, arguments: &[&str]) -> Result<String> {
    let output = Command::new("kubectl").arg("--kubeconfig").arg(&cluster.kubeconfig).args(arguments).output()?;
    if !output.status.success() {
        return Err(format!("kubectl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

async fn plant(namespace: &Namespace) -> Result {
    let secrets: Api<Secret> = namespace.api();
    for secret in [
        json!({"metadata": {"name": "repository"}, "type": "kubernetes.io/basic-auth", "stringData": {"host": "git.manyworlds-demo.svc", "username": "user", "password": PASSWORD}}),
        json!({"metadata": {"name": "unnamed"}, "stringData": {"value": UNNAMED}}),
    ] {
        secrets.create(&PostParams::default(), &serde_json::from_value(secret)?).await?;
    }
    Ok(())
}

/// What a running World's container can read, and all that the API server says of its pod.
async fn search_the_pod(cluster: &Cluster, namespace: &Namespace, model: &str) -> Result {
    let pod = namespace.api::<Pod>().get("looks-alpha-1").await?;
    search("the pod", &serde_json::to_string(&pod)?, model);
    let exec = ["exec", "--namespace", &namespace.name, "looks-alpha-1", "--container", "work", "--"];
    let look = |script: &[&str]| kubectl(cluster, &[&exec[..], script].concat());
    let found = look(&["python3", "-c", LOOK])?;
    for known in [format!("MANYWORLDS_MODEL={model}").as_str(), "/mountinfo", "== /var/run/secrets/manyworlds/gateway/"]
    {
        search("the container", &found, known);
    }
    look(&["touch", "/tmp/seen"]).map(drop)
}

/// Status, spec and Events of everything, and the logs of all containers.
async fn search_the_cluster(cluster: &Cluster, namespace: &Namespace, model: &str) -> Result {
    let all = ListParams::default();
    let objects = [
        ("WorkOrders", serde_json::to_string(&namespace.api::<WorkOrder>().list(&all).await?.items)?, model),
        ("Worlds", serde_json::to_string(&namespace.api::<World>().list(&all).await?.items)?, model),
        ("Providers", serde_json::to_string(&namespace.api::<Provider>().list(&all).await?.items)?, model),
        ("Budgets", serde_json::to_string(&namespace.api::<Budget>().list(&all).await?.items)?, "team"),
        ("Events", serde_json::to_string(&namespace.api::<Event>().list(&all).await?.items)?, "looks-alpha-1"),
    ];
    for (place, text, known) in &objects {
        search(place, text, known);
    }
    let pods: Api<Pod> = namespace.api();
    // A stage in which nothing goes wrong prints nothing of its own.
    let mut logs = String::new();
    for (pod, containers) in
        [("looks-alpha-1", &["prepare", "work", "collect"][..]), ("looks-alpha-1-e1", &["checkout", "judge"][..])]
    {
        for container in containers {
            let parameters = LogParams { container: Some((*container).to_owned()), ..LogParams::default() };
            logs += &pods.logs(pod, &parameters).await?;
        }
    }
    search("the World's logs", &logs, &format!("said {model}"));
    let operators: Api<Pod> = Api::namespaced(cluster.client.clone(), SYSTEM);
    let labelled = ListParams::default().labels("app.kubernetes.io/name=manyworlds");
    let mut logs = String::new();
    for pod in operators.list(&labelled).await?.items {
        logs += &operators.logs(&pod.name_any(), &LogParams::default()).await?;
    }
    search("the operator's log", &logs, &namespace.name);
    let request = http::Request::get(format!("/api/v1/namespaces/{SYSTEM}/services/manyworlds:metrics/proxy/metrics"));
    let metrics = cluster.client.request_text(request.body(Vec::new())?).await?;
    search("the metrics", &metrics, "manyworlds_llm_calls_total{");
    Ok(())
}

/// Reads the operator's volume, from a pod beside it: the ledger's file with its write-ahead log, and every artifact.
async fn search_the_volume(cluster: &Cluster, model: &str) -> Result {
    let words: Vec<_> = [model.to_owned()].into_iter().chain(planted()).collect();
    let counted: Value = serde_json::from_str(&volume::run_beside(cluster, COUNT, &words).await?)?;
    for part in ["ledger", "artifacts"] {
        let count = |word: &str| counted[part][word].as_u64();
        assert!(count(model) > Some(0), "{part}: what was searched does not even have {model}: {counted}");
        for secret in planted() {
            assert_eq!(count(&secret), Some(0), "{part}: {secret} was seen");
        }
    }
    Ok(())
}

/// S4, S5: the secrets are used (the model is called with the key, `prepare` has the credential), and seen
/// nowhere.
#[tokio::test]
async fn planted_secrets_are_seen_nowhere() -> Result {
    let (cluster, namespace) = restricted("secrets").await?;
    let model = format!("{}-m", namespace.name);
    provider(&cluster, &namespace, &[&model], &json!({})).await?;
    plant(&namespace).await?;
    let metadata = json!({"name": "team", "namespace": namespace.name});
    let budget = json!({"amount": "1.00", "period": "Total", "selector": {}});
    resources::apply(
        &cluster.client,
        &json!({"apiVersion": "manyworlds.dev/v1alpha1", "kind": "Budget", "metadata": metadata, "spec": budget}),
    )
    .await?;
    let mut order = order("looks", "");
    order["spec"]["source"]["git"]["secretRef"] = json!({"name": "repository"});
    order["spec"]["worker"]["command"] = json!(["python3", "-c", WORKER]);
    order["spec"]["worker"]["model"] = json!(model);
    order["spec"]["worker"]["phaseTimeouts"]["coding"] = json!("5m");
    create(&namespace, &order).await?;
    works(&namespace, "looks-alpha-1").await?;
    eventually("the World calls", SOON, || async { Ok((calls(&cluster, &model).await? == 1).then_some(())) }).await?;
    search_the_pod(&cluster, &namespace, &model).await?;
    let status = finished(&namespace, "looks").await?;
    assert!(status.artifacts.is_some_and(|artifacts| artifacts.count > 0), "{:?}", status.message);
    assert_eq!(status.usage.map(|usage| usage.calls), Some(1));
    search_the_cluster(&cluster, &namespace, &model).await?;
    search_the_volume(&cluster, &model).await
}
