//! A gateway with everything that it needs, in one process.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use manyworlds_api::Money;
use manyworlds_api::provider::{Prices, Protocol, ProviderSpec, Temperature};
use manyworlds_gateway::access::{Access, Grant, ListedModel, Sampling};
use manyworlds_gateway::refusal::Refusal;
use manyworlds_gateway::{Clients, Gateway, Timeouts, WaitList};
use manyworlds_ledger::{BudgetAccount, Caller, Ledger, migrations};
use manyworlds_masking::Filter;
use manyworlds_metering::budget::SpendingLimit;
use manyworlds_metering::model_choice::PricedModel;
use manyworlds_telemetry::Metrics;
use manyworlds_test_support::LIMIT;
use manyworlds_upstream::{Script, Upstream};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// The Provider's key, which no World and no client may ever see.
pub const KEY: &str = "sk-canary-of-the-provider";

const CACHE_BYTES: usize = 1024 * 1024;

/// An address where nobody is ever connected: its queue is full.
pub struct FullQueue {
    pub address: SocketAddr,
    listener: TcpListener,
    waiting: Vec<TcpStream>,
}

impl FullQueue {
    pub async fn start() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        while let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
            waiting.push(stream);
            assert!(waiting.len() < 100, "the queue is never full");
        }
        Self { address, listener, waiting }
    }

    /// Lets all in that wait, and returns what the next one sends.
    pub async fn let_in(mut self) -> Vec<u8> {
        for _ in 0..self.waiting.len() {
            drop(self.listener.accept().await.unwrap());
        }
        self.waiting.clear();
        let (mut stream, _) = self.listener.accept().await.unwrap();
        let mut said = Vec::new();
        let reading = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut said));
        // A client that has begun to send waits for an answer; one that goes away may do so by a reset.
        let _ = reading.await;
        said
    }
}

/// The rules of who may do what. A test changes them as it goes.
#[derive(Clone, Default)]
pub struct Rules(Arc<Mutex<Ruled>>);

#[derive(Default)]
pub struct Ruled {
    pub stopped: BTreeSet<String>,
    pub temperature: Option<f64>,
    /// The models take a temperature, or do not.
    pub takes: Temperature,
    pub budget: Option<Money>,
    pub provider: Value,
    pub base_url: String,
    pub priorities: BTreeMap<String, i32>,
    pub fallbacks: Vec<String>,
    pub cached: bool,
    pub cache_scope: Option<String>,
    /// Orders whose calls meet a fault of the gateway.
    pub faulty: BTreeSet<String>,
    /// Orders whose worker is our own.
    pub filters: BTreeMap<String, Filter>,
}

impl Rules {
    pub fn change(&self, change: impl FnOnce(&mut Ruled)) {
        change(&mut self.0.lock().unwrap());
    }
}

impl Access for Rules {
    async fn caller(&self, token: &SecretString) -> Result<Caller, Refusal> {
        // A token is `<order>/<world>`.
        let (order, world) = token.expose_secret().split_once('/').ok_or(Refusal::Token)?;
        let caller = Caller {
            namespace: "team".into(),
            work_order: order.into(),
            order_uid: format!("uid-{order}"),
            world: world.into(),
            world_uid: format!("uid-{order}-{world}"),
            attempt: 1,
        };
        self.may_call(&caller).map(|()| caller)
    }

    fn may_call(&self, caller: &Caller) -> Result<(), Refusal> {
        if self.0.lock().unwrap().stopped.contains(&caller.work_order) { Err(Refusal::Stopped) } else { Ok(()) }
    }

    fn grant(&self, caller: &Caller, protocol: Protocol, model: &str) -> Result<Grant, Refusal> {
        // Not while the rules are locked, so that those of other orders can still be read.
        let faulty = self.0.lock().unwrap().faulty.contains(&caller.work_order);
        assert!(!faulty, "it has a fault");
        // A model of another Provider is `<provider>/<model>`.
        let (name, model) = model.split_once('/').unwrap_or(("p", model));
        if !model.starts_with("scripted") {
            return Err(Refusal::Model(model.to_owned()));
        }
        let rules = self.0.lock().unwrap();
        let mut provider = rules.provider.clone();
        let path = if protocol == Protocol::OpenAi { "/v1" } else { "" };
        provider["protocol"] = json!(protocol);
        provider["baseUrl"] = json!(format!("{}{path}", rules.base_url));
        provider["models"] = json!([{"name": model}]);
        let price = |text: &str| text.parse().unwrap();
        let prices = Prices {
            input: price("1.00"),
            output: price("2.00"),
            cached: Some(price("0.10")),
            batch_percent: 100,
            ..Prices::default()
        };
        let limit = SpendingLimit { cost: rules.budget, tokens: None };
        let budget = BudgetAccount {
            key: format!("order/{}", caller.order_uid),
            name: "order".into(),
            limit,
            period_start: None,
        };
        Ok(Grant {
            model: PricedModel {
                provider: name.to_owned(),
                model: model.to_owned(),
                prices,
                context_window: Some(200_000),
                max_output_tokens: Some(1_000),
                strength: None,
                temperature: rules.takes,
            },
            provider_key: format!("team/{name}"),
            provider: serde_json::from_value::<ProviderSpec>(provider).unwrap().into(),
            key: Some(SecretString::from(KEY)),
            prices: "table".into(),
            sampling: Sampling { temperature: rules.temperature },
            budgets: vec![budget],
            cache_scope: rules.cached.then(|| rules.cache_scope.clone().unwrap_or_else(|| caller.order_uid.clone())),
            filter: rules.filters.get(&caller.work_order).cloned(),
            priority: rules.priorities.get(&caller.work_order).copied().unwrap_or_default(),
        })
    }

    fn fallbacks(&self, caller: &Caller, protocol: Protocol) -> Vec<Grant> {
        let names = self.0.lock().unwrap().fallbacks.clone();
        names.iter().map(|name| self.grant(caller, protocol, name).unwrap()).collect()
    }

    fn models(&self, caller: &Caller, _: Protocol) -> Result<Vec<ListedModel>, Refusal> {
        self.may_call(caller).map(|()| {
            vec![ListedModel {
                name: "scripted".to_owned(),
                strength: Some(50),
                prices: None,
                context_window: None,
                max_output_tokens: None,
                cost_share: None,
            }]
        })
    }
}

/// A gateway in front of a scripted upstream.
pub struct Bench {
    pub rules: Rules,
    pub upstream: Upstream,
    pub ledger: Ledger,
    pub metrics: Metrics,
    pub waits: WaitList,
    pub address: SocketAddr,
    folder: TempDir,
}

impl Bench {
    pub async fn start(script: &Value) -> Self {
        Self::with_timeouts(script, Timeouts::default()).await
    }

    /// Starts a gateway with other time-outs for its clients.
    pub async fn with_timeouts(script: &Value, timeouts: Timeouts) -> Self {
        let script = Script::read(&script.to_string()).unwrap();
        let upstream = Upstream::start(script).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/ledger.db", folder.path().display());
        migrations::up(&url).await.unwrap();
        let ledger = Ledger::open(&url, "test", Timestamp::now()).await.unwrap();
        let metrics = Metrics::new("test").unwrap();
        let rules = Rules::default();
        rules.change(|rules| {
            rules.base_url = upstream.url();
            rules.provider = json!({"limits": {"requestsPerMinute": 100_000, "tokensPerMinute": 100_000_000}});
        });
        let clients = Clients::new(None).unwrap();
        let waits = WaitList::default();
        let gateway = Gateway::new(rules.clone(), ledger.clone(), metrics.clone(), clients, CACHE_BYTES, waits.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(gateway.with_timeouts(timeouts).serve(listener, std::future::pending()));
        Self { rules, upstream, ledger, metrics, waits, address, folder }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Returns the ledger's file.
    pub fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("ledger.db")
    }

    /// Sends a request as the World `w` of an order.
    pub async fn post(&self, order: &str, path: &str, body: Value) -> reqwest::Response {
        client().post(self.url(path)).bearer_auth(format!("{order}/w")).body(body.to_string()).send().await.unwrap()
    }

    /// Waits until nothing is under way, and returns what an order has spent and in how many calls.
    pub async fn settled(&self, order: &str) -> (Money, u64) {
        eventually(async || self.ledger.calls_in_flight().await.unwrap() == 0).await;
        let worlds = self.ledger.spending_of_order(&format!("uid-{order}")).await.unwrap();
        let all = worlds.values().fold(manyworlds_ledger::Spending::default(), |sum, one| sum.plus(*one));
        let account = self.ledger.balance(&format!("order/uid-{order}"), None).await.unwrap();
        assert_eq!((account.spent.cost, account.reserved.cost), (all.cost, Money::default()), "both count the same");
        (all.cost, all.calls)
    }
}

pub fn client() -> reqwest::Client {
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().build().unwrap()
}

/// Waits until a condition is true, or fails the test.
pub async fn eventually(condition: impl AsyncFn() -> bool) {
    if let Err(error) = manyworlds_test_support::eventually("the condition is true", LIMIT, || condition()).await {
        panic!("{error}");
    }
}

pub fn dollars(text: &str) -> Money {
    text.parse().unwrap()
}

/// A script in which every model answers the same.
pub fn always(reply: &Value) -> Value {
    json!({"models": {"*": [{"reply": reply}]}})
}
