//! Label selector of the orders that spend from a Budget.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A label selector. All its requirements must hold; an empty selector selects everything.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Selector {
    /// Labels and the values that they must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = {"type": "string", "maxLength": 63}))]
    pub match_labels: BTreeMap<String, String>,

    /// Further requirements on labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub match_expressions: Vec<Requirement>,
}

/// A requirement on one label.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)").message("values are needed for the operators In and NotIn and not allowed for Exists and DoesNotExist"))]
pub struct Requirement {
    /// Name of the label.
    #[schemars(length(min = 1, max = 317))]
    pub key: String,

    /// Comparison of the label with `values`.
    pub operator: SelectorOperator,

    /// Values for `In` and `NotIn`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 63)))]
    pub values: Vec<String>,
}

/// The comparison of a label.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SelectorOperator {
    /// The label exists and has one of the values.
    In,
    /// The label is absent or has none of the values.
    NotIn,
    /// The label exists.
    Exists,
    /// The label is absent.
    DoesNotExist,
}

impl Selector {
    /// Returns whether an object with these labels is selected.
    ///
    /// - **Source:** <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors>
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        let Self { match_labels, match_expressions } = self;
        match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && match_expressions.iter().all(|requirement| requirement.holds(labels))
    }
}

impl Requirement {
    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        let listed = value.is_some_and(|value| self.values.contains(value));
        match self.operator {
            SelectorOperator::In => listed,
            SelectorOperator::NotIn => !listed,
            SelectorOperator::Exists => value.is_some(),
            SelectorOperator::DoesNotExist => value.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn selects(selector: serde_json::Value, labels: &[(&str, &str)]) -> bool {
        let selector: Selector = serde_json::from_value(selector).unwrap();
        selector.selects(&labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn an_empty_selector_selects_all() {
        assert!(selects(json!({}), &[]));
        assert!(selects(json!({}), &[("team", "a")]));
    }

    #[test]
    fn every_label_must_have_its_value() {
        let selector = || json!({"matchLabels": {"team": "a", "tier": "b"}});
        assert!(selects(selector(), &[("team", "a"), ("tier", "b"), ("other", "c")]));
        assert!(!selects(selector(), &[("team", "a")]));
        assert!(!selects(selector(), &[("team", "a"), ("tier", "c")]));
    }

    #[test]
    fn each_operator_compares_as_kubernetes_does() {
        let one = |operator: &str, values: &[&str]| json!({"matchExpressions": [{"key": "team", "operator": operator, "values": values}]});
        for (operator, values, listed, other, absent) in [
            ("In", &["a", "b"][..], true, false, false),
            ("NotIn", &["a", "b"][..], false, true, true),
            ("Exists", &[][..], true, true, false),
            ("DoesNotExist", &[][..], false, false, true),
        ] {
            assert_eq!(selects(one(operator, values), &[("team", "a")]), listed, "{operator}, listed");
            assert_eq!(selects(one(operator, values), &[("team", "z")]), other, "{operator}, other");
            assert_eq!(selects(one(operator, values), &[]), absent, "{operator}, absent");
        }
    }
}
