//! `reevaluate`: has the stored changes of Worlds judged again.

use std::process::ExitCode;

use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::arguments::Reevaluate;
use crate::errors::Failure;
use crate::order_view::OrderView;
use crate::render::text::{Line, Tone};
use crate::session::{FIELD_MANAGER, Session};

/// The most tries to write a request to an order that others write to at the same time.
const MOST_TRIES: u32 = 5;

/// Asks the operator to judge Worlds of an order again.
pub(super) async fn reevaluate(session: &mut Session, which: &Reevaluate) -> Result<ExitCode, Failure> {
    let name = &which.order;
    let worlds = ask(session, which).await?;
    let line =
        Line::of(Tone::Good, format!("WorkOrder {name}: judged again, without other work: {}; ", worlds.join(", ")))
            .and(Tone::Plain, format!("'kubectl worlds watch {name}' shows it"));
    session.terminal.print(&[line])?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the request and returns the Worlds that it is about.
///
/// What was checked is what is written to: an order that has changed in between is checked anew.
async fn ask(session: &Session, which: &Reevaluate) -> Result<Vec<String>, Failure> {
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let request = Timestamp::now().to_string();
    let mut tries = 1;
    loop {
        let view = session.cluster.order_view(&which.order).await?;
        let world = which.world.as_deref().map(|world| view.variant(world)).transpose()?;
        let worlds = judged_again(&view, world.as_deref())?;
        let patch = Patch::Merge(request_of(&view, &request, world.as_deref()));
        match session.cluster.orders().patch(&which.order, &parameters, &patch).await {
            Ok(_) => return Ok(worlds),
            Err(kube::Error::Api(status)) if status.code == 409 && tries < MOST_TRIES => tries += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Returns the patch that asks for the Worlds, of the order as it was seen.
fn request_of(view: &OrderView, request: &str, world: Option<&str>) -> Value {
    json!({
        "metadata": { "resourceVersion": view.order.metadata.resource_version },
        // An earlier request may have named a World.
        "spec": { "reevaluate": { "request": request, "world": world } },
    })
}

/// Returns the Worlds that can be judged again, of one or of all.
///
/// # Errors
///
/// [`Failure::Usage`] where there is none, with the reason of each.
fn judged_again(view: &OrderView, world: Option<&str>) -> Result<Vec<String>, Failure> {
    let name = view.name();
    if view.order.spec.cancel {
        return Err(Failure::Usage(format!(
            "WorkOrder {name} is cancelled for good; 'kubectl worlds retry {name}' makes a new one"
        )));
    }
    let (mut worlds, mut refused) = (Vec::new(), Vec::new());
    let asked = view.variants().iter().map(|variant| variant.name.as_str());
    for variant in asked.filter(|variant| world.is_none_or(|world| world == *variant)) {
        let obstacle = match view.world(variant) {
            None => Some("it has not been started, so there is nothing to judge".to_owned()),
            Some(world) => world.status.clone().unwrap_or_default().obstacle_to_reevaluation(),
        };
        match obstacle {
            None => worlds.push(variant.to_owned()),
            Some(why) => refused.push(format!("World {variant}: {why}")),
        }
    }
    if worlds.is_empty() {
        let why = refused.join("; ");
        return Err(Failure::Usage(format!("WorkOrder {name} has nothing that can be judged again. {why}")));
    }
    Ok(worlds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::fixtures;

    /// Returns a finished order of which one World has a stored change.
    fn judged() -> OrderView {
        fixtures::with_stored_change("alpha")
    }

    #[test]
    fn the_worlds_that_have_a_stored_change_are_judged_again() {
        assert_eq!(judged_again(&judged(), None).unwrap(), ["alpha"]);
        assert_eq!(judged_again(&judged(), Some("alpha")).unwrap(), ["alpha"]);
    }

    #[test]
    fn what_cannot_be_judged_again_is_refused_before_anything_is_written() {
        let said = judged_again(&judged(), Some("beta")).unwrap_err().to_string();
        assert!(said.contains("World beta: it has no stored change"), "{said}");
        let mut cancelled = judged();
        cancelled.order.spec.cancel = true;
        let said = judged_again(&cancelled, None).unwrap_err().to_string();
        assert!(said.contains("cancelled for good"), "{said}");
        let said = judged_again(&fixtures::running(), Some("alpha")).unwrap_err().to_string();
        assert!(said.contains("nothing that can be judged again"), "{said}");
    }

    #[test]
    fn a_request_is_for_the_order_as_it_was_seen_and_leaves_no_earlier_world() {
        let mut view = judged();
        view.order.metadata.resource_version = Some("7".to_owned());
        let patch = request_of(&view, "now", None);
        assert_eq!(patch["metadata"]["resourceVersion"], "7");
        assert_eq!(patch["spec"]["reevaluate"], json!({ "request": "now", "world": null }));
    }
}
