//! `explain`: why an order waits, why the winner won, why the others lost.

use std::process::ExitCode;

use crate::arguments::Order;
use crate::errors::Failure;
use crate::render;
use crate::session::Session;

/// Runs the command.
pub(super) async fn explain(session: &mut Session, which: &Order) -> Result<ExitCode, Failure> {
    let view = session.cluster.order_view(&which.order).await?;
    if which.output.is_data() {
        let worlds: Vec<_> = view.variants().iter().filter_map(|variant| view.world(&variant.name)).collect();
        session.print_data(which.output, &serde_json::json!({ "order": view.order, "worlds": worlds }))?;
    } else {
        let width = session.terminal.canvas(None).width;
        session.terminal.print(&render::explain::explain(&view, jiff::Timestamp::now(), width))?;
    }
    Ok(ExitCode::SUCCESS)
}
