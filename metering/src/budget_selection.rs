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

/// What of an order decides which Budgets hold it.
#[derive(Clone, Copy, Debug)]
pub struct HeldOrder<'a> {
    /// Its labels.
    pub labels: &'a BTreeMap<String, String>,
    /// The Budget that it names.
    pub named: Option<&'a str>,
    /// The Budgets that have held it since it was admitted. They go on to, whatever becomes of its labels and their selectors.
    pub noted: &'a [String],
}

impl HeldOrder<'_> {
    /// Returns whether a Budget of a name holds the order whatever it selects.
    pub fn names(&self, budget: &str) -> bool {
        self.named == Some(budget) || self.noted.iter().any(|noted| noted == budget)
    }
}

/// Returns the names of the Budgets that apply to an order: those that select its labels, those that it names, and those that have
/// held it before.
///
/// - **Shape:** `budgets` are those of the order's namespace.
/// - **Guarantees:** each name once, sorted.
///
/// # Errors
///
/// [`MissingBudget`] (class: spec).
pub fn applicable_budgets<'a>(
    budgets: impl IntoIterator<Item = (&'a str, &'a BudgetSpec)>,
    order: HeldOrder<'_>,
) -> Result<Vec<&'a str>, MissingBudget> {
    let mut held: Vec<_> = budgets
        .into_iter()
        .filter(|(name, spec)| order.names(name) || spec.selector.selects(order.labels))
        .map(|(name, _)| name)
        .collect();
    held.sort_unstable();
    held.dedup();
    match order.named {
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
        let held_by = |named| applicable_budgets(budgets, HeldOrder { labels: &labels, named, noted: &[] });
        assert_eq!(held_by(None), Ok(vec!["all", "ours"]));
        assert_eq!(held_by(Some("ours")), Ok(vec!["all", "ours"]));
        assert_eq!(held_by(Some("theirs")), Ok(vec!["all", "ours", "theirs"]));
    }

    #[test]
    fn a_budget_that_has_held_an_order_does_so_whatever_becomes_of_its_labels() {
        let (ours, theirs) = (budget(&json!({"team": "a"})), budget(&json!({"team": "b"})));
        let (labels, noted) =
            (BTreeMap::from([("team".to_owned(), "b".to_owned())]), ["ours".to_owned(), "gone".to_owned()]);
        let order = HeldOrder { labels: &labels, named: None, noted: &noted };
        assert_eq!(applicable_budgets([("ours", &ours), ("theirs", &theirs)], order), Ok(vec!["ours", "theirs"]));
        assert_eq!(applicable_budgets([("theirs", &theirs)], order), Ok(vec!["theirs"]), "it was deleted");
    }

    #[test]
    fn an_order_that_names_a_budget_which_is_not_there_is_told_so() {
        let all = budget(&json!({}));
        let order = HeldOrder { labels: &BTreeMap::new(), named: Some("gone"), noted: &[] };
        let error = applicable_budgets([("all", &all)], order).unwrap_err();
        assert_eq!(error, MissingBudget { name: "gone".to_owned() });
    }
}
