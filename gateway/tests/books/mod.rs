//! The ledger's own rows, read beside the process that writes them, and whether they agree.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::BTreeMap;
use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, Row, SqliteConnection};

/// A call that has ended.
#[derive(Clone, Debug)]
pub struct CallRow {
    pub order: String,
    pub world: String,
    pub outcome: String,
    pub estimated: bool,
    pub tokens: i64,
    /// In trillionths of a dollar.
    pub cost: i64,
}

/// The spending of a budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    pub cost: i64,
    pub tokens: i64,
}

/// All rows at one moment.
#[derive(Debug)]
pub struct Books {
    pub calls: Vec<CallRow>,
    /// By budget: what is spent, and what is reserved.
    pub budgets: BTreeMap<String, (Sum, Sum)>,
    /// By call: what is set aside.
    pub reserved: Vec<Sum>,
}

impl Books {
    pub async fn read(file: &Path) -> Self {
        let options = SqliteConnectOptions::new().filename(file).read_only(true);
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        // All of it as it was at one moment.
        let mut moment = connection.begin().await.unwrap();
        let calls = sqlx::query(
            "SELECT order_uid, world_uid, outcome, estimated, input_tokens + cached_tokens + \
             cache_write_5m_tokens + cache_write_1h_tokens + output_tokens, cost, id FROM llm_calls ORDER BY id",
        );
        let calls = calls.fetch_all(&mut *moment).await.unwrap();
        let budgets = "SELECT holder, spent_cost, spent_tokens, reserved_cost, reserved_tokens FROM budgets";
        let budgets = sqlx::query(budgets).fetch_all(&mut *moment).await.unwrap();
        let reserved = sqlx::query("SELECT cost, tokens, id FROM reservations").fetch_all(&mut *moment).await.unwrap();
        let mut ids: Vec<String> = calls.iter().map(|row| row.get(6)).collect();
        ids.extend(reserved.iter().map(|row| row.get::<String, _>(2)));
        ids.sort_unstable();
        assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "a call is in the books twice");
        let call = |row: &sqlx::sqlite::SqliteRow| CallRow {
            order: row.get(0),
            world: row.get(1),
            outcome: row.get(2),
            estimated: row.get::<i64, _>(3) == 1,
            tokens: row.get(4),
            cost: row.get(5),
        };
        let sum =
            |row: &sqlx::sqlite::SqliteRow, first: usize| Sum { cost: row.get(first), tokens: row.get(first + 1) };
        Self {
            calls: calls.iter().map(call).collect(),
            budgets: budgets.iter().map(|row| (row.get(0), (sum(row, 1), sum(row, 3)))).collect(),
            reserved: reserved.iter().map(|row| sum(row, 0)).collect(),
        }
    }

    /// Checks that the calls, the Worlds, the orders and every Budget count the same, and that nothing else is reserved than
    /// what is under way. `shared` are the Budgets that hold every call.
    pub fn agree(&self, shared: &[&str]) {
        let mut orders: BTreeMap<String, Sum> = BTreeMap::new();
        let mut worlds: BTreeMap<(String, String), Sum> = BTreeMap::new();
        let mut all = Sum::default();
        for call in &self.calls {
            let order = orders.entry(format!("order/{}", call.order)).or_default();
            let world = worlds.entry((call.order.clone(), call.world.clone())).or_default();
            for sum in [order, world, &mut all] {
                sum.cost += call.cost;
                sum.tokens += call.tokens;
            }
        }
        assert_eq!(total(worlds.values()), all, "the Worlds and the calls");
        assert_eq!(total(orders.values()), all, "the orders and the calls");
        for (budget, sum) in &orders {
            assert_eq!(self.budgets.get(budget).map(|(spent, _)| *spent), Some(*sum), "{budget}");
        }
        for budget in shared {
            let (spent, reserved) = self.budgets.get(*budget).copied().unwrap_or_default();
            assert_eq!((spent, reserved), (all, total(&self.reserved)), "{budget}");
        }
        let of_orders = self.budgets.iter().filter(|(budget, _)| budget.starts_with("order/"));
        let reserved: Vec<_> = of_orders.map(|(_, (_, reserved))| *reserved).collect();
        assert_eq!(total(&reserved), total(&self.reserved), "what the orders and the calls under way have reserved");
    }

    /// Checks that the metrics of a gateway count the same calls: by outcome, their tokens, and what they have cost.
    pub fn agree_with(&self, metrics: &str) {
        let mut outcomes: BTreeMap<String, i64> = BTreeMap::new();
        for call in &self.calls {
            *outcomes.entry(call.outcome.to_lowercase()).or_default() += 1;
        }
        let value = |line: &str| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
        let mut said = BTreeMap::new();
        let (mut tokens, mut cost) = (0.0, None);
        for line in metrics.lines() {
            if let Some(rest) = line.strip_prefix("manyworlds_llm_calls_total{outcome=\"") {
                said.insert(rest.split('"').next().unwrap().to_owned(), value(line));
            } else if line.starts_with("manyworlds_token_usage_total{") {
                tokens += value(line);
            } else if line.starts_with("manyworlds_llm_cost_dollars_total ") {
                cost = Some((value(line) * 1e12).round());
            }
        }
        said.retain(|_, count| *count != 0.0);
        #[expect(clippy::cast_precision_loss, reason = "a metric is a float")]
        let number = |number: i64| number as f64;
        let outcomes: BTreeMap<_, _> = outcomes.into_iter().map(|(outcome, count)| (outcome, number(count))).collect();
        assert_eq!(said, outcomes, "the metric and the calls");
        let all = self.calls.iter().map(|call| call.tokens).sum();
        assert_eq!((tokens, cost), (number(all), Some(number(self.cost()))), "the metrics and the calls");
    }

    pub fn cost(&self) -> i64 {
        self.calls.iter().map(|call| call.cost).sum()
    }

    pub fn with(&self, outcome: &str) -> Vec<&CallRow> {
        self.calls.iter().filter(|call| call.outcome == outcome).collect()
    }
}

fn total<'a>(sums: impl IntoIterator<Item = &'a Sum>) -> Sum {
    let add = |one: Sum, other: &Sum| Sum { cost: one.cost + other.cost, tokens: one.tokens + other.tokens };
    sums.into_iter().fold(Sum::default(), add)
}
