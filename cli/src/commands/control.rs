//! `cancel`, `suspend`, `resume`, `retry`.

use std::process::ExitCode;

use kube::ResourceExt;
use kube::api::{Patch, PatchParams, PostParams};
use manyworlds_api::{WorkOrder, WorkOrderSpec};
use serde_json::{Value, json};

use super::watch;
use crate::arguments::Retry;
use crate::errors::Failure;
use crate::render::summary::summary_word;
use crate::render::text::{Line, Tone};
use crate::session::{FIELD_MANAGER, Session};

/// Annotation of a retry with the name of the first order.
const RETRY_OF: &str = "manyworlds.dev/retry-of";
/// The longest name that an order may have.
const LONGEST_NAME: usize = 40;
/// The most retries of one order.
const MOST_RETRIES: u32 = 99;

/// A change of an active order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Ends the order for good.
    Cancel,
    /// Stops its Worlds.
    Suspend,
    /// Lets the order go on.
    Resume,
}

impl Change {
    fn spec(self) -> Value {
        match self {
            Self::Cancel => json!({ "cancel": true }),
            Self::Suspend => json!({ "suspend": true }),
            Self::Resume => json!({ "suspend": false }),
        }
    }

    const fn is_in_effect(self, spec: &WorkOrderSpec) -> bool {
        match self {
            Self::Cancel => spec.cancel,
            Self::Suspend => spec.suspend,
            Self::Resume => !spec.suspend,
        }
    }

    const fn confirmation(self) -> &'static str {
        match self {
            Self::Cancel => "is cancelled",
            Self::Suspend => "is suspended",
            Self::Resume => "goes on",
        }
    }

    const fn already_in_effect(self) -> &'static str {
        match self {
            Self::Cancel => "is cancelled already",
            Self::Suspend => "is suspended already",
            Self::Resume => "is not suspended",
        }
    }
}

/// Applies a change to each of the orders.
pub(super) async fn set(session: &mut Session, change: Change, names: &[String]) -> Result<ExitCode, Failure> {
    for name in names {
        let order = session.cluster.order(name).await?;
        let line = if order.is_finished() {
            Line::of(Tone::Muted, format!("WorkOrder {name} has finished: {}", summary_word(&order)))
        } else if change.is_in_effect(&order.spec) {
            Line::of(Tone::Muted, format!("WorkOrder {name} {}", change.already_in_effect()))
        } else {
            let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
            let patch = Patch::Merge(json!({ "spec": change.spec() }));
            session.cluster.orders().patch(name, &parameters, &patch).await?;
            Line::of(Tone::Good, format!("WorkOrder {name} {}", change.confirmation()))
        };
        session.terminal.print(&[line])?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Creates a new order from the specification of a finished one.
pub(super) async fn retry(session: &mut Session, which: &Retry) -> Result<ExitCode, Failure> {
    let name = &which.order;
    let old = session.cluster.order(name).await?;
    if !old.is_finished() {
        return Err(Failure::Usage(format!(
            "WorkOrder {name} has not finished ({}); 'kubectl worlds cancel {name}' ends it",
            summary_word(&old)
        )));
    }
    let made = create_retry(session, &old).await?;
    let line = Line::of(Tone::Good, format!("WorkOrder {made} was made; "))
        .and(Tone::Plain, format!("'kubectl worlds watch {made}' shows it"));
    session.terminal.print(&[line])?;
    if !which.wait {
        return Ok(ExitCode::SUCCESS);
    }
    let view = watch::until_finished(session, &made, watch::ProgressOutput::Shown).await?;
    Ok(if view.has_succeeded() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Creates the retry under the first free name and returns that name.
async fn create_retry(session: &Session, old: &WorkOrder) -> Result<String, Failure> {
    let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    for number in 1..=MOST_RETRIES {
        match session.cluster.orders().create(&parameters, &retry_of(old, number)).await {
            Ok(made) => return Ok(made.name_any()),
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(error.into()),
        }
    }
    let name = old.name_any();
    Err(Failure::Usage(format!("{name} was tried again {MOST_RETRIES} times; delete some of its retries")))
}

/// Returns retry number `number` of an order.
fn retry_of(old: &WorkOrder, number: u32) -> WorkOrder {
    let name = old.annotations().get(RETRY_OF).cloned().unwrap_or_else(|| old.name_any());
    let suffix = format!("-retry-{number}");
    let kept: String = name.chars().take(LONGEST_NAME - suffix.len()).collect();
    let mut spec = old.spec.clone();
    spec.cancel = false;
    spec.suspend = false;
    spec.reevaluate = None;
    let mut new = WorkOrder::new(&format!("{}{suffix}", kept.trim_end_matches('-')), spec);
    new.labels_mut().clone_from(old.labels());
    new.annotations_mut().insert(RETRY_OF.to_owned(), name);
    new
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::fixtures;

    #[test]
    fn a_retry_is_named_after_the_first_order_and_starts_fresh() {
        let mut old = fixtures::finished().order;
        old.spec.cancel = true;
        old.spec.reevaluate = Some(manyworlds_api::work_order::Reevaluation::default());
        let first = retry_of(&old, 1);
        assert_eq!((first.name_any().as_str(), first.spec.cancel), ("fix-270-retry-1", false));
        assert_eq!(first.spec.reevaluate, None, "there is nothing to judge again");
        assert_eq!(retry_of(&first, 2).name_any(), "fix-270-retry-2");
        old.metadata.name = Some("n".repeat(40));
        assert_eq!(retry_of(&old, 12).name_any().len(), 40);
    }
}
