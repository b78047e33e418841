//! The network policy of Worlds: they reach the cluster's DNS, the operator and the hosts of repositories, and nobody reaches them.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use manyworlds_api::labels;

/// Name of the policy in every namespace that has orders.
pub const NETWORK_POLICY: &str = "manyworlds-worlds";
/// Label that the API server puts on every namespace.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// What the Worlds of an installation may reach.
#[derive(Clone, Debug, PartialEq)]
pub struct WorldNetwork {
    /// The namespace of the operator's pods.
    pub operator_namespace: String,
    /// The ports of the artifact API and the gateway.
    pub operator_ports: Vec<u16>,
    /// The rules for the cluster's DNS, as the installation gives them.
    pub dns: Vec<NetworkPolicyEgressRule>,
    /// The rules for the hosts of repositories, as the installation gives them.
    pub repositories: Vec<NetworkPolicyEgressRule>,
}

/// Returns the policy of the Worlds of a namespace: deny by default.
///
/// - **Guarantees:** names every field of the specification, so that whoever applies it leaves no rule that somebody has added.
pub fn network_policy(namespace: &str, network: &WorldNetwork) -> NetworkPolicy {
    let WorldNetwork { operator_namespace, operator_ports, dns, repositories } = network;
    let operator = [operator(operator_namespace, operator_ports)];
    let egress = dns.iter().chain(&operator).chain(repositories).cloned().collect();
    NetworkPolicy {
        metadata: ObjectMeta {
            name: Some(NETWORK_POLICY.to_owned()),
            namespace: Some(namespace.to_owned()),
            labels: Some(BTreeMap::from([(labels::MANAGED_BY.to_owned(), labels::MANAGER.to_owned())])),
            ..ObjectMeta::default()
        },
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector {
                match_expressions: Some(vec![LabelSelectorRequirement {
                    key: labels::WORK_ORDER.to_owned(),
                    operator: "Exists".to_owned(),
                    values: None,
                }]),
                match_labels: Some(BTreeMap::from([(labels::MANAGED_BY.to_owned(), labels::MANAGER.to_owned())])),
            }),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            // A field that is left out belongs to whoever sets it.
            ingress: Some(Vec::new()),
            egress: Some(egress),
        }),
    }
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

    #[test]
    fn worlds_reach_what_the_installation_names_and_the_operator_and_nothing_else() {
        let dns = rule(json!({ "to": [{ "ipBlock": { "cidr": "169.254.20.10/32" } }] }));
        let repositories = rule(json!({ "to": [{ "ipBlock": { "cidr": "10.20.0.0/16" } }] }));
        let network = WorldNetwork {
            operator_namespace: "home".to_owned(),
            operator_ports: vec![8080, 8081],
            dns: vec![dns.clone()],
            repositories: vec![repositories.clone()],
        };
        let spec = network_policy("team", &network).spec.unwrap();
        let [first, operator, last] = spec.egress.as_deref().unwrap() else { panic!("{spec:?}") };
        assert_eq!((first, last), (&dns, &repositories));
        let peer = &operator.to.as_ref().unwrap()[0];
        let namespace = peer.namespace_selector.as_ref().unwrap().match_labels.as_ref().unwrap();
        assert_eq!(namespace[NAMESPACE_NAME], "home");
        assert_eq!(operator.ports.as_ref().unwrap().len(), 2);
        assert_eq!(spec.ingress, Some(Vec::new()), "the field is ours, and empty");
        assert_eq!(spec.policy_types.unwrap(), ["Ingress", "Egress"]);
    }
}
