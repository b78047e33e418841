//! The owned input of one decision.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::Arc;

use jiff::Timestamp;
use manyworlds_api::object::{ObjectId, Stored};
use manyworlds_api::work_order::{BudgetExceeded, Usage};
use manyworlds_api::{Duration, WorkOrder, World};

use crate::observation::OrderPod;
use crate::policy::pod_template::PodTemplateRules;
use crate::policy::refusal::Refusal;
use manyworlds_metering::waits::Waits;

/// Everything that one decision about one order is based on.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The time.
    pub now: Timestamp,
    /// The order, with its last known status.
    pub order: Arc<Stored<WorkOrder>>,
    /// Whether the order has its texts.
    pub texts: Texts,
    /// Every World that carries the order's name, those of an earlier order of the same name included.
    pub worlds: Vec<Arc<Stored<World>>>,
    /// Every pod that carries the order's name, those that have gone but are not recorded yet included.
    pub pods: Vec<Arc<OrderPod>>,
    /// Nodes that do not answer or are gone, among those that the order's pods are on.
    pub lost_nodes: BTreeSet<Arc<str>>,
    /// The time at which this process last wrote the order's status.
    pub status_written: Option<Timestamp>,
    /// The most writes of this decision that only show progress; see [`Plan::progress_writes`].
    ///
    /// [`Plan::progress_writes`]: crate::Plan::progress_writes
    pub progress_writes: u32,
    /// The last refusal of what the order wanted to make, as long as it bounds what it tries.
    pub refusal: Option<Refusal>,
    /// The order's use of models.
    pub models: ModelUse,
    /// Settings of the operator.
    pub settings: Arc<Settings>,
}

impl Snapshot {
    /// Tells the order's own Worlds from those of an earlier order of the same name.
    ///
    /// - **Guarantees:** a World is the order's own by the uid that it carries, whatever its name is.
    pub fn validate(mut self) -> ValidSnapshot {
        let worlds = std::mem::take(&mut self.worlds).into_iter();
        let (own, stale): (Vec<_>, Vec<_>) = worlds.partition(|world| *self.order.uid() == *world.spec.order.uid);
        self.worlds = own;
        ValidSnapshot { snapshot: self, stale_worlds: stale.iter().map(|world| world.id().clone()).collect() }
    }
}

/// A [`Snapshot`] in which every World is the order's own. Decisions are made on it alone.
///
/// Its objects have a name, a uid and a version each: [`Stored`] is made from nothing less.
#[derive(Clone, Debug)]
pub struct ValidSnapshot {
    snapshot: Snapshot,
    stale_worlds: Vec<ObjectId<World>>,
}

impl ValidSnapshot {
    /// Returns the same with the whole order: what is decided is the same, and the pods have its texts.
    #[must_use]
    pub fn with_whole_order(&self, order: Arc<Stored<WorkOrder>>) -> Self {
        Self { snapshot: Snapshot { order, texts: Texts::Kept, ..self.snapshot.clone() }, ..self.clone() }
    }

    /// Returns the Worlds of an earlier order of the same name.
    pub(crate) fn stale_worlds(&self) -> &[ObjectId<World>] {
        &self.stale_worlds
    }
}

impl Deref for ValidSnapshot {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.snapshot
    }
}

/// Whether the long texts of an order are there: its task, commands, prompts and the like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Texts {
    /// They are.
    #[default]
    Kept,
    /// They are not. No decision needs them, but a pod does.
    Left,
}

/// The use of models by an order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelUse {
    /// The reason for which a model of the order cannot be called, in one sentence.
    pub problem: Option<String>,
    /// The reason for which the order may not spend before a Budget holds it, in one sentence.
    pub unbudgeted: Option<String>,
    /// The names of the Budgets that hold the order, as far as they are known.
    pub budgets: Vec<String>,
    /// The usage of each World, by its uid.
    pub usage: BTreeMap<String, Usage>,
    /// The budget of which nothing is left.
    pub exhausted: Option<Exhausted>,
    /// The model that is left alone because it keeps failing, in one sentence.
    pub unavailable: Option<String>,
    /// The calls that wait for room within limits, by the name of the Provider.
    pub waits: BTreeMap<String, Waits>,
}

/// A budget of which nothing is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exhausted {
    /// In words, such as `the order's budget of 5.00 dollars`.
    pub what: String,
    /// The effect on the order.
    pub on_exceeded: BudgetExceeded,
}

/// Settings of the operator that decisions depend on.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Image of the runner.
    pub runner_image: String,
    /// The URL at which Worlds reach the operator.
    pub service_url: String,
    /// The URL at which Worlds reach the gateway; absent where there is none.
    pub gateway_url: Option<String>,
    /// What an order's pod template may ask for.
    pub pod_template: PodTemplateRules,
    /// The longest start of a pod. After it the attempt is given up and its slot is free.
    pub start_timeout: Duration,
    /// The time for which a status is held back that has changed in its counts alone, so that many changes make one write.
    pub progress_interval: Duration,
}

impl Settings {
    /// Returns the settings of a default installation.
    pub fn new(runner_image: String, service_url: String) -> Self {
        Self {
            runner_image,
            service_url,
            gateway_url: None,
            pod_template: PodTemplateRules::default(),
            start_timeout: Duration::from_minutes(2),
            progress_interval: Duration::from_seconds(5),
        }
    }
}
