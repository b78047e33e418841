//! What a hostile World can show to the person who reads its change, in a real pod and with the program that people use.

use std::env;
use std::path::PathBuf;
use std::process::Stdio;

use manyworlds_tests::real::{create, finished, order, restricted, world};
use manyworlds_tests::{Cluster, Error, Namespace, Result};
use serde_json::json;
use tokio::process::Command;

/// Makes a terminal and runs a program in it.
const TERMINAL: &str = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)";

/// Returns what `kubectl worlds patch` prints, started by a command that ends with its path.
async fn patch(mut command: Command, cluster: &Cluster, namespace: &Namespace) -> Result<String> {
    command.args(["patch", "terminal", "--namespace", namespace.name.as_str(), "--kubeconfig"]);
    let output = command.arg(&cluster.kubeconfig).stdin(Stdio::null()).output().await?;
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(text.into_owned()) } else { Err(format!("{text}{errors}").into()) }
}

fn program() -> Result<PathBuf> {
    let test = env::current_exe()?;
    let found = test.ancestors().map(|folder| folder.join("kubectl-worlds")).find(|path| path.is_file());
    found.ok_or_else(|| Error::from("there is no kubectl-worlds; build it with `cargo build -p kubectl-worlds`"))
}

/// W3, W14: escape sequences are seen and named, a name that is no UTF-8 is no way into a protected folder, and a repository
/// inside the worktree costs its own folder. The change is judged all the same.
#[tokio::test]
async fn what_a_world_wrote_is_shown_as_it_is_and_named() -> Result {
    let (cluster, namespace) = restricted("terminal").await?;
    let script = "printf 'import os\\nos.system(1) #\\033[2K\\033[1A\\n' > tidy.py; mkdir fixture; git -C fixture init -q; \
                  echo x > \"$(printf 'tests/test_z\\377.py')\"";
    let mut manifest = order("terminal", script);
    manifest["spec"]["evaluation"] = json!({"protectedPaths": ["tests/**"], "gates": [
        {"name": "look", "kind": "Custom", "points": 100, "timeout": "30s",
         "command": ["sh", "-c", "test ! -e fixture && ! ls tests | grep -q test_z"]},
    ]});
    create(&namespace, &manifest).await?;
    let status = finished(&namespace, "terminal").await?;
    assert_eq!(status.winner.as_deref(), Some("alpha"), "{:?}", status.message);
    let reasons = world(&namespace, "terminal-alpha").await?.reasons;
    for words in ["characters in tidy.py line 2", "left out of the change: fixture;", "protected files"] {
        assert!(reasons.iter().any(|reason| reason.contains(words)), "{words}: {reasons:?}");
    }
    let program = program()?;
    let exact = patch(Command::new(&program), &cluster, &namespace).await?;
    assert!(exact.contains("+os.system(1) #\u{1b}[2K\u{1b}[1A\n"), "{exact:?}");
    let mut terminal = Command::new("python3");
    terminal.args(["-c", TERMINAL]).arg(&program);
    let shown = patch(terminal, &cluster, &namespace).await?;
    assert!(shown.contains(r"+os.system(1) #\u{1b}[2K\u{1b}[1A") && !shown.contains('\u{1b}'), "{shown:?}");
    Ok(())
}
