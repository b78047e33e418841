//! Candidates that attack their judge: each fails, and is named where it can be.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

use manyworlds_api::labels;
use manyworlds_api::result::{GateOutcome, WorldResult};
use serde_json::json;
use support::{Pod, Repository, gated};

fn named(result: &WorldResult, words: &str) -> bool {
    result.reasons.iter().any(|reason| reason.contains(words))
}

fn attack(command: &str) -> (Pod, WorldResult) {
    let repository = Repository::new(&[("file", "x")]);
    let pod = Pod::new(&repository, &gated("echo y > file", &[("attack", command)]));
    // The command learns where the pod is from its own checkout.
    let result = pod.result();
    (pod, result)
}

/// The pod's root, as a gate finds it: its checkout is `<root>/manyworlds/evaluation/checkout`.
const ROOT: &str = "root=$(pwd); root=${root%/manyworlds/evaluation/checkout}";

fn succeeds_in(attempt: &str) -> i32 {
    attack(&format!("{ROOT}; {attempt}")).1.score()
}

#[test]
fn the_ground_is_real_a_harmless_gate_passes() {
    assert_eq!(succeeds_in("echo fine > $TMPDIR/note && cat /etc/hostname >/dev/null && echo z > file"), 100);
}

#[test]
fn evidence_cannot_be_written() {
    for path in [labels::TERMINATION_LOG, "/manyworlds/evaluation/evidence/forged", "/manyworlds/order/change"] {
        assert_eq!(succeeds_in(&format!("echo forged > $root{path}")), 0, "{path}");
    }
    assert_eq!(succeeds_in("rm -rf $root/manyworlds/evaluation/evidence/repository.git"), 0);
    assert_eq!(succeeds_in("mv $root/manyworlds/order/order.json $root/manyworlds/order/other.json"), 0);
}

#[test]
fn the_token_cannot_be_read() {
    assert_eq!(succeeds_in(&format!("cat $root{}/{}", labels::TOKEN_DIRECTORY, labels::TOKEN_FILE)), 0);
}

#[test]
fn the_judge_can_be_neither_read_nor_ended() {
    // The gate's parent is the judge: what stands between them has become the gate.
    assert_eq!(succeeds_in("cat /proc/$PPID/environ"), 0);
    assert_eq!(succeeds_in("ls /proc/$PPID/fd/"), 0);
    assert_eq!(succeeds_in("head -c 1 /proc/$PPID/mem"), 0);
    assert_eq!(succeeds_in("kill -9 $PPID"), 0);
}

#[test]
fn a_process_left_behind_is_ended_and_named() {
    let left = "setsid sh -c 'touch on; sleep 600; echo late > late' >/dev/null 2>&1 &";
    let (pod, result) = attack(&format!("{left} while [ ! -e on ]; do :; done"));
    assert!(result.reasons.iter().any(|reason| reason.contains("left")), "{:?}", result.reasons);
    assert!(!pod.judging_path("/manyworlds/evaluation/checkout/late").exists());
}

#[test]
fn a_flood_of_output_is_cut_and_named() {
    let (pod, result) = attack("yes $(seq -s . 500) | head -c 40000000; true");
    assert!(result.reasons.iter().any(|reason| reason.contains("flooded")), "{:?}", result.reasons);
    assert!(pod.artifact("evaluate-log").len() < 2_000_000);
}

#[test]
fn files_that_a_gate_changes_are_restored_before_the_next() {
    let repository = Repository::new(&[("file", "x")]);
    let gates = [("first", "echo changed > file"), ("second", "grep -q y file")];
    let result = Pod::new(&repository, &gated("echo y > file", &gates)).result();
    assert_eq!(result.score(), 100);
    assert!(result.reasons.iter().any(|reason| reason.contains("restored before second")), "{:?}", result.reasons);
}

#[test]
fn control_characters_do_not_reach_the_log() {
    let (pod, _) = attack("printf '\\033[2J\\033]0;owned\\007visible\\n'");
    let log = pod.artifact("evaluate-log");
    assert!(log.contains("visible") && !log.contains('\u{1b}') && !log.contains("owned"), "{log:?}");
}

#[test]
fn what_a_gate_was_refused_is_named() {
    for command in [
        format!("{ROOT}; echo forged > $root{}", labels::TERMINATION_LOG),
        format!("{ROOT}; touch $root/manyworlds/evaluation/evidence/forged"),
        format!("{ROOT}; cat $root{}/{}", labels::TOKEN_DIRECTORY, labels::TOKEN_FILE),
        "cat /proc/$PPID/environ".to_owned(),
        "kill -9 $PPID".to_owned(),
    ] {
        let (_, result) = attack(&command);
        assert!(named(&result, "reached for what belongs to its judge"), "{command}: {:?}", result.reasons);
    }
}

#[test]
fn a_change_that_names_what_belongs_to_its_judge_is_named() {
    let worker = "echo 'cp good /dev/termination-log 2>/dev/null' > file";
    let result = Pod::new(&Repository::new(&[("file", "x")]), &gated(worker, &[("check", "true")])).result();
    assert!(named(&result, "names /dev/termination-log"), "{:?}", result.reasons);
}

#[test]
fn a_flood_of_processes_is_ended_and_named() {
    let (_, result) = attack("i=0; while [ $i -lt 4000 ]; do sleep 100 & i=$((i + 1)); done; wait");
    assert!(named(&result, "too many processes"), "{:?}", result.reasons);
    assert_eq!(result.score(), 0);
}

/// Runs a gate that writes much, in a World with so much disk, of which a gate may fill half.
fn writes(command: &str, disk_bytes: u64) -> WorldResult {
    let mut pod = Pod::new(&Repository::new(&[("file", "x")]), &gated("echo y > file", &[("fill", command)]));
    pod.disk_bytes = Some(disk_bytes);
    pod.result()
}

#[test]
fn a_disk_that_is_filled_is_noticed_and_named() {
    for command in [
        "cat /dev/zero > $TMPDIR/fill",
        // These have ended before anybody looks, however slow the disk is.
        "fallocate -l 100M $TMPDIR/fill",
        "fallocate -l 100M $TMPDIR/fill; truncate -s 2G $TMPDIR/fill",
    ] {
        let result = writes(command, 64 << 20);
        assert!(result.score() == 0 && named(&result, "filled the disk"), "{command}: {:?}", result.reasons);
        assert_eq!(result.gates[0].reason, "it filled the disk", "{command}");
    }
}

#[test]
fn a_file_that_is_too_large_is_named_whether_the_signal_is_heeded_or_not() {
    for command in [
        "truncate -s 2G $TMPDIR/fill",
        "truncate -s 2G $TMPDIR/fill; exit $?",
        "python3 -c \"import os; os.truncate('file', 1 << 30); os.write(os.open('file', os.O_WRONLY | os.O_APPEND), b'more')\"",
    ] {
        let result = writes(command, 64 << 30);
        assert!(result.score() == 0 && named(&result, "a file of more than 1024 MiB"), "{command}: {result:?}");
        assert_eq!(result.gates[0].reason, "it wrote a file of more than 1024 MiB", "{command}");
    }
}

#[test]
fn a_repository_in_a_protected_place_does_not_hide_what_a_gate_added_there() {
    let add = "mkdir tests/own; cd tests/own; git init -q .; echo x > added; git add added; \
               git -c user.name=t -c user.email=t@t commit -qm x; chmod 0 .";
    let mut changes =
        gated("echo y > file", &[("first", add), ("second", "test ! -e tests/own/added && test -e tests/kept")]);
    changes["evaluation"]["protectedPaths"] = json!(["tests/**/*"]);
    let result = Pod::new(&Repository::new(&[("file", "x"), ("tests/kept", "k")]), &changes).result();
    assert_eq!(result.score(), 100, "{result:?}");
}

/// git looks into a submodule by running git there, with the settings that are there.
#[test]
fn what_a_gate_puts_into_a_submodule_is_not_run_by_the_judge() {
    let repository = Repository::new(&[("file", "x")]);
    repository.add_submodule("library");
    // It is at the very commit that the tree names, so that git has to look at its files to know its state.
    let lay = format!(
        "{ROOT}; set -e; commit=$(git rev-parse HEAD:library); cd library; git init -q .; \
         cp ../.git/objects/info/alternates .git/objects/info/; git update-ref HEAD $commit; git reset -q --hard; \
         git config filter.evil.clean \"touch $root/tmp/ran; cat\"; git config core.fsmonitor \"touch $root/tmp/ran\"; \
         echo '* filter=evil' > .gitattributes; printf z > file; rm -f $root/tmp/ran"
    );
    let gates = [("lay", lay.as_str()), ("look", "test -e library/file")];
    let mut changes = gated("echo y > file", &gates);
    changes["evaluation"]["keep"] = json!(["library/"]);
    let pod = Pod::new(&repository, &changes);
    assert_eq!(pod.result().score(), 100);
    assert!(!pod.judging_path("/tmp/ran").exists());
}

#[test]
fn a_folder_or_pipe_in_the_place_of_a_report_is_no_report() {
    for (worker, command) in [
        ("mkdir report.xml; echo x > report.xml/a", "test ! -e report.xml"),
        ("echo y > file", "mkfifo report.xml"),
        ("echo y > file", "mkdir report.xml"),
        ("echo y > file", "ln -s /etc/passwd report.xml"),
    ] {
        let changes = json!({
            "worker": { "plugin": "command", "command": ["sh", "-c", worker] },
            "evaluation": { "gates": [
                { "name": "test", "kind": "Test", "report": "report.xml", "points": 100, "command": ["sh", "-c", command] },
            ] },
        });
        let result = Pod::new(&Repository::new(&[("file", "x")]), &changes).result();
        let gate = &result.gates[0];
        assert_eq!((gate.outcome, gate.points, gate.total), (GateOutcome::Failed, 0, None), "{command}");
        assert!(gate.reason.contains("it left no report report.xml"), "{}", gate.reason);
        assert!(result.reasons.is_empty(), "{:?}", result.reasons);
    }
}

#[test]
fn a_gate_that_spoils_the_ground_costs_its_own_world_and_is_named() {
    let spoil = format!("{ROOT}; chmod 0 $root/manyworlds/evaluation/evidence/repository.git");
    let gates = [("spoil", spoil.as_str()), ("next", "true")];
    let pod = Pod::new(&Repository::new(&[("file", "x")]), &gated("echo y > file", &gates));
    let result = pod.result();
    assert_eq!(result.gates[1].outcome, GateOutcome::NotRun);
    assert!(named(&result, "cannot be restored"), "{:?}", result.reasons);
}

#[test]
fn a_pipe_in_the_checkout_makes_nobody_wait() {
    let gates = [("lay", "mkfifo .gitattributes .gitignore; rm file; mkfifo file"), ("next", "grep -q y file")];
    let result = Pod::new(&Repository::new(&[("file", "x")]), &gated("echo y > file", &gates)).result();
    assert_eq!(result.score(), 100, "{result:?}");
}

#[test]
fn what_is_restored_does_not_go_where_a_link_leads() {
    let lay = "mkdir -p kept/else; rm -r sub; ln -s $PWD/kept/else sub; rm file; ln -s $PWD/kept/new file";
    let gates = [("lay", lay), ("next", "test -f sub/other && test ! -h sub && grep -q y file")];
    let mut changes = gated("echo y > file", &gates);
    changes["evaluation"]["keep"] = json!(["kept/"]);
    let pod = Pod::new(&Repository::new(&[("file", "x"), ("sub/other", "o")]), &changes);
    assert_eq!(pod.result().score(), 100);
    let kept = pod.judging_path("/manyworlds/evaluation/checkout/kept");
    assert_eq!(std::fs::read_dir(kept.join("else")).unwrap().count(), 0);
    assert!(!kept.join("new").exists());
}

/// W3: the first gate is the candidate's own code as much as the last.
#[test]
fn nothing_that_a_gate_leaves_is_there_for_the_next() {
    let memory = |flags: &str, found: &str| {
        let call = format!("ctypes.CDLL(None).shmget(int(sys.argv[1]), 64, {flags}) {found} -1");
        format!("python3 -c 'import ctypes, sys; sys.exit(not {call})' $PPID")
    };
    let hook = "mkdir -p .git/hooks && echo x > .git/hooks/pre-commit && git config alias.left x";
    let no_hook = "test ! -e .git/hooks/pre-commit && ! git config alias.left && git rev-parse HEAD";
    // 0o1600: make it, with rights for its owner.
    let (make, look) = (memory("0o1600", "!="), memory("0", "=="));
    for (leave, look) in [
        ("echo x > $TMPDIR/left", "test ! -e $TMPDIR/left"),
        ("mkdir $HOME/left && chmod 0 $HOME/left $HOME", "test ! -e $HOME/left"),
        ("echo x > $root/tmp/left", "test ! -e $root/tmp/left"),
        ("echo x > $root/dev/shm/left", "test ! -e $root/dev/shm/left"),
        ("mkdir new && echo x > new/left", "test ! -e new"),
        (hook, no_hook),
        (make.as_str(), look.as_str()),
    ] {
        let (leave, look) = (format!("{ROOT}; {leave}"), format!("{ROOT}; {look}"));
        let gates = [("leave", leave.as_str()), ("look", look.as_str())];
        let result = Pod::new(&Repository::new(&[("file", "x")]), &gated("echo y > file", &gates)).result();
        assert_eq!(result.score(), 100, "{leave}: {:?}", result.gates);
    }
}

#[test]
fn what_an_order_keeps_is_there_for_later_gates_and_nothing_else() {
    let make = "mkdir -p target/tests && touch target/built target/tests/trap other";
    let look = "test -e target/built && test ! -e target/tests/trap && test ! -e other";
    let mut changes = gated("echo y > file", &[("make", make), ("look", look)]);
    changes["evaluation"]["keep"] = json!(["target/"]);
    changes["evaluation"]["protectedPaths"] = json!(["**/tests/**"]);
    let result = Pod::new(&Repository::new(&[("file", "x")]), &changes).result();
    assert_eq!(result.score(), 100, "{:?}", result.gates);
}

/// W14: Landlock alone lets a gate set the limits of its judge, who has the same user.
#[test]
fn a_gate_can_neither_trace_nor_limit_nor_leave_its_confinement() {
    let fails = |call: &str| format!("python3 -c 'import ctypes, sys; sys.exit(ctypes.CDLL(None).{call} != -1)' $PPID");
    for call in [
        "ptrace(0, 0, 0, 0)",
        "unshare(0x10000000)",
        "prlimit(int(sys.argv[1]), 0, (ctypes.c_ulong * 2)(1, 1), None)",
        "personality(0x0040000)",
        "kill(-1, 0)",
    ] {
        assert_eq!(succeeds_in(&fails(call)), 100, "{call}");
    }
    assert_eq!(succeeds_in("python3 -c 'import threading as t; a = t.Thread(target=print); a.start(); a.join()'"), 100);
}

/// W14: an image may have a folder first in its `PATH` that gates can write to.
#[test]
fn a_program_that_a_gate_puts_into_its_path_is_not_run_by_the_judge() {
    let marks = tempfile::tempdir().unwrap();
    std::fs::set_permissions(marks.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let mark = marks.path().join("ran");
    let lay = format!("printf '#!/bin/sh\ntouch {}\nexit 1\n' > git && chmod +x git", mark.display());
    let mut changes = gated("echo y > file", &[("lay", lay.as_str()), ("next", "test -x git")]);
    changes["evaluation"]["keep"] = json!(["git"]);
    let mut pod = Pod::new(&Repository::new(&[("file", "x")]), &changes);
    pod.image_path = Some("manyworlds/evaluation/checkout");
    assert_eq!(pod.result().score(), 100);
    assert!(!mark.exists());
}

#[test]
fn a_second_name_of_a_file_is_no_way_to_change_it() {
    assert_eq!(succeeds_in("ln $root/manyworlds/order/order.json taken"), 0);
    let gates = [("link", "ln tests/kept left && echo z > left"), ("look", "grep -q k tests/kept")];
    let mut changes = gated("echo y > file", &gates);
    changes["evaluation"]["keep"] = json!(["left"]);
    changes["evaluation"]["protectedPaths"] = json!(["tests/**"]);
    let result = Pod::new(&Repository::new(&[("file", "x"), ("tests/kept", "k")]), &changes).result();
    // The first one earns nothing for what it touched, and the second one finds it as it was.
    let points: Vec<_> = result.gates.iter().map(|gate| gate.points).collect();
    assert_eq!(points, [0, 50], "{:?}", result.gates);
}
