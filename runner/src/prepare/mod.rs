//! `prepare`: fetches the repository at the one commit that all Worlds start from, and makes the World's worktree.
//!
//! It alone sees the repository's credential.

mod connectivity;
mod credential;
mod fetch;
mod worktree;

use std::fs;
use std::path::Path;
use std::time::Duration;

use manyworlds_api::artifacts::ArtifactName;
use manyworlds_api::conditions::Reason;
use manyworlds_api::labels;
use manyworlds_api::order_document::OrderDocument;
use manyworlds_api::result::{FailureClass, StageReport};

use crate::layout::Layout;
use crate::operator::OperatorClient;
use crate::order::{Identity, parse, variable};
use crate::process::Signals;
use crate::stage::StageError;
use crate::text::StageLog;
use credential::Credential;
use fetch::Repository;

/// Runs the stage.
///
/// # Errors
///
/// [`StageError`] with class `Spec` when the order, the revision or the credential is at fault, with class
/// `Infrastructure` when the repository or the operator cannot be reached.
pub fn run(layout: &Layout) -> Result<StageReport, StageError> {
    // Nothing is lost when it ends at once.
    Signals::take_over(layout, Duration::ZERO).map_err(|error| StageError::file(Path::new("/proc/self"), &error))?;
    let identity = Identity::from_environment()?;
    let text = variable(labels::ENV_ORDER)?;
    let order = parse(&text)?;
    if order.agents.len() != 1 || order.agents.iter().any(|agent| agent.name != identity.world) {
        let message = "the order must name this World as its only agent";
        return Err(StageError::new(FailureClass::Spec, Reason::InvalidSpecification, message));
    }
    let operator = OperatorClient::new(layout, &identity)?;
    let mut log = StageLog::default();
    let prepared = prepare(layout, &identity, &order, &operator, &mut log);
    if let Err(error) = &prepared {
        log.print_line(&format!("{}: {}", error.reason, error.message));
    }
    operator.artifact_try_put(ArtifactName::PrepareLog, log.as_str().as_bytes());
    let base = prepared?;
    write(&layout.order_file(), text.as_bytes())?;
    write(&layout.base_file(), base.as_bytes())?;
    install(layout)?;
    Ok(StageReport { base_commit: Some(base), ..StageReport::done() })
}

/// Makes the mirror and the worktree, and returns the commit that they are at.
fn prepare(
    layout: &Layout,
    identity: &Identity,
    order: &OrderDocument,
    operator: &OperatorClient,
    log: &mut StageLog,
) -> Result<String, StageError> {
    for folder in [layout.order_directory(), layout.runner_directory(), layout.result_directory()] {
        fs::create_dir_all(&folder).map_err(|error| StageError::file(&folder, &error))?;
    }
    let source = &order.source.git;
    log.print_line(&format!("fetching {} of {}", source.revision, source.url));
    let credential = Credential::read(layout, source, log)?;
    connectivity::check(&source.url)?;
    let repository = Repository::new(layout, source, &credential)?;
    let found = repository.fetch(&source.revision)?;
    let base = operator.base_pin(&found)?;
    if base != found {
        log.print_line(&format!("another World has pinned {base}"));
        repository.fetch_commit(&base)?;
    }
    worktree::make(layout, identity, &base)?;
    log.print_line(&format!("the worktree is ready at {base}"));
    Ok(base)
}

/// Puts this program where the other stages find it, whatever their image is.
fn install(layout: &Layout) -> Result<(), StageError> {
    let target = layout.runner_directory().join(labels::RUNNER_FILE);
    let own = std::env::current_exe().map_err(|error| StageError::file(Path::new("/proc/self/exe"), &error))?;
    fs::copy(&own, &target).map(drop).map_err(|error| StageError::file(&target, &error))
}

fn write(path: &Path, content: &[u8]) -> Result<(), StageError> {
    fs::write(path, content).map_err(|error| StageError::file(path, &error))
}
