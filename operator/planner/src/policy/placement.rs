//! Which nodes a World may run on, and why none does.

use std::fmt;

use k8s_openapi::api::core::v1::{Taint, Toleration};

use crate::node_resources::{Resources, slots};
use crate::observation::{ObservedNode, Placement, Readiness};

/// Returns whether a World may be put on a node now.
pub(super) fn accepts(node: &ObservedNode, placement: &Placement) -> bool {
    node.schedulable && node.readiness == Readiness::Ready && matches(node, placement)
}

/// Returns whether a World may run on a node: its labels are there and its taints are tolerated.
pub(super) fn matches(node: &ObservedNode, placement: &Placement) -> bool {
    selects(node, placement) && tolerated(node, placement)
}

fn selects(node: &ObservedNode, placement: &Placement) -> bool {
    placement.node_selector.iter().all(|(key, value)| node.labels.get(key) == Some(value))
}

fn tolerated(node: &ObservedNode, placement: &Placement) -> bool {
    let mut taints = node.taints.iter().filter(|taint| taint.effect != "PreferNoSchedule");
    taints.all(|taint| placement.tolerations.iter().any(|toleration| tolerates(toleration, taint)))
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let Toleration { effect, key, operator, value, toleration_seconds: _ } = toleration;
    let effect_matches = effect.as_ref().is_none_or(|effect| effect.is_empty() || *effect == taint.effect);
    let key_matches = key.as_ref().is_none_or(|key| key.is_empty() || *key == taint.key);
    let value_matches = operator.as_deref() == Some("Exists")
        || value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default();
    let named = key.as_ref().is_some_and(|key| !key.is_empty()) || operator.as_deref() == Some("Exists");
    effect_matches && key_matches && value_matches && named
}

/// The reasons for which no node takes a World of an order: the nodes of each reason, each node counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Misfits {
    /// Its labels or taints rule the World out.
    pub unmatched: usize,
    /// Its kubelet does not answer or is not well.
    pub not_ready: usize,
    /// It takes no new pods.
    pub cordoned: usize,
    /// It holds no World of this size even when nothing else runs.
    pub too_small: usize,
}

impl Misfits {
    /// Counts the nodes, none of which takes a World.
    pub(super) fn count<'a>(
        nodes: impl Iterator<Item = &'a ObservedNode>,
        size: Resources,
        placement: &Placement,
    ) -> Self {
        let mut misfits = Self::default();
        for node in nodes {
            // What a person has set on purpose comes first: nobody looks after a node that would not be used anyway.
            let counter = if !selects(node, placement) {
                &mut misfits.unmatched
            } else if !node.schedulable {
                &mut misfits.cordoned
            } else if node.readiness != Readiness::Ready {
                &mut misfits.not_ready
            } else if !tolerated(node, placement) {
                &mut misfits.unmatched
            } else if slots(node.allocatable, size) == 0 {
                &mut misfits.too_small
            } else {
                continue;
            };
            *counter += 1;
        }
        misfits
    }
}

impl fmt::Display for Misfits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { unmatched, not_ready, cordoned, too_small } = *self;
        let all = unmatched + not_ready + cordoned + too_small;
        if all == 0 {
            return formatter.write_str("the cluster has no node; add one");
        }
        let reasons = [
            (not_ready, "not ready", "see 'kubectl describe node'"),
            (cordoned, "cordoned", "'kubectl uncordon' makes a node usable again"),
            (
                unmatched,
                "ruled out by labels or taints",
                "compare worker.podTemplate.nodeSelector and tolerations with the nodes",
            ),
            (too_small, "too small", "ask for less in worlds.sizing.perWorld, or add a larger node"),
        ];
        let named = || reasons.iter().filter(|(count, _, _)| *count > 0);
        let counts: Vec<String> = named().map(|(count, what, _)| format!("{count} {what}")).collect();
        let advice: Vec<&str> = named().map(|(_, _, advice)| *advice).collect();
        write!(formatter, "no node takes a World of this order ({}); {}", counts.join(", "), advice.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> ObservedNode {
        ObservedNode {
            name: name.into(),
            schedulable: true,
            readiness: Readiness::Ready,
            allocatable: Resources { processor: 2000, memory: 8 << 30, storage: 100 << 30, pods: 110 },
            ..ObservedNode::default()
        }
    }

    fn taint(key: &str) -> Taint {
        Taint { key: key.to_owned(), effect: "NoSchedule".to_owned(), ..Taint::default() }
    }

    #[test]
    fn each_node_is_counted_once_for_what_a_person_can_change() {
        let large = Resources { processor: 4000, memory: 1 << 30, storage: 1 << 30, pods: 1 };
        let mut lost = node("lost");
        lost.readiness = Readiness::Lost;
        // What Kubernetes itself adds to such a node is not a second reason.
        lost.taints = vec![taint("node.kubernetes.io/unreachable")];
        let mut cordoned = node("cordoned");
        cordoned.schedulable = false;
        cordoned.taints = vec![taint("node.kubernetes.io/unschedulable")];
        let mut tainted = node("tainted");
        tainted.taints = vec![taint("team")];
        let nodes = [lost, cordoned, tainted, node("small"), node("small-2")];
        let misfits = Misfits::count(nodes.iter(), large, &Placement::default());
        assert_eq!(misfits, Misfits { unmatched: 1, not_ready: 1, cordoned: 1, too_small: 2 });
        let said = misfits.to_string();
        assert!(
            said.starts_with("no node takes a World of this order (1 not ready, 1 cordoned, 1 ruled out"),
            "{said}"
        );
        assert!(said.contains("kubectl uncordon") && said.contains("worlds.sizing.perWorld"), "{said}");
    }

    #[test]
    fn only_reasons_that_apply_are_named() {
        assert_eq!(Misfits::default().to_string(), "the cluster has no node; add one");
        let said = Misfits { cordoned: 1, ..Misfits::default() }.to_string();
        assert_eq!(
            said,
            "no node takes a World of this order (1 cordoned); 'kubectl uncordon' makes a node usable again"
        );
    }
}
