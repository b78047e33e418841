//! The network policies of the pods of Worlds. Those that work reach the cluster's DNS, the operator and the hosts of
//! repositories; those that judge reach DNS and the artifact API alone. Nobody reaches either.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use manyworlds_api::labels;

/// Label that the API server puts on every namespace.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// A network policy in every namespace that has orders. Each pod of an order is held by one of them, whatever its role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorldPolicy {
    /// That of the pods that carry no label of another policy.
    Worlds,
    /// That of the pods that judge, unless their order says that they reach what Worlds reach.
    Evaluations,
}

impl WorldPolicy {
    /// Every policy.
    pub const ALL: [Self; 2] = [Self::Worlds, Self::Evaluations];

    /// Returns its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Worlds => "manyworlds-worlds",
            Self::Evaluations => "manyworlds-evaluations",
        }
    }

    /// Returns the operator of the selector on the label [`labels::NETWORK`], whose only value is that of evaluations.
    ///
    /// `NotIn` takes the pods without the label too: who forgets it is held by the policy of Worlds.
    const fn operator(self) -> &'static str {
        match self {
            Self::Worlds => "NotIn",
            Self::Evaluations => "In",
        }
    }
}

/// What the pods of an installation's Worlds may reach.
#[derive(Clone, Debug, PartialEq)]
pub struct WorldNetwork {
    /// The namespace of the operator's pods.
    pub operator_namespace: String,
    /// The port of the artifact API.
    pub artifact_port: u16,
    /// The port of the gateway, where there is one.
    pub gateway_port: Option<u16>,
    /// The rules for the cluster's DNS, as the installation gives them.
    pub dns: Vec<NetworkPolicyEgressRule>,
    /// The rules for the hosts of repositories, as the installation gives them.
    pub repositories: Vec<NetworkPolicyEgressRule>,
}

/// Returns a policy of a namespace: deny by default.
///
/// - **Guarantees:** names every field of the specification, so that whoever applies it leaves no rule that somebody has added.
pub fn network_policy(policy: WorldPolicy, namespace: &str, network: &WorldNetwork) -> NetworkPolicy {
    NetworkPolicy {
        metadata: ObjectMeta {
            name: Some(policy.name().to_owned()),
            namespace: Some(namespace.to_owned()),
            labels: Some(BTreeMap::from([(labels::MANAGED_BY.to_owned(), labels::MANAGER.to_owned())])),
            ..ObjectMeta::default()
        },
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(pods(policy)),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            // A field that is left out belongs to whoever sets it.
            ingress: Some(Vec::new()),
            egress: Some(egress(policy, network)),
        }),
    }
}

fn pods(policy: WorldPolicy) -> LabelSelector {
    let of_an_order =
        LabelSelectorRequirement { key: labels::WORK_ORDER.to_owned(), operator: "Exists".to_owned(), values: None };
    let of_the_policy = LabelSelectorRequirement {
        key: labels::NETWORK.to_owned(),
        operator: policy.operator().to_owned(),
        values: Some(vec![labels::NETWORK_OF_EVALUATIONS.to_owned()]),
    };
    LabelSelector {
        match_expressions: Some(vec![of_an_order, of_the_policy]),
        match_labels: Some(BTreeMap::from([(labels::MANAGED_BY.to_owned(), labels::MANAGER.to_owned())])),
    }
}

fn egress(policy: WorldPolicy, network: &WorldNetwork) -> Vec<NetworkPolicyEgressRule> {
    let WorldNetwork { operator_namespace, artifact_port, gateway_port, dns, repositories } = network;
    let (gateway_port, repositories) = match policy {
        WorldPolicy::Worlds => (*gateway_port, repositories.as_slice()),
        WorldPolicy::Evaluations => (None, &[][..]),
    };
    let ports: Vec<u16> = std::iter::once(*artifact_port).chain(gateway_port).collect();
    let operator = [operator(operator_namespace, &ports)];
    dns.iter().chain(&operator).chain(repositories).cloned().collect()
}

fn operator(namespace: &str, operator_ports: &[u16]) -> NetworkPolicyEgressRule {
    let selector = |key: &str, value: &str| LabelSelector {
        match_labels: Some(BTreeMap::from([(key.to_owned(), value.to_owned())])),
        match_expressions: None,
    };
    let peer = NetworkPolicyPeer {
        namespace_selector: Some(selector(NAMESPACE_NAME, namespace)),
        pod_selector: Some(selector("app.kubernetes.io/name", "manyworlds")),
        ip_block: None,
    };
    NetworkPolicyEgressRule {
        ports: Some(operator_ports.iter().map(|number| port(*number)).collect()),
        to: Some(vec![peer]),
    }
}

fn port(number: u16) -> NetworkPolicyPort {
    NetworkPolicyPort {
        protocol: Some("TCP".to_owned()),
        port: Some(IntOrString::Int(i32::from(number))),
        end_port: None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rule(value: serde_json::Value) -> NetworkPolicyEgressRule {
        serde_json::from_value(value).unwrap()
    }

    fn network() -> WorldNetwork {
        WorldNetwork {
            operator_namespace: "home".to_owned(),
            artifact_port: 8080,
            gateway_port: Some(8081),
            dns: vec![rule(json!({ "to": [{ "ipBlock": { "cidr": "169.254.20.10/32" } }] }))],
            repositories: vec![rule(json!({ "to": [{ "ipBlock": { "cidr": "10.20.0.0/16" } }] }))],
        }
    }

    fn spec(policy: WorldPolicy) -> NetworkPolicySpec {
        network_policy(policy, "team", &network()).spec.unwrap()
    }

    #[test]
    fn worlds_reach_what_the_installation_names_and_the_operator_and_nothing_else() {
        let spec = spec(WorldPolicy::Worlds);
        let [first, operator, last] = spec.egress.as_deref().unwrap() else { panic!("{spec:?}") };
        assert_eq!((first, last), (&network().dns[0], &network().repositories[0]));
        let peer = &operator.to.as_ref().unwrap()[0];
        let namespace = peer.namespace_selector.as_ref().unwrap().match_labels.as_ref().unwrap();
        assert_eq!(namespace[NAMESPACE_NAME], "home");
        assert_eq!(operator.ports.as_ref().unwrap().len(), 2);
        assert_eq!(spec.ingress, Some(Vec::new()), "the field is ours, and empty");
        assert_eq!(spec.policy_types.unwrap(), ["Ingress", "Egress"]);
    }

    /// W14: gates run code that a worker has written, where no model and no repository can be reached.
    #[test]
    fn evaluations_reach_dns_and_the_artifact_api_and_nothing_else() {
        let spec = spec(WorldPolicy::Evaluations);
        let [first, operator] = spec.egress.as_deref().unwrap() else { panic!("{spec:?}") };
        assert_eq!(first, &network().dns[0]);
        assert_eq!(operator.ports, Some(vec![port(8080)]));
        assert_eq!(spec.ingress, Some(Vec::new()));
        assert_eq!(spec.policy_types.unwrap(), ["Ingress", "Egress"]);
    }

    /// W14: no pod of an order is left out, and none is held by both: what either allows would add up.
    #[test]
    fn each_pod_of_an_order_is_held_by_one_policy() {
        let selected = |policy, label: Option<&str>| {
            let expressions = spec(policy).pod_selector.unwrap().match_expressions.unwrap();
            expressions.iter().all(|expression| {
                let is_in = label.is_some_and(|label| expression.values.iter().flatten().any(|value| value == label));
                match (expression.key.as_str(), expression.operator.as_str()) {
                    (labels::WORK_ORDER, "Exists") => true,
                    (labels::NETWORK, "In") => is_in,
                    (labels::NETWORK, "NotIn") => !is_in,
                    _ => false,
                }
            })
        };
        for (label, by_worlds) in [(None, true), (Some("another"), true), (Some(labels::NETWORK_OF_EVALUATIONS), false)]
        {
            assert_eq!(selected(WorldPolicy::Worlds, label), by_worlds, "{label:?}");
            assert_eq!(selected(WorldPolicy::Evaluations, label), !by_worlds, "{label:?}");
        }
    }
}
