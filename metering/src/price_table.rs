//! The list prices of common models.

use std::collections::BTreeMap;

use manyworlds_api::provider::{Prices, Temperature};
use serde::Deserialize;

/// The table that comes with the product. `docs/models.md` explains how to renew it.
const LISTED: &str = include_str!("prices.json");

/// A model of the table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedModel {
    /// The prices of its tokens.
    #[serde(flatten)]
    pub prices: Prices,
    /// The most input tokens of a call.
    pub context_window: Option<i64>,
    /// The most output tokens of an answer.
    pub max_output_tokens: Option<i64>,
    /// Whether it takes a temperature.
    #[serde(default)]
    pub temperature: Temperature,
}

/// List prices by the name of the model.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PriceTable {
    date: String,
    models: BTreeMap<String, ListedModel>,
}

/// The table is not of its form.
#[derive(Debug, thiserror::Error)]
#[error("the price table cannot be read; see docs/models.md for its form")]
pub struct PriceTableError(#[from] serde_json::Error);

impl PriceTable {
    /// Returns the table that comes with the product.
    ///
    /// # Errors
    ///
    /// When the file is not of its form (class: bug).
    pub fn listed() -> Result<Self, PriceTableError> {
        Self::read(LISTED)
    }

    /// Reads a table.
    ///
    /// # Errors
    ///
    /// When the text is not of the table's form (class: spec).
    pub fn read(text: &str) -> Result<Self, PriceTableError> {
        Ok(serde_json::from_str(text)?)
    }

    /// Returns the day on which the prices were collected.
    pub fn date(&self) -> &str {
        &self.date
    }

    /// Returns what the table says of a model.
    pub fn get(&self, model: &str) -> Option<&ListedModel> {
        self.models.get(model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use manyworlds_api::Money;

    #[test]
    fn the_table_has_the_prices_that_the_providers_publish() {
        let table = PriceTable::listed().unwrap();
        let sonnet = table.get("claude-sonnet-4-5").unwrap();
        assert_eq!(sonnet.prices.input, "3.00".parse().unwrap());
        assert_eq!(sonnet.prices.cache_write_1h, Some("6.00".parse().unwrap()));
        assert_eq!(sonnet.prices.batch_percent, 50);
        let pro = table.get("gemini-2.5-pro").unwrap();
        assert_eq!(pro.prices.tiers.iter().map(|tier| tier.above).collect::<Vec<_>>(), [200_000]);
        assert_eq!(pro.prices.batch_percent, 100, "its cached tokens are not cheaper in a batch");
        assert_eq!(table.get("gpt-5").unwrap().prices.cached, Some("0.125".parse().unwrap()));
    }

    #[test]
    fn no_model_of_the_table_is_free_and_no_cache_makes_input_dearer_than_twice() {
        let table = PriceTable::listed().unwrap();
        assert!(table.models.len() > 50);
        for (name, model) in &table.models {
            let Prices { input, output, cached, cache_write_1h, tiers, .. } = &model.prices;
            assert!(*input > Money::default(), "{name}");
            assert!(*output > Money::default() || name.contains("embedding"), "{name}");
            assert!(cached.is_none_or(|cached| cached <= *input), "{name}");
            let twice = Money::from_trillionths(input.trillionths() * 5 / 2);
            assert!(cache_write_1h.is_none_or(|write| write <= twice), "{name}");
            assert!(tiers.iter().all(|tier| tier.input >= *input && tier.output >= *output), "{name}");
            assert!(model.context_window.is_some(), "{name}");
        }
        assert!(table.date().parse::<jiff::civil::Date>().is_ok());
    }

    /// What each vendor's API answers 400 to: gpt-5 and later and the o-series take 1 alone, Claude since Opus 4.7 none.
    #[test]
    fn models_that_refuse_a_temperature_are_known() {
        let table = PriceTable::listed().unwrap();
        let fixed = |name: &str| table.get(name).unwrap().temperature == Temperature::Fixed;
        for name in ["gpt-5", "gpt-5-mini", "gpt-6-luna", "o3", "o4-mini", "claude-opus-4-7", "claude-haiku-5-5"] {
            assert!(fixed(name), "{name}");
        }
        for name in ["gpt-4.1", "gpt-4o-mini", "claude-opus-4-6", "claude-sonnet-4-5", "gemini-2.5-pro"] {
            assert!(!fixed(name), "{name}");
        }
    }

    #[test]
    fn a_table_of_another_form_is_refused() {
        assert!(PriceTable::read("{\"date\": \"2026-01-01\", \"models\": {\"a\": {\"input\": 3}}}").is_err());
    }
}
