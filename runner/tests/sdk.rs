//! The example of docs/worker-sdk.md, run as it stands there.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;
use support::{Pod, Repository};

const DOCUMENT: &str = include_str!("../../docs/worker-sdk.md");

#[test]
fn the_example_in_python_works_as_a_third_partys_plugin() {
    let start = DOCUMENT.find("```python\n").unwrap() + "```python\n".len();
    let program = &DOCUMENT[start..start + DOCUMENT[start..].find("```").unwrap()];
    let programs = tempfile::tempdir().unwrap();
    fs::set_permissions(programs.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let file = programs.path().join("manyworlds-worker-shout");
    fs::write(&file, program).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    let pod = Pod::new(&Repository::new(&[("file", "x")]), &json!({ "worker": { "plugin": "shout", "command": [] } }))
        .with_programs(programs.path());
    assert_eq!(pod.stage("prepare").0, 0);
    let (code, report) = pod.stage("work");
    assert_eq!((code, report.worker.unwrap().summary.as_str()), (0, "shouted"));
    pod.succeed(&["collect"]);
    assert_eq!(pod.judge().1.result.unwrap().score(), 100);
    assert!(pod.artifact("patch").contains("+FIX THE SUM"));
}
