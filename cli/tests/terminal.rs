//! What a terminal shows of what others wrote, and what a pipe gets of it.

mod support;

use serde_json::{Value, json};
use support::{Folder, api_server, run, run_in_terminal, written};

const ORDERS: &str = "/apis/manyworlds.dev/v1alpha1/namespaces/team/workorders";
/// It erases a line, goes up by one, and turns what follows.
const TITLE: &str = "fix\u{1b}[2K\u{1b}[1A\u{202e}it";

fn team(_: &str, path: &str) -> (u16, String) {
    let condition = json!({
        "type": "Finished", "status": "True", "reason": "Failed", "message": TITLE, "lastTransitionTime": "2026-11-20T12:00:00Z",
    });
    let order = json!({
        "apiVersion": "manyworlds.dev/v1alpha1", "kind": "WorkOrder",
        "metadata": { "name": "hostile", "namespace": "team", "uid": "1", "resourceVersion": "1" },
        "spec": {
            "source": { "git": { "url": "https://forge.example/a" } }, "task": { "title": TITLE },
            "worlds": { "variants": [{ "name": "alpha" }] },
        },
        "status": { "summary": "Failed", "message": TITLE, "conditions": [condition] },
    });
    if path == format!("{ORDERS}/hostile") {
        return (200, order.to_string());
    }
    if path == format!("{ORDERS}/broken") {
        let status =
            json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 403, "message": TITLE });
        return (403, status.to_string());
    }
    let items: Vec<Value> = if path == ORDERS { vec![order] } else { Vec::new() };
    (200, json!({ "kind": "List", "apiVersion": "v1", "metadata": {}, "items": items }).to_string())
}

fn obeyed(text: &str) -> bool {
    text.contains(['\u{202e}', '\u{7}']) || text.contains("\u{1b}[2K") || text.contains("\u{1b}[1A")
}

/// W14: whoever wrote it, what a person sees is what is there.
#[test]
fn nothing_that_others_wrote_moves_or_turns_what_a_person_sees() {
    let folder = Folder::new("terminal");
    let server = api_server(team);
    let kubeconfig = folder.kubeconfig(&server.url());
    for arguments in [
        &["explain", "hostile"][..],
        &["list"],
        &["list", "-o", "json"],
        &["list", "-o", "yaml"],
        &["explain", "hostile", "-o", "json"],
        &["watch", "hostile"],
        &["explain", "broken"],
    ] {
        let arguments = [arguments, &["--color", "never", "--kubeconfig", &kubeconfig]].concat();
        let (text, errors) = written(&run_in_terminal(&arguments));
        assert!(!text.is_empty() && !obeyed(&text) && !obeyed(&errors), "{arguments:?}: {text:?} {errors:?}");
    }
    let (text, _) = written(&run_in_terminal(&["explain", "hostile", "--kubeconfig", &kubeconfig]));
    assert!(text.contains(r"\u{1b}[2K\u{1b}[1A\u{202e}it"), "{text:?}");
}

#[test]
fn a_pipe_gets_data_as_it_is() {
    let folder = Folder::new("pipe");
    let server = api_server(team);
    let (text, _) = written(&run(&["list", "-o", "json", "--kubeconfig", &folder.kubeconfig(&server.url())]));
    let orders: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(orders[0]["spec"]["task"]["title"], TITLE);
    assert!(text.contains('\u{202e}'), "{text}");
}
