//! `explain`: why an order waits, why the winner won, why the others lost.

use std::process::ExitCode;

use super::{Session, print_as};
use crate::arguments::Order;
use crate::errors::Failure;
use crate::view;

/// Runs the command.
pub(super) async fn explain(session: &mut Session, which: &Order) -> Result<ExitCode, Failure> {
    let picture = session.cluster.picture(&which.order).await?;
    if which.output.is_data() {
        let worlds: Vec<_> = picture.variants().iter().filter_map(|variant| picture.world(&variant.name)).collect();
        print_as(session, which.output, &serde_json::json!({ "order": picture.order, "worlds": worlds }))?;
    } else {
        let width = session.terminal.canvas(None).width;
        session.terminal.print(&view::explain::explain(&picture, jiff::Timestamp::now(), width))?;
    }
    Ok(ExitCode::SUCCESS)
}
