//! `patch` and `artifacts`: the stored results of Worlds.

use std::process::ExitCode;

use manyworlds_api::artifacts::ArtifactName;

use crate::arguments::{Order, Patch};
use crate::errors::Failure;
use crate::operator::Operator;
use crate::order_view::OrderView;
use crate::render;
use crate::render::text::{Line, Tone};
use crate::session::Session;

/// Prints the patch of a World or writes it to a file.
pub(super) async fn patch(session: &mut Session, which: &Patch) -> Result<ExitCode, Failure> {
    let view = session.cluster.order_view(&which.order).await?;
    let world = match &which.world {
        Some(world) => view.variant(world)?,
        None => view.winner().map(str::to_owned).ok_or_else(|| no_winner(&view))?,
    };
    let operator = Operator::new(session).await?;
    let change = operator.artifact(&session.cluster.namespace, &which.order, &world, ArtifactName::Patch, None).await?;
    match &which.output {
        Some(path) => {
            std::fs::write(path, &change).map_err(|error| Failure::file(&path.display().to_string(), &error))?;
            let line = format!("wrote the change of World {world} to {}", path.display());
            session.terminal.print(&[Line::of(Tone::Good, line)])?;
        }
        None => session.terminal.print_content(&change)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Lists the artifacts of an order.
pub(super) async fn artifacts(session: &mut Session, which: &Order) -> Result<ExitCode, Failure> {
    session.cluster.order(&which.order).await?;
    let operator = Operator::new(session).await?;
    let artifacts = operator.artifacts(&session.cluster.namespace, &which.order).await?;
    if which.output.is_data() {
        session.print_data(which.output, &artifacts)?;
    } else {
        session.terminal.print(&render::artifacts::artifacts(&artifacts))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn no_winner(view: &OrderView) -> Failure {
    let name = view.name();
    Failure::Usage(if view.is_finished() {
        format!(
            "WorkOrder {name} has no winner; 'kubectl worlds explain {name}' says why, and --world names another World"
        )
    } else {
        format!("WorkOrder {name} is not finished; 'kubectl worlds watch {name}' shows it, and --world names a World")
    })
}
