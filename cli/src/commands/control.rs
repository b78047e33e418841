//! `cancel`, `suspend`, `resume`, `retry`.

use std::process::ExitCode;

use kube::ResourceExt;
use kube::api::{Patch, PatchParams, PostParams};
use manyworlds_api::WorkOrder;
use serde_json::{Value, json};

use super::Session;
use crate::errors::Failure;
use crate::view::text::{Line, Tone};

/// Annotation of an order that runs another one again.
const RETRY_OF: &str = "manyworlds.dev/retry-of";
/// The longest name that an order may have.
const LONGEST_NAME: usize = 40;

/// Ends an order for good.
pub(super) async fn cancel(session: &mut Session, name: &str) -> Result<ExitCode, Failure> {
    set(session, name, json!({"cancel": true}), "is cancelled").await
}

/// Stops the Worlds of an order.
pub(super) async fn suspend(session: &mut Session, name: &str) -> Result<ExitCode, Failure> {
    set(session, name, json!({"suspend": true}), "is suspended").await
}

/// Lets an order go on.
pub(super) async fn resume(session: &mut Session, name: &str) -> Result<ExitCode, Failure> {
    set(session, name, json!({"suspend": false}), "goes on").await
}

async fn set(session: &mut Session, name: &str, spec: Value, said: &str) -> Result<ExitCode, Failure> {
    session.cluster.order(name).await?;
    let patch = Patch::Merge(json!({ "spec": spec }));
    session.cluster.orders().patch(name, &PatchParams::default(), &patch).await?;
    session.terminal.print(&[Line::of(Tone::Good, format!("WorkOrder {name} {said}"))])?;
    Ok(ExitCode::SUCCESS)
}

/// Makes a new order like an old one.
pub(super) async fn retry(session: &mut Session, name: &str) -> Result<ExitCode, Failure> {
    let old = session.cluster.order(name).await?;
    for number in 1..100 {
        let new = again(&old, number);
        match session.cluster.orders().create(&PostParams::default(), &new).await {
            Ok(made) => {
                let line = Line::of(Tone::Good, format!("WorkOrder {} was made; ", made.name_any()))
                    .and(Tone::Plain, format!("'kubectl worlds watch {}' shows it", made.name_any()));
                session.terminal.print(&[line])?;
                return Ok(ExitCode::SUCCESS);
            }
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Failure::Usage(format!("{name} was tried again a hundred times; delete some of its retries")))
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
