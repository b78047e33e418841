//! The setting of how slots are shared between namespaces, as JSON.

use std::collections::HashMap;
use std::num::NonZero;

use manyworlds_planner::policy::shares::{NamespaceShare, NamespaceShares};
use serde::Deserialize;

/// The greatest weight. It is enough for any team, and keeps a mistyped one from taking all that others have.
const GREATEST_WEIGHT: u16 = 1000;

/// A setting of shares that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SharesError {
    /// It is no such object.
    #[error(
        "it is not a JSON object such as {{\"default\": {{\"weight\": 1}}, \"namespaces\": [{{\"name\": \"a\", \"limit\": 8}}]}}"
    )]
    Json(#[source] serde_json::Error),
    /// A weight is too great.
    #[error("the weight of {of} is {weight}; the greatest is {greatest}", greatest = GREATEST_WEIGHT)]
    Weight {
        /// Whose it is.
        of: String,
        /// The weight.
        weight: u16,
    },
    /// A namespace is there more than once.
    #[error("the namespace {0} is there twice; leave one of them out")]
    Twice(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    #[serde(default)]
    default: GivenShare,
    #[serde(default)]
    namespaces: Vec<GivenNamespace>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct GivenShare {
    weight: Option<NonZero<u16>>,
    limit: Option<u64>,
    max_priority: Option<i32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct GivenNamespace {
    name: String,
    weight: Option<NonZero<u16>>,
    limit: Option<u64>,
    max_priority: Option<i32>,
}

/// Reads how slots are shared.
///
/// - **Shape:** what a namespace does not say is as for all others; a limit of 0 is none.
///
/// # Errors
///
/// [`SharesError`] (class: spec) that says what is wrong.
pub fn read(text: &str) -> Result<NamespaceShares, SharesError> {
    let Given { default, namespaces } = serde_json::from_str(text).map_err(SharesError::Json)?;
    let others = share("the default", default, NamespaceShare::default())?;
    let mut named = HashMap::new();
    for GivenNamespace { name, weight, limit, max_priority } in namespaces {
        let given = GivenShare { weight, limit, max_priority };
        let share = share(&format!("the namespace {name}"), given, others)?;
        if named.insert(name.clone(), share).is_some() {
            return Err(SharesError::Twice(name));
        }
    }
    Ok(NamespaceShares::new(others, named))
}

fn share(of: &str, given: GivenShare, unless: NamespaceShare) -> Result<NamespaceShare, SharesError> {
    let GivenShare { weight, limit, max_priority } = given;
    let weight = weight.unwrap_or(unless.weight);
    if weight.get() > GREATEST_WEIGHT {
        return Err(SharesError::Weight { of: of.to_owned(), weight: weight.get() });
    }
    Ok(NamespaceShare {
        weight,
        limit: limit.map_or(unless.limit, |limit| (limit > 0).then_some(limit)),
        max_priority: max_priority.unwrap_or(unless.max_priority),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_namespace_does_not_say_is_as_for_the_others() {
        let shares = read(
            r#"{"default": {"limit": 8, "maxPriority": 10},
                "namespaces": [{"name": "a", "weight": 3}, {"name": "b", "limit": 0, "maxPriority": 1000}]}"#,
        )
        .unwrap();
        let said = |namespace: &str| {
            let NamespaceShare { weight, limit, max_priority } = shares.of(namespace);
            (weight.get(), limit, max_priority)
        };
        assert_eq!(said("a"), (3, Some(8), 10));
        assert_eq!(said("b"), (1, None, 1000));
        assert_eq!(said("c"), (1, Some(8), 10));
    }

    #[test]
    fn nothing_given_shares_equally_without_a_limit() {
        assert_eq!(read("{}").unwrap().of("a"), NamespaceShare::default());
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (given, said) in [
            (r#"{"namespaces": {}}"#, "JSON object"),
            (r#"{"default": {"wieght": 1}}"#, "JSON object"),
            (r#"{"default": {"weight": 0}}"#, "JSON object"),
            (r#"{"namespaces": [{"name": "a", "weight": 1001}]}"#, "the namespace a is 1001"),
            (r#"{"namespaces": [{"name": "a"}, {"name": "a"}]}"#, "namespace a is there twice"),
        ] {
            let error = read(given).unwrap_err().to_string();
            assert!(error.contains(said), "{given}: {error}");
        }
    }
}
