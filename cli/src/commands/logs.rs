//! `logs`: what a stage printed, from its pod while there is one, else from the artifacts.

use std::process::ExitCode;
use std::time::Duration;

use futures::{AsyncBufReadExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::LogParams;

use super::{Session, patch::known_world};
use crate::arguments::Logs;
use crate::errors::Failure;
use crate::operator::Operator;
use crate::picture::Picture;
use crate::stage::{StageState, stage_state};

/// How often a stage that has not begun is looked at.
const LOOK: Duration = Duration::from_millis(300);

/// Runs the command.
pub(super) async fn logs(session: &mut Session, which: &Logs) -> Result<ExitCode, Failure> {
    let mut picture = session.cluster.picture(&which.order).await?;
    let world = known_world(&picture, &which.world)?;
    loop {
        match pod_of(&picture, which) {
            Some(pod) if has_begun(&pod, which) => {
                print_pod(session, &pod, which).await?;
                return Ok(ExitCode::SUCCESS);
            }
            _ if which.follow && !picture.is_finished() => {}
            Some(pod) => return Err(not_begun(&pod, which)),
            None => break,
        }
        tokio::time::sleep(LOOK).await;
        picture = session.cluster.picture(&which.order).await?;
    }
    let operator = Operator::new(session).await?;
    let namespace = &session.cluster.namespace;
    let log = operator.artifact(namespace, &which.order, &world, which.stage.log(), which.attempt).await?;
    session.terminal.print_raw(&log)?;
    Ok(ExitCode::SUCCESS)
}

fn pod_of(picture: &Picture, which: &Logs) -> Option<Pod> {
    match which.attempt {
        Some(attempt) => picture.pod_of_attempt(&which.world, attempt),
        None => picture.pod(&which.world),
    }
    .cloned()
}

fn has_begun(pod: &Pod, which: &Logs) -> bool {
    !matches!(stage_state(pod, which.stage), StageState::Waiting(_))
}

fn not_begun(pod: &Pod, which: &Logs) -> Failure {
    let StageState::Waiting(why) = stage_state(pod, which.stage) else {
        return Failure::Usage(String::new());
    };
    let why = if why.is_empty() { String::new() } else { format!(" ({why})") };
    let stage = which.stage.container();
    Failure::Usage(format!("the stage {stage} of World {} has not begun{why}; add -f to wait for it", which.world))
}

async fn print_pod(session: &Session, pod: &Pod, which: &Logs) -> Result<(), Failure> {
    let parameters =
        LogParams { container: Some(which.stage.container().to_owned()), follow: which.follow, ..LogParams::default() };
    let mut lines = session.cluster.pods().log_stream(&pod.name_any(), &parameters).await?.lines();
    while let Some(line) = lines.try_next().await.map_err(|error| Failure::file("the log", &error))? {
        session.terminal.print_raw(format!("{line}\n").as_bytes())?;
    }
    Ok(())
}
