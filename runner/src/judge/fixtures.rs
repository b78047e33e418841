//! What the tests of several files here need.

use manyworlds_api::work_order::{Gate, GateKind};

/// Returns a gate of 50 points.
pub(super) fn gate(kind: GateKind) -> Gate {
    Gate {
        name: "gate".to_owned(),
        kind,
        command: vec!["true".to_owned()],
        report: None,
        canary: None,
        points: 50,
        required: false,
        timeout: manyworlds_api::Duration::from_minutes(1),
    }
}
