//! The setting of where a Budget has to hold an order, as JSON.

use std::collections::BTreeSet;

use serde::Deserialize;

/// The namespaces in which an order waits as long as no Budget holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BudgetRequirement {
    /// None: an order that no Budget holds is bound by its own limit.
    #[default]
    Nowhere,
    /// All of them.
    Everywhere,
    /// These.
    In(BTreeSet<String>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Given {
    Word(Word),
    Namespaces(BTreeSet<String>),
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    None,
    All,
}

impl BudgetRequirement {
    /// Reads the setting: `"none"`, `"all"`, or a list of namespaces.
    ///
    /// # Errors
    ///
    /// When it is none of them (class: spec).
    pub(crate) fn read(text: &str) -> Result<Self, serde_json::Error> {
        Ok(match serde_json::from_str(text)? {
            Given::Word(Word::None) => Self::Nowhere,
            Given::Word(Word::All) => Self::Everywhere,
            Given::Namespaces(namespaces) => Self::In(namespaces),
        })
    }

    /// Returns whether an order of a namespace has to be held by a Budget.
    pub(crate) fn applies_to(&self, namespace: &str) -> bool {
        match self {
            Self::Nowhere => false,
            Self::Everywhere => true,
            Self::In(namespaces) => namespaces.contains(namespace),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_required_where_the_setting_says_so() {
        for (text, team, other) in [
            (r#""none""#, false, false),
            (r#""all""#, true, true),
            (r#"["team","all"]"#, true, false),
            ("[]", false, false),
        ] {
            let requirement = BudgetRequirement::read(text).unwrap();
            assert_eq!((requirement.applies_to("team"), requirement.applies_to("other")), (team, other), "{text}");
        }
        for wrong in ["", "all", r#""some""#, r#"{"team":true}"#, "[1]"] {
            assert!(BudgetRequirement::read(wrong).is_err(), "{wrong}");
        }
    }
}
