//! `logs`: the log of a stage, from its pod while that exists, else from the artifacts.

use std::process::ExitCode;
use std::time::Duration;

use futures::AsyncBufReadExt;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::LogParams;

use crate::arguments::Logs;
use crate::errors::Failure;
use crate::operator::Operator;
use crate::order_view::{OrderView, attempt_of};
use crate::session::Session;
use crate::stage::{PodProgress, Stage, StageState, is_followed, pod_progress, stage_state};

/// Interval between two reads of a stage that has not started.
const POLL_INTERVAL: Duration = Duration::from_millis(300);

/// Runs the command.
pub(super) async fn logs(session: &mut Session, which: &Logs) -> Result<ExitCode, Failure> {
    let mut view = session.cluster.order_view(&which.order).await?;
    let world = view.variant(&which.world)?;
    loop {
        match view.pod_of_stage(&world, which.attempt, which.stage) {
            Some(pod) if has_begun(pod, which) => match print_pod(session, pod, which).await {
                // The pod was removed between two reads; its log is an artifact now.
                Err(Failure::Api(kube::Error::Api(status))) if status.code == 404 => break,
                printed => return printed.map(|()| ExitCode::SUCCESS),
            },
            // The pod that judged was removed, and the one before it was not.
            Some(pod) if is_before(pod, which.stage) && view.has_recorded(&world, attempt_of(pod)) => break,
            Some(pod) if !may_begin(&view, Some(pod), which) => return Err(not_begun(pod, &world, which.stage)),
            None if !may_begin(&view, None, which) => break,
            _ => {}
        }
        tokio::time::sleep(POLL_INTERVAL).await;
        view = session.cluster.order_view(&which.order).await?;
    }
    let operator = Operator::new(session).await?;
    let namespace = &session.cluster.namespace;
    let log = operator.artifact(namespace, &which.order, &world, which.stage.log(), which.attempt).await?;
    session.terminal.print_content(&log)?;
    Ok(ExitCode::SUCCESS)
}

/// Returns whether a pod has ended and the one in which the stage runs comes after it.
fn is_before(pod: &Pod, stage: Stage) -> bool {
    !stage.runs_in(pod) && is_followed(pod)
}

fn has_begun(pod: &Pod, which: &Logs) -> bool {
    !matches!(stage_state(pod, which.stage), StageState::Waiting(_))
}

/// Returns whether the stage can still start.
fn may_begin(view: &OrderView, pod: Option<&Pod>, which: &Logs) -> bool {
    let may_come = |pod: &Pod| pod_progress(pod) != PodProgress::Ended || is_before(pod, which.stage);
    which.follow && !view.is_finished() && pod.is_none_or(may_come)
}

fn not_begun(pod: &Pod, world: &str, stage: Stage) -> Failure {
    let name = stage.word();
    if pod_progress(pod) == PodProgress::Ended && !is_before(pod, stage) {
        return Failure::Usage(format!(
            "the stage {name} of World {world} was not reached; 'kubectl worlds explain' says why"
        ));
    }
    let why = match stage_state(pod, stage) {
        StageState::Waiting(why) if !why.is_empty() => format!(" ({why})"),
        StageState::Waiting(_) | StageState::Running | StageState::Ended => String::new(),
    };
    Failure::Usage(format!("the stage {name} of World {world} has not begun{why}; add -f to wait for it"))
}

async fn print_pod(session: &Session, pod: &Pod, which: &Logs) -> Result<(), Failure> {
    let parameters =
        LogParams { container: Some(which.stage.container().to_owned()), follow: which.follow, ..LogParams::default() };
    let mut log = session.cluster.pods().log_stream(&pod.name_any(), &parameters).await?;
    let mut line = Vec::new();
    // A line at a time, so that no character is cut in two, and by its bytes, which need not be text.
    while log.read_until(b'\n', &mut line).await.map_err(|error| Failure::file("the log", &error))? > 0 {
        session.terminal.print_content(&line)?;
        line.clear();
    }
    Ok(())
}
