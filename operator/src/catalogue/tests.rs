//! An API server whose Budgets nobody can list for a while, and which never answers about a key or a status.

use std::collections::BTreeMap;
use std::future::{pending, ready};
use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use manyworlds_metering::budget_selection::HeldOrder;
use manyworlds_telemetry::Metrics;
use manyworlds_test_support::{Answer, ApiServer, LIMIT, eventually};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{BudgetError, Catalogue, LookupError, NotListed, budget, provider};
use crate::cluster::{self, Cluster};
use crate::index::fixtures::client_of;
use crate::reconcile::queue::work_queue;
use crate::secrets::KnownSecrets;
use crate::watch::watches::Watches;

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "manyworlds.dev/v1alpha1", "kind": kind,
        "metadata": {
            "name": name, "namespace": "team", "uid": format!("uid-{name}"), "resourceVersion": "1",
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": spec,
    })
}

/// Starts an API server that lists one Provider, and Budgets as soon as they may be listed.
fn api_server(budgets: &[Value], may_list: &watch::Sender<bool>) -> ApiServer {
    let provider = json!({
        "protocol": "OpenAI", "baseUrl": "https://models.example/v1", "secretRef": { "name": "key", "key": "key" },
        "models": [{ "name": "gpt-4o", "strength": 50 }],
    });
    let providers = Answer::list(&[object("Provider", "scripted", &provider)]);
    let (budgets, may_list) = (Answer::list(budgets), may_list.subscribe());
    let server = ApiServer::start(move |call| {
        let (providers, budgets, mut may_list) = (providers.clone(), budgets.clone(), may_list.clone());
        async move {
            match (call.method, call.path.rsplit('/').next()) {
                (Method::GET, Some("providers")) => providers,
                (Method::GET, Some("budgets")) => {
                    may_list.wait_for(|may_list| *may_list).await.unwrap();
                    budgets
                }
                _ => Answer::Nothing,
            }
        }
    });
    server.unwrap()
}

/// Returns the first body that was sent to a path with some end.
async fn written(server: &ApiServer, end: &str) -> Value {
    let found = || ready(server.writes().into_iter().find(|call| call.path.ends_with(end)).map(|call| call.body));
    eventually(&format!("something is written to {end}"), LIMIT, found).await.unwrap()
}

fn catalogue(server: &ApiServer) -> Catalogue {
    let cluster = Cluster { client: client_of(server), namespace: None, metrics: Metrics::new("0").unwrap() };
    let (writes, metrics) = (cluster::Writes::start(&cluster), cluster.metrics.clone());
    let catalogue = Catalogue::new(KnownSecrets::default()).unwrap();
    let mut watches = Watches::new(cluster.clone(), Some(writes.clone()));
    let account = "system:manyworlds".to_owned();
    let (providers, budgets) = (work_queue(), work_queue());
    provider::watch(&mut watches, &catalogue, providers.0.clone(), &metrics);
    budget::watch(&mut watches, &catalogue, budgets.0.clone(), &metrics);
    let loop_of_providers = provider::controller(&cluster, Some(writes.clone()), &catalogue, account, providers);
    tokio::spawn(loop_of_providers.run(ready(()), pending()));
    tokio::spawn(budget::controller(writes, &metrics, &catalogue, budgets).run(ready(()), pending()));
    catalogue
}

async fn until_listed(catalogue: &Catalogue) {
    tokio::time::timeout(Duration::from_secs(10), catalogue.until_listed()).await.unwrap();
}

fn budgets_holding(catalogue: &Catalogue, team: &str, named: Option<&str>) -> Result<Vec<String>, BudgetError> {
    budgets_noted(catalogue, team, named, &[])
}

fn budgets_noted(
    catalogue: &Catalogue,
    team: &str,
    named: Option<&str>,
    noted: &[String],
) -> Result<Vec<String>, BudgetError> {
    let labels = BTreeMap::from([("team".to_owned(), team.to_owned())]);
    let order = HeldOrder { labels: &labels, named, noted };
    let found = catalogue.applicable_budgets("team", order, Timestamp::UNIX_EPOCH)?;
    Ok(found.into_iter().map(|budget| budget.uid.to_string()).collect())
}

#[tokio::test]
async fn before_the_first_listing_no_call_passes_and_after_it_none_without_its_budget() {
    let may_list = watch::Sender::new(false);
    let budgets = [object("Budget", "month", &json!({ "amount": "10.00", "timeZone": "UTC" }))];
    let server = api_server(&budgets, &may_list);
    let catalogue = catalogue(&server);
    let mut listed = catalogue.subscribe_listed();
    tokio::time::timeout(Duration::from_secs(10), listed.wait_for(|listed| listed.providers)).await.unwrap().unwrap();

    assert_eq!(budgets_holding(&catalogue, "a", None), Err(NotListed.into()));
    assert!(catalogue.model("team", "gpt-4o").unwrap_err().passes());
    assert!(catalogue.choice("team", "gpt-4o").unwrap_err().passes());

    may_list.send_replace(true);
    until_listed(&catalogue).await;
    assert_eq!(budgets_holding(&catalogue, "a", None), Ok(vec!["uid-month".to_owned()]));
    // The key is asked for, and the API server does not answer.
    let not_read = || LookupError::KeyNotRead("scripted".to_owned());
    assert_eq!(catalogue.model("team", "gpt-4o").unwrap_err(), not_read());
    assert_eq!(catalogue.choice("team", "gpt-4o").unwrap_err(), not_read());
    assert_eq!(catalogue.choices("team").unwrap_err(), not_read());
}

#[tokio::test]
async fn a_budget_that_cannot_be_read_holds_back_what_it_may_select_and_nothing_else() {
    let may_list = watch::Sender::new(true);
    let of_team = |team: &str| json!({ "matchLabels": { "team": team } });
    let budgets = [
        object("Budget", "bad", &json!({ "amount": [], "selector": of_team("a") })),
        object("Budget", "good", &json!({ "amount": "10.00", "selector": of_team("b") })),
    ];
    let server = api_server(&budgets, &may_list);
    let catalogue = catalogue(&server);
    until_listed(&catalogue).await;

    let unreadable = || Err(BudgetError::Unreadable("bad".to_owned()));
    assert_eq!(budgets_holding(&catalogue, "a", None), unreadable());
    assert_eq!(budgets_holding(&catalogue, "b", Some("bad")), unreadable());
    assert_eq!(budgets_holding(&catalogue, "b", None), Ok(vec!["uid-good".to_owned()]));
    let noted = |name: &str| budgets_noted(&catalogue, "c", None, &[name.to_owned()]);
    assert_eq!(noted("bad"), unreadable(), "it has held the order before");
    assert_eq!(noted("good"), Ok(vec!["uid-good".to_owned()]), "whatever the order's labels are now");
    let event = written(&server, "/team/events").await;
    assert_eq!((&event["reason"], &event["regarding"]["name"]), (&json!("Unreadable"), &json!("bad")));
    let status = &written(&server, "/team/budgets/bad/status").await["status"];
    assert!(status["message"].as_str().unwrap().contains("spec.amount"), "{status}");
    let shown = &status["conditions"][0];
    assert_eq!((&shown["type"], &shown["status"]), (&json!("Ready"), &json!("False")));

    let wide = [object("Budget", "wide", &json!({ "amount": "1.00", "selector": { "matchLabels": 7 } }))];
    let server = api_server(&wide, &may_list);
    let catalogue = self::catalogue(&server);
    until_listed(&catalogue).await;
    assert_eq!(budgets_holding(&catalogue, "b", None), Err(BudgetError::Unreadable("wide".to_owned())));
}
