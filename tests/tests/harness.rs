//! The harness itself: a proxy that stops the world in the right place is what the crash tests stand on.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams, PostParams};
use kube::{Client, Config};
use manyworlds_tests::{Cluster, Cut, LIMIT, Namespace, Proxy, Result, eventually};
use serde_json::json;
use tokio::task::JoinHandle;

fn through(proxy: &Proxy, namespace: &str) -> Result<Api<ConfigMap>> {
    let mut config = Config::new(format!("http://{}", proxy.address).parse()?);
    namespace.clone_into(&mut config.default_namespace);
    Ok(Api::default_namespaced(Client::try_from(config)?))
}

/// Makes maps one after the other, as an operator would, until it is stopped.
fn writer(maps: Api<ConfigMap>) -> JoinHandle<Result> {
    tokio::spawn(async move {
        for number in 1..=3 {
            let map = serde_json::from_value(json!({"metadata": {"name": format!("map-{number}")}}))?;
            maps.create(&PostParams::default(), &map).await?;
            maps.get(&format!("map-{number}")).await?;
        }
        Ok(())
    })
}

async fn names(namespace: &Namespace) -> Result<Vec<String>> {
    let list = namespace.api::<ConfigMap>().list(&ListParams::default()).await?;
    let names = list.items.into_iter().filter_map(|map| map.metadata.name);
    Ok(names.filter(|name| name.starts_with("map-")).collect())
}

#[tokio::test]
async fn a_proxy_that_cuts_nowhere_lets_everything_through() -> Result {
    let cluster = Cluster::any().await?;
    let namespace = Namespace::new(&cluster, "proxy").await?;
    let proxy = Proxy::start(cluster.client.clone(), Cut::Never).await?;
    writer(through(&proxy, &namespace.name)?).await??;
    assert_eq!(names(&namespace).await?, ["map-1", "map-2", "map-3"]);
    assert_eq!(proxy.writes().len(), 3, "reads are not counted");
    Ok(())
}

#[tokio::test]
async fn after_its_answer_the_next_write_does_not_reach_the_server() -> Result {
    let cluster = Cluster::any().await?;
    let namespace = Namespace::new(&cluster, "proxy").await?;
    let proxy = Proxy::start(cluster.client.clone(), Cut::AfterAnswer(2)).await?;
    let writer = writer(through(&proxy, &namespace.name)?);
    proxy.frozen().await;
    assert!(!writer.is_finished());
    assert_eq!(names(&namespace).await?, ["map-1", "map-2"]);
    writer.abort();
    Ok(())
}

#[tokio::test]
async fn before_its_answer_the_write_is_done_and_the_writer_does_not_know() -> Result {
    let cluster = Cluster::any().await?;
    let namespace = Namespace::new(&cluster, "proxy").await?;
    let proxy = Proxy::start(cluster.client.clone(), Cut::BeforeAnswer(1)).await?;
    let writer = writer(through(&proxy, &namespace.name)?);
    proxy.frozen().await;
    assert_eq!(names(&namespace).await?, ["map-1"]);
    assert!(!writer.is_finished());
    writer.abort();
    Ok(())
}

#[tokio::test]
async fn a_namespace_goes_with_its_guard() -> Result {
    let cluster = Cluster::any().await?;
    let name = Namespace::new(&cluster, "guard").await?.name.clone();
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(cluster.client);
    eventually("the namespace is gone or going", LIMIT, || async {
        let found = namespaces.get_opt(&name).await?;
        Ok(found.is_none_or(|found| found.metadata.deletion_timestamp.is_some()).then_some(()))
    })
    .await
}
