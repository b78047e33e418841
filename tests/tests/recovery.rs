//! Never lost: the API server and its store end in the middle of the work and come back, and everything converges.

use std::env;
use std::process::Command;

use futures::{StreamExt, TryStreamExt};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use manyworlds_api::{WorkOrder, World};
use manyworlds_tests::recorder::Count;
use manyworlds_tests::{
    Cluster, LIMIT, Namespace, OperatorIdentity, OperatorProcess, OperatorSettings, Recorder, Result, definitions,
    eventually, namespace, orders,
};

/// Orders of the test, and Worlds of each: enough that the server ends in the middle of them.
const ORDERS: usize = 20;
const WORLDS: usize = 3;

/// Ends a process of the fake cluster's control plane and starts it again.
fn restart(process: &str) -> Result {
    let script = env::var_os("MANYWORLDS_TEST_CLUSTER")
        .ok_or("MANYWORLDS_TEST_CLUSTER is not set: this test restarts the API server. `make test` sets it; by hand, set it to tests/cluster/cluster")?;
    // The script would otherwise take the cluster that KUBECONFIG names for the one to restart.
    let output = Command::new(script).args(["restart", process, "--fake"]).env_remove("KUBECONFIG").output()?;
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("{process} was not restarted: {}", String::from_utf8_lossy(&output.stderr)).into())
    }
}

async fn count(api: &Api<WorkOrder>, finished: bool) -> Result<usize> {
    let list = api.list(&ListParams::default()).await?;
    Ok(list.iter().filter(|order| order.is_finished() == finished).count())
}

async fn make_orders(api: &Api<WorkOrder>, from: usize) -> Result {
    futures::stream::iter(from..from + ORDERS)
        .map(|number| async move { orders::create(api, &orders::fake(&format!("order-{number}"), WORLDS)?).await })
        .buffer_unordered(8)
        .try_for_each(|_| async { Ok(()) })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_the_api_server_and_of_its_store_changes_nothing() -> Result {
    let cluster = Cluster::fake().await?;
    definitions::install(&cluster.client).await?;
    let folder = env::temp_dir().join(namespace::unique("recovery"));
    let identity = OperatorIdentity::new(&cluster, &folder).await?;
    let namespace = Namespace::new(&cluster, "recovery").await?;
    let recorder = Recorder::start(&namespace);
    let mut operator = OperatorProcess::start(&OperatorSettings {
        kubeconfig: identity.kubeconfig.clone(),
        folder: folder.clone(),
        watch_namespace: namespace.name.clone(),
        environment: Vec::new(),
    })?;
    operator.ready().await?;
    let api: Api<WorkOrder> = namespace.api();
    for (round, process) in ["apiserver", "etcd"].into_iter().enumerate() {
        make_orders(&api, round * ORDERS).await?;
        assert!(count(&api, false).await? > 0, "all orders were over before {process} was restarted");
        tokio::task::spawn_blocking(move || restart(process)).await??;
        let all = (round + 1) * ORDERS;
        eventually(&format!("all orders are finished after {process} was restarted"), LIMIT * 2, || async {
            Ok((count(&api, true).await? == all).then_some(()))
        })
        .await
        .map_err(|error| format!("{error}\n{}", operator.log_tail()))?;
    }
    for world in namespace.api::<World>().list(&ListParams::default()).await? {
        let status = world.status.clone().unwrap_or_default();
        assert_eq!((status.attempt_count, status.eligible), (1, Some(true)), "{}", world.name_any());
    }
    let counts = recorder.counts().await?;
    assert_eq!(counts.len(), 2 * ORDERS * (WORLDS * 3 + 1), "a World and two pods each, and a pod for each base");
    for (key, count) in counts {
        assert_eq!(count, Count { made: 1, deleted: 0 }, "{key:?}");
    }
    Ok(std::fs::remove_dir_all(folder)?)
}
