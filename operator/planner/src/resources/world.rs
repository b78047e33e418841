//! The World of a variant.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use manyworlds_api::object::Stored;
use manyworlds_api::work_order::{EnvironmentVariable, ResourceAmounts, SizingMode, Variant};
use manyworlds_api::world::{Blueprint, OrderReference, ResolvedVariant};
use manyworlds_api::{WorkOrder, World, WorldSpec, labels};

use super::common::{common_labels, owner_reference};
use crate::node_resources::Resources;
use crate::role::OwnerKind;
use crate::snapshot::Settings;

/// Returns the World of a variant, owned by its order.
pub fn world(
    order: &Stored<WorkOrder>,
    variant: &Variant,
    index: usize,
    size: Resources,
    settings: &Settings,
) -> World {
    let name = order.name();
    let spec = WorldSpec {
        order: OrderReference { name: name.to_owned(), uid: order.uid().to_string() },
        variant: ResolvedVariant {
            name: variant.name.clone(),
            index: i32::try_from(index).unwrap_or(i32::MAX),
            model: variant.model.clone().or_else(|| order.spec.worker.model.clone()),
            temperature: variant.temperature,
            prompt: variant.prompt.clone(),
        },
        blueprint: blueprint(order, variant, size, settings),
    };
    let metadata = ObjectMeta {
        name: Some(labels::world_name(name, &variant.name)),
        namespace: Some(order.namespace().to_owned()),
        labels: Some(common_labels(name, &variant.name)),
        owner_references: Some(vec![owner_reference(OwnerKind::WorkOrder, name, order.uid())]),
        ..ObjectMeta::default()
    };
    World { metadata, spec, status: None }
}

fn blueprint(order: &WorkOrder, variant: &Variant, size: Resources, settings: &Settings) -> Blueprint {
    let worker = &order.spec.worker;
    Blueprint {
        plugin: worker.plugin.clone(),
        image: worker.image.clone().unwrap_or_else(|| settings.runner_image.clone()),
        command: command(order, Some(variant)),
        env: variables(order, Some(variant)),
        resources: amounts(order, size),
    }
}

/// Returns the command of a variant's worker: its own, else that of all.
pub(super) fn command(order: &WorkOrder, variant: Option<&Variant>) -> Vec<String> {
    let own = variant.and_then(|variant| variant.worker.as_ref()).map(|worker| &worker.command);
    own.filter(|command| !command.is_empty()).unwrap_or(&order.spec.worker.command).clone()
}

/// Returns the environment of a variant's worker.
pub(super) fn variables(order: &WorkOrder, variant: Option<&Variant>) -> Vec<EnvironmentVariable> {
    let own = variant.and_then(|variant| variant.worker.as_ref()).map_or(&[][..], |worker| &worker.env);
    merged(&order.spec.worker.env, own)
}

/// Returns both lists together; a name in both has the value of the second.
fn merged(common: &[EnvironmentVariable], own: &[EnvironmentVariable]) -> Vec<EnvironmentVariable> {
    common.iter().filter(|variable| !own.iter().any(|other| other.name == variable.name)).chain(own).cloned().collect()
}

fn amounts(order: &WorkOrder, size: Resources) -> ResourceAmounts {
    let sizing = &order.spec.worlds.sizing;
    match sizing.mode {
        SizingMode::Fixed => sizing.per_world.clone(),
        SizingMode::ShareOfNode => ResourceAmounts {
            cpu: Quantity(format!("{}m", size.processor)),
            memory: Quantity(size.memory.to_string()),
            ephemeral_storage: Quantity(size.storage.to_string()),
        },
    }
}
