//! `cancel`, `suspend`, `resume`, `retry`.

use std::process::ExitCode;

use kube::ResourceExt;
use kube::api::{Patch, PatchParams, PostParams};
use manyworlds_api::{WorkOrder, WorkOrderSpec};
use serde_json::{Value, json};

use super::{FIELD_MANAGER, Session, watch};
use crate::arguments::Retry;
use crate::errors::Failure;
use crate::view::summary::summary_word;
use crate::view::text::{Line, Tone};

/// Annotation of an order that runs another one again.
const RETRY_OF: &str = "manyworlds.dev/retry-of";
/// The longest name that an order may have.
const LONGEST_NAME: usize = 40;
/// How many retries of one order there may be.
const MOST_RETRIES: u32 = 99;

/// A change of an order that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Ends it for good.
    Cancel,
    /// Stops its Worlds.
    Suspend,
    /// Lets it go on.
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

    const fn is_made(self, spec: &WorkOrderSpec) -> bool {
        match self {
            Self::Cancel => spec.cancel,
            Self::Suspend => spec.suspend,
            Self::Resume => !spec.suspend,
        }
    }

    const fn done(self) -> &'static str {
        match self {
            Self::Cancel => "is cancelled",
            Self::Suspend => "is suspended",
            Self::Resume => "goes on",
        }
    }

    const fn was_done(self) -> &'static str {
        match self {
            Self::Cancel => "is cancelled already",
            Self::Suspend => "is suspended already",
            Self::Resume => "is not suspended",
        }
    }
}

/// Changes orders.
pub(super) async fn set(session: &mut Session, change: Change, names: &[String]) -> Result<ExitCode, Failure> {
    for name in names {
        let order = session.cluster.order(name).await?;
        let line = if order.is_finished() {
            Line::of(Tone::Muted, format!("WorkOrder {name} has finished: {}", summary_word(&order)))
        } else if change.is_made(&order.spec) {
            Line::of(Tone::Muted, format!("WorkOrder {name} {}", change.was_done()))
        } else {
            let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
            let patch = Patch::Merge(json!({ "spec": change.spec() }));
            session.cluster.orders().patch(name, &parameters, &patch).await?;
            Line::of(Tone::Good, format!("WorkOrder {name} {}", change.done()))
        };
        session.terminal.print(&[line])?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes a new order like an old one.
pub(super) async fn retry(session: &mut Session, which: &Retry) -> Result<ExitCode, Failure> {
    let name = &which.order;
    let old = session.cluster.order(name).await?;
    if !old.is_finished() {
        return Err(Failure::Usage(format!(
            "WorkOrder {name} has not finished ({}); 'kubectl worlds cancel {name}' ends it",
            summary_word(&old)
        )));
    }
    let made = create_again(session, &old).await?;
    let line = Line::of(Tone::Good, format!("WorkOrder {made} was made; "))
        .and(Tone::Plain, format!("'kubectl worlds watch {made}' shows it"));
    session.terminal.print(&[line])?;
    if !which.wait {
        return Ok(ExitCode::SUCCESS);
    }
    let picture = watch::until_finished(session, &made, watch::Telling::All).await?;
    Ok(if picture.has_succeeded() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Creates the new order under the first name that is free, and returns that.
async fn create_again(session: &Session, old: &WorkOrder) -> Result<String, Failure> {
    let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    for number in 1..=MOST_RETRIES {
        match session.cluster.orders().create(&parameters, &again(old, number)).await {
            Ok(made) => return Ok(made.name_any()),
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(error.into()),
        }
    }
    let name = old.name_any();
    Err(Failure::Usage(format!("{name} was tried again {MOST_RETRIES} times; delete some of its retries")))
}

/// Returns an order like an old one, under a name of its own.
fn again(old: &WorkOrder, number: u32) -> WorkOrder {
    let name = old.annotations().get(RETRY_OF).cloned().unwrap_or_else(|| old.name_any());
    let suffix = format!("-retry-{number}");
    let kept: String = name.chars().take(LONGEST_NAME - suffix.len()).collect();
    let mut spec = old.spec.clone();
    spec.cancel = false;
    spec.suspend = false;
    let mut new = WorkOrder::new(&format!("{}{suffix}", kept.trim_end_matches('-')), spec);
    new.labels_mut().clone_from(old.labels());
    new.annotations_mut().insert(RETRY_OF.to_owned(), name);
    new
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::sample;

    #[test]
    fn a_retry_is_named_after_the_first_order_and_starts_fresh() {
        let mut old = sample::finished().order;
        old.spec.cancel = true;
        let first = again(&old, 1);
        assert_eq!((first.name_any().as_str(), first.spec.cancel), ("fix-270-retry-1", false));
        assert_eq!(again(&first, 2).name_any(), "fix-270-retry-2");
        old.metadata.name = Some("n".repeat(40));
        assert_eq!(again(&old, 12).name_any().len(), 40);
    }
}
