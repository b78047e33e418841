//! Never lost: whenever the operator is killed, what comes out is what would have come out.
//!
//! A golden run counts the operator's writes. Then it is killed (SIGKILL) after each of them, and once more after the API
//! server has done the write but before the operator has heard of it, and started again.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::path::PathBuf;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use manyworlds_api::conditions::Reason;
use manyworlds_api::result::{FailureClass, StageReport};
use manyworlds_api::{WorkOrder, World};
use manyworlds_tests::recorder::{Count, Key};
use manyworlds_tests::{
    Cluster, Cut, LIMIT, Namespace, OperatorIdentity, OperatorProcess, OperatorSettings, Proxy, Recorder, Result,
    definitions, eventually, namespace, orders,
};
use serde_json::{Value, json};

/// How many operators are killed at the same time, each in a namespace of its own.
const AT_ONCE: usize = 4;
/// How often a place is tried: how many writes a run takes differs a little, because the operator joins changes that come
/// close together, so a run may end before its cut.
const TRIES: usize = 3;
/// The most places that may stay unreached, in percent.
const MOST_UNREACHED: usize = 5;

/// What came of a run.
#[derive(Debug)]
struct Outcome {
    /// Status of every order and World, without times and nodes.
    states: BTreeMap<Key, Value>,
    /// How often every World and pod was made and deleted.
    counts: BTreeMap<Key, Count>,
}

/// What all runs of a test share.
struct Stage {
    cluster: Cluster,
    identity: OperatorIdentity,
    folder: PathBuf,
    orders: Vec<WorkOrder>,
}

impl Stage {
    async fn new(orders: Vec<WorkOrder>) -> Result<Self> {
        let cluster = Cluster::fake().await?;
        definitions::install(&cluster.client).await?;
        let folder = env::temp_dir().join(namespace::unique("crash"));
        let identity = OperatorIdentity::new(&cluster, &folder).await?;
        Ok(Self { cluster, identity, folder, orders })
    }

    /// Lets an operator do all orders, one after the other, and kills it where `cut` says.
    ///
    /// - **Guarantees:** the number is that of the writes before the cut, or of all where the work was done before it.
    async fn run(&self, cut: Cut) -> Result<(Outcome, usize)> {
        let namespace = Namespace::new(&self.cluster, "crash").await?;
        let recorder = Recorder::start(&namespace);
        let client = self.identity.cluster().await?.client;
        let proxy = Proxy::start(client.clone(), cut).await?;
        let operator = self.operator(&namespace, &proxy)?;
        let work = self.work(&namespace);
        let mut work = std::pin::pin!(work);
        tokio::select! {
            done = &mut work => {
                done.map_err(|error| format!("{cut:?}: {error}\n{}", operator.log_tail()))?;
            }
            () = proxy.frozen() => {
                operator.kill()?;
                let whole = Proxy::start(client, Cut::Never).await?;
                let operator = self.operator(&namespace, &whole)?;
                work.await.map_err(|error| format!("{cut:?}: {error}\n{}", operator.log_tail()))?;
            }
        }
        let counts = recorder.counts().await?;
        Ok((Outcome { states: states(&namespace).await?, counts }, proxy.writes().len()))
    }

    fn operator(&self, namespace: &Namespace, proxy: &Proxy) -> Result<OperatorProcess> {
        OperatorProcess::start(&OperatorSettings {
            kubeconfig: self.identity.kubeconfig_through(&proxy.address)?,
            folder: self.folder.join(&namespace.name),
            watch_namespace: namespace.name.clone(),
            environment: Vec::new(),
        })
    }

    /// Makes the orders one after the other. The last shows that the operator was done with those before it: whatever it
    /// still did to them, it has done by then.
    async fn work(&self, namespace: &Namespace) -> Result {
        let api: Api<WorkOrder> = namespace.api();
        for order in &self.orders {
            let name = orders::create(&api, order).await?.name_any();
            let what = format!("{name} is finished");
            namespace
                .eventually(&what, LIMIT, || async { Ok(api.get(&name).await?.is_finished().then_some(())) })
                .await?;
        }
        Ok(())
    }
}

async fn states(namespace: &Namespace) -> Result<BTreeMap<Key, Value>> {
    let mut states = BTreeMap::new();
    for order in namespace.api::<WorkOrder>().list(&ListParams::default()).await? {
        states.insert(("WorkOrder", order.name_any()), comparable(serde_json::to_value(&order.status)?));
    }
    for world in namespace.api::<World>().list(&ListParams::default()).await? {
        states.insert(("World", world.name_any()), comparable(serde_json::to_value(&world.status)?));
    }
    Ok(states)
}

/// Takes away what differs between two runs that went alike: times, the node that the scheduler chose, and the order of
/// conditions (they are a map by type).
fn comparable(status: Value) -> Value {
    let mut status = timeless(status);
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let by_type: serde_json::Map<_, _> = conditions
        .into_iter()
        .map(|condition| (condition["type"].as_str().unwrap_or_default().to_owned(), condition))
        .collect();
    status["conditions"] = Value::Object(by_type);
    status
}

fn timeless(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .filter(|(name, _)| !name.ends_with("Time") && name != "node")
                .map(|(name, value)| (name, timeless(value)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(timeless).collect()),
        other => other,
    }
}

/// Says in what two outcomes differ, one line a place.
fn differences(golden: &Outcome, other: &Outcome) -> Vec<String> {
    let mut found = Vec::new();
    let keys: BTreeSet<_> = golden.states.keys().chain(other.states.keys()).collect();
    for key in keys {
        let state = |outcome: &Outcome| outcome.states.get(key).cloned().unwrap_or_default();
        compare(&format!("{} {}", key.0, key.1), &state(golden), &state(other), &mut found);
    }
    let keys: BTreeSet<_> = golden.counts.keys().chain(other.counts.keys()).collect();
    for key in keys {
        let (before, after) = (golden.counts.get(key), other.counts.get(key));
        if before != after {
            found.push(format!("{} {}: {before:?}, but {after:?}", key.0, key.1));
        }
    }
    found
}

fn compare(place: &str, golden: &Value, other: &Value, found: &mut Vec<String>) {
    match (golden, other) {
        (Value::Object(before), Value::Object(after)) => {
            let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
            for name in names {
                compare(&format!("{place}.{name}"), &golden[name], &other[name], found);
            }
        }
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
            for (index, (before, after)) in before.iter().zip(after).enumerate() {
                compare(&format!("{place}[{index}]"), before, after, found);
            }
        }
        _ if golden == other => {}
        _ => found.push(format!("{place}: {golden}, but {other}")),
    }
}

/// Runs once without a crash, checks that run, and then once for each place in which the operator can be killed.
async fn kill_everywhere(orders: Vec<WorkOrder>, check: impl Fn(&Outcome)) -> Result {
    let stage = Arc::new(Stage::new(orders).await?);
    let (golden, writes) = stage.run(Cut::Never).await?;
    check(&golden);
    let cuts = (1..=writes).flat_map(|number| [Cut::AfterAnswer(number), Cut::BeforeAnswer(number)]);
    let runs: Vec<_> = futures::stream::iter(cuts)
        .map(|cut| {
            let stage = Arc::clone(&stage);
            async move { Ok::<_, manyworlds_tests::Error>((cut, cut_at(&stage, cut).await?)) }
        })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    let unreached: Vec<_> = runs.iter().filter(|(_, (_, reached))| !reached).map(|(cut, _)| cut).collect();
    eprintln!("coverage: {} of {} cuts were not reached: {unreached:?}", unreached.len(), runs.len());
    assert!(
        unreached.len() * 100 <= runs.len() * MOST_UNREACHED,
        "{unreached:?} of {} cuts were not reached",
        runs.len()
    );
    let different: Vec<_> = runs
        .iter()
        .map(|(cut, (outcome, _))| (cut, differences(&golden, outcome)))
        .filter(|(_, differences)| !differences.is_empty())
        .collect();
    assert!(different.is_empty(), "{different:#?}");
    Ok(std::fs::remove_dir_all(&stage.folder)?)
}

/// Runs with a cut until it is reached, and returns the last outcome with whether it was.
async fn cut_at(stage: &Stage, cut: Cut) -> Result<(Outcome, bool)> {
    let (mut outcome, mut writes) = stage.run(cut).await?;
    for _ in 1..TRIES {
        if writes >= cut.number() {
            break;
        }
        (outcome, writes) = stage.run(cut).await?;
    }
    Ok((outcome, writes >= cut.number()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_after_any_write_changes_nothing_of_a_success() -> Result {
    let orders = vec![orders::fake("first", 3)?, orders::fake("last", 1)?];
    kill_everywhere(orders, |golden| {
        assert_eq!(golden.states[&("WorkOrder", "first".to_owned())]["winner"], "w1");
        let pods: Vec<_> = golden.counts.iter().filter(|((kind, _), _)| *kind == "Pod").collect();
        assert_eq!(pods.len(), 10, "a pod to work and one to judge for each World, and one for each base: {pods:?}");
        assert!(pods.iter().all(|(_, count)| count.made == 1), "{pods:?}");
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_after_any_write_changes_nothing_of_retries() -> Result {
    let failure = StageReport::failed(FailureClass::Worker, Reason::WorkerFailed, "the worker ended with exit code 1");
    let mut failing = serde_json::to_value(orders::fake("failing", 2)?)?;
    failing["spec"]["worker"]["podTemplate"]["annotations"][orders::FAKE_MESSAGE] = json!(failure.to_message()?);
    failing["spec"]["retry"] = json!({"maxAttempts": 2, "baseDelay": "100ms", "maxDelay": "100ms"});
    let orders = vec![serde_json::from_value(failing)?, orders::fake("last", 1)?];
    kill_everywhere(orders, |golden| {
        let order = &golden.states[&("WorkOrder", "failing".to_owned())];
        assert_eq!(order["winner"], Value::Null);
        let attempts =
            golden.counts.keys().filter(|(kind, name)| *kind == "Pod" && name.starts_with("failing")).count();
        assert_eq!(attempts, 4, "two attempts for each of two Worlds: {:?}", golden.counts);
    })
    .await
}

/// W4: a World whose evaluations all fail is judged as often as may be, and worked once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_after_any_write_changes_nothing_of_evaluations() -> Result {
    let failure =
        StageReport::failed(FailureClass::Infrastructure, Reason::OperatorUnreachable, "no way to the operator");
    let mut failing = serde_json::to_value(orders::fake("unjudged", 1)?)?;
    failing["spec"]["worker"]["podTemplate"]["annotations"][orders::FAKE_EVALUATION_MESSAGE] =
        json!(failure.to_message()?);
    failing["spec"]["retry"] = json!({"maxAttempts": 2, "baseDelay": "100ms", "maxDelay": "100ms"});
    let orders = vec![serde_json::from_value(failing)?, orders::fake("last", 1)?];
    kill_everywhere(orders, |golden| {
        let order = &golden.states[&("WorkOrder", "unjudged".to_owned())];
        assert_eq!(order["winner"], Value::Null);
        let made = |name: &str| golden.counts.get(&("Pod", name.to_owned())).map(|count| count.made);
        assert_eq!((made("unjudged-w1-1"), made("unjudged-w1-2")), (Some(1), None), "the worker ran once");
        for number in 1..=5 {
            assert_eq!(made(&format!("unjudged-w1-1-e{number}")), Some(1), "{:?}", golden.counts);
        }
        assert_eq!(made("unjudged-w1-1-e6"), None);
    })
    .await
}

/// W4: a base that cannot be judged is judged as often as may be, and ends its order before a World is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_after_any_write_changes_nothing_of_a_baseline() -> Result {
    let failure =
        StageReport::failed(FailureClass::Infrastructure, Reason::OperatorUnreachable, "no way to the operator");
    let mut failing = serde_json::to_value(orders::fake("baseless", 1)?)?;
    failing["spec"]["worker"]["podTemplate"]["annotations"][orders::FAKE_BASELINE_MESSAGE] =
        json!(failure.to_message()?);
    failing["spec"]["retry"] = json!({"maxAttempts": 2, "baseDelay": "100ms", "maxDelay": "100ms"});
    let orders = vec![serde_json::from_value(failing)?, orders::fake("last", 1)?];
    kill_everywhere(orders, |golden| {
        let order = &golden.states[&("WorkOrder", "baseless".to_owned())];
        assert_eq!((&order["winner"], &order["baseline"]["state"]), (&Value::Null, &json!("Failed")));
        let made = |name: &str| golden.counts.get(&("Pod", name.to_owned())).map(|count| count.made);
        for number in 1..=5 {
            assert_eq!(made(&format!("baseless-baseline-e{number}")), Some(1), "{:?}", golden.counts);
        }
        assert_eq!((made("baseless-baseline-e6"), made("baseless-w1-1-e1")), (None, None));
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_made_again_under_its_name_gets_fresh_worlds() -> Result {
    let stage = Stage::new(vec![orders::fake("again", 2)?]).await?;
    let namespace = Namespace::new(&stage.cluster, "again").await?;
    let recorder = Recorder::start(&namespace);
    let proxy = Proxy::start(stage.identity.cluster().await?.client, Cut::Never).await?;
    let _operator = stage.operator(&namespace, &proxy)?;
    let api: Api<WorkOrder> = namespace.api();
    stage.work(&namespace).await?;
    let first = api.get("again").await?.uid();
    api.delete("again", &kube::api::DeleteParams::background()).await?;
    eventually("the order is gone", LIMIT, || async { Ok(api.get_opt("again").await?.is_none().then_some(())) })
        .await?;
    stage.work(&namespace).await?;
    let second = api.get("again").await?.uid();
    assert_ne!(first, second);
    for world in namespace.api::<World>().list(&ListParams::default()).await? {
        assert_eq!(Some(&world.spec.order.uid), second.as_ref(), "{}", world.name_any());
    }
    for (key, count) in recorder.counts().await? {
        assert_eq!(count, Count { made: 2, deleted: 1 }, "{key:?}");
    }
    Ok(std::fs::remove_dir_all(&stage.folder)?)
}
