//! What the pod that judges has of the pod that works, and what it does not have.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::Ordering;

use manyworlds_api::conditions::Reason;
use manyworlds_api::result::FailureClass;
use serde_json::Value;
use support::operator::BUNDLE;
use support::{Pod, Repository, gated};

fn repository() -> Repository {
    Repository::new(&[("file", "x")])
}

/// The root of the pod that works, as the worker finds it.
const WORKERS_ROOT: &str = "root=$(pwd); root=${root%/manyworlds/work/*}";
/// The root of the pod that judges, as a gate finds it.
const GATES_ROOT: &str = "root=$(pwd); root=${root%/manyworlds/evaluation/checkout}";

/// W14: no folder of one pod is a folder of the other.
#[test]
fn nothing_that_a_worker_plants_is_there_for_its_judge() {
    let places = "dev/shm tmp cache manyworlds/work manyworlds/evaluation";
    let plant = format!(
        "{WORKERS_ROOT}; for place in {places}; do mkdir -p $root/$place; echo x > $root/$place/planted; done; echo y > file"
    );
    let look = format!("{GATES_ROOT}; for place in {places}; do test ! -e $root/$place/planted || exit 1; done");
    let pod = Pod::new(&repository(), &gated(&plant, &[("look", look.as_str())]));
    assert_eq!(pod.result().score(), 100);
    for place in places.split(' ') {
        assert!(pod.path(place).join("planted").exists(), "{place}");
    }
}

/// W14: an image may have a folder first in its PATH that every container of a pod can write to.
#[test]
fn a_program_that_a_worker_puts_into_its_path_is_run_by_nobody_else() {
    let marks = tempfile::tempdir().unwrap();
    fs::set_permissions(marks.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let mark = marks.path().join("ran");
    let program = format!("#!/bin/sh\\ntouch {}\\nexit 1\\n", mark.display());
    let worker = format!(
        "{WORKERS_ROOT}; echo y > file; mkdir $root/cache; printf '{program}' > $root/cache/git; chmod +x $root/cache/git"
    );
    let mut pod = Pod::new(&repository(), &gated(&worker, &[("use", "git status")]));
    pod.image_path = Some("cache");
    assert_eq!(pod.result().score(), 100);
    assert!(pod.path("/cache/git").exists() && !mark.exists());
}

#[test]
fn the_change_is_judged_as_the_worker_left_it_and_the_report_says_how_it_ended() {
    let pod = Pod::new(&repository(), &gated("echo y > file; exit 7", &[("look", "grep -q y file")]));
    assert_eq!(pod.result().score(), 100);
    // The commits have the times at which they were made.
    let lines = |name: &str| pod.artifact(name).split_once("\ndiff --git").unwrap().1.to_owned();
    assert_eq!(lines("change"), lines("patch"));
    let report: Value = serde_json::from_str(&pod.artifact("report")).unwrap();
    assert_eq!(report["worker"]["exit_code"], 7);
}

/// Tools find the version of a program by the tags of its history.
#[test]
fn worker_and_gates_see_the_tags_of_the_history_and_no_others() {
    let repository = repository();
    let tag =
        |name: &str| repository.git(&["-c", "user.name=t", "-c", "user.email=t@t", "tag", "-a", name, "-m", name]);
    tag("v1");
    repository.commit(&[("more", "x")]);
    repository.git(&["checkout", "-q", "-b", "beside"]);
    repository.commit(&[("beside", "x")]);
    tag("foreign");
    repository.git(&["checkout", "-q", "main"]);
    let describe = "git describe --tags | grep -q '^v1-' && test $(git tag | wc -l) = 1";
    let pod = Pod::new(&repository, &gated(&format!("{describe} && echo y > file"), &[("describe", describe)]));
    assert_eq!(pod.result().score(), 100);
}

/// The server may itself have no more than a part of the history.
#[test]
fn a_repository_without_its_whole_history_is_judged_like_every_other() {
    let whole = repository();
    whole.commit(&[("more", "x")]);
    whole.commit(&[("most", "x")]);
    let repository = Repository::new(&[("old", "x")]);
    repository.git(&["fetch", "-q", "--depth=2", "--update-shallow", &whole.url(), "main"]);
    repository.git(&["reset", "-q", "--hard", "FETCH_HEAD"]);
    let counts = |commits: u32| format!("test $(git rev-list --count HEAD) = {commits}");
    let worker = format!("{} && echo y > file", counts(2));
    let pod = Pod::new(&repository, &gated(&worker, &[("count", counts(3).as_str())]));
    assert_eq!(pod.result().score(), 100);
}

#[test]
fn a_base_with_another_commit_is_refused() {
    let repository = repository();
    let pod = Pod::new(&repository, &gated("echo y > file", &[("check", "true")]));
    pod.works();
    let other = repository.commit(&[("evil", "x")]);
    repository.git(&["update-ref", "refs/manyworlds/base", &other]);
    let file = repository.folder().join("other.bundle");
    repository.git(&["bundle", "create", "--quiet", &file.display().to_string(), "refs/manyworlds/base"]);
    pod.received.artifacts.lock().unwrap().insert(BUNDLE.to_owned(), fs::read(&file).unwrap()).unwrap();
    let (code, report) = pod.stage("checkout");
    let failure = report.failure.unwrap();
    let expected = (13, FailureClass::Evaluation, Reason::EvaluationFailed.as_str());
    assert_eq!((code, failure.class, failure.reason.as_str()), expected, "{}", failure.message);
    assert!(failure.message.contains(&format!("it holds {other}")), "{}", failure.message);
}

/// W4: what is not stored any more is not there in another attempt either, so this one counts.
#[test]
fn a_change_that_is_not_stored_any_more_is_said_to_be_so() {
    let pod = Pod::new(&repository(), &gated("echo y > file", &[("check", "true")]));
    pod.works();
    pod.received.artifacts.lock().unwrap().retain(|path, _| !path.ends_with("/change"));
    let (code, report) = pod.stage("checkout");
    let failure = report.failure.unwrap();
    assert_eq!((code, failure.class), (13, FailureClass::Evaluation), "{}", failure.message);
    assert!(failure.message.contains("not there"), "{}", failure.message);
}

#[test]
fn an_operator_without_room_is_waited_for() {
    let pod = Pod::new(&repository(), &gated("echo y > file", &[("check", "true")]));
    pod.received.full.store(2, Ordering::Relaxed);
    pod.succeed(&["prepare", "work"]);
    assert_eq!(pod.received.full.load(Ordering::Relaxed), 0, "the base was refused twice");
    // The log is tried once by the way, and the change until it is taken.
    pod.received.full.store(3, Ordering::Relaxed);
    pod.succeed(&["collect"]);
    assert_eq!(pod.judge().1.result.unwrap().score(), 100);
}
