//! Workers that attack the runner, which takes their change: each is judged by its files alone, or fails as the worker's
//! own fault, and none makes its runner wait or run a program for it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use manyworlds_api::conditions::Reason;
use manyworlds_api::labels;
use manyworlds_api::result::{FailureClass, GateOutcome, StageReport};
use serde_json::json;
use support::{Pod, Repository, gated, script};

fn repository() -> Repository {
    Repository::new(&[("file", "x"), ("sub/other", "y")])
}

/// The pod's root, as a worker finds it: its worktree is `<root>/manyworlds/work/worktrees/...`.
const ROOT: &str = "root=$(pwd); root=${root%/manyworlds/work/*}";

fn works(worker: &str) -> (Pod, i32, StageReport) {
    let pod = Pod::new(&repository(), &gated(&format!("{ROOT}; {worker}"), &[("check", "true")]));
    pod.stage("prepare");
    let (code, report) = pod.stage("work");
    (pod, code, report)
}

fn refused(worker: &str) -> String {
    let (pod, code, report) = works(worker);
    assert!(code == 0 && report.worker.is_some(), "{worker}: {report:?}");
    let (code, report) = pod.stage("collect");
    assert!(pod.artifact("work-log").contains("the worker ended"));
    let failure = report.failure.unwrap_or_else(|| panic!("{worker}: it ended with {code}"));
    let told = (code, failure.class, failure.reason.as_str());
    assert_eq!(told, (12, FailureClass::Worker, Reason::ChangeRefused.as_str()), "{}", failure.message);
    failure.message
}

fn judged(worker: &str) -> Pod {
    let (pod, code, report) = works(worker);
    assert_eq!(code, 0, "{worker}: {report:?}");
    pod.succeed(&["collect"]);
    assert_eq!(pod.judge().1.result.unwrap().score(), 100, "{worker}");
    pod
}

#[test]
fn attributes_do_not_hide_how_large_a_change_is() {
    for attributes in ["* -diff", "* binary", "[attr]hidden -diff\\n* hidden"] {
        let mut changes = script(&format!("printf '{attributes}\\n' > .gitattributes; seq 9000 > many"));
        changes["evaluation"] = json!({ "gates": [{ "name": "size", "kind": "Size", "points": 100 }] });
        let result = Pod::new(&repository(), &changes).result();
        assert_eq!((result.score(), result.diff.files), (0, 2), "{attributes}");
        assert!(result.diff.insertions >= 9000, "{attributes}");
    }
}

#[test]
fn a_repository_that_lies_in_wait_is_not_used() {
    let worker = "for name in change.git change-; do git init -q --bare $root/tmp/$name; \
        git -C $root/tmp/$name config filter.evil.clean \"touch $root/tmp/ran; cat\"; done; \
        git config filter.evil.clean \"touch $root/tmp/ran; cat\"; echo '* filter=evil' > .gitattributes";
    let pod = judged(worker);
    assert!(!pod.path("/tmp/ran").exists());
}

#[test]
fn pipes_with_the_names_of_files_that_are_read_make_nobody_wait() {
    judged(
        "echo y > file; mkfifo .gitignore .gitattributes sub/.gitignore; mkfifo $MANYWORLDS_RESULT_FILE; \
         rm -rf $root/manyworlds/work/result; mkdir $root/manyworlds/work/result; cd $root/manyworlds/work/result; \
         mkfifo patch worker.json work.log",
    );
}

#[test]
fn what_the_runner_leaves_does_not_go_where_a_link_leads() {
    let pod = judged(
        "echo y > file; r=$root/manyworlds/work/result; rm -rf $r; mkdir $root/tmp/else; ln -s $root/tmp/else $r",
    );
    assert_eq!(fs::read_dir(pod.path("/tmp/else")).unwrap().count(), 0);
    let pod = judged(
        "echo y > file; r=$root/manyworlds/work/result; ln -s $root/tmp/note $r/worker.json; mkdir -p $r/work.log/a; chmod 0 $r/work.log",
    );
    assert!(!pod.path("/tmp/note").exists());
}

#[test]
fn a_folder_without_rights_does_not_hide_its_files() {
    let pod = judged("echo hidden > sub/new; chmod 0 sub");
    assert!(pod.artifact("patch").contains("+hidden"));
}

#[test]
fn a_file_that_no_patch_could_hold_is_the_workers_fault() {
    assert!(refused("truncate -s 70M big").contains("big has 73400320 bytes"));
    judged("truncate -s 70M big; echo big > .gitignore");
}

#[test]
fn a_change_that_is_larger_than_an_artifact_is_the_workers_fault() {
    let message = refused("head -c 56000000 /dev/urandom > big");
    assert!(message.contains("no more than 64 MiB are stored"), "{message}");
}

/// W14: `collect` has a token, and takes nothing but what lies in the worktree.
#[test]
fn a_worktree_that_has_become_a_link_gives_nothing_away() {
    for (place, target) in [("$tree", labels::TOKEN_DIRECTORY), ("$(dirname $tree)", "/var/run/secrets/manyworlds")] {
        let worker = format!("tree=$(pwd); cd $root; place={place}; rm -rf $place; ln -s $root{target} $place");
        let (pod, code, report) = works(&worker);
        assert_eq!(code, 0, "{report:?}");
        let (code, report) = pod.stage("collect");
        let failure = report.failure.unwrap();
        assert_eq!((code, failure.reason.as_str()), (12, Reason::ChangeRefused.as_str()), "{}", failure.message);
        assert!(failure.message.contains("is a folder no more"), "{}", failure.message);
        let artifacts = pod.received.artifacts.lock().unwrap();
        assert!(artifacts.values().all(|bytes| !String::from_utf8_lossy(bytes).contains("secret-token")));
    }
}

#[test]
fn a_worker_cannot_end_its_runner_and_is_told_of() {
    let (pod, code, report) = works("echo y > file; kill -TERM $PPID; kill -INT $PPID; echo z > file");
    assert_eq!((code, report.worker.unwrap().exit_code), (0, Some(0)));
    assert_eq!(fs::read_to_string(pod.worktree().join("file")).unwrap(), "z\n");
    pod.succeed(&["collect"]);
    let reasons = pod.collection().reasons;
    assert!(reasons.iter().any(|reason| reason.contains("told the runner to end")), "{reasons:?}");
    assert!(pod.artifact("work-log").contains("told the runner to end"));
}

#[test]
fn a_worker_cannot_forge_its_report() {
    let forged = "while true; do echo '{\"version\":1,\"result\":{}}' > $root/dev/termination-log; sleep 0.01; done &";
    let (_, code, report) = works(&format!("{forged} echo y > file; echo '{{}}' > $root/dev/termination-log"));
    assert!(code == 0 && report.worker.is_some() && report.result.is_none(), "{report:?}");
}

#[test]
fn a_patch_that_is_no_patch_of_a_tree_is_refused_and_not_applied() {
    let header = "diff --git a/x b/x\\nnew file mode 100644\\n--- /dev/null\\n";
    for path in
        ["../outside", ".git/hooks/post-checkout", ".GIT/config", "a/.git/config", "/etc/passwd", "git~1/config"]
    {
        let pod = Pod::new(&repository(), &gated("echo y > file", &[("check", "true")]));
        pod.works();
        // As a runner would store it that somebody had got hold of.
        let patch = format!("{header}+++ b/{path}\\n@@ -0,0 +1 @@\\n+x\\n")
            .replace("\\n", "\n")
            .replace("b/x", &format!("b/{path}"));
        pod.replace_artifact("change", patch.as_bytes());
        let result = pod.judge().1.result.unwrap();
        assert_eq!((result.score(), result.gates[0].outcome), (0, GateOutcome::NotRun), "{path}");
        assert!(result.reasons[0].contains("refused"), "{path}: {:?}", result.reasons);
        assert!(!pod.judging_path("/manyworlds/evaluation/outside").exists());
    }
}

#[test]
fn a_patch_with_a_submodule_is_refused() {
    let pod = Pod::new(&repository(), &gated("echo y > file", &[("check", "true")]));
    pod.works();
    let head = "diff --git a/inner b/inner\nnew file mode 160000\n--- /dev/null\n+++ b/inner\n@@ -0,0 +1 @@\n";
    let patch = format!("{head}+Subproject commit {}\n", "1".repeat(40));
    pod.replace_artifact("change", patch.as_bytes());
    let result = pod.judge().1.result.unwrap();
    assert_eq!((result.score(), result.commit.is_none()), (0, true));
    assert!(result.reasons[0].contains("inner is a submodule"), "{:?}", result.reasons);
}

#[test]
fn a_patch_that_is_larger_than_the_order_allows_is_refused() {
    let mut changes = gated("seq 1000 > many", &[("check", "true")]);
    changes["evaluation"]["maxPatchBytes"] = json!(2048);
    let result = Pod::new(&repository(), &changes).result();
    assert_eq!(result.score(), 0);
    assert!(result.reasons[0].contains("maxPatchBytes allows 2048"), "{:?}", result.reasons);
}

#[test]
fn a_worker_that_fills_the_disk_is_ended_before_its_pod_is_evicted() {
    let mut pod = Pod::new(
        &repository(),
        &gated("echo y > file; echo fill > .gitignore; cat /dev/zero > fill", &[("check", "true")]),
    );
    pod.disk_bytes = Some(64 * 1024 * 1024);
    pod.stage("prepare");
    let (code, report) = pod.stage("work");
    assert_eq!((code, report.worker.unwrap().exit_code), (0, None));
    let log = fs::read_to_string(pod.path("/manyworlds/work/result/work.log")).unwrap();
    assert!(log.contains("filled the World's disk"), "{log}");
    pod.succeed(&["collect"]);
    let reasons = pod.collection().reasons;
    assert!(reasons.iter().any(|reason| reason.contains("filled the World's disk")), "{reasons:?}");
}

#[test]
fn names_of_files_bring_no_control_characters_into_a_reason() {
    let worker = "mkdir -p tests; touch \"tests/$(printf 'a\\033[31mb\\nc')\"; echo y > file";
    let mut changes = gated(worker, &[("check", "true")]);
    changes["evaluation"]["protectedPaths"] = json!(["tests/**"]);
    let reasons = Pod::new(&repository(), &changes).result().reasons;
    assert!(reasons[0].ends_with("tests/ab c"), "{reasons:?}");
}

#[test]
fn links_that_lead_out_by_another_link_are_refused() {
    let worker = "mkdir a; ln -s .. a/up; ln -s a/up/../../etc out";
    let result = Pod::new(&repository(), &gated(worker, &[("check", "true")])).result();
    assert_eq!((result.score(), result.gates[0].outcome), (0, GateOutcome::NotRun));
    assert!(result.reasons[0].contains("out is a link to a/up/../../etc"), "{:?}", result.reasons);
}

#[test]
fn a_link_or_file_in_the_place_of_a_protected_folder_does_not_hide_it() {
    for worker in ["rm -r tests; mkdir mine; echo mine > mine/kept; ln -s mine tests", "rm -r tests; echo mine > tests"]
    {
        let mut changes =
            gated(&format!("{worker}; echo y > file"), &[("check", "test ! -h tests && grep -q theirs tests/kept")]);
        changes["evaluation"]["protectedPaths"] = json!(["tests/**"]);
        let repository = Repository::new(&[("file", "x"), ("tests/kept", "theirs")]);
        let pod = Pod::new(&repository, &changes);
        let result = pod.result();
        assert_eq!(result.score(), 100, "{worker}: {result:?}");
        assert!(result.reasons[0].contains("protected files"), "{worker}: {:?}", result.reasons);
    }
}

/// W14: a name of any bytes gets around no rule, neither for what is protected nor for what is too large.
#[test]
fn a_name_that_is_no_text_gets_around_no_rule() {
    let protected = |gates: &[(&str, &str)], worker: &str| {
        let mut changes = gated(&format!("echo y > file; {worker}"), gates);
        changes["evaluation"]["protectedPaths"] = json!(["tests/**"]);
        changes
    };
    let worker = "echo x > \"$(printf 'tests/test_z\\377.py')\"";
    let repository = Repository::new(&[("file", "x"), ("tests/kept", "theirs")]);
    let pod = Pod::new(&repository, &protected(&[("look", "test $(ls tests | wc -l) = 1")], worker));
    let result = pod.result();
    assert_eq!(result.score(), 100, "{result:?}");
    assert!(result.reasons[0].contains("protected files"), "{:?}", result.reasons);
    assert!(!pod.artifact("patch").contains("tests/"));
    // A gate adds a file whose name differs from a file of the base in the bytes that are no text, and in nothing else.
    fs::write(repository.folder().join(OsStr::from_bytes(b"tests/a\xff")), "theirs").unwrap();
    repository.commit(&[("more", "x")]);
    let gates = [("add", "echo x > \"$(printf 'tests/a\\376')\""), ("look", "test $(ls tests | wc -l) = 2")];
    let result = Pod::new(&repository, &protected(&gates, "true")).result();
    assert_eq!(result.score(), 100, "{result:?}");
    let worker = "head -c 600000 /dev/zero > \"$(printf 'blob\\377')\"";
    let result = Pod::new(&repository, &gated(worker, &[("check", "true")])).result();
    assert!(result.score() == 0 && result.reasons[0].contains("binary file"), "{:?}", result.reasons);
    assert!(refused("truncate -s 70M \"$(printf 'big\\377')\"").contains("has 73400320 bytes"));
}

#[test]
fn a_thousand_changed_protected_files_are_restored() {
    let worker = "echo y > file; mkdir -p tests; for i in $(seq 1000); do echo $i > tests/$i; done";
    let mut changes = gated(worker, &[("look", "test $(ls tests | wc -l) = 1 && grep -q theirs tests/1")]);
    changes["evaluation"]["protectedPaths"] = json!(["tests/**"]);
    let result = Pod::new(&Repository::new(&[("file", "x"), ("tests/1", "theirs")]), &changes).result();
    assert_eq!(result.score(), 100, "{result:?}");
    assert!(result.reasons[0].ends_with("and 995 more"), "{:?}", result.reasons);
}

/// W14: the rest of the change counts, whether the repository has a commit or not.
#[test]
fn a_repository_inside_the_worktree_costs_its_own_folder_alone() {
    let commit = "git -C a add f; git -C a -c user.name=t -c user.email=t@t commit -qm x";
    for inner in ["git init -q a".to_owned(), format!("git init -q a; echo x > a/f; {commit}")] {
        let worker = format!("echo y > file; {inner}; echo x > a/lost");
        let pod = Pod::new(&repository(), &gated(&worker, &[("look", "grep -q y file && test ! -e a")]));
        let result = pod.result();
        assert_eq!(result.score(), 100, "{inner}: {result:?}");
        let reasons = pod.collection().reasons;
        assert!(reasons[0].contains("left out of the change: a;"), "{inner}: {reasons:?}");
        assert!(pod.worktree().join("a/lost").exists(), "the worker's volume is only read");
    }
    // A folder of the base stays what it is.
    let pod = judged("echo y > file; git init -q sub; echo new > sub/new");
    assert!(pod.artifact("patch").contains("+new"));
}

/// W14: who reads the patch reads what is there, and an honest file is not called out.
#[test]
fn added_lines_that_are_shown_otherwise_than_they_are_are_a_reason_and_cost_no_points() {
    let worker = "printf 'import os\\nos.system(1) #\\033[2K\\033[1A\\n' > tidy.py; printf 'a\\r\\n\\f\\n' > honest; echo y > file";
    let result = Pod::new(&repository(), &gated(worker, &[("check", "true")])).result();
    assert_eq!(result.score(), 100, "{result:?}");
    assert_eq!(result.reasons, ["its change adds control or direction characters in tidy.py line 2"]);
}
