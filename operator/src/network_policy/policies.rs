//! The Worlds' network policies: one in each namespace in which pods of Worlds start.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::core::PartialObjectMeta;
use manyworlds_planner::resources::{NETWORK_POLICY, WorldNetwork, network_policy};

use super::standing::{SeenPolicy, Standing};
use crate::errors::ReconcileError;
use crate::requests::Writer;
use crate::settings::Settings;

/// The network policies. Clones share what is known of them.
#[derive(Clone)]
pub(crate) struct Policies(Arc<Shared>);

struct Shared {
    writer: Writer,
    network: WorldNetwork,
    standing: Mutex<Standing>,
}

impl Policies {
    /// Begins without knowing of any.
    ///
    /// - **Shape:** `None` where somebody else keeps the policies.
    pub(crate) fn of(settings: &Settings, writer: Writer) -> Option<Self> {
        let egress = settings.network_policy.clone()?;
        let gateway = settings.gateway.as_ref().map(|gateway| gateway.address.port());
        let network = WorldNetwork {
            operator_namespace: settings.namespace.clone(),
            operator_ports: std::iter::once(settings.api_address.port()).chain(gateway).collect(),
            dns: egress.dns,
            repositories: egress.repositories,
        };
        Some(Self(Arc::new(Shared { writer, network, standing: Mutex::default() })))
    }

    /// Makes sure that the Worlds of a namespace can reach no more than they need. While the policy stands, that takes no request.
    ///
    /// # Errors
    ///
    /// [`ReconcileError`] where the policy is not known to be in place. No pod may start then.
    pub(crate) async fn ensure(&self, namespace: &Arc<str>) -> Result<(), ReconcileError> {
        if self.standing().is_in_place(namespace) {
            return Ok(());
        }
        let turn = self.standing().turn(namespace);
        let _turn = turn.lock().await;
        // Whoever had the turn before has written it.
        if self.standing().is_in_place(namespace) {
            return Ok(());
        }
        let Shared { writer, network, .. } = &*self.0;
        let wanted = network_policy(namespace, network);
        let written: PartialObjectMeta<NetworkPolicy> = writer.apply(namespace, NETWORK_POLICY, &wanted).await?;
        tracing::info!(namespace = &**namespace, "the network policy of Worlds was put in place");
        let mut standing = self.standing();
        if let Some(policy) = SeenPolicy::of(&written.metadata) {
            standing.written(policy);
        }
        if standing.is_in_place(namespace) {
            Ok(())
        } else {
            Err(ReconcileError::PolicyChanged { namespace: namespace.to_string() })
        }
    }

    /// Returns what is known of the policies.
    pub(super) fn standing(&self) -> MutexGuard<'_, Standing> {
        // A panic while the lock was held leaves plain data behind, and the next watch event puts it right.
        self.0.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use clap::Parser;
    use http::Method;
    use kube::core::ObjectMeta;
    use manyworlds_telemetry::Metrics;
    use manyworlds_test_support::{Answer, ApiServer};
    use serde_json::json;

    use super::*;
    use crate::index::fixtures::client_of;
    use crate::settings::CommandLine;

    /// The version that the first write leaves; each later one leaves a greater one.
    const FIRST: u64 = 10;

    fn api_server() -> ApiServer {
        let versions = AtomicU64::new(FIRST);
        let server = ApiServer::start(move |_| {
            let version = versions.fetch_add(1, Ordering::Relaxed);
            async move {
                let metadata = json!({
                    "name": NETWORK_POLICY, "namespace": "team", "uid": "u", "generation": version,
                    "resourceVersion": version.to_string(),
                });
                let (version, kind) = ("networking.k8s.io/v1", "NetworkPolicy");
                Answer::object(&json!({ "apiVersion": version, "kind": kind, "metadata": metadata }))
            }
        });
        server.unwrap()
    }

    fn policies(server: &ApiServer) -> Policies {
        let settings = CommandLine::try_parse_from(["manyworlds-operator"]).unwrap().arguments.resolve().unwrap();
        Policies::of(&settings, Writer::new(client_of(server), Metrics::new("0").unwrap())).unwrap()
    }

    /// Has the watch see the policy at a version.
    fn seen(policies: &Policies, version: u64) {
        let metadata = ObjectMeta {
            namespace: Some("team".to_owned()),
            uid: Some("u".to_owned()),
            generation: i64::try_from(version).ok(),
            resource_version: Some(version.to_string()),
            ..ObjectMeta::default()
        };
        policies.standing().seen(SeenPolicy::of(&metadata).unwrap());
    }

    #[tokio::test]
    async fn orders_of_one_moment_wait_for_one_write_and_later_ones_cost_none() {
        let server = api_server();
        let (policies, team) = (policies(&server), Arc::<str>::from("team"));
        let (first, second) = tokio::join!(policies.ensure(&team), policies.ensure(&team));
        assert!(first.is_ok() && second.is_ok(), "{first:?}, {second:?}");
        seen(&policies, FIRST);
        policies.ensure(&team).await.unwrap();
        let [write] = &server.calls()[..] else { panic!("{:?}", server.calls()) };
        assert_eq!(write.method, Method::PATCH);
        assert_eq!(write.path, format!("/apis/networking.k8s.io/v1/namespaces/team/networkpolicies/{NETWORK_POLICY}"));
        assert_eq!(write.body["spec"]["ingress"], json!([]));
    }

    #[tokio::test]
    async fn a_policy_that_somebody_changed_is_written_again() {
        let server = api_server();
        let (policies, team) = (policies(&server), Arc::<str>::from("team"));
        policies.ensure(&team).await.unwrap();
        // Newer than what the next write leaves, and the same as what the one after that does.
        seen(&policies, FIRST + 2);
        let refused = policies.ensure(&team).await.unwrap_err();
        assert!(matches!(refused, ReconcileError::PolicyChanged { .. }), "somebody was faster: {refused}");
        policies.ensure(&team).await.unwrap();
        assert_eq!(server.writes().len(), 3);
    }
}
