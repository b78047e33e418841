//! The Budgets that apply to an order.

use std::collections::BTreeMap;

use manyworlds_api::BudgetSpec;

/// The Budget that an order names does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no Budget {name:?} in this namespace, which budget.budgetRef of the order names; make it, or the order cannot spend anything"
)]
pub struct MissingBudget {
    /// The name in the order.
    pub name: String,
}

/// Returns the names of the Budgets that apply to an order: those that select its labels, and the one that it names.
///
/// - **Shape:** `budgets` are those of the order's namespace.
/// - **Guarantees:** each name once, sorted.
///
/// # Errors
///
/// [`MissingBudget`] (class: spec).
pub fn applicable_budgets<'a>(
    budgets: impl IntoIterator<Item = (&'a str, &'a BudgetSpec)>,
    labels: &BTreeMap<String, String>,
    named: Option<&str>,
) -> Result<Vec<&'a str>, MissingBudget> {
    let mut held: Vec<_> = budgets
        .into_iter()
        .filter(|(name, spec)| named == Some(*name) || spec.selector.selects(labels))
        .map(|(name, _)| name)
        .collect();
    held.sort_unstable();
    held.dedup();
    match named {
        Some(name) if !held.contains(&name) => Err(MissingBudget { name: name.to_owned() }),
        _ => Ok(held),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn budget(labels: &serde_json::Value) -> BudgetSpec {
        serde_json::from_value(json!({"amount": "1", "selector": {"matchLabels": labels}})).unwrap()
    }

    #[test]
    fn an_order_is_held_by_every_budget_that_selects_it_and_by_the_one_that_it_names() {
        let (all, ours, theirs) = (budget(&json!({})), budget(&json!({"team": "a"})), budget(&json!({"team": "b"})));
        let budgets = [("ours", &ours), ("theirs", &theirs), ("all", &all)];
        let labels = BTreeMap::from([("team".to_owned(), "a".to_owned())]);
        assert_eq!(applicable_budgets(budgets, &labels, None), Ok(vec!["all", "ours"]));
        assert_eq!(applicable_budgets(budgets, &labels, Some("ours")), Ok(vec!["all", "ours"]));
        assert_eq!(applicable_budgets(budgets, &labels, Some("theirs")), Ok(vec!["all", "ours", "theirs"]));
    }

    #[test]
    fn an_order_that_names_a_budget_which_is_not_there_is_told_so() {
        let all = budget(&json!({}));
        let error = applicable_budgets([("all", &all)], &BTreeMap::new(), Some("gone")).unwrap_err();
        assert_eq!(error, MissingBudget { name: "gone".to_owned() });
    }
}
