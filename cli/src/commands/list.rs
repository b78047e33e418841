//! `list`: the orders of a namespace or of all namespaces.

use std::process::ExitCode;

use kube::api::{Api, ListParams};
use manyworlds_api::WorkOrder;

use crate::arguments::{List, Output};
use crate::errors::Failure;
use crate::render::list::{Columns, list as draw};
use crate::session::Session;

/// Runs the command.
pub(super) async fn list(session: &mut Session, which: &List) -> Result<ExitCode, Failure> {
    let orders = read(session, which).await?;
    if which.output.is_data() {
        session.print_data(which.output, &orders)?;
        return Ok(ExitCode::SUCCESS);
    }
    let columns = Columns { has_namespace: which.all_namespaces, is_wide: which.output == Output::Wide };
    let width = session.terminal.canvas(None).width.filter(|_| !columns.is_wide);
    session.terminal.print(&draw(&orders, jiff::Timestamp::now(), columns, width))?;
    Ok(ExitCode::SUCCESS)
}

async fn read(session: &Session, which: &List) -> Result<Vec<WorkOrder>, Failure> {
    if which.all_namespaces {
        let everywhere: Api<WorkOrder> = Api::all(session.cluster.client.clone());
        return Ok(everywhere.list(&ListParams::default()).await?.items);
    }
    if which.orders.is_empty() {
        return Ok(session.cluster.orders().list(&ListParams::default()).await?.items);
    }
    let mut orders = Vec::new();
    for name in &which.orders {
        orders.push(session.cluster.order(name).await?);
    }
    Ok(orders)
}
