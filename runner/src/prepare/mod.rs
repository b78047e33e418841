//! `prepare`: fetches the repository at the one commit that all Worlds start from, stores that base for the pods that judge,
//! and makes the World's worktree.
//!
//! It alone sees the repository's credential.

mod connectivity;
mod credential;
mod fetch;
mod host;
mod worktree;

use std::fs;
use std::path::Path;
use std::time::Duration;

use manyworlds_api::artifacts::ArtifactName;
use manyworlds_api::order_document::OrderDocument;
use manyworlds_api::result::StageReport;
use manyworlds_api::work_order::Sealing;

use crate::files;
use crate::history;
use crate::judge::sealing;
use crate::layout::Layout;
use crate::operator::OperatorClient;
use crate::order::{self, Identity};
use crate::process::Signals;
use crate::stage::{self, StageError};
use crate::text::StageLog;
use credential::Credential;
use fetch::Repository;

/// Runs the stage.
///
/// # Errors
///
/// [`StageError`] with class `Spec` when the order, the revision or the credential is at fault, with class
/// `Infrastructure` when the repository or the operator cannot be reached, and with class `Evaluation` when the base is larger
/// than what is stored of an order, or when the kernel of the node cannot confine the gates as the order requires.
pub fn run(layout: &Layout) -> Result<StageReport, StageError> {
    // Nothing is lost when it ends at once.
    Signals::take_over(layout, Duration::ZERO).map_err(|error| StageError::file(Path::new("/proc/self"), &error))?;
    let identity = Identity::from_environment()?;
    let (order, text) = order::given(&identity)?;
    let operator = OperatorClient::new(layout, &identity)?;
    let mut log = StageLog::default();
    let prepared = prepare(layout, &identity, &order, &operator, &mut log);
    if let Err(error) = &prepared {
        log.print_line(&format!("{}: {}", error.reason, error.message));
    }
    operator.artifact_try_put(ArtifactName::PrepareLog, log.as_str().as_bytes());
    let base = prepared?;
    order::store(layout, &text, &base)?;
    stage::install(layout)?;
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
    require_confinement(layout, order)?;
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
    history::keep_tags(&layout.mirror(), &base)?;
    store_base(layout, &base, operator, log)?;
    worktree::make(layout, identity, &base)?;
    log.print_line(&format!("the worktree is ready at {base}"));
    Ok(base)
}

/// Refuses a node that cannot confine gates where the order requires it, before a model is paid.
///
/// The pod that judges may run on another node, which it looks at itself.
fn require_confinement(layout: &Layout, order: &OrderDocument) -> Result<(), StageError> {
    if order.evaluation.sealing != Sealing::Required {
        return Ok(());
    }
    let lack = sealing::tried(&layout.result_directory())?.lack();
    lack.map_or(Ok(()), |lack| Err(sealing::not_sealed(&lack)))
}

/// Stores the base where no World of the order has done so yet.
fn store_base(layout: &Layout, base: &str, operator: &OperatorClient, log: &mut StageLog) -> Result<(), StageError> {
    if operator.bundle_is_stored()? {
        return Ok(());
    }
    let file = layout.bundle();
    history::bundle(&layout.mirror(), base, &file)?;
    operator.bundle_put(&file)?;
    log.print_line("the base is stored for the pods that judge");
    // The disk is the World's.
    files::remove(&file).map_err(|error| StageError::file(&file, &error))
}
