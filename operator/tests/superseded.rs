//! An operator whose place another process has taken ends with an error, so that Kubernetes starts it anew.

#![expect(clippy::unwrap_used, reason = "a check that cannot go on has failed")]

#[path = "../../ledger/tests/support/postgres.rs"]
mod postgres;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use postgres::Postgres;

/// An operator that is ended with the test.
struct Operator(Child);

impl Drop for Operator {
    fn drop(&mut self) {
        // It has ended already where the test went well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts an operator whose API server cannot be reached. It tries again and again, and serves meanwhile.
fn start(folder: &Path, ledger: &str) -> Operator {
    let cluster = "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
        clusters: [{name: c, cluster: {server: \"http://127.0.0.1:1\"}}]\n\
        contexts: [{name: c, context: {cluster: c, user: u}}]\nusers: [{name: u, user: {}}]\n";
    let path = folder.join("kubeconfig");
    std::fs::write(&path, cluster).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_manyworlds-operator"));
    program.env_clear().env("KUBECONFIG", path).env("MANYWORLDS_LEDGER", ledger);
    program.env("MANYWORLDS_ARTIFACTS", folder.join("artifacts"));
    for address in ["API", "METRICS", "GATEWAY"] {
        program.env(format!("MANYWORLDS_{address}_ADDRESS"), "127.0.0.1:0");
    }
    program.stdout(Stdio::null()).stderr(std::fs::File::create(folder.join("error")).unwrap());
    Operator(program.spawn().unwrap())
}

async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_mins(1);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn an_operator_that_was_taken_for_dead_ends_with_an_error() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Postgres::start());
    let url = server.database("ledger");
    let mut operator = start(folder.path(), &url);
    sqlx::any::install_default_drivers();
    let pool = sqlx::AnyPool::connect(&url).await.unwrap();
    let ended = "UPDATE epochs SET ended_at = 1 WHERE ended_at IS NULL";
    until("the operator has opened its ledger", async || {
        let ended = sqlx::query(ended).execute(&pool).await.ok()?;
        (ended.rows_affected() == 1).then_some(())
    })
    .await;
    let status = until("the operator has ended", async || operator.0.try_wait().unwrap()).await;
    let said = std::fs::read_to_string(folder.path().join("error")).unwrap();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("epoch 1 has ended; it may write no more and has to start anew"), "{said}");
}
