//! Which parts of a specification this version carries out.

use manyworlds_api::labels::AUTOMATIC_MODEL;
use manyworlds_api::work_order::{Approval, DeliveryMode, TaskMode, WorkOrderSpec};

/// Returns the first part of a specification that this version does not carry out, and what to do about it.
///
/// An order that asks for more than it would get is refused: a part that is silently left out costs more than a clear no.
pub fn unsupported(spec: &WorkOrderSpec) -> Option<String> {
    let found = if spec.council.is_some() {
        ("spec.council", "leave it out; the highest score wins then")
    } else if spec.fallbacks.iter().any(|fallback| fallback.wait_for_human.is_some()) {
        (
            "spec.fallbacks[].waitForHuman",
            "leave it out; acceptPartialSuccess, retryWithLowerTemperature, switchModel and skip are carried out",
        )
    } else if spec.approval == Approval::Required {
        ("spec.approval: Required", "set it to NotRequired; nothing is pushed anywhere by this version")
    } else if spec.delivery.mode != DeliveryMode::None {
        ("spec.delivery.mode", "set it to None and fetch the winner with 'kubectl worlds patch'")
    } else if spec.task.mode != TaskMode::Build {
        ("spec.task.mode", "set it to Build")
    } else {
        return None;
    };
    let (field, advice) = found;
    Some(format!("this version does not carry out {field}; {advice}"))
}

/// Returns what is wrong with a specification that the API has taken.
pub fn invalid(spec: &WorkOrderSpec) -> Option<String> {
    unused_command(spec).or_else(|| without_model(spec)).or_else(|| without_choice(spec))
}

/// The plugin that runs the order's command.
const COMMAND: &str = "command";

/// Returns what is wrong where an order has a command and a plugin that does not run it.
///
/// The API refuses such an order; one that is older than this rule ends with this sentence.
fn unused_command(spec: &WorkOrderSpec) -> Option<String> {
    let own = spec.worlds.variants.iter().filter_map(|variant| variant.worker.as_ref());
    let has_command = !spec.worker.command.is_empty() || own.into_iter().any(|worker| !worker.command.is_empty());
    (has_command && spec.worker.plugin != COMMAND).then(|| {
        let plugin = &spec.worker.plugin;
        format!("only the plugin {COMMAND} runs a command, and the order's is {plugin}; set worker.plugin to {COMMAND}, or leave worker.command out")
    })
}

/// The plugin that cannot work without a model, and whose prompts are our own.
pub const CODER: &str = "coder";

/// Returns what is missing where the order's worker needs a model and a World has none.
fn without_model(spec: &WorkOrderSpec) -> Option<String> {
    let needs = spec.worker.plugin == CODER && spec.worker.model.is_none();
    let variant = spec.worlds.variants.iter().find(|variant| needs && variant.model.is_none())?;
    Some(format!("the plugin {CODER} needs a model, and the World {} has none; set worker.model", variant.name))
}

/// Returns what is wrong where an order leaves the choice of a model to a worker that makes none.
fn without_choice(spec: &WorkOrderSpec) -> Option<String> {
    let left = spec.worker.plugin != CODER && models(spec).contains(&AUTOMATIC_MODEL);
    left.then(|| {
        let plugin = &spec.worker.plugin;
        format!("the model {AUTOMATIC_MODEL:?} is for the plugin {CODER}, and the order's is {plugin}; name a model")
    })
}

/// Returns the models that an order's Worlds call or may come to call, each once.
pub fn models(spec: &WorkOrderSpec) -> Vec<&str> {
    let named = spec.worlds.variants.iter().filter_map(|variant| variant.model.as_ref().or(spec.worker.model.as_ref()));
    let switched = spec.fallbacks.iter().filter_map(|fallback| Some(&fallback.switch_model.as_ref()?.model));
    let mut models: Vec<_> = named.chain(switched).map(String::as_str).collect();
    models.sort_unstable();
    models.dedup();
    models
}
