//! The exit codes: 0, 1 when an order did not succeed, 2 when the program could not do what was asked.

mod support;

use serde_json::{Value, json};
use support::{Folder, api_server, run, run_with_input, written};

const ORDERS: &str = "/apis/manyworlds.dev/v1alpha1/namespaces/team/workorders";
const MANIFEST: &str = "apiVersion: manyworlds.dev/v1alpha1\nkind: WorkOrder\nmetadata: {name: good}\nspec: {source: {git: {url: \"https://forge.example/a\"}}, task: {title: t}}\n";

fn order(name: &str, succeeded: &str) -> Value {
    let condition = |kind: &str, status: &str| {
        json!({
            "type": kind, "status": status, "reason": "HighestScore", "message": "", "lastTransitionTime": "2026-11-20T12:00:00Z",
        })
    };
    json!({
        "apiVersion": "manyworlds.dev/v1alpha1", "kind": "WorkOrder",
        "metadata": { "name": name, "namespace": "team", "uid": name, "resourceVersion": "1" },
        "spec": {
            "source": { "git": { "url": "https://forge.example/a" } }, "task": { "title": "t" },
            "worlds": { "variants": [{ "name": "alpha" }] },
        },
        "status": {
            "summary": if succeeded == "True" { "Succeeded" } else { "Failed" },
            "conditions": [condition("Finished", "True"), condition("Succeeded", succeeded)],
        },
    })
}

fn refusal(code: u16, message: &str, name: &str, causes: &Value) -> (u16, String) {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message, "reason": if code == 404 { "NotFound" } else { "Invalid" },
        "details": { "name": name, "causes": causes },
    });
    (code, status.to_string())
}

fn team(method: &str, path: &str) -> (u16, String) {
    let list = |items: Value| json!({ "kind": "List", "apiVersion": "v1", "metadata": {}, "items": items });
    if method == "PATCH" && path == format!("{ORDERS}/refused") {
        let causes = json!([
            { "reason": "FieldValueInvalid", "field": "spec.worlds.min", "message": "Invalid value: min must not be greater than the number of variants" },
        ]);
        return refusal(422, "WorkOrder refused is invalid", "refused", &causes);
    }
    match path.strip_prefix(ORDERS) {
        Some("") => (200, list(json!([order("good", "True"), order("bad", "False")])).to_string()),
        Some("/good") => (200, order("good", "True").to_string()),
        Some("/bad") => (200, order("bad", "False").to_string()),
        Some(_) => refusal(404, "not found", "other", &json!([])),
        None => (200, list(json!([])).to_string()),
    }
}

#[test]
fn wrong_use_ends_with_2() {
    for arguments in [
        &[][..],
        &["fly"],
        &["run"],
        &["watch"],
        &["logs", "order"],
        &["logs", "order", "alpha", "--stage", "sleep"],
        &["list", "-o", "xml"],
        &["cancel"],
        &["reevaluate"],
        &["reevaluate", "order", "alpha"],
        &["list", "order", "-A"],
        &["completion", "csh"],
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn help_version_and_completion_need_no_cluster() {
    for arguments in [&["--help"][..], &["run", "--help"], &["--version"]] {
        assert_eq!(run(arguments).status.code(), Some(0), "{arguments:?}");
    }
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(&["completion", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        let (script, _) = written(&output);
        assert!(script.contains("kubectl-worlds") && script.contains("explain"), "{shell}");
    }
}

#[test]
fn a_cluster_that_cannot_be_reached_is_said_in_one_line() {
    let folder = Folder::new("unreachable");
    // Port 1 is reserved, so nothing listens there.
    let output = run(&["list", "--kubeconfig", &folder.kubeconfig("http://127.0.0.1:1")]);
    let (_, errors) = written(&output);
    assert_eq!(output.status.code(), Some(2));
    assert!(errors.starts_with("error: the API server could not be asked") && errors.lines().count() == 1, "{errors}");
    assert_eq!(run(&["list", "--kubeconfig", "/nonexistent/kubeconfig"]).status.code(), Some(2));
}

#[test]
fn a_file_that_is_no_order_ends_with_2_before_the_cluster_is_asked() {
    let folder = Folder::new("files");
    let kubeconfig = folder.kubeconfig("http://127.0.0.1:1");
    let pod = folder.file("pod.yaml", "kind: Pod\nmetadata: {name: a}\n");
    for (file, words) in [(pod.as_str(), "not WorkOrder"), ("/nonexistent/order.yaml", "No such file")] {
        let output = run(&["run", "--kubeconfig", &kubeconfig, "-f", file]);
        let (_, errors) = written(&output);
        assert_eq!((output.status.code(), errors.contains(words)), (Some(2), true), "{errors}");
    }
    let output = run_with_input(&["run", "--kubeconfig", &kubeconfig, "-f", "-"], "a: [");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn the_exit_code_of_a_wait_is_the_order_s() {
    let folder = Folder::new("wait");
    let server = api_server(team);
    let kubeconfig = folder.kubeconfig(&server.url());
    for (name, code) in [("good", 0), ("bad", 1)] {
        assert_eq!(run(&["watch", name, "--kubeconfig", &kubeconfig]).status.code(), Some(code), "watch {name}");
        let arguments = ["run", "--kubeconfig", &kubeconfig, "-f", "-", "--wait", "--name", name];
        let output = run_with_input(&arguments, MANIFEST);
        assert_eq!(output.status.code(), Some(code), "run {name}: {:?}", written(&output));
    }
}

#[test]
fn a_refused_field_has_a_line_and_ends_with_2() {
    let folder = Folder::new("refused");
    let server = api_server(team);
    let kubeconfig = folder.kubeconfig(&server.url());
    let output = run_with_input(&["run", "--kubeconfig", &kubeconfig, "-f", "-", "--name", "refused"], MANIFEST);
    let (_, errors) = written(&output);
    let expected =
        "error: the API server refused it:\n  spec.worlds.min: min must not be greater than the number of variants\n";
    assert_eq!((output.status.code(), errors.as_str()), (Some(2), expected));
}

#[test]
fn a_name_that_does_not_exist_is_answered_with_those_that_do() {
    let folder = Folder::new("names");
    let server = api_server(team);
    let kubeconfig = folder.kubeconfig(&server.url());
    let output = run(&["explain", "goood", "--kubeconfig", &kubeconfig]);
    let (_, errors) = written(&output);
    assert_eq!(output.status.code(), Some(2));
    assert!(errors.contains("did you mean good? there are good, bad"), "{errors}");
    let output = run(&["patch", "good", "--world", "omega", "--kubeconfig", &kubeconfig]);
    let (_, errors) = written(&output);
    assert_eq!(output.status.code(), Some(2));
    assert!(errors.contains("has no World omega; it has alpha"), "{errors}");
}

#[test]
fn data_is_all_that_programs_get() {
    let folder = Folder::new("data");
    let server = api_server(team);
    let kubeconfig = folder.kubeconfig(&server.url());
    let (text, _) = written(&run(&["watch", "bad", "-o", "json", "--kubeconfig", &kubeconfig]));
    let order: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(order["metadata"]["name"], "bad");
    let (text, _) = written(&run(&["list", "-o", "json", "--kubeconfig", &kubeconfig]));
    assert_eq!(serde_json::from_str::<Vec<Value>>(&text).unwrap().len(), 2);
    let (text, _) = written(&run(&["list", "--kubeconfig", &kubeconfig]));
    assert!(!text.contains('\u{1b}'), "no colours where nobody sees them: {text}");
    let (text, _) = written(&run(&["list", "--color", "always", "--kubeconfig", &kubeconfig]));
    assert!(text.contains('\u{1b}'), "{text}");
}
