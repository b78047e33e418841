//! The only node of the cluster is drained, and lost: what runs there goes on elsewhere or later, and nothing runs twice.
//!
//! One test, because its steps take the node from whatever else runs on it.

use std::env;
use std::process::Command;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, EvictParams, ListParams};
use manyworlds_api::result::FailureClass;
use manyworlds_tests::real::{LIMIT, SHOWN_WITHIN, condition, create, finished, order, restricted, works, world};
use manyworlds_tests::{Cluster, Namespace, Result, eventually};

/// Puts the nodes back into order when the test ends, however that is.
struct NodeGuard {
    names: Vec<String>,
}

impl NodeGuard {
    async fn new(cluster: &Cluster) -> Result<Self> {
        let nodes: Api<Node> = Api::all(cluster.client.clone());
        let list = nodes.list(&ListParams::default()).await?;
        // Those that somebody has cordoned on purpose stay so.
        let open = list
            .items
            .into_iter()
            .filter(|node| node.spec.as_ref().is_none_or(|spec| spec.unschedulable != Some(true)));
        Ok(Self { names: open.filter_map(|node| node.metadata.name).collect() })
    }

    /// Runs `kubectl cordon` or `kubectl uncordon` on every node.
    fn kubectl(&self, verb: &str) -> Result<String> {
        let kubeconfig = env::var_os("MANYWORLDS_TEST_KUBECONFIG").unwrap_or_default();
        run(Command::new("kubectl").arg("--kubeconfig").arg(kubeconfig).arg(verb).args(&self.names))
    }
}

impl Drop for NodeGuard {
    fn drop(&mut self) {
        for result in [script("start-node"), self.kubectl("uncordon")] {
            if let Err(error) = result {
                eprintln!("the nodes are not what they were: {error}");
            }
        }
    }
}

fn script(command: &str) -> Result<String> {
    let script = env::var_os("MANYWORLDS_TEST_CLUSTER")
        .ok_or("MANYWORLDS_TEST_CLUSTER is not set: this test stops a node. `make test` sets it; by hand, set it to tests/cluster/cluster")?;
    run(Command::new(script).arg(command).env_remove("KUBECONFIG"))
}

/// Returns whether the cluster was made for the tests, so that its nodes may be taken away.
fn is_ours() -> Result<bool> {
    Ok(!script("status")?.contains("cluster: existing"))
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr)).into())
}

async fn says(namespace: &Namespace, name: &str, reason: &str, words: &str, since: Instant) -> Result {
    let message = eventually(&format!("{name} says {reason}: {words}"), LIMIT, || async {
        let (_, shown, message) = condition(namespace, name, "Succeeded").await?;
        Ok((shown == reason && message.contains(words)).then_some(message))
    })
    .await?;
    assert!(since.elapsed() <= SHOWN_WITHIN, "shown after {:?}: {message}", since.elapsed());
    Ok(())
}

async fn node_is_ready(cluster: &Cluster, expected: &str) -> Result {
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    eventually(&format!("the node's Ready is {expected}"), LIMIT, || async {
        let list = nodes.list(&ListParams::default()).await?;
        let conditions = list.items.into_iter().filter_map(|node| node.status?.conditions).flatten();
        Ok(conditions.into_iter().any(|line| line.type_ == "Ready" && line.status == expected).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_node_that_is_drained_or_lost_costs_no_world_anything() -> Result {
    if !is_ours()? {
        eprintln!("skipped: the nodes of a cluster that the user named are left alone");
        return Ok(());
    }
    let (cluster, namespace) = restricted("node").await?;
    let nodes = NodeGuard::new(&cluster).await?;

    create(&namespace, &order("drained", "sleep 4; date > now")).await?;
    works(&namespace, "drained-alpha-1").await?;
    nodes.kubectl("cordon")?;
    let since = Instant::now();
    namespace.api::<Pod>().evict("drained-alpha-1", &EvictParams::default()).await?;
    // The pod has ten seconds to end, and the next attempt waits for a second more.
    says(&namespace, "drained", "NoNodeFits", "1 cordoned", since + Duration::from_secs(11)).await?;
    nodes.kubectl("uncordon")?;
    let status = finished(&namespace, "drained").await?;
    assert_eq!(status.winner.as_deref(), Some("alpha"), "{:?}", status.message);
    let drained = world(&namespace, "drained-alpha").await?;
    assert_eq!((drained.attempt_count, drained.counted_attempts), (2, 1), "{:?}", drained.attempts);

    create(&namespace, &order("lost", "sleep 8; date > now")).await?;
    works(&namespace, "lost-alpha-1").await?;
    script("stop-node")?;
    node_is_ready(&cluster, "Unknown").await?;
    says(&namespace, "lost", "NoNodeFits", "1 not ready", Instant::now()).await?;
    let lost = world(&namespace, "lost-alpha").await?;
    assert_eq!(lost.attempts[0].class, Some(FailureClass::Infrastructure), "{:?}", lost.attempts);
    assert_eq!(lost.attempts[0].reason, "NodeLost");
    script("start-node")?;
    let status = finished(&namespace, "lost").await?;
    assert_eq!(status.winner.as_deref(), Some("alpha"), "{:?}", status.message);
    let lost = world(&namespace, "lost-alpha").await?;
    assert_eq!((lost.attempt_count, lost.counted_attempts), (2, 1), "{:?}", lost.attempts);
    Ok(())
}
