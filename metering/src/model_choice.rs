//! The choice of a variant's model, and of its prices.

use manyworlds_api::provider::{Model, Prices, ProviderSpec, Temperature};

use crate::price_table::PriceTable;

/// A Provider of the order's namespace.
#[derive(Clone, Copy, Debug)]
pub struct NamedProvider<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its spec.
    pub spec: &'a ProviderSpec,
}

/// A model of a Provider, ready to be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PricedModel {
    /// Name of the Provider.
    pub provider: String,
    /// Name of the model, as the Provider knows it.
    pub model: String,
    /// The prices of its tokens.
    pub prices: Prices,
    /// The most input tokens of a call, where known.
    pub context_window: Option<u64>,
    /// The most output tokens of an answer, where known.
    pub max_output_tokens: Option<u64>,
    /// Its strength, where the Provider gives one.
    pub strength: Option<i32>,
    /// Whether it takes a temperature.
    pub temperature: Temperature,
}

impl PricedModel {
    /// Returns `<provider>/<model>`, which is unique in the namespace.
    pub fn full_name(&self) -> String {
        full_name(&self.provider, &self.model)
    }
}

/// Returns whether `<model>` or `<provider>/<model>` names a model of a Provider.
pub fn is_named(name: &str, provider: &str, model: &str) -> bool {
    name == model || is_full_name(name, provider, model)
}

fn full_name(provider: &str, model: &str) -> String {
    format!("{provider}/{model}")
}

fn is_full_name(name: &str, provider: &str, model: &str) -> bool {
    name.strip_prefix(provider).and_then(|rest| rest.strip_prefix('/')) == Some(model)
}

/// The reason why a variant's model cannot be called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// No Provider has it.
    #[error(
        "no Provider in this namespace has the model {wanted:?}; add it to spec.models of a Provider, or name one of: {}",
        list(known)
    )]
    Unknown {
        /// The name in the variant.
        wanted: String,
        /// The models that exist, each as `<provider>/<model>`.
        known: Vec<String>,
    },
    /// Several Providers have it.
    #[error("several Providers have the model {wanted:?}; write one of: {}", list(choices))]
    Ambiguous {
        /// The name in the variant.
        wanted: String,
        /// The models that it could mean, each as `<provider>/<model>`.
        choices: Vec<String>,
    },
    /// Its price is not known.
    #[error(
        "the price of the model {model:?} is not known, so it cannot be called; set prices.input and prices.output, in dollars for a million tokens, at that model in spec.models of the Provider {provider:?} (the operator's own price table is of {table_date})"
    )]
    NotPriced {
        /// Name of the Provider.
        provider: String,
        /// Name of the model.
        model: String,
        /// Date of the price table.
        table_date: String,
    },
}

/// The most names that a message lists.
const MOST_LISTED: usize = 10;

fn list(names: &[String]) -> String {
    match names.len() {
        0 => "(there is none)".to_owned(),
        count if count > MOST_LISTED => format!("{} and {} more", names[..MOST_LISTED].join(", "), count - MOST_LISTED),
        _ => names.join(", "),
    }
}

/// Finds the model that a variant names.
///
/// - **Shape:** `wanted` is `<model>` or `<provider>/<model>`; names of models may have slashes of their own.
/// - **Guarantees:** the form with the Provider always means that Provider, whatever models others have. Never a model without a price.
///
/// # Errors
///
/// [`ModelError`] (class: spec) when no model, or more than one, is meant, or its price is not known.
pub fn find(providers: &[NamedProvider<'_>], table: &PriceTable, wanted: &str) -> Result<PricedModel, ModelError> {
    let all = || providers.iter().flat_map(|provider| provider.spec.models.iter().map(move |model| (*provider, model)));
    let full = |(provider, model): (NamedProvider<'_>, &Model)| full_name(provider.name, &model.name);
    if let Some((provider, model)) = all().find(|(provider, model)| is_full_name(wanted, provider.name, &model.name)) {
        return price(provider, model, table);
    }
    let mut found = all().filter(|(_, model)| model.name == wanted);
    match (found.next(), found.next()) {
        (Some((provider, model)), None) => price(provider, model, table),
        (None, _) => {
            let mut known: Vec<_> = all().map(full).collect();
            known.sort_unstable();
            Err(ModelError::Unknown { wanted: wanted.to_owned(), known })
        }
        (Some(_), Some(_)) => {
            let mut choices: Vec<_> = all().filter(|(_, model)| model.name == wanted).map(full).collect();
            choices.sort_unstable();
            Err(ModelError::Ambiguous { wanted: wanted.to_owned(), choices })
        }
    }
}

/// Returns a model of a Provider with its prices: the Provider's own, else the table's.
///
/// # Errors
///
/// [`ModelError::NotPriced`] (class: spec).
pub fn price(provider: NamedProvider<'_>, model: &Model, table: &PriceTable) -> Result<PricedModel, ModelError> {
    let listed = table.get(&model.name);
    let prices =
        model.prices.as_ref().or(listed.map(|listed| &listed.prices)).ok_or_else(|| ModelError::NotPriced {
            provider: provider.name.to_owned(),
            model: model.name.clone(),
            table_date: table.date().to_owned(),
        })?;
    let known = |own: Option<i64>, listed: Option<i64>| own.or(listed).and_then(|number| u64::try_from(number).ok());
    Ok(PricedModel {
        provider: provider.name.to_owned(),
        model: model.name.clone(),
        prices: prices.clone(),
        context_window: known(model.context_window, listed.and_then(|listed| listed.context_window)),
        max_output_tokens: known(model.max_output_tokens, listed.and_then(|listed| listed.max_output_tokens)),
        strength: model.strength,
        temperature: model.temperature.or(listed.map(|listed| listed.temperature)).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(models: &serde_json::Value) -> ProviderSpec {
        serde_json::from_value(json!({"protocol": "OpenAI", "baseUrl": "https://example.com/v1", "models": models}))
            .unwrap()
    }

    fn found(providers: &[(&str, ProviderSpec)], wanted: &str) -> Result<String, ModelError> {
        let providers: Vec<_> = providers.iter().map(|(name, spec)| NamedProvider { name, spec }).collect();
        let table = PriceTable::listed().unwrap();
        find(&providers, &table, wanted).map(|found| format!("{} of {}", found.model, found.provider))
    }

    #[test]
    fn a_name_that_one_provider_has_is_enough() {
        let providers = [("openai", spec(&json!([{"name": "gpt-5"}]))), ("other", spec(&json!([{"name": "gpt-4o"}])))];
        assert_eq!(found(&providers, "gpt-5"), Ok("gpt-5 of openai".to_owned()));
        assert_eq!(found(&providers, "other/gpt-4o"), Ok("gpt-4o of other".to_owned()));
    }

    #[test]
    fn a_name_that_two_providers_have_needs_the_provider() {
        let providers = [("b", spec(&json!([{"name": "gpt-5"}]))), ("a", spec(&json!([{"name": "gpt-5"}])))];
        let error = found(&providers, "gpt-5").unwrap_err();
        assert!(error.to_string().ends_with("write one of: a/gpt-5, b/gpt-5"), "{error}");
        assert_eq!(found(&providers, "b/gpt-5"), Ok("gpt-5 of b".to_owned()));
    }

    #[test]
    fn the_form_with_the_provider_always_means_that_provider() {
        let price = json!({"input": "1.00", "output": "1.00"});
        let providers = [
            ("hub", spec(&json!([{"name": "openai/gpt-5", "prices": price}]))),
            ("openai", spec(&json!([{"name": "gpt-5"}]))),
        ];
        assert_eq!(found(&providers, "openai/gpt-5"), Ok("gpt-5 of openai".to_owned()));
        assert_eq!(found(&providers, "hub/openai/gpt-5"), Ok("openai/gpt-5 of hub".to_owned()));
        assert_eq!(found(&providers[..1], "openai/gpt-5"), Ok("openai/gpt-5 of hub".to_owned()));
    }

    #[test]
    fn a_model_is_named_with_its_provider_or_without() {
        let spec = spec(&json!([{"name": "openai/gpt-5", "prices": {"input": "1.00", "output": "1.00"}}]));
        let table = PriceTable::listed().unwrap();
        let hub = find(&[NamedProvider { name: "hub", spec: &spec }], &table, "openai/gpt-5").unwrap();
        let full = hub.full_name();
        assert_eq!(full, "hub/openai/gpt-5");
        let named = |name| is_named(name, &hub.provider, &hub.model);
        assert!(named("openai/gpt-5") && named(&full));
        assert!(!named("gpt-5") && !named("hub/gpt-5") && !named("hubopenai/gpt-5"));
    }

    #[test]
    fn a_model_without_a_price_is_refused_with_what_to_write_where() {
        let providers = [("own", spec(&json!([{"name": "house"}])))];
        let said = found(&providers, "house").unwrap_err().to_string();
        for part in ["\"house\"", "prices.input", "dollars for a million tokens", "Provider \"own\""] {
            assert!(said.contains(part), "{part} is missing in: {said}");
        }
    }

    #[test]
    fn a_model_that_nobody_has_is_refused_with_what_there_is() {
        let providers = [("openai", spec(&json!([{"name": "gpt-5"}])))];
        let said = found(&providers, "gpt-55").unwrap_err().to_string();
        assert!(said.contains("name one of: openai/gpt-5"), "{said}");
        assert!(found(&[], "gpt-5").unwrap_err().to_string().ends_with("(there is none)"));
    }

    #[test]
    fn whether_a_model_takes_a_temperature_is_said_by_its_provider_else_by_the_table() {
        let price = json!({"input": "1.00", "output": "1.00"});
        let spec = spec(&json!([
            {"name": "gpt-5"}, {"name": "gpt-5-mini", "prices": price}, {"name": "gpt-5.1", "temperature": "Settable"},
            {"name": "gpt-4o", "temperature": "Fixed"}, {"name": "gpt-4.1"}, {"name": "house", "prices": price},
        ]));
        let table = PriceTable::listed().unwrap();
        let found = |name| find(&[NamedProvider { name: "a", spec: &spec }], &table, name).unwrap().temperature;
        for name in ["gpt-5", "gpt-5-mini", "gpt-4o"] {
            assert_eq!(found(name), Temperature::Fixed, "{name}");
        }
        for name in ["gpt-5.1", "gpt-4.1", "house"] {
            assert_eq!(found(name), Temperature::Settable, "{name}");
        }
    }

    #[test]
    fn a_provider_overrides_the_table_in_part_and_in_full() {
        let own = json!([{"name": "gpt-5", "prices": {"input": "9.00", "output": "9.00"}, "maxOutputTokens": 5}]);
        let spec = spec(&own);
        let table = PriceTable::listed().unwrap();
        let model = find(&[NamedProvider { name: "a", spec: &spec }], &table, "gpt-5").unwrap();
        assert_eq!(model.prices.input, "9.00".parse().unwrap());
        assert_eq!(model.prices.cached, None, "prices are the Provider's or the table's, never mixed");
        assert_eq!(model.max_output_tokens, Some(5));
        assert_eq!(model.context_window, table.get("gpt-5").unwrap().context_window.map(i64::cast_unsigned));
    }
}
