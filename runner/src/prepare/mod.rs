//! `prepare`: fetches the repository at the one commit that all Worlds start from, and makes the World's worktree.
//!
//! It alone sees the repository's credential.

mod credential;
mod fetch;
mod worktree;

use std::fs;
use std::path::Path;

use manyworlds_api::conditions::Reason;
use manyworlds_api::labels;
use manyworlds_api::result::{FailureClass, StageReport};

use crate::layout::Layout;
use crate::operator::Operator;
use crate::order::{Identity, parse, variable};
use crate::stage::StageError;
use crate::text::say;
use credential::Credential;
use fetch::Repository;

/// Runs the stage.
///
/// # Errors
///
/// [`StageError`] with class `Spec` when the order, the revision or the credential is at fault, with class
/// `Infrastructure` when the repository or the operator cannot be reached.
pub fn run(layout: &Layout) -> Result<StageReport, StageError> {
    let identity = Identity::from_environment()?;
    let text = variable(labels::ENV_ORDER)?;
    let order = parse(&text)?;
    if order.agents.len() != 1 || order.agents.iter().any(|agent| agent.name != identity.world) {
        let message = "the order must name this World as its only agent";
        return Err(StageError::new(FailureClass::Spec, Reason::InvalidSpecification, message));
    }
    for folder in [layout.order_directory(), layout.runner_directory(), layout.result_directory()] {
        fs::create_dir_all(&folder).map_err(|error| StageError::file(&folder, &error))?;
    }
    let source = &order.source.git;
    say(&format!("fetching {} of {}", source.revision, source.url));
    let credential = Credential::read(layout, source)?;
    let repository = Repository::new(layout, source, &credential)?;
    let found = repository.fetch(&source.revision)?;
    let base = Operator::new(layout, &identity)?.base_pin(&found)?;
    if base != found {
        say(&format!("another World has pinned {base}"));
        repository.fetch_commit(&base)?;
    }
    worktree::make(layout, &identity, &base)?;
    write(&layout.order_file(), text.as_bytes())?;
    write(&layout.base_file(), base.as_bytes())?;
    install(layout)?;
    say(&format!("the worktree is ready at {base}"));
    Ok(StageReport { base_commit: Some(base), ..StageReport::done() })
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
