//! Small pieces that several decisions share.

use jiff::Timestamp;
use manyworlds_api::work_order::WorkOrderSpec;

use crate::observation::Placement;

/// Remembers the earliest of the times that it is told.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Earliest(Option<Timestamp>);

impl Earliest {
    pub(crate) fn note(&mut self, time: Timestamp) {
        self.0 = Some(self.0.map_or(time, |known| known.min(time)));
    }

    pub(crate) fn note_some(&mut self, time: Option<Timestamp>) {
        if let Some(time) = time {
            self.note(time);
        }
    }

    pub(crate) fn get(self) -> Option<Timestamp> {
        self.0
    }
}

/// Returns where the Worlds of an order may run.
pub(crate) fn placement(spec: &WorkOrderSpec) -> Placement {
    match &spec.worker.pod_template {
        Some(template) => {
            Placement { node_selector: template.node_selector.clone(), tolerations: template.tolerations.clone() }
        }
        None => Placement::default(),
    }
}
