//! `patch` and `artifacts`: what Worlds have left.

use std::process::ExitCode;

use manyworlds_api::artifacts::ArtifactName;
use manyworlds_api::labels::world_name;

use super::{Session, print_as};
use crate::arguments::{Order, Patch};
use crate::errors::Failure;
use crate::operator::Operator;
use crate::picture::Picture;
use crate::view;
use crate::view::text::{Line, Tone};

/// Prints or writes a change.
pub(super) async fn patch(session: &mut Session, which: &Patch) -> Result<ExitCode, Failure> {
    let picture = session.cluster.picture(&which.order).await?;
    let world = match &which.world {
        Some(world) => known_world(&picture, world)?,
        None => picture.winner().map(str::to_owned).ok_or_else(|| no_winner(&picture))?,
    };
    let operator = Operator::new(session).await?;
    let change = operator.artifact(&session.cluster.namespace, &which.order, &world, ArtifactName::Patch, None).await?;
    match &which.output {
        Some(path) => {
            std::fs::write(path, &change).map_err(|error| Failure::file(&path.display().to_string(), &error))?;
            let line = format!("wrote the change of World {world} to {}", path.display());
            session.terminal.print(&[Line::of(Tone::Good, line)])?;
        }
        None => session.terminal.print_raw(&change)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Lists the artifacts of an order.
pub(super) async fn artifacts(session: &mut Session, which: &Order) -> Result<ExitCode, Failure> {
    session.cluster.order(&which.order).await?;
    let operator = Operator::new(session).await?;
    let artifacts = operator.artifacts(&session.cluster.namespace, &which.order).await?;
    if which.output.is_data() {
        print_as(session, which.output, &artifacts)?;
    } else {
        session.terminal.print(&view::artifacts::artifacts(&artifacts))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the name of a World if the order has it.
pub(super) fn known_world(picture: &Picture, name: &str) -> Result<String, Failure> {
    let names: Vec<&str> = picture.variants().iter().map(|variant| variant.name.as_str()).collect();
    // The World's own name is what 'kubectl get worlds' shows, so it is taken as well.
    let order = picture.name();
    let meant = names.iter().find(|variant| **variant == name || world_name(&order, variant) == name);
    match meant {
        Some(variant) => Ok((*variant).to_owned()),
        None => Err(Failure::Usage(format!("WorkOrder {order} has no World {name}; it has {}", names.join(", ")))),
    }
}

fn no_winner(picture: &Picture) -> Failure {
    let name = picture.name();
    Failure::Usage(if picture.is_finished() {
        format!(
            "WorkOrder {name} has no winner; 'kubectl worlds explain {name}' says why, and --world names another World"
        )
    } else {
        format!("WorkOrder {name} is not finished; 'kubectl worlds watch {name}' shows it, and --world names a World")
    })
}
