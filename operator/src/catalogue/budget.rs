//! Budgets: their watch, and the steps of a look at one. A look writes the status where it has changed, and warns.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use kube::runtime::watcher::Config;
use manyworlds_api::conditions::{BudgetCondition, Reason, Truth};
use manyworlds_api::object::{ObjectId, Stored};
use manyworlds_api::{Budget, BudgetStatus};
use manyworlds_planner::{Event, EventKind};
use manyworlds_telemetry::{BudgetLabel, Metrics, ObjectLabel};
use serde::de::IgnoredAny;

use super::budget_status::{Spending, of_budget, warning, word};
use super::records::{Key, Records, UnreadableBudget, key_of};
use super::store::Catalogue;
use crate::cluster::Writes;
use crate::errors::ReconcileError;
use crate::kind::{Kind, UnreadableStatus};
use crate::reconcile::controller::Controller;
use crate::reconcile::events::reference;
use crate::reconcile::queue::{Scheduled, WorkQueue};
use crate::reconcile::status::write_status;
use crate::reconcile::steps::Reconcile;
use crate::watch::deleted::DeletedObject;
use crate::watch::guarded::Unreadable;
use crate::watch::observer::Observer;
use crate::watch::trimmed::Trimmed;
use crate::watch::watches::Watches;

/// The interval between two looks at what a Budget has spent.
const SPENDING_INTERVAL: SignedDuration = SignedDuration::from_secs(15);
/// The most Budgets that are reconciled at the same time.
const CONCURRENCY: usize = 4;

/// Starts to watch Budgets. Those that change are put into a work queue.
pub(crate) fn watch(watches: &mut Watches, catalogue: &Catalogue, queue: WorkQueue<Key>, metrics: &Metrics) {
    watches.start(Config::default(), Budgets { catalogue: catalogue.clone(), queue, metrics: metrics.clone() });
}

/// Returns the loop of Budgets.
pub(crate) fn controller(
    writes: Writes,
    metrics: &Metrics,
    catalogue: &Catalogue,
    queue: (WorkQueue<Key>, Scheduled<Key>),
) -> Controller<BudgetReconciler> {
    let reconciler = BudgetReconciler { catalogue: catalogue.clone(), writes, metrics: metrics.clone() };
    Controller::new(reconciler, queue, metrics, CONCURRENCY)
}

/// Observes Budgets.
struct Budgets {
    catalogue: Catalogue,
    queue: WorkQueue<Key>,
    metrics: Metrics,
}

impl Observer for Budgets {
    type Object = Trimmed<Budget>;

    fn on_applied(&self, Trimmed(budget): Trimmed<Budget>) {
        let key = key_of(budget.id());
        self.catalogue.records().apply_budget(budget);
        self.queue.add(key);
    }

    fn on_deleted(&self, object: &DeletedObject) {
        if let Some(id) = object.id() {
            self.catalogue.records().delete_budget(&id);
            self.queue.add(key_of(&id));
        }
    }

    fn on_unreadable(&self, object: &Unreadable) {
        if let Ok(id) = ObjectId::<Budget>::parse(&object.metadata) {
            let (key, selector) = (key_of(&id), object.part("/spec/selector"));
            let unreadable = UnreadableBudget { uid: id.uid, selector };
            self.catalogue.records().apply_unreadable_budget(key.clone(), unreadable);
            self.queue.add(key);
        }
    }

    fn on_listed(&self) {
        self.catalogue.note_listed(|listed| listed.budgets = true);
        count(&self.catalogue.records(), &self.metrics);
    }
}

/// Looks at Budgets.
pub(crate) struct BudgetReconciler {
    catalogue: Catalogue,
    writes: Writes,
    metrics: Metrics,
}

/// A Budget, with what is known of it.
pub(crate) struct BudgetSnapshot {
    now: Timestamp,
    budget: Arc<Stored<Budget>>,
    spending: Option<Spending>,
}

/// The decision about a Budget.
pub(crate) struct BudgetPlan {
    /// The status that it should have, where it has another, and what people are told when it is written.
    status: Option<(BudgetStatus, Option<Event>)>,
    next_check: Option<Timestamp>,
}

impl Reconcile for BudgetReconciler {
    type Kind = Budget;
    type Key = Key;
    type Gathered = BudgetSnapshot;
    type Snapshot = BudgetSnapshot;
    type Plan = BudgetPlan;

    async fn gather(&self, key: &Key, now: Timestamp) -> Result<Option<BudgetSnapshot>, ReconcileError> {
        let records = self.catalogue.records();
        count(&records, &self.metrics);
        let record = records.budgets.get(key);
        Ok(record.map(|record| BudgetSnapshot { now, budget: record.budget.clone(), spending: record.spending }))
    }

    fn validate(&self, gathered: BudgetSnapshot) -> Result<BudgetSnapshot, ReconcileError> {
        Ok(gathered)
    }

    fn plan(&self, _key: &Key, snapshot: &BudgetSnapshot) -> BudgetPlan {
        let BudgetSnapshot { now, budget, spending } = snapshot;
        let wanted = of_budget(budget, *spending, *now);
        let warned = budget.status.as_ref().and_then(|status| status.warned);
        let event = warning(budget, warned, &wanted).map(|message| Event {
            kind: EventKind::Warning,
            reason: Reason::BudgetWarning,
            action: "Warn",
            message,
        });
        BudgetPlan {
            status: (budget.status.as_ref() != Some(&wanted)).then_some((wanted, event)),
            next_check: now.checked_add(SPENDING_INTERVAL).ok(),
        }
    }

    async fn publish(&self, _key: &Key, snapshot: &BudgetSnapshot, plan: &BudgetPlan) -> Result<(), ReconcileError> {
        let Some((wanted, event)) = &plan.status else { return Ok(()) };
        let BudgetSnapshot { budget, .. } = snapshot;
        let before = budget.status.as_ref();
        write_status::<_, IgnoredAny>(&self.writes.writer, budget, before, wanted).await?;
        // A warning whose status was not written comes again with the next look.
        if let Some(event) = event {
            self.writes.events.record(reference::<Budget>(&budget.metadata), event, Timestamp::now());
        }
        Ok(())
    }

    fn next_check(plan: &BudgetPlan) -> Option<Timestamp> {
        plan.next_check
    }

    fn span((namespace, name): &Key) -> tracing::Span {
        tracing::info_span!("reconcile", namespace, budget = name)
    }
}

/// Counts Budgets by how much of them is spent.
fn count(records: &Records, metrics: &Metrics) {
    let words: Vec<_> = records.budgets.values().map(|record| word(&record.budget)).collect();
    for word in [BudgetLabel::Within, BudgetLabel::Warned, BudgetLabel::Exceeded] {
        let count = words.iter().filter(|found| **found == word).count();
        metrics.budgets.with_label_values(&[word.as_str()]).set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}

impl Kind for Budget {
    const LABEL: ObjectLabel = ObjectLabel::Budget;
    const UNREADABLE: Option<UnreadableStatus> = Some(UnreadableStatus {
        condition: BudgetCondition::Ready.as_str(),
        truth: Truth::False,
        unless: None,
        summary: None,
    });
}
