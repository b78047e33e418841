//! Candidates that attack their judge: each fails, and is named where it can be.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

use manyworlds_api::labels;
use support::{Pod, Repository, gated};

fn attack(command: &str) -> (Pod, manyworlds_api::result::WorldResult) {
    let repository = Repository::new(&[("file", "x")]);
    let pod = Pod::new(&repository, &gated("echo y > file", &[("attack", command)]));
    for stage in ["prepare", "work"] {
        assert_eq!(pod.stage(stage).0, 0);
    }
    // The command learns where the pod is from its own checkout.
    let (code, report) = pod.stage("evaluate");
    assert_eq!(code, 0, "{report:?}");
    let result = report.result.unwrap();
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
    for path in [labels::TERMINATION_LOG, "/manyworlds/evaluation/evidence/forged", "/manyworlds/work/result/patch"] {
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
    let (pod, result) = attack("setsid sh -c 'sleep 600; echo late > file' >/dev/null 2>&1 & sleep 0.2; true");
    assert!(result.reasons.iter().any(|reason| reason.contains("left")), "{:?}", result.reasons);
    assert!(!pod.path("/manyworlds/evaluation/checkout/late").exists());
}

#[test]
fn a_flood_of_output_is_cut_and_named() {
    let (pod, result) = attack("yes flood | head -c 40000000; true");
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
