//! `checkout`: makes the ground on which a change is judged, in a pod that has nothing of the worker's but the change.
//!
//! The order and the pinned commit come from the operator, the base and the change from its store, with what the gates give at
//! that base. Where the base itself is judged there is no more than the base.

use std::fs;
use std::path::Path;
use std::time::Duration;

use manyworlds_api::labels;
use manyworlds_api::result::StageReport;

use crate::files;
use crate::history;
use crate::layout::Layout;
use crate::operator::OperatorClient;
use crate::order::{self, Identity, Subject, variable};
use crate::process::Signals;
use crate::stage::{self, StageError};
use crate::text::print_line;

/// Runs the stage.
///
/// - **Guarantees:** what it leaves is the base that the World started from, whoever stored it.
///
/// # Errors
///
/// [`StageError`] with class `Spec` when the order is not that of this World, `Evaluation` when what was stored is not there or
/// cannot be used, and `Infrastructure` when the operator cannot be reached.
pub fn run(layout: &Layout) -> Result<StageReport, StageError> {
    // Nothing is lost when it ends at once.
    Signals::take_over(layout, Duration::ZERO).map_err(|error| StageError::file(Path::new("/proc/self"), &error))?;
    let identity = Identity::from_environment()?;
    let subject = Subject::from_environment()?;
    let (_, text) = order::given(&identity)?;
    let base = variable(labels::ENV_BASE_COMMIT)?;
    let operator = OperatorClient::new(layout, &identity)?;
    for folder in [layout.order_directory(), layout.runner_directory()] {
        fs::create_dir_all(&folder).map_err(|error| StageError::file(&folder, &error))?;
    }
    print_line(&format!("fetching the base {base}"));
    match subject {
        Subject::Change => {
            operator.bundle_fetch(&layout.bundle())?;
            unpack_base(layout, &base)?;
            print_line("fetching the change");
            operator.change_fetch(&layout.change())?;
            fetch_baseline(layout, &operator)?;
        }
        Subject::Base => {
            operator.order_bundle_fetch(&layout.bundle())?;
            unpack_base(layout, &base)?;
        }
    }
    order::store(layout, &text, &base)?;
    stage::install(layout)?;
    Ok(StageReport { base_commit: Some(base), ..StageReport::done() })
}

fn fetch_baseline(layout: &Layout, operator: &OperatorClient) -> Result<(), StageError> {
    let file = layout.baseline();
    files::remove(&file).map_err(|error| StageError::file(&file, &error))?;
    if !operator.baseline_fetch(&file)? {
        print_line("nothing is known of the gates at the base");
    }
    Ok(())
}

fn unpack_base(layout: &Layout, base: &str) -> Result<(), StageError> {
    let (bundle, mirror) = (layout.bundle(), layout.mirror());
    // What is here was left by a container that was started again.
    files::remove(&mirror).map_err(|error| StageError::file(&mirror, &error))?;
    history::unbundle(&mirror, &bundle, base)?;
    // The disk is the World's.
    files::remove(&bundle).map_err(|error| StageError::file(&bundle, &error))
}
