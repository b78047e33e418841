//! The Worlds' network policies: those of each namespace in which pods of Worlds start.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::core::PartialObjectMeta;
use manyworlds_planner::resources::{WorldNetwork, WorldPolicy, network_policy};

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
    worlds: Mutex<Standing>,
    evaluations: Mutex<Standing>,
}

impl Policies {
    /// Begins without knowing of any.
    ///
    /// - **Shape:** `None` where somebody else keeps the policies.
    pub(crate) fn of(settings: &Settings, writer: Writer) -> Option<Self> {
        let egress = settings.network_policy.clone()?;
        let network = WorldNetwork {
            operator_namespace: settings.namespace.clone(),
            artifact_port: settings.api_address.port(),
            gateway_port: settings.gateway.as_ref().map(|gateway| gateway.address.port()),
            dns: egress.dns,
            repositories: egress.repositories,
        };
        Some(Self(Arc::new(Shared { writer, network, worlds: Mutex::default(), evaluations: Mutex::default() })))
    }

    /// Makes sure that the pods of a namespace's Worlds can reach no more than they need. While the policies stand, that takes no
    /// request.
    ///
    /// # Errors
    ///
    /// [`ReconcileError`] where a policy is not known to be in place. No pod may start then.
    pub(crate) async fn ensure(&self, namespace: &Arc<str>) -> Result<(), ReconcileError> {
        for policy in WorldPolicy::ALL {
            self.ensure_one(policy, namespace).await?;
        }
        Ok(())
    }

    async fn ensure_one(&self, policy: WorldPolicy, namespace: &Arc<str>) -> Result<(), ReconcileError> {
        if self.standing(policy).is_in_place(namespace) {
            return Ok(());
        }
        let turn = self.standing(policy).turn(namespace);
        let _turn = turn.lock().await;
        // Whoever had the turn before has written it.
        if self.standing(policy).is_in_place(namespace) {
            return Ok(());
        }
        let Shared { writer, network, .. } = &*self.0;
        let wanted = network_policy(policy, namespace, network);
        let written: PartialObjectMeta<NetworkPolicy> = writer.apply(namespace, policy.name(), &wanted).await?;
        tracing::info!(namespace = &**namespace, policy = policy.name(), "a network policy of Worlds was put in place");
        let mut standing = self.standing(policy);
        if let Some(seen) = SeenPolicy::of(&written.metadata) {
            standing.written(seen);
        }
        if standing.is_in_place(namespace) {
            Ok(())
        } else {
            Err(ReconcileError::PolicyChanged { policy: policy.name(), namespace: namespace.to_string() })
        }
    }

    /// Returns what is known of a policy in all namespaces. Each has a watch of its own, so what one has delivered says nothing
    /// about the other.
    pub(super) fn standing(&self, policy: WorldPolicy) -> MutexGuard<'_, Standing> {
        let standing = match policy {
            WorldPolicy::Worlds => &self.0.worlds,
            WorldPolicy::Evaluations => &self.0.evaluations,
        };
        // A panic while the lock was held leaves plain data behind, and the next watch event puts it right.
        standing.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// The version that the first write of a policy leaves; each later one leaves a greater one.
    const FIRST: u64 = 10;

    fn api_server() -> ApiServer {
        let versions = WorldPolicy::ALL.map(|_| AtomicU64::new(FIRST));
        let server = ApiServer::start(move |call| {
            let place = WorldPolicy::ALL.iter().position(|policy| call.path.ends_with(policy.name())).unwrap();
            let version = versions[place].fetch_add(1, Ordering::Relaxed);
            async move {
                let metadata = json!({
                    "name": WorldPolicy::ALL[place].name(), "namespace": "team", "uid": "u", "generation": version,
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

    /// Has the watch see a policy at a version.
    fn seen(policies: &Policies, policy: WorldPolicy, version: u64) {
        let metadata = ObjectMeta {
            namespace: Some("team".to_owned()),
            uid: Some("u".to_owned()),
            generation: i64::try_from(version).ok(),
            resource_version: Some(version.to_string()),
            ..ObjectMeta::default()
        };
        policies.standing(policy).seen(SeenPolicy::of(&metadata).unwrap());
    }

    #[tokio::test]
    async fn orders_of_one_moment_wait_for_one_write_of_each_policy_and_later_ones_cost_none() {
        let server = api_server();
        let (policies, team) = (policies(&server), Arc::<str>::from("team"));
        let (first, second) = tokio::join!(policies.ensure(&team), policies.ensure(&team));
        assert!(first.is_ok() && second.is_ok(), "{first:?}, {second:?}");
        for policy in WorldPolicy::ALL {
            seen(&policies, policy, FIRST);
        }
        policies.ensure(&team).await.unwrap();
        let calls = server.calls();
        assert_eq!(calls.len(), WorldPolicy::ALL.len(), "{calls:?}");
        for (write, policy) in calls.iter().zip(WorldPolicy::ALL) {
            assert_eq!(write.method, Method::PATCH);
            let path = "/apis/networking.k8s.io/v1/namespaces/team/networkpolicies";
            assert_eq!(write.path, format!("{path}/{}", policy.name()));
            assert_eq!(write.body["spec"]["ingress"], json!([]));
        }
    }

    #[tokio::test]
    async fn a_policy_that_somebody_changed_is_written_again() {
        let server = api_server();
        let (policies, team) = (policies(&server), Arc::<str>::from("team"));
        policies.ensure(&team).await.unwrap();
        // Newer than what the next write leaves, and the same as what the one after that does.
        for (number, policy) in (1..).zip(WorldPolicy::ALL) {
            seen(&policies, policy, FIRST + 2);
            let refused = policies.ensure(&team).await.unwrap_err();
            assert!(matches!(refused, ReconcileError::PolicyChanged { .. }), "somebody was faster: {refused}");
            assert!(refused.to_string().contains(policy.name()), "{refused}");
            policies.ensure(&team).await.unwrap();
            assert_eq!(server.writes().len(), 2 + 2 * number);
        }
    }
}
