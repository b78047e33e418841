//! Tells people: the order's status, events, metrics.

use std::sync::Arc;

use jiff::Timestamp;
use manyworlds_api::conditions::{OrderCondition, Reason, Truth, condition, set};
use manyworlds_api::errors::error_chain;
use manyworlds_api::object::Stored;
use manyworlds_api::work_order::WorldCounts;
use manyworlds_api::{WorkOrder, WorkOrderStatus};
use manyworlds_ledger::audit::{AuditEntry, AuditStage};
use manyworlds_planner::{OrderOutcome, Plan, StatusChange, ValidSnapshot};
use manyworlds_telemetry::{Metrics, OrderOutcome as OutcomeLabel};
use serde_json::json;

use crate::cluster::Writes;
use crate::errors::ReconcileError;
use crate::index::{Index, OrderKey};
use crate::models::Models;
use crate::reconcile::status::write_status;
use crate::watch::trimmed::Trimmed;

/// Writes what people see of orders.
pub(super) struct Publisher {
    pub(super) index: Arc<Index>,
    pub(super) writes: Writes,
    pub(super) metrics: Metrics,
    pub(super) models: Option<Models>,
}

impl Publisher {
    /// Writes the order's status where it has changed, and then tells what happened.
    pub(super) async fn publish(
        &self,
        key: &OrderKey,
        snapshot: &ValidSnapshot,
        plan: &Plan,
    ) -> Result<(), ReconcileError> {
        let Some(change) = &plan.status else { return Ok(()) };
        let StatusChange { status, events, outcome } = &**change;
        self.write_status(key, &snapshot.order, status).await?;
        if status.start_time.is_some()
            && snapshot.order.status.as_ref().is_none_or(|before| before.start_time.is_none())
            && let Some(age) = self.index.age(key)
        {
            self.metrics.pods_created_seconds.observe(age.as_secs_f64());
        }
        self.writes.events.record_all::<WorkOrder>(&snapshot.order.metadata, events);
        let summary = status.summary.as_deref();
        tracing::info!(summary, said = status.message.as_deref(), "the order's status has changed");
        if let Some(outcome) = outcome {
            self.finished(&snapshot.order, status, *outcome);
        }
        Ok(())
    }

    /// Shows on the order that it cannot be brought forward.
    pub(super) async fn show(&self, key: &OrderKey, reason: Reason, message: &str) {
        let Some(order) = self.index.order(key) else { return };
        let mut status = order.status.clone().unwrap_or_default();
        if status.is_finished() {
            return;
        }
        let now = Timestamp::now();
        for (kind, truth) in [(OrderCondition::Succeeded, Truth::Unknown), (OrderCondition::Stalled, Truth::True)] {
            let line = condition(kind.as_str(), truth, reason, message, order.metadata.generation, now);
            set(&mut status.conditions, line);
        }
        status.summary = Some(reason.as_str().to_owned());
        status.message = Some(message.to_owned());
        if order.status.as_ref() == Some(&status) {
            return;
        }
        if let Err(error) = self.write_status(key, &order, &status).await {
            tracing::debug!(error = %error_chain(&error), "the failure could not be shown on the order");
        }
    }

    async fn write_status(
        &self,
        key: &OrderKey,
        order: &Stored<WorkOrder>,
        status: &WorkOrderStatus,
    ) -> Result<(), ReconcileError> {
        let before = order.status.as_ref();
        let Trimmed(written) = write_status(&self.writes.writer, order, before, status).await?;
        self.index.order_written(written);
        self.index.status_written(key, Timestamp::now());
        if let Some(models) = &self.models
            && before.and_then(|before| before.summary.as_ref()) != status.summary.as_ref()
        {
            models.ledger.audit(AuditStage::Order, state(key, order, status));
        }
        Ok(())
    }

    fn finished(&self, order: &Stored<WorkOrder>, status: &WorkOrderStatus, outcome: OrderOutcome) {
        let outcome = match outcome {
            OrderOutcome::Succeeded => OutcomeLabel::Succeeded,
            OrderOutcome::Failed => OutcomeLabel::Failed,
            OrderOutcome::Cancelled => OutcomeLabel::Cancelled,
            OrderOutcome::Skipped => OutcomeLabel::Skipped,
        };
        self.metrics.orders_finished.with_label_values(&[outcome.as_str()]).inc();
        if let Some(completed) = &status.completion_time {
            self.metrics.order_seconds.observe(completed.0.duration_since(order.created()).as_secs_f64());
        }
    }
}

/// Returns what the audit log says of an order that came into another state.
fn state(key: &OrderKey, order: &Stored<WorkOrder>, status: &WorkOrderStatus) -> AuditEntry {
    let summary = |status: Option<&WorkOrderStatus>| status.and_then(|status| status.summary.clone());
    let before = summary(order.status.as_ref());
    let details = json!({ "namespace": &*key.namespace, "workOrder": &*key.name, "before": before });
    let WorldCounts { summary: _, pending, running, scored, failed, cut } = &status.worlds;
    let counts = json!({ "pending": pending, "running": running, "scored": scored, "failed": failed, "cut": cut });
    let succeeded = OrderCondition::Succeeded.as_str();
    let cause = status.conditions.iter().find(|condition| condition.type_ == succeeded);
    AuditEntry {
        order_uid: Some(order.uid().to_string()),
        details: details.to_string(),
        counts: counts.to_string(),
        failure_reason: cause.filter(|cause| cause.status == Truth::False.as_str()).map(|cause| cause.reason.clone()),
        ..AuditEntry::new(AuditStage::Order, summary(Some(status)).as_deref().unwrap_or("Unknown"), Timestamp::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::fixtures;

    #[test]
    fn the_audit_log_names_states_and_their_cause_and_no_text_of_a_worker() {
        let order = fixtures::order(json!({ "summary": "Running" }));
        let mut status = WorkOrderStatus {
            summary: Some("Failed".to_owned()),
            message: Some("what a worker printed".to_owned()),
            ..WorkOrderStatus::default()
        };
        status.worlds.failed = 5;
        let now = Timestamp::UNIX_EPOCH;
        let reason = Reason::NoEligibleWorld;
        set(&mut status.conditions, condition("Succeeded", Truth::False, reason, "what a worker printed", None, now));
        let entry = state(&OrderKey::of(order.id()), &order, &status);
        assert_eq!((entry.stage.as_str(), entry.result.as_str()), ("order", "Failed"));
        assert_eq!(entry.failure_reason.as_deref(), Some("NoEligibleWorld"));
        assert_eq!(entry.details, r#"{"before":"Running","namespace":"team","workOrder":"fix"}"#);
        assert!(entry.counts.contains(r#""failed":5"#));
        assert!(!format!("{entry:?}").contains("printed"));
    }
}
