//! Stages that fail leave a classed report, and the logs of what ran.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

#[path = "support/landlock.rs"]
mod landlock;
mod support;

use std::fs;

use landlock::WITHOUT_LANDLOCK;
use manyworlds_api::conditions::Reason;
use manyworlds_api::labels;
use manyworlds_api::result::{FailureClass, GateOutcome};
use serde_json::json;
use support::{Pod, Repository, eventually, gated, tell_to_end};

/// Puts on itself the filter of [`WITHOUT_LANDLOCK`] and refuses every further filter: `seccomp` has another number on each architecture.
const WITHOUT_CONFINEMENT: &str = "
import ctypes, platform, struct
seccomp = {'x86_64': 317, 'aarch64': 277}[platform.machine()]
rules = [(0x20, 0, 0, 0), (0x15, 2, 0, seccomp), (0x35, 0, 2, 444), (0x25, 1, 0, 446), (0x06, 0, 0, 0x50026), (0x06, 0, 0, 0x7fff0000)]
code = ctypes.create_string_buffer(b''.join(struct.pack('=HBBI', *rule) for rule in rules))
class Program(ctypes.Structure):
    _fields_ = [('count', ctypes.c_ushort), ('rules', ctypes.c_void_p)]
program = Program(len(rules), ctypes.cast(code, ctypes.c_void_p))
prctl = ctypes.CDLL(None, use_errno=True).prctl
assert prctl(38, 1, 0, 0, 0) == 0 and prctl(22, 2, ctypes.byref(program), 0, 0) == 0, ctypes.get_errno()";

/// Allows itself no further process or thread.
const WITHOUT_THREADS: &str = "
import resource
resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))";

/// The pod's root, as a gate finds it.
const ROOT: &str = "root=$(pwd); root=${root%/manyworlds/evaluation/checkout}";

fn unsealed(sealing: &str, gate: &str) -> Pod {
    let mut changes = gated("echo said; echo y > file", &[("check", gate)]);
    changes["evaluation"]["sealing"] = json!(sealing);
    let mut pod = Pod::new(&Repository::new(&[("file", "x")]), &changes);
    pod.works();
    pod.succeed(&["checkout"]);
    pod.wrapper = Some(WITHOUT_LANDLOCK);
    pod
}

#[test]
fn an_order_can_refuse_a_kernel_that_cannot_confine() {
    let pod = unsealed("Required", "true");
    let (code, report) = pod.stage("judge");
    let failure = report.failure.unwrap_or_else(|| panic!("it ended with {code}"));
    let told = (code, failure.class, failure.reason.as_str());
    assert_eq!(told, (13, FailureClass::Evaluation, Reason::NotSealed.as_str()));
    assert!(failure.message.contains("evaluation.sealing to Preferred"), "{}", failure.message);
    assert!(pod.artifact("evaluate-log").contains("Landlock"));
    assert!(pod.artifact("work-log").starts_with("said\n"));
}

/// W4: before a model is paid.
#[test]
fn a_node_that_cannot_confine_is_known_before_the_worker_runs() {
    for (sealing, code) in [("Required", 13), ("Preferred", 0)] {
        let mut changes = gated("echo y > file", &[("check", "true")]);
        changes["evaluation"]["sealing"] = json!(sealing);
        let mut pod = Pod::new(&Repository::new(&[("file", "x")]), &changes);
        pod.wrapper = Some(WITHOUT_LANDLOCK);
        let (found, report) = pod.stage("prepare");
        assert_eq!(found, code, "{report:?}");
        let reason = report.failure.map(|failure| failure.reason);
        assert_eq!(reason.as_deref(), (code != 0).then_some(Reason::NotSealed.as_str()));
    }
}

/// W3: not even what an earlier gate has earned counts.
#[test]
fn a_world_that_tells_its_judge_to_end_scores_nothing() {
    let gates = [("first", "true"), ("attack", "kill -TERM $PPID; sleep 1"), ("last", "true")];
    let mut changes = gated("echo y > file", &gates);
    changes["evaluation"]["sealing"] = json!("Preferred");
    let mut pod = Pod::new(&Repository::new(&[("file", "x")]), &changes);
    pod.works();
    pod.succeed(&["checkout"]);
    pod.wrapper = Some(WITHOUT_CONFINEMENT);
    let (code, report) = pod.stage("judge");
    let result = report.result.unwrap_or_else(|| panic!("it ended with {code}"));
    assert_eq!(result.attack.as_deref(), Some("gate attack told its judge to end"));
    let outcomes: Vec<_> = result.gates.iter().map(|gate| (gate.outcome, gate.points)).collect();
    assert_eq!(outcomes, [(GateOutcome::Failed, 0), (GateOutcome::Failed, 0), (GateOutcome::NotRun, 0)]);
    assert!(!result.sealed && result.score() == 0 && result.landlock.is_none(), "{result:?}");
    assert!(result.reasons[0].starts_with("JudgeAttacked: gate attack"), "{:?}", result.reasons);
}

#[test]
fn a_result_without_confinement_says_so_and_what_a_gate_does_then_is_named() {
    let harmless = unsealed("Preferred", "true").stage("judge").1.result.unwrap();
    assert_eq!((harmless.sealed, harmless.score(), harmless.reasons.len()), (false, 100, 0), "{harmless:?}");
    let log = labels::TERMINATION_LOG;
    for attack in [
        format!("{ROOT}; echo '{{\"version\":1}}' > $root{log}"),
        format!("{ROOT}; touch $root/manyworlds/evaluation/evidence/forged"),
        format!("{ROOT}; echo forged > $root/manyworlds/order/change"),
    ] {
        let pod = unsealed("Preferred", &attack);
        // In a pod the kubelet makes it.
        fs::write(pod.judging_path(log), "").unwrap();
        support::hand_over(pod.judging.path());
        let result = pod.stage("judge").1.result.unwrap_or_else(|| panic!("{attack}: the report was forged"));
        let named = result.reasons.iter().any(|reason| reason.contains("changed what belongs to its judge"));
        assert!(!result.sealed && named, "{attack}: {:?}", result.reasons);
    }
}

#[test]
fn without_confinement_the_judge_can_still_not_be_read() {
    for attack in ["cat /proc/$PPID/environ", "head -c 1 /proc/$PPID/mem", "ls /proc/$PPID/fd/"] {
        let result = unsealed("Preferred", attack).stage("judge").1.result.unwrap();
        assert_eq!(result.score(), 0, "{attack}");
    }
}

#[test]
fn a_fault_of_the_runner_leaves_a_classed_report_that_people_can_read() {
    for (stage, code, class) in [
        ("prepare", 11, FailureClass::Infrastructure),
        ("work", 12, FailureClass::Worker),
        ("collect", 12, FailureClass::Worker),
        ("checkout", 11, FailureClass::Infrastructure),
        ("judge", 13, FailureClass::Evaluation),
    ] {
        let mut pod = Pod::new(&Repository::new(&[("file", "x")]), &json!({}));
        pod.wrapper = Some(WITHOUT_THREADS);
        let (found, report) = pod.stage(stage);
        let failure = report.failure.unwrap();
        assert_eq!((found, failure.class, failure.reason.as_str()), (code, class, Reason::Unexpected.as_str()));
        assert!(failure.message.starts_with("the runner has a fault, report it"), "{}", failure.message);
        assert!(failure.message.contains("thread") && !failure.message.contains('\n'), "{}", failure.message);
    }
}

/// W4: another attempt would store as much again, so this one counts.
#[test]
fn an_attempt_whose_artifacts_go_over_a_bound_counts() {
    let stages = ["prepare", "work", "collect", "checkout", "judge"];
    for (stored, before) in [("bundle", 0), ("/change", 2), ("/patch", 4)] {
        let pod = Pod::new(&Repository::new(&[("file", "x")]), &gated("echo y > file", &[("only", "true")]));
        *pod.received.over_quota.lock().unwrap() = Some(stored);
        pod.succeed(&stages[..before]);
        let (code, report) = pod.stage(stages[before]);
        let failure = report.failure.unwrap();
        let expected = (13, FailureClass::Evaluation, Reason::ArtifactsNotStored.as_str());
        assert_eq!((code, failure.class, failure.reason.as_str()), expected, "{}", failure.message);
        assert!(failure.message.contains("over its bound"), "{}", failure.message);
    }
}

#[test]
fn what_gates_printed_is_kept_when_the_pod_is_told_to_end() {
    let changes =
        gated("echo said; echo y > file", &[("first", "echo one"), ("second", "echo two; touch on; exec sleep 100")]);
    let pod = Pod::new(&Repository::new(&[("file", "x")]), &changes);
    pod.works();
    pod.succeed(&["checkout"]);
    let mut runner = pod.start("judge");
    eventually(|| pod.judging_path("/manyworlds/evaluation/checkout/on").exists().then_some(()));
    tell_to_end(&runner);
    let (code, report) = pod.ended("judge", &mut runner);
    assert_eq!((code, report.failure.unwrap().class), (14, FailureClass::Cancelled));
    let log = pod.artifact("evaluate-log");
    assert!(log.contains("one") && log.contains("two") && log.contains("told to end"), "{log}");
    assert!(pod.artifact("work-log").starts_with("said\n"));
}

#[test]
fn the_echo_worker_has_a_log_as_well() {
    let pod = Pod::new(&Repository::new(&[("file", "x")]), &json!({ "worker": { "plugin": "echo" } }));
    assert_eq!(pod.result().score(), 100);
    assert!(pod.artifact("work-log").contains("wrote the task into ECHO.md"));
}
