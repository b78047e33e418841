//! Carries out a plan: the only writer of Worlds and pods. It decides nothing.
//!
//! Names are fixed by the plan, so a creation is a lock: who finds the object made already, by us and for this order,
//! has succeeded.

use std::sync::Arc;

use futures::future::{join_all, try_join_all};
use k8s_openapi::api::core::v1::Pod;
use kube::core::ObjectMeta;
use manyworlds_api::object::{Name, ObjectId, Stored};
use manyworlds_api::world::WorldStage;
use manyworlds_api::{WorkOrder, World};
use manyworlds_planner::resources::OwnerlessPod;
use manyworlds_planner::{Effect, Grace, ValidSnapshot, WorldPatch};
use manyworlds_telemetry::{Metrics, ObjectLabel, WorldOutcome};

use crate::cluster::Writes;
use crate::errors::ReconcileError;
use crate::index::{Index, OrderKey};
use crate::kind::Kind;
use crate::network_policy::policies::Policies;
use crate::reconcile::events::Recorder;
use crate::reconcile::status::write_status;
use crate::requests::Writer;
use crate::watch::records::PodRecord;
use crate::watch::trimmed::Trimmed;

/// When a pod that is there now was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Made {
    /// By this request.
    Now,
    /// Before it.
    Before,
}

/// Carries out plans.
pub(super) struct Applier {
    index: Arc<Index>,
    writer: Writer,
    events: Recorder,
    metrics: Metrics,
    /// The Worlds' network policies; `None` where somebody else keeps them.
    policies: Option<Policies>,
}

impl Applier {
    pub(super) fn new(index: Arc<Index>, writes: Writes, metrics: Metrics, policies: Option<Policies>) -> Self {
        let Writes { writer, events } = writes;
        Self { index, writer, events, metrics, policies }
    }

    /// Carries out the effects of a plan: records first, then creations, then removals.
    pub(super) async fn apply(
        &self,
        key: &OrderKey,
        snapshot: &ValidSnapshot,
        effects: &[Effect],
    ) -> Result<(), ReconcileError> {
        let patches = effects.iter().filter_map(|effect| match effect {
            Effect::PatchWorld(patch) => Some(self.patch_world(snapshot, patch)),
            Effect::OpenWorld { .. }
            | Effect::StartAttempt { .. }
            | Effect::StartEvaluation { .. }
            | Effect::DeletePod { .. }
            | Effect::DeleteWorld(_)
            | Effect::DeleteOrder(_) => None,
        });
        try_join_all(patches).await?;
        if let Some(policies) = &self.policies
            && effects.iter().any(Effect::makes_pod)
        {
            policies.ensure(&key.namespace).await?;
        }
        let rest = effects.iter().map(|effect| self.carry_out(key, effect));
        // Every write is attempted even if one fails: a World that cannot start must not hold up the others.
        join_all(rest).await.into_iter().collect()
    }

    /// Reads an order whose texts the index has left out.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is gone, or was made again: the watch then tells so.
    pub(super) async fn whole_order(
        &self,
        known: &Stored<WorkOrder>,
    ) -> Result<Arc<Stored<WorkOrder>>, ReconcileError> {
        let Trimmed(order) = self.writer.read::<WorkOrder, Trimmed<WorkOrder>>(known.id()).await?;
        if order.uid() != known.uid() {
            let (kind, name) = ("WorkOrder".to_owned(), known.name().to_owned());
            return Err(ReconcileError::StillGoing { kind, name });
        }
        Ok(Arc::new(order))
    }

    async fn carry_out(&self, key: &OrderKey, effect: &Effect) -> Result<(), ReconcileError> {
        match effect {
            Effect::PatchWorld(_) => Ok(()),
            Effect::OpenWorld { world, pod } => self.open_world(key, world, pod).await,
            Effect::StartAttempt { pod } => self.start_attempt(key, pod).await,
            Effect::StartEvaluation { pod } => {
                if self.make_pod(key, pod).await? == Made::Now {
                    tracing::info!(pod = pod.metadata.name, "an evaluation has started");
                }
                Ok(())
            }
            Effect::DeletePod { pod, grace } => {
                let seconds = match grace {
                    Grace::Normal => None,
                    Grace::None => Some(0),
                };
                self.writer.delete(pod, seconds).await
            }
            Effect::DeleteWorld(world) => self.writer.delete(world, None).await,
            Effect::DeleteOrder(order) => self.writer.delete(order, None).await,
        }
    }

    async fn patch_world(&self, snapshot: &ValidSnapshot, patch: &WorldPatch) -> Result<(), ReconcileError> {
        let WorldPatch { world, status, events } = patch;
        let before = world.status.as_ref();
        let Trimmed(written) = write_status(&self.writer, world, before, status).await?;
        self.index.world_written(written);
        self.events.record_all::<WorkOrder>(&snapshot.order.metadata, events);
        self.count(before.and_then(|status| status.stage), status);
        tracing::info!(
            world = world.name(),
            attempt = status.attempt_count,
            stage = status.stage.map(tracing::field::debug),
            score = status.score.as_ref().map(|score| score.total),
            said = status.message.as_deref(),
            "the World's status has changed"
        );
        Ok(())
    }

    fn count(&self, before: Option<WorldStage>, status: &manyworlds_api::WorldStatus) {
        if before == status.stage {
            return;
        }
        let outcome = match status.stage {
            Some(WorldStage::Scored) if status.eligible == Some(true) => WorldOutcome::Eligible,
            Some(WorldStage::Scored) => WorldOutcome::Ineligible,
            Some(WorldStage::Failed) => WorldOutcome::Failed,
            Some(WorldStage::Cut) => WorldOutcome::Cut,
            _ => return,
        };
        self.metrics.worlds_finished.with_label_values(&[outcome.as_str()]).inc();
        if let Some(score) = &status.score {
            self.metrics.world_score.observe(f64::from(score.total));
        }
        if let Some(class) = status.attempts.last().and_then(|attempt| attempt.class) {
            self.metrics.attempt_failures.with_label_values(&[class.as_str()]).inc();
        }
    }

    async fn open_world(&self, key: &OrderKey, world: &World, pod: &OwnerlessPod) -> Result<(), ReconcileError> {
        let order_uid = world.spec.order.uid.as_str();
        let uid = match self.writer.create::<_, Trimmed<World>>(&key.namespace, world).await {
            Ok(Trimmed(made)) => {
                let uid = made.uid().clone();
                self.index.world_written(made);
                uid
            }
            Err(error) if already_exists(&error) => self.existing::<World>(key, &world.metadata, order_uid).await?.uid,
            Err(error) => return Err(error.of_making(ObjectLabel::World)),
        };
        self.start_attempt(key, &pod.clone().owned_by(&uid)).await
    }

    async fn start_attempt(&self, key: &OrderKey, pod: &Pod) -> Result<(), ReconcileError> {
        if self.make_pod(key, pod).await? == Made::Now {
            self.metrics.attempts.inc();
            tracing::info!(pod = pod.metadata.name, "an attempt has started");
        }
        Ok(())
    }

    async fn make_pod(&self, key: &OrderKey, pod: &Pod) -> Result<Made, ReconcileError> {
        let owner = pod.metadata.owner_references.iter().flatten().next().map_or("", |owner| owner.uid.as_str());
        match self.writer.create::<_, PodRecord>(&key.namespace, pod).await {
            Ok(made) => {
                if let Some((key, pod)) = made.into_order_pod() {
                    self.index.pod_written(&key, pod);
                }
                Ok(Made::Now)
            }
            Err(error) if already_exists(&error) => {
                self.existing::<Pod>(key, &pod.metadata, owner).await.map(|_| Made::Before)
            }
            Err(error) => Err(error.of_making(ObjectLabel::Pod)),
        }
    }

    /// Finds out whose an object is that was there already.
    ///
    /// - **Shape:** `wanted` is the metadata of the object that was to be made, `owner` the uid of its owner.
    async fn existing<K: Kind>(
        &self,
        key: &OrderKey,
        wanted: &ObjectMeta,
        owner: &str,
    ) -> Result<ObjectId<K>, ReconcileError> {
        let name: Name<K> = wanted.name.as_deref().unwrap_or("").parse()?;
        let metadata = self.writer.metadata::<K>(&key.namespace, name.as_str()).await?;
        let (kind, name) = (K::kind(&()).into_owned(), name.to_string());
        match whose(&metadata, key, owner) {
            Whose::Ours => Ok(ObjectId::parse(&metadata)?),
            Whose::Leaving => Err(ReconcileError::StillGoing { kind, name }),
            Whose::Others => Err(ReconcileError::Foreign { kind, name }),
        }
    }
}

/// Whose an object is that was there before it was to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Ours,
    /// An order's, and on its way out.
    Leaving,
    Others,
}

/// Returns whose an object is.
///
/// - **Shape:** `key` is that of the order, `owner` the uid of the owner that the object should have.
/// - **Guarantees:** one that the watch does not take for the order's is not taken for it here: the World would wait for it for ever.
fn whose(found: &ObjectMeta, key: &OrderKey, owner: &str) -> Whose {
    let is_owned = found.owner_references.iter().flatten().any(|reference| reference.uid == owner);
    let is_labelled = OrderKey::of_label(found).as_ref() == Some(key);
    match (is_owned, is_labelled) {
        _ if found.deletion_timestamp.is_some() => Whose::Leaving,
        (true, true) => Whose::Ours,
        // An earlier order of the same name left it behind, and the garbage collector is on its way.
        (false, true) => Whose::Leaving,
        (_, false) => Whose::Others,
    }
}

fn already_exists(error: &ReconcileError) -> bool {
    matches!(error, ReconcileError::Api { source: kube::Error::Api(status), .. } if status.code == 409)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_that_was_there_is_ours_only_with_the_orders_label_and_its_owner() {
        let metadata = |order: Option<&str>, owner: &str, going: bool| -> ObjectMeta {
            let mut metadata = json!({
                "name": "fix-alpha-1", "namespace": "team",
                "ownerReferences": [{"apiVersion": "manyworlds.dev/v1alpha1", "kind": "World", "name": "fix-alpha", "uid": owner}],
            });
            if let Some(order) = order {
                metadata["labels"] = json!({"manyworlds.dev/work-order": order});
            }
            if going {
                metadata["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            }
            serde_json::from_value(metadata).unwrap()
        };
        let key = OrderKey::of_label(&metadata(Some("fix"), "w", false)).unwrap();
        for (order, owner, going, expected) in [
            (Some("fix"), "w", false, Whose::Ours),
            (Some("fix"), "w", true, Whose::Leaving),
            (Some("fix"), "earlier", false, Whose::Leaving),
            (Some("other"), "w", false, Whose::Others),
            (None, "w", false, Whose::Others),
            (None, "other", false, Whose::Others),
        ] {
            assert_eq!(whose(&metadata(order, owner, going), &key, "w"), expected, "{order:?} {owner} {going}");
        }
    }
}
