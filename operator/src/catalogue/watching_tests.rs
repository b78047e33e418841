//! An API server whose Budgets nobody can list for a while, and which never answers about a key or a status.

use std::convert::Infallible;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Method, Request, Response};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::service_fn;

use super::*;

type Events = Arc<Mutex<Vec<Value>>>;

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "manyworlds.dev/v1alpha1", "kind": kind,
        "metadata": { "name": name, "namespace": "team", "uid": format!("uid-{name}"), "resourceVersion": "1" },
        "spec": spec,
    })
}

/// Returns a client of an API server that lists one Provider, and Budgets as soon as they may be listed.
fn api_server(budgets: &[Value], may_list: &watch::Sender<bool>, events: &Events) -> Client {
    let provider = json!({
        "protocol": "OpenAI", "baseUrl": "https://models.example/v1", "secretRef": { "name": "key", "key": "key" },
        "models": [{ "name": "gpt-4o", "strength": 50 }],
    });
    let providers = vec![object("Provider", "scripted", &provider)];
    let (budgets, may_list, events) = (budgets.to_vec(), may_list.subscribe(), events.clone());
    let service = service_fn(move |request: Request<Body>| {
        let (providers, budgets) = (providers.clone(), budgets.clone());
        let (mut may_list, events) = (may_list.clone(), events.clone());
        async move {
            let (head, body) = request.into_parts();
            let items = match (head.method, head.uri.path()) {
                (Method::GET, _) if head.uri.query().unwrap_or_default().contains("watch=") => return pending().await,
                (Method::GET, path) if path.ends_with("/providers") => providers,
                (Method::GET, path) if path.ends_with("/budgets") => {
                    may_list.wait_for(|may_list| *may_list).await.unwrap();
                    budgets
                }
                (Method::POST, _) => {
                    let bytes = body.collect_bytes().await.unwrap();
                    events.lock().unwrap().push(serde_json::from_slice(&bytes).unwrap());
                    return pending().await;
                }
                _ => return pending().await,
            };
            let list =
                json!({ "kind": "List", "apiVersion": "v1", "metadata": { "resourceVersion": "1" }, "items": items });
            Ok::<_, Infallible>(Response::new(Body::from(serde_json::to_vec(&list).unwrap())))
        }
    });
    Client::new(service, "default")
}

fn catalogue(client: &Client) -> Catalogue {
    let scope = Scope { namespace: None, account: "system:manyworlds".to_owned() };
    let metrics = Metrics::new("0").unwrap();
    Catalogue::start(client, &metrics, &KnownSecrets::default(), scope).unwrap().0
}

async fn until_listed(catalogue: &Catalogue) {
    tokio::time::timeout(Duration::from_secs(10), catalogue.until_listed()).await.unwrap();
}

fn holders_of(catalogue: &Catalogue, team: &str, named: Option<&str>) -> Result<Vec<String>, HolderError> {
    let labels = BTreeMap::from([("team".to_owned(), team.to_owned())]);
    let found = catalogue.holders("team", &labels, named, Timestamp::UNIX_EPOCH)?;
    Ok(found.into_iter().map(|holder| holder.uid).collect())
}

#[tokio::test]
async fn before_the_first_listing_no_call_passes_and_after_it_none_without_its_budget() {
    let (may_list, events) = (watch::Sender::new(false), Events::default());
    let budgets = [object("Budget", "month", &json!({ "amount": "10.00", "timeZone": "UTC" }))];
    let catalogue = catalogue(&api_server(&budgets, &may_list, &events));
    let mut listed = catalogue.0.listed.subscribe();
    tokio::time::timeout(Duration::from_secs(10), listed.wait_for(|listed| listed.providers)).await.unwrap().unwrap();

    assert_eq!(holders_of(&catalogue, "a", None), Err(NotListed.into()));
    assert!(catalogue.model("team", "gpt-4o").unwrap_err().passes());
    assert!(catalogue.choice("team", "gpt-4o").unwrap_err().passes());

    may_list.send_replace(true);
    until_listed(&catalogue).await;
    assert_eq!(holders_of(&catalogue, "a", None), Ok(vec!["uid-month".to_owned()]));
    // The key is asked for, and the API server does not answer.
    let not_read = || LookupError::KeyNotRead("scripted".to_owned());
    assert_eq!(catalogue.model("team", "gpt-4o").unwrap_err(), not_read());
    assert_eq!(catalogue.choice("team", "gpt-4o").unwrap_err(), not_read());
    assert_eq!(catalogue.choices("team").unwrap_err(), not_read());
}

#[tokio::test]
async fn a_budget_that_cannot_be_read_holds_back_what_it_may_select_and_nothing_else() {
    let (may_list, events) = (watch::Sender::new(true), Events::default());
    let of_team = |team: &str| json!({ "matchLabels": { "team": team } });
    let budgets = [
        object("Budget", "bad", &json!({ "amount": [], "selector": of_team("a") })),
        object("Budget", "good", &json!({ "amount": "10.00", "selector": of_team("b") })),
    ];
    let catalogue = catalogue(&api_server(&budgets, &may_list, &events));
    until_listed(&catalogue).await;

    let unreadable = || Err(HolderError::Unreadable("bad".to_owned()));
    assert_eq!(holders_of(&catalogue, "a", None), unreadable());
    assert_eq!(holders_of(&catalogue, "b", Some("bad")), unreadable());
    assert_eq!(holders_of(&catalogue, "b", None), Ok(vec!["uid-good".to_owned()]));
    let event = tokio::time::timeout(Duration::from_secs(10), async {
        loop {
            if let Some(event) = events.lock().unwrap().first() {
                return event.clone();
            }
            tokio::task::yield_now().await;
        }
    });
    let event = event.await.unwrap();
    assert_eq!((&event["reason"], &event["regarding"]["name"]), (&json!("Unreadable"), &json!("bad")));

    let wide = [object("Budget", "wide", &json!({ "amount": "1.00", "selector": { "matchLabels": 7 } }))];
    let catalogue = self::catalogue(&api_server(&wide, &may_list, &events));
    until_listed(&catalogue).await;
    assert_eq!(holders_of(&catalogue, "b", None), Err(HolderError::Unreadable("wide".to_owned())));
}
