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

/// Returns the policy of the Worlds of a namespace: deny by default.
///
/// - **Shape:** `repositories` are the rules for the hosts of repositories, as the installation gives them.
pub fn network_policy(
    namespace: &str,
    operator_namespace: &str,
    operator_ports: &[u16],
    repositories: &[NetworkPolicyEgressRule],
) -> NetworkPolicy {
    let mut egress = vec![dns(), operator(operator_namespace, operator_ports)];
    egress.extend_from_slice(repositories);
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
            ingress: None,
            egress: Some(egress),
        }),
    }
}

fn dns() -> NetworkPolicyEgressRule {
    let ports = ["UDP", "TCP"].into_iter().map(|protocol| port(protocol, 53)).collect();
    NetworkPolicyEgressRule { ports: Some(ports), to: Some(vec![in_namespace("kube-system", None)]) }
}

fn operator(namespace: &str, operator_ports: &[u16]) -> NetworkPolicyEgressRule {
    let pods = BTreeMap::from([("app.kubernetes.io/name".to_owned(), "manyworlds".to_owned())]);
    NetworkPolicyEgressRule {
        ports: Some(operator_ports.iter().map(|number| port("TCP", *number)).collect()),
        to: Some(vec![in_namespace(namespace, Some(pods))]),
    }
}

fn in_namespace(namespace: &str, pods: Option<BTreeMap<String, String>>) -> NetworkPolicyPeer {
    let selector = |labels| LabelSelector { match_labels: Some(labels), match_expressions: None };
    NetworkPolicyPeer {
        namespace_selector: Some(selector(BTreeMap::from([(NAMESPACE_NAME.to_owned(), namespace.to_owned())]))),
        pod_selector: pods.map(selector),
        ip_block: None,
    }
}

fn port(protocol: &str, number: u16) -> NetworkPolicyPort {
    NetworkPolicyPort {
        protocol: Some(protocol.to_owned()),
        port: Some(IntOrString::Int(i32::from(number))),
        end_port: None,
    }
}
