//! The gateway without Kubernetes, for measurements and for tests with clients that exist: who may call what stands in a file.
//!
//! ```json
//! {"ledger": "/tmp/ledger.db",
//!  "providers": {"main": {"key": "sk-...", "spec": {"protocol": "OpenAI", "baseUrl": "http://127.0.0.1:9000/v1",
//!                "models": [{"name": "scripted", "prices": {"input": "1.00", "output": "2.00"}}]}}},
//!  "budgets": {"team": "20.00"},
//!  "tokens": {"token-of-a-world": {"workOrder": "order", "world": "order-w1", "temperature": 0.2, "maxCost": "5.00"}}}
//! ```
//!
//! It prints `{"listening": "http://127.0.0.1:<port>", "metrics": "http://127.0.0.1:<port>"}` and serves until it is ended. A token may call every model of every
//! Provider, and every Budget holds it. Everything else is as it is installed: the ledger on disk, limits, budgets, breakers and settlements.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::{env, fs};

use jiff::Timestamp;
use manyworlds_api::Money;
use manyworlds_api::provider::{Protocol, ProviderSpec};
use manyworlds_gateway::access::{Access, Grant, ListedModel, Sampling};
use manyworlds_gateway::refusal::Refusal;
use manyworlds_gateway::{Clients, Gateway, WaitList};
use manyworlds_ledger::{BudgetAccount, Caller, Ledger, migrations};
use manyworlds_metering::budget::SpendingLimit;
use manyworlds_metering::model_choice::{self, NamedProvider};
use manyworlds_metering::price_table::PriceTable;
use manyworlds_telemetry::Metrics;
use mimalloc::MiMalloc;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

// As the operator, which the gateway is a part of.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const NAMESPACE: &str = "standalone";

/// The settings in the file.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Config {
    /// The address to listen at. Without it, a free port of the loopback address.
    listen: Option<SocketAddr>,
    /// The ledger's SQLite file. It is made where there is none.
    ledger: PathBuf,
    /// Providers by name.
    providers: BTreeMap<String, KeyedProvider>,
    /// Budgets without a period, by name, and what may be spent of each.
    #[serde(default)]
    budgets: BTreeMap<String, Money>,
    /// Worlds by token.
    tokens: BTreeMap<String, TokenSettings>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyedProvider {
    key: Option<String>,
    #[serde(deserialize_with = "shared")]
    spec: Arc<ProviderSpec>,
}

fn shared<'a, D: Deserializer<'a>>(source: D) -> Result<Arc<ProviderSpec>, D::Error> {
    ProviderSpec::deserialize(source).map(Arc::new)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TokenSettings {
    work_order: String,
    world: String,
    #[serde(default)]
    temperature: Option<f64>,
    #[serde(default)]
    priority: i32,
    #[serde(default)]
    max_cost: Option<Money>,
}

/// Answers from the file alone.
struct FileAccess {
    providers: BTreeMap<String, KeyedProvider>,
    budgets: BTreeMap<String, Money>,
    tokens: BTreeMap<String, TokenSettings>,
    prices: PriceTable,
}

impl FileAccess {
    fn settings_of(&self, caller: &Caller) -> Result<&TokenSettings, Refusal> {
        let same = |token: &&TokenSettings| token.work_order == caller.work_order && token.world == caller.world;
        self.tokens.values().find(same).ok_or(Refusal::Token)
    }

    fn speaking(&self, protocol: Protocol) -> Vec<NamedProvider<'_>> {
        let all = self.providers.iter().map(|(name, provider)| NamedProvider { name, spec: &provider.spec });
        all.filter(|provider| provider.spec.protocol == protocol).collect()
    }
}

impl Access for FileAccess {
    async fn caller(&self, token: &SecretString) -> Result<Caller, Refusal> {
        let settings = self.tokens.get(token.expose_secret()).ok_or(Refusal::Token)?;
        Ok(Caller {
            namespace: NAMESPACE.to_owned(),
            work_order: settings.work_order.clone(),
            order_uid: settings.work_order.clone(),
            world: settings.world.clone(),
            world_uid: settings.world.clone(),
            attempt: 1,
        })
    }

    fn may_call(&self, caller: &Caller) -> Result<(), Refusal> {
        self.settings_of(caller).map(drop)
    }

    fn grant(&self, caller: &Caller, protocol: Protocol, model: &str) -> Result<Grant, Refusal> {
        let settings = self.settings_of(caller)?;
        let found = model_choice::find(&self.speaking(protocol), &self.prices, model);
        let priced = found.map_err(|_| Refusal::Model(model.to_owned()))?;
        let provider = self.providers.get(&priced.provider).ok_or_else(|| Refusal::Model(model.to_owned()))?;
        let budget = |key: String, name: &str, cost| BudgetAccount {
            key,
            name: name.to_owned(),
            limit: SpendingLimit { cost, tokens: None },
            period_start: None,
        };
        let budgets = self.budgets.iter().map(|(name, most)| budget(format!("budget/{name}"), name, Some(*most)));
        let order = budget(format!("order/{}", caller.order_uid), "order", settings.max_cost);
        Ok(Grant {
            provider_key: format!("{NAMESPACE}/{}", priced.provider),
            model: priced,
            provider: provider.spec.clone(),
            key: provider.key.clone().map(SecretString::from),
            prices: self.prices.date().to_owned(),
            sampling: Sampling { temperature: settings.temperature },
            budgets: budgets.chain([order]).collect(),
            cache_scope: None,
            filter: None,
            priority: settings.priority,
        })
    }

    fn fallbacks(&self, _: &Caller, _: Protocol) -> Vec<Grant> {
        Vec::new()
    }

    fn models(&self, _: &Caller, protocol: Protocol) -> Result<Vec<ListedModel>, Refusal> {
        let providers = self.speaking(protocol);
        let all = providers.iter().flat_map(|provider| provider.spec.models.iter().map(|model| (*provider, model)));
        let listed = all.map(|(provider, model)| {
            let priced = model_choice::price(provider, model, &self.prices).ok();
            ListedModel {
                name: model.name.clone(),
                strength: model.strength,
                context_window: priced.as_ref().and_then(|priced| priced.context_window),
                max_output_tokens: priced.as_ref().and_then(|priced| priced.max_output_tokens),
                prices: priced.map(|priced| priced.prices),
                cost_share: None,
            }
        });
        Ok(listed.collect())
    }
}

/// Gives the metrics to whoever connects, whatever they ask for.
async fn show(listener: TcpListener, metrics: Metrics) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let text = metrics.encode().unwrap_or_default();
        let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", text.len());
        let mut request = [0; 4096];
        // A client that does not ask, or does not listen, gets nothing.
        if stream.read(&mut request).await.is_ok() {
            let _ = stream.write_all(&[head.as_bytes(), &text].concat()).await;
        }
    }
}

// One thread, as the operator gives the gateway.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = env::args().nth(1).ok_or("usage: standalone <file>.json")?;
    let config: Config =
        serde_json::from_str(&fs::read_to_string(&path)?).map_err(|error| format!("{path}: {error}"))?;
    let url = format!("sqlite://{}", config.ledger.display());
    migrations::up(&url).await?;
    let ledger = Ledger::open(&url, "standalone", Timestamp::now()).await?;
    let Config { listen, providers, budgets, tokens, .. } = config;
    let access = FileAccess { providers, budgets, tokens, prices: PriceTable::listed()? };
    let metrics = Metrics::new("standalone")?;
    let gateway = Gateway::new(access, ledger, metrics.clone(), Clients::new(None)?, 0, WaitList::default());
    let listener = TcpListener::bind(listen.unwrap_or(([127, 0, 0, 1], 0).into())).await?;
    let scraped = TcpListener::bind("127.0.0.1:0").await?;
    #[expect(clippy::print_stdout, reason = "whoever started it reads where it listens")]
    {
        let [listening, metrics] = [listener.local_addr()?, scraped.local_addr()?].map(|at| format!("http://{at}"));
        println!("{}", json!({"listening": listening, "metrics": metrics}));
    }
    tokio::spawn(show(scraped, metrics));
    // All clients of a benchmark have one address.
    gateway.with_connections_of_a_peer(4096).serve(listener, std::future::pending()).await;
    Ok(())
}
