//! Orders whose pod template asks for more than a World: refused before anything is made.

use manyworlds_api::labels;
use manyworlds_api::object::{Stored, WorldUid};
use manyworlds_api::work_order::{PodTemplate, WorkOrderSpec};
use proptest::prelude::*;

use super::model::{Model, specification};
use super::{started, truth};
use crate::node_resources::Resources;
use crate::policy::pod_template::PodTemplateRules;
use crate::resources::{pod, world};
use crate::snapshot::Settings;

/// The labels that the operator gives a pod of a World.
const OWN: [&str; 5] = [labels::MANAGED_BY, labels::WORK_ORDER, labels::WORLD, labels::ATTEMPT, labels::ROLE];

fn with_labels(keys: impl IntoIterator<Item = String>) -> WorkOrderSpec {
    let mut spec = specification(&["alpha"]);
    let labels = keys.into_iter().map(|key| (key, "value".to_owned())).collect();
    spec.worker.pod_template = Some(PodTemplate { labels, ..PodTemplate::default() });
    spec
}

#[test]
fn an_order_that_asks_for_a_label_of_others_makes_nothing() {
    let model = started(with_labels(["app".to_owned()]), 1);
    assert_eq!(model.condition("Finished"), truth("True", "InvalidSpecification"));
    assert!(model.message().contains("worlds.podTemplate.allowedLabels"), "{}", model.message());
    assert!(model.worlds.is_empty() && model.created_pods.is_empty());
}

#[test]
fn an_order_may_label_its_pods_under_the_prefix() {
    let model = started(with_labels([format!("{}team", labels::EXTRA_LABEL_PREFIX)]), 1);
    assert_eq!(model.created_pods, ["fix-alpha-1"]);
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,4}".prop_map(|name| format!("{}{name}", labels::EXTRA_LABEL_PREFIX)),
        r"(team|app|label|label\.manyworlds\.dev|manyworlds\.dev|example\.com)(/[a-c]{1,2})?",
    ]
}

proptest! {
    /// Whatever labels an order asks for: its pods have the operator's own, those under the prefix, and those that are allowed.
    #[test]
    fn a_pod_of_an_accepted_order_has_no_label_of_others(
        keys in prop::collection::btree_set(key(), 0..4),
        allowed in prop::collection::vec(key(), 0..3),
    ) {
        let rules = PodTemplateRules { allowed_labels: allowed.clone(), ..PodTemplateRules::default() };
        let spec = with_labels(keys);
        if rules.refusal(&spec).is_some() {
            return Ok(());
        }
        let settings = Settings::new("runner".to_owned(), "http://operator".to_owned());
        let order = Stored::parse(Model::new(spec, 1).order).unwrap();
        let world = world(&order, &order.spec.worlds.variants[0], 0, Resources::default(), &settings);
        let uid: WorldUid = "w".parse().unwrap();
        let made = pod(&order, &world, 1, &settings).owned_by(&uid);
        for key in made.metadata.labels.unwrap().keys() {
            let is_expected = OWN.contains(&key.as_str())
                || key.starts_with(labels::EXTRA_LABEL_PREFIX)
                || allowed.contains(key);
            prop_assert!(is_expected, "{} of the allowed {:?}", key, allowed);
        }
    }
}
