//! The stages of both pods, run as the pods run them, on real repositories.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;

use manyworlds_api::conditions::Reason;
use manyworlds_api::result::{Collection, FailureClass, GateOutcome, StageReport};
use serde_json::{Value, json};
use support::operator::Received;
use support::{Pod, Repository, gated, script};

const FIX: &str = "printf 'a + b' > sum.txt";

fn repository() -> Repository {
    Repository::new(&[("sum.txt", "a - b"), ("tests/check.sh", "grep -q 'a + b' sum.txt\n")])
}

fn failure(report: &StageReport) -> (FailureClass, &str) {
    let failure = report.failure.as_ref().unwrap();
    (failure.class, failure.reason.as_str())
}

#[test]
fn a_good_change_becomes_a_patch_with_a_full_score() {
    let repository = repository();
    let pod = Pod::new(&repository, &gated(FIX, &[("check", "sh tests/check.sh")]));
    let result = pod.result();
    assert_eq!((result.score(), result.sealed, &result.reasons), (100, true, &Vec::new()));
    assert!(result.landlock >= Some(3), "{:?}", result.landlock);
    assert_eq!((result.diff.files, result.diff.insertions, result.diff.deletions), (1, 1, 1));
    let patch = pod.artifact("patch");
    assert!(patch.contains("Subject: [PATCH] Fix the sum"), "{patch}");
    assert!(patch.contains("Work-Order: team/fix\nWorld: alpha"), "{patch}");
    let report: Value = serde_json::from_str(&pod.artifact("report")).unwrap();
    assert_eq!((report["status"].as_str(), report["schema"].as_str()), (Some("success"), Some("report@1")));
    let names: Vec<String> = result.artifacts.iter().map(|digest| digest.name.to_string()).collect();
    assert_eq!(names, ["patch", "evaluate-log", "report"]);
    let Collection { artifacts, reasons } = pod.collection();
    let names: Vec<String> = artifacts.iter().map(|digest| digest.name.to_string()).collect();
    assert_eq!((names, reasons), (vec!["change".to_owned(), "work-log".to_owned()], Vec::new()));
    assert!(pod.artifact("prepare-log").contains("the worktree is ready"));
}

#[test]
fn the_echo_worker_reports_success() {
    let pod = Pod::new(&repository(), &json!({ "worker": { "plugin": "echo" } }));
    assert_eq!(pod.result().score(), 100);
    assert!(pod.artifact("patch").contains("+# Fix the sum"));
}

#[test]
fn a_worker_that_fails_or_hangs_still_has_its_change_judged() {
    let failed = Pod::new(&repository(), &script("printf x > new.txt; echo working; exit 7"));
    failed.stage("prepare");
    let (code, report) = failed.stage("work");
    assert_eq!((code, report.worker.unwrap().exit_code), (0, Some(7)));
    let mut changes = script("exec sleep 1000");
    changes["worker"]["phaseTimeouts"] = json!({ "coding": "1s" });
    let hung = Pod::new(&repository(), &changes);
    hung.stage("prepare");
    // In the worker's name: how much it does in a second depends on the machine.
    fs::write(hung.worktree().join("new.txt"), "x").unwrap();
    support::hand_over(&hung.worktree());
    let (code, report) = hung.stage("work");
    assert!(code == 0 && report.worker.unwrap().timed_out);
    hung.succeed(&["collect"]);
    assert_eq!(hung.judge().1.result.unwrap().score(), 100);
    let report: Value = serde_json::from_str(&hung.artifact("report")).unwrap();
    assert_eq!(report["worker"]["timed_out"], true);
}

#[test]
fn a_worker_that_changes_nothing_fails_with_the_reason() {
    let mut slow = script("echo said; exec sleep 1000");
    slow["worker"]["phaseTimeouts"] = json!({ "coding": "5s" });
    for (changes, reason) in [
        (script("echo said"), Reason::NoChange),
        (script("echo said; exit 3"), Reason::WorkerFailed),
        (slow, Reason::WorkerTimedOut),
    ] {
        let pod = Pod::new(&repository(), &changes);
        pod.stage("prepare");
        // It ends well, so that the stage follows that can store the log.
        let (code, report) = pod.stage("work");
        assert_eq!((code, report.failure), (0, None));
        assert!(report.worker.is_some(), "onExitCodes is held against the worker's exit code");
        let (code, report) = pod.stage("collect");
        assert_eq!((code, failure(&report)), (12, (FailureClass::Worker, reason.as_str())));
        assert!(pod.artifact("work-log").starts_with("said\n"));
    }
}

#[test]
fn a_worker_that_cannot_be_started_is_the_orders_fault() {
    let pod = Pod::new(&repository(), &json!({ "worker": { "plugin": "command", "command": ["no-such-program"] } }));
    pod.stage("prepare");
    let (code, report) = pod.stage("work");
    assert_eq!((code, failure(&report).0), (10, FailureClass::Spec));
    assert!(report.failure.unwrap().message.contains("no-such-program"));
}

#[test]
fn a_third_partys_worker_reads_the_order_and_leaves_a_summary() {
    let pod = Pod::new(
        &repository(),
        &script(
            "python3 - <<'P'\nimport json, os\norder = json.load(open(os.environ['MANYWORLDS_ORDER_FILE']))\n\
         open('TITLE', 'w').write(order['task']['title'])\n\
         json.dump({'summary': 'wrote ' + order['agents'][0]['name']}, open(os.environ['MANYWORLDS_RESULT_FILE'], 'w'))\nP",
        ),
    );
    pod.stage("prepare");
    let (_, report) = pod.stage("work");
    assert_eq!(report.worker.unwrap().summary, "wrote alpha");
    assert_eq!(fs::read_to_string(pod.worktree().join("TITLE")).unwrap(), "Fix the sum");
}

#[test]
fn what_the_order_gets_wrong_about_the_repository_is_said_plainly() {
    let repository = repository();
    for (git, class, reason, words) in [
        (json!({ "revision": "nope" }), FailureClass::Spec, Reason::RevisionNotFound, "no branch, tag or commit nope"),
        (
            json!({ "url": "file:///nonexistent/repository" }),
            FailureClass::Spec,
            Reason::RepositoryUnreachable,
            "there is no repository",
        ),
        (
            json!({ "url": "http://127.0.0.1:1/r.git" }),
            FailureClass::Infrastructure,
            Reason::RepositoryUnreachable,
            "does not answer on port 1",
        ),
        (
            json!({ "url": "https://host.invalid/r.git" }),
            FailureClass::Infrastructure,
            Reason::RepositoryUnreachable,
            "host.invalid has no address",
        ),
        (
            json!({ "url": "https://host.invalid/r.git", "secretRef": { "name": "login" } }),
            FailureClass::Spec,
            Reason::SecretMissing,
            "Secret login does not exist",
        ),
    ] {
        let pod = Pod::new(&repository, &json!({ "source": { "git": git } }));
        let (_, report) = pod.stage("prepare");
        assert_eq!(failure(&report), (class, reason.as_str()));
        assert!(report.failure.as_ref().unwrap().message.contains(words), "{report:?}");
    }
}

#[test]
fn a_branch_a_tag_and_a_commit_can_be_named() {
    let repository = repository();
    let first = repository.git(&["rev-parse", "HEAD"]);
    repository.git(&["tag", "v1"]);
    let second = repository.commit(&[("more.txt", "more")]);
    for (revision, expected) in [("main", &second), ("v1", &first), (first.as_str(), &first), ("HEAD", &second)] {
        let pod = Pod::new(&repository, &json!({ "source": { "git": { "revision": revision } } }));
        let (code, report) = pod.stage("prepare");
        assert_eq!((code, report.base_commit.as_ref()), (0, Some(expected)), "{revision}");
    }
}

/// W2, and the pinned base: the branch moves on between the Worlds, and five of them commit at once.
#[test]
fn five_worlds_start_from_one_commit_and_commit_at_once() {
    let repository = repository();
    let received = Received::default();
    let commit = "printf $MANYWORLDS_WORLD > own.txt; for i in $(seq 20); do echo $i >> log; git add -A; git commit -qm $i || exit 1; done";
    let pods: Vec<Pod> = ["alpha", "beta", "gamma", "delta", "epsilon"]
        .into_iter()
        .map(|world| Pod::of_world(world, &repository, &script(commit), &received))
        .collect();
    let base = pods[0].stage("prepare").1.base_commit.unwrap();
    repository.commit(&[("later.txt", "later")]);
    std::thread::scope(|scope| {
        for pod in &pods {
            let base = &base;
            scope.spawn(move || {
                assert_eq!(pod.stage("prepare").1.base_commit.as_ref(), Some(base));
                assert!(!support::exists(&pod.worktree().join("later.txt")));
                let (code, report) = pod.stage("work");
                assert_eq!(code, 0, "{report:?}");
                pod.succeed(&["collect"]);
            });
        }
    });
    assert_eq!(received.bundles.load(Ordering::Relaxed), 1, "the base is stored once");
    for (pod, world) in pods.iter().zip(["alpha", "beta", "gamma", "delta", "epsilon"]) {
        let patch = pod.artifact("change");
        assert!(patch.contains(&format!("\n+{world}\n")) && patch.contains("@@ -0,0 +1,20 @@"), "{world}: {patch}");
    }
}

#[test]
fn protected_files_are_as_in_the_base_when_the_gates_run() {
    let mut changes = gated(
        "printf 'true\\n' > tests/check.sh; printf 'exit 0' > tests/extra.sh; printf x > other.txt",
        &[("check", "sh tests/check.sh"), ("extra", "test ! -e tests/extra.sh")],
    );
    changes["evaluation"]["protectedPaths"] = json!(["tests/**"]);
    let pod = Pod::new(&repository(), &changes);
    let result = pod.result();
    assert_eq!(result.gates.iter().map(|gate| gate.points).collect::<Vec<_>>(), [0, 50]);
    assert!(result.reasons[0].contains("tests/check.sh"), "{:?}", result.reasons);
    assert!(!pod.artifact("patch").contains("tests/"), "the winner's patch must not hold what was restored");
}

#[test]
fn a_required_build_that_fails_leaves_the_rest_unrun() {
    let changes = json!({
        "worker": { "plugin": "command", "command": ["sh", "-c", FIX] },
        "evaluation": { "gates": [
            { "name": "build", "kind": "Build", "command": ["false"], "points": 40, "required": true },
            { "name": "test", "kind": "Test", "command": ["echo", "5 passed in 1s"], "points": 60 },
        ] },
    });
    let result = Pod::new(&repository(), &changes).result();
    assert_eq!(result.score(), 0);
    assert_eq!(result.gates[1].outcome, GateOutcome::NotRun);
}

#[test]
fn a_gate_that_hangs_is_ended_and_earns_nothing() {
    let mut changes = gated(FIX, &[("slow", "sleep 1000"), ("quick", "true")]);
    changes["evaluation"]["gates"][0]["timeout"] = json!("1s");
    let result = Pod::new(&repository(), &changes).result();
    assert_eq!((result.gates[0].outcome, result.score()), (GateOutcome::TimedOut, 50));
}

#[test]
fn a_test_gate_gives_partial_credit_from_its_report() {
    let xml = "<testsuite><testcase name='a'/><testcase name='b'><failure/></testcase></testsuite>";
    let changes = json!({
        "worker": { "plugin": "command", "command": ["sh", "-c", format!("{FIX}; printf stale > report.xml")] },
        "evaluation": { "gates": [
            { "name": "test", "kind": "Test", "report": "report.xml", "points": 100,
              "command": ["sh", "-c", format!("test ! -e report.xml && printf \"{xml}\" > report.xml; exit 1")] },
        ] },
    });
    let gate = &Pod::new(&repository(), &changes).result().gates[0];
    assert_eq!((gate.points, gate.passed, gate.total), (50, Some(1), Some(2)));
}

#[test]
fn a_change_that_reaches_out_of_the_tree_is_refused() {
    for (worker, words) in [
        ("ln -s /etc/passwd link", "outside the tree"),
        ("mkdir a; ln -s ../../x a/link", "outside the tree"),
        ("echo '[submodule \"x\"]' > .gitmodules", ".gitmodules"),
        ("head -c 600000 /dev/zero > blob", "binary file"),
    ] {
        let result = Pod::new(&repository(), &gated(worker, &[("check", "true")])).result();
        assert_eq!((result.score(), result.commit.is_none()), (0, true), "{worker}");
        assert!(result.reasons[0].contains(words), "{worker}: {:?}", result.reasons);
    }
}

#[test]
fn what_the_worker_does_to_its_own_git_folder_counts_for_nothing() {
    let worker = format!(
        "{FIX}; rm -rf .git/objects; printf '[core]\\n fsmonitor = touch /tmp/manyworlds-hooked\\n hooksPath = .\\n' > .git/config; \
         printf '*.txt filter=evil\\n' > .gitattributes"
    );
    let result = Pod::new(&repository(), &gated(&worker, &[("check", "sh tests/check.sh")])).result();
    assert_eq!(result.score(), 100);
    assert!(!support::exists(std::path::Path::new("/tmp/manyworlds-hooked")));
}

#[test]
fn an_operator_that_is_away_for_a_while_is_waited_for_and_the_token_is_read_anew() {
    let pod = Pod::new(&repository(), &gated(FIX, &[("check", "true")]));
    pod.received.absences.store(2, Ordering::Relaxed);
    assert_eq!(pod.stage("prepare").0, 0);
    assert_eq!(pod.stage("work").0, 0);
    // The kubelet renews it.
    fs::write(pod.path("/var/run/secrets/manyworlds/token/token"), "renewed").unwrap();
    pod.received.absences.store(3, Ordering::Relaxed);
    pod.succeed(&["collect"]);
    pod.received.absences.store(3, Ordering::Relaxed);
    assert_eq!(pod.judge().1.result.unwrap().score(), 100);
    let tokens: Vec<String> = pod.received.tokens.lock().unwrap().iter().cloned().collect();
    assert_eq!(tokens, ["Bearer judging-token", "Bearer renewed", "Bearer secret-token"]);
}

#[test]
fn the_digests_of_the_result_are_those_of_what_was_stored() {
    let pod = Pod::new(&repository(), &gated(FIX, &[("check", "true")]));
    let judged = pod.result().artifacts;
    for digest in judged.into_iter().chain(pod.collection().artifacts) {
        let stored = pod.artifact(digest.name.as_str());
        let mut sum = Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        sum.stdin.take().unwrap().write_all(stored.as_bytes()).unwrap();
        let output = String::from_utf8(sum.wait_with_output().unwrap().stdout).unwrap();
        assert_eq!(output.split(' ').next(), Some(digest.sha256.as_str()), "{}", digest.name);
        assert_eq!(digest.bytes, i64::try_from(stored.len()).unwrap());
    }
}

#[test]
fn an_image_without_git_is_the_orders_fault_and_known_at_once() {
    let pod = Pod::new(&repository(), &script("echo y > new"));
    pod.succeed(&["prepare"]);
    let empty = tempfile::tempdir().unwrap();
    let fails = |stage: &str| {
        let output = pod.command(stage).env("PATH", empty.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(10));
        let failure = pod.report(stage).failure.unwrap();
        assert!(failure.message.contains("the image has no git"), "{}", failure.message);
    };
    fails("work");
    assert!(!pod.worktree().join("new").exists());
    pod.succeed(&["work", "collect", "checkout"]);
    fails("judge");
}

#[test]
fn a_submodule_that_the_change_leaves_alone_is_no_reason_to_refuse_it() {
    let repository = repository();
    repository.add_submodule("library");
    let result = Pod::new(&repository, &gated(FIX, &[("check", "sh tests/check.sh")])).result();
    assert_eq!((result.score(), result.diff.files), (100, 1));
}

#[test]
fn what_a_test_program_sums_up_after_much_output_is_counted() {
    let changes = json!({
        "worker": { "plugin": "command", "command": ["sh", "-c", FIX] },
        "evaluation": { "gates": [
            { "name": "test", "kind": "Test", "points": 100,
              "command": ["sh", "-c", "yes a line of output | head -n 150000; echo '== 1 failed, 3 passed in 2.0s =='; exit 1"] },
        ] },
    });
    let gate = &Pod::new(&repository(), &changes).result().gates[0];
    assert_eq!((gate.points, gate.passed, gate.total), (75, Some(3), Some(4)));
}

#[test]
fn a_stage_that_is_told_to_end_ends_its_worker_and_says_so() {
    let pod = Pod::new(&repository(), &script("echo $$ > pid; exec sleep 1000"));
    pod.stage("prepare");
    let mut runner = pod.start("work");
    let file = pod.worktree().join("pid");
    let worker = support::eventually(|| fs::read_to_string(&file).ok().filter(|pid| pid.ends_with('\n')));
    support::tell_to_end(&runner);
    let (code, report) = pod.ended("work", &mut runner);
    assert_eq!((code, failure(&report)), (14, (FailureClass::Cancelled, Reason::Terminated.as_str())));
    assert!(!std::path::Path::new("/proc").join(worker.trim()).exists());
}

#[test]
fn prepare_ends_at_once_when_it_is_told_to() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/r.git", silent.local_addr().unwrap());
    let pod = Pod::new(&repository(), &json!({ "source": { "git": { "url": url } } }));
    let mut runner = pod.start("prepare");
    // The first connection only tries whether the host answers; the second is git's.
    let connections: Vec<_> = (0..2).map(|_| silent.accept().unwrap()).collect();
    support::tell_to_end(&runner);
    let (code, report) = pod.ended("prepare", &mut runner);
    assert_eq!((code, failure(&report).0), (14, FailureClass::Cancelled));
    drop(connections);
}

/// W14: a stage never lets a signal to end through, not even while it starts a program, which may send one at once.
#[test]
fn the_signals_to_end_stay_blocked_while_programs_start() {
    const TERM: u64 = 1 << 14;
    let gates: Vec<_> = (0..20).map(|number| (format!("gate-{number}"), "true")).collect();
    let gates: Vec<_> = gates.iter().map(|(name, command)| (name.as_str(), *command)).collect();
    let pod = Pod::new(&repository(), &gated("date > file", &gates));
    pod.works();
    pod.succeed(&["checkout"]);
    let mut runner = pod.start("judge");
    let status = format!("/proc/{}/status", runner.id());
    let is_blocked = || {
        let status = fs::read_to_string(&status).ok()?;
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let runs = !field("State:")?.starts_with(['Z', 'X']);
        runs.then(|| u64::from_str_radix(field("SigBlk:").unwrap(), 16).unwrap() & TERM != 0)
    };
    let looks: Vec<bool> = std::iter::from_fn(is_blocked).skip_while(|blocked| !blocked).collect();
    assert_eq!(pod.ended("judge", &mut runner).0, 0);
    assert!(looks.len() > 1_000, "it was looked at {} times", looks.len());
    assert!(
        looks.iter().all(|blocked| *blocked),
        "let through in {} of {} looks",
        looks.iter().filter(|blocked| !**blocked).count(),
        looks.len()
    );
}
