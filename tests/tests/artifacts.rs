//! What stays of an order's artifacts on the volume of the operator that `make install` has put into the cluster.

use kube::Api;
use kube::api::DeleteParams;
use manyworlds_api::WorkOrder;
use manyworlds_tests::real::{create, finished, order, restricted};
use manyworlds_tests::{Cluster, Result, volume};

/// Waits until a folder of artifacts is empty, or for some seconds, and prints how many files it and another one have then.
const COUNT: &str = r#"
import json, os, sys, time
seconds, first, second = int(sys.argv[1]), sys.argv[2], sys.argv[3]
def files(uid):
    return sum(len(names) for _, _, names in os.walk("/data/artifacts/" + uid))
end = time.monotonic() + seconds
while files(first) and time.monotonic() < end:
    time.sleep(0.1)
print(json.dumps([files(first), files(second)]))
"#;

/// The longest wait for artifacts to go once their order is deleted.
const GONE_WITHIN_SECONDS: u32 = 30;

/// Returns the numbers of files of two orders, once the first has none or some seconds are over.
async fn files(cluster: &Cluster, seconds: u32, uids: &[String; 2]) -> Result<[usize; 2]> {
    let arguments: Vec<_> = std::iter::once(seconds.to_string()).chain(uids.iter().cloned()).collect();
    Ok(serde_json::from_str(&volume::run_beside(cluster, COUNT, &arguments).await?)?)
}

/// W13: artifacts outlive the pods of their order, and not the order itself; those of another order stay.
#[tokio::test]
async fn artifacts_stay_while_their_order_does_and_go_with_it() -> Result {
    let (cluster, namespace) = restricted("artifacts").await?;
    let mut uids = [String::new(), String::new()];
    for (name, uid) in ["goes", "stays"].into_iter().zip(&mut uids) {
        let made = create(&namespace, &order(name, "date > now")).await?;
        *uid = made.metadata.uid.ok_or("the order has no uid")?;
    }
    for name in ["goes", "stays"] {
        finished(&namespace, name).await?;
    }
    let before = files(&cluster, 0, &uids).await?;
    assert!(before.iter().all(|count| *count > 0), "a finished order has its artifacts: {before:?}");
    let orders: Api<WorkOrder> = namespace.api();
    orders.delete("goes", &DeleteParams::default()).await?;
    let after = files(&cluster, GONE_WITHIN_SECONDS, &uids).await?;
    assert_eq!(after, [0, before[1]], "those of the deleted order go, and those of the other stay");
    Ok(())
}
