//! Which parts of a specification this version carries out.

use manyworlds_api::work_order::{Approval, DeliveryMode, TaskMode, WorkOrderSpec};

/// Returns the first part of a specification that this version does not carry out, and what to do about it.
///
/// An order that asks for more than it would get is refused: a part that is silently left out costs more than a clear no.
pub fn unsupported(spec: &WorkOrderSpec) -> Option<String> {
    let found = if spec.council.is_some() {
        ("spec.council", "leave it out; the highest score wins then")
    } else if !spec.fallbacks.is_empty() {
        ("spec.fallbacks", "leave it out, and lower worlds.min if fewer results are enough")
    } else if spec.approval == Approval::Required {
        ("spec.approval: Required", "set it to NotRequired; nothing is pushed anywhere by this version")
    } else if spec.delivery.mode != DeliveryMode::None {
        ("spec.delivery.mode", "set it to None and fetch the winner with 'kubectl worlds patch'")
    } else if spec.task.mode != TaskMode::Build {
        ("spec.task.mode", "set it to Build")
    } else if spec.budget.as_ref().is_some_and(|budget| budget.budget_ref.is_some()) {
        ("spec.budget.budgetRef", "leave it out")
    } else {
        return None;
    };
    let (field, advice) = found;
    Some(format!("this version does not carry out {field}; {advice}"))
}
