//! Orders and Worlds without their long texts.
//!
//! Whoever may create orders decides how long their texts are, and how many orders wait. A decision needs none of the
//! texts; only making a pod does. So the index keeps the texts of ordinary orders, and those of a long order are read
//! again when a pod of it is made.

use manyworlds_api::work_order::{Canary, CanaryCommand, Gate, Variant, VariantWorker, WorkOrderSpec};
use manyworlds_api::world::{Blueprint, ResolvedVariant};
use manyworlds_api::{WorkOrder, World, WorldSpec};
use manyworlds_planner::Texts;
use serde_json::{Map, Value};

/// The most bytes of texts of one order that are kept: several times what an order with a task of some pages has.
const MOST_BYTES_KEPT: usize = 16 * 1024;

/// The most bytes of a World's prompt that are kept: more than the history shows of it.
const MOST_PROMPT_BYTES_KEPT: usize = 512;

/// Takes the texts out of an order that has too many, and says whether they are still there.
///
/// - **Guarantees:** every decision about the order stays the same.
pub(super) fn abridge_order(order: &mut WorkOrder) -> Texts {
    if text_bytes(&order.spec) <= MOST_BYTES_KEPT {
        return Texts::Kept;
    }
    let spec = &mut order.spec;
    spec.task.body = String::new();
    empty_command(&mut spec.worker.command);
    spec.worker.env = Vec::new();
    for Gate { command, canary, .. } in &mut spec.evaluation.gates {
        empty_command(command);
        for CanaryCommand { command } in canary.iter_mut().flat_map(|Canary { passing, failing }| [passing, failing]) {
            empty_command(command);
        }
    }
    spec.evaluation.protected_paths = Vec::new();
    spec.evaluation.keep = Vec::new();
    for Variant { prompt, worker, .. } in &mut spec.worlds.variants {
        *prompt = prompt.take().map(|_| String::new());
        if let Some(VariantWorker { command, env }) = worker {
            empty_command(command);
            *env = Vec::new();
        }
    }
    if let Some(template) = &mut spec.worker.pod_template {
        // What a pod template may ask for is decided by these names.
        template.annotations.values_mut().for_each(String::clear);
        let parts = template.affinity.iter_mut().filter_map(Value::as_object_mut).flat_map(Map::values_mut);
        parts.for_each(|part| *part = Value::Null);
    }
    for voter in spec.council.iter_mut().flat_map(|council| &mut council.voters) {
        voter.stance = String::new();
    }
    Texts::Left
}

/// Takes the texts out of a World: a pod is made from those of its order.
pub(super) fn abridge_world(world: &mut World) {
    let WorldSpec { order: _, variant: ResolvedVariant { prompt, .. }, blueprint } = &mut world.spec;
    let Blueprint { command, env, .. } = blueprint;
    *command = Vec::new();
    *env = Vec::new();
    if let Some(prompt) = prompt {
        *prompt = prompt[..prompt.floor_char_boundary(MOST_PROMPT_BYTES_KEPT)].to_owned();
    }
}

/// Returns how long the texts of an order are together.
///
/// - **Units:** bytes.
fn text_bytes(spec: &WorkOrderSpec) -> usize {
    let WorkOrderSpec { task, worlds, worker, evaluation, council, .. } = spec;
    let own = worlds.variants.iter().filter_map(|variant| variant.worker.as_ref());
    let canaries = evaluation.gates.iter().filter_map(|gate| gate.canary.as_ref());
    let commands = own
        .clone()
        .map(|worker| &worker.command)
        .chain([&worker.command])
        .chain(evaluation.gates.iter().map(|gate| &gate.command))
        .chain(canaries.flat_map(|Canary { passing, failing }| [&passing.command, &failing.command]))
        .flatten()
        .map(String::len);
    let variables = own.flat_map(|worker| &worker.env).chain(&worker.env).map(|it| it.name.len() + it.value.len());
    let prompts = worlds.variants.iter().filter_map(|variant| variant.prompt.as_ref());
    let stances = council.iter().flat_map(|council| &council.voters).map(|voter| &voter.stance);
    let template = worker.pod_template.as_ref();
    let annotations =
        template.into_iter().flat_map(|template| &template.annotations).map(|(key, it)| key.len() + it.len());
    let affinity = template.and_then(|template| template.affinity.as_ref()).map_or(0, |it| it.to_string().len());
    let patterns = evaluation.protected_paths.iter().chain(&evaluation.keep);
    let rest = prompts.chain(stances).chain(patterns).map(String::len);
    task.body.len() + affinity + commands.chain(variables).chain(annotations).chain(rest).sum::<usize>()
}

/// Leaves one empty word of a command: whether there is one decides.
fn empty_command(command: &mut Vec<String>) {
    if !command.is_empty() {
        *command = vec![String::new()];
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use manyworlds_api::object::Stored;
    use manyworlds_planner::{Grant, Plan, Settings, decide};
    use serde_json::json;

    use super::super::{Index, OrderKey, fixtures};
    use super::*;

    fn order(spec: Value) -> WorkOrder {
        let mut order = fixtures::order(Value::Null);
        order.object_mut().spec = serde_json::from_value(spec).unwrap();
        WorkOrder::clone(&order)
    }

    /// An order with a text in each place that has one.
    fn with_texts(text: &str) -> WorkOrder {
        order(json!({
            "source": { "git": { "url": "https://forge.example/a" } },
            "task": { "title": "t", "body": text },
            "worlds": { "variants": [
                { "name": "alpha", "prompt": text, "worker": { "command": [text], "env": [{ "name": "A", "value": text }] } },
            ] },
            "worker": {
                "plugin": "command", "command": [text], "env": [{ "name": "A", "value": text }],
                "podTemplate": { "annotations": { "a": text }, "affinity": { "nodeAffinity": { "a": text } } },
            },
            "evaluation": {
                "protectedPaths": [text],
                "keep": [text],
                "gates": [{
                    "name": "test", "kind": "Test", "points": 100, "command": [text],
                    "canary": { "passing": { "command": [text] }, "failing": { "command": [text] } },
                }],
            },
            "council": { "voters": [{ "name": "a", "model": "m", "stance": text }] },
        }))
    }

    #[test]
    fn an_ordinary_order_is_kept_whole() {
        let mut kept = with_texts("a few words");
        let before = kept.clone();
        assert_eq!(abridge_order(&mut kept), Texts::Kept);
        assert_eq!(kept, before);
    }

    /// W7: what an order leaves in memory does not grow with its texts, wherever they are.
    #[test]
    fn nothing_of_a_long_order_stays_that_grows_with_it() {
        let size = |text: &str| {
            let mut order = with_texts(text);
            assert_eq!(abridge_order(&mut order), Texts::Left);
            serde_json::to_vec(&order).unwrap().len()
        };
        assert_eq!(size(&"x".repeat(20_000)), size(&"x".repeat(200_000)));
        assert!(size(&"x".repeat(20_000)) < 4096);
    }

    #[test]
    fn of_a_long_order_it_is_still_known_whether_it_has_commands() {
        let mut order = with_texts(&"x".repeat(20_000));
        abridge_order(&mut order);
        let spec = &order.spec;
        let own = spec.worlds.variants[0].worker.as_ref().unwrap();
        assert!([&spec.worker.command, &own.command].iter().all(|command| !command.is_empty()));
        assert_eq!((spec.evaluation.gates[0].points, spec.task.title.as_str()), (100, "t"));
    }

    #[test]
    fn a_prompt_is_cut_between_characters() {
        let mut world = fixtures::world("alpha", 0, Value::Null);
        world.object_mut().spec.variant.prompt = Some("字".repeat(1000));
        abridge_world(world.object_mut());
        let prompt = world.spec.variant.prompt.as_ref().unwrap();
        assert_eq!((prompt.len(), prompt.chars().all(|it| it == '字')), (510, true));
    }

    /// Looks at a new order that gets all slots, as the index has it and with the order as it is read again.
    fn looks(text: &str) -> (Plan, Plan) {
        let mut order = with_texts(text);
        // What this version does not support would end the order.
        order.spec.council = None;
        order.spec.worker.pod_template = None;
        let whole = Stored::parse(order).unwrap();
        let index = Index::default();
        index.order_seen(whole.clone());
        let settings = Arc::new(Settings::new("runner".to_owned(), "http://operator".to_owned()));
        let now = "2026-01-01T00:01:00Z".parse().unwrap();
        let snapshot = index.snapshot(&OrderKey::of(whole.id()), now, &settings).unwrap().validate();
        let grant = Grant { slots: 5, total: 5, ..Grant::default() };
        (decide(&snapshot).plan(grant), decide(&snapshot.with_whole_order(Arc::new(whole))).plan(grant))
    }

    #[test]
    fn a_decision_needs_no_text_and_its_pods_have_all_of_them_once_the_order_is_read() {
        let text = "a sentence ".repeat(2000);
        let (known, read) = looks(&text);
        assert_eq!(known.status, read.status);
        assert_eq!((known.makes_pods(), known.effects.len()), (true, read.effects.len()));
        let written =
            |plan: &Plan| serde_json::to_string(&format!("{:?}", plan.effects)).unwrap().matches(text.trim()).count();
        assert_eq!(written(&known), 0);
        // In the World a prompt, a command and a variable; in the document of its pod also the body, a gate with its canary and two patterns.
        assert_eq!(written(&read), 12);
        assert_eq!(looks("short").0, looks("short").1);
    }
}
