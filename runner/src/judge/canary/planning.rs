//! Plans the canary of a gate's command. It looks at names and texts alone, and does nothing.

use super::invocation::{Invocation, Tool};
use super::plan::{Ground, Plan};
use super::{compiled, javascript, python};

/// Returns the canary for a command; nothing where its test program is not known, or has no place for one.
pub(super) fn plan(command: &[String], ground: &Ground) -> Option<Plan> {
    let invocation = Invocation::find(command)?;
    let plan = match invocation.tool {
        Tool::Pytest => python::pytest(&invocation, ground),
        Tool::Unittest => python::unittest(&invocation, ground),
        Tool::Cargo => compiled::cargo(&invocation, ground),
        Tool::Go => compiled::go(&invocation, ground),
        Tool::Jest => javascript::jest(&invocation, ground),
        Tool::Vitest => javascript::vitest(&invocation, ground),
        Tool::Node => javascript::node(&invocation, ground),
    };
    plan.filter(|plan| !ground.files.contains(&plan.path))
}
