//! Changes whose code flips the outcomes of tests in the process that judges them, found by a canary.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

use manyworlds_api::result::{GateOutcome, WorldResult};
use serde_json::{Value, json};
use support::{Pod, Repository};

const TESTS: &str = "import unittest\n\nfrom total import add\n\n\nclass Total(unittest.TestCase):\n    \
                     def test_add(self):\n        self.assertEqual(add(1, 2), 3)\n";

/// Adds wrongly, and makes every test a success.
const PATCHES_RUN: &str = "import unittest

def add(a, b):
    return 0

def run(self, result=None):
    result.startTest(self)
    result.addSuccess(self)
    result.stopTest(self)
    return result

unittest.TestCase.run = run
";

/// Adds wrongly, and makes every comparison a success.
const PATCHES_ASSERTION: &str = "import unittest

def add(a, b):
    return 0

unittest.TestCase.assertEqual = lambda self, first, second, msg=None: None
";

/// Adds rightly, and ends the test program with success whatever it found.
const PATCHES_END: &str = "import atexit
import os

def add(a, b):
    return a + b

atexit.register(os._exit, 0)
";

/// Adds rightly, and ends the test program before it runs tests that it does not know.
const ENDS_AT_ONCE: &str = "import os
import sys

def add(a, b):
    return a + b

if not any('test_total' in name for name in sys.modules):
    os._exit(0)
";

/// Judges a change that writes this module, by a test gate with this command and a gate that looks for what is left.
fn judged(module: &str, gate: &Value) -> (Pod, WorldResult) {
    let worker = format!("cat > total.py <<'END'\n{module}END\n");
    let mut test = json!({ "name": "test", "kind": "Test", "points": 90, "timeout": "2m" });
    for (name, value) in gate.as_object().unwrap() {
        test[name] = value.clone();
    }
    let changes = json!({
        "worker": { "plugin": "command", "command": ["sh", "-c", worker] },
        "evaluation": {
            "protectedPaths": ["tests/**"],
            "gates": [
                test,
                { "name": "left", "kind": "Custom", "points": 10, "command": ["sh", "-c", "test \"$(echo tests/*.py)\" = tests/test_total.py"] },
            ],
        },
    });
    let repository = Repository::new(&[("tests/test_total.py", TESTS), ("total.py", "def add(a, b):\n    return a\n")]);
    let pod = Pod::new(&repository, &changes);
    let result = pod.result();
    (pod, result)
}

fn discovering() -> Value {
    json!({ "command": ["sh", "-c", "python3 -m unittest discover -s tests"] })
}

/// W3, W14: an honest change loses nothing by a canary, and nothing of it is left for the gates after.
#[test]
fn an_honest_change_keeps_its_points() {
    let (pod, result) = judged("def add(a, b):\n    return a + b\n", &discovering());
    assert_eq!(result.score(), 100, "{result:?}");
    assert!(!result.reasons.iter().any(|reason| reason.contains("canary")), "{:?}", result.reasons);
    let log = pod.artifact("evaluate-log");
    assert!(log.contains("== canary of gate test\n") && log.contains("FAILED (failures=1)"), "{log}");
    assert!(!log.contains("no verdict"), "{log}");
}

/// W14: whatever code of a change does in the process of the tests, a success that cannot be one costs the gate's points.
#[test]
fn a_change_that_flips_the_outcomes_of_tests_earns_nothing_for_them() {
    for (module, words) in [
        (PATCHES_RUN, "called a test that must fail a success"),
        (PATCHES_ASSERTION, "called a test that must fail a success"),
        (PATCHES_END, "ended with exit code 0 although a test failed"),
        (ENDS_AT_ONCE, "ended with exit code 0 and hid a test that must fail"),
    ] {
        let (_, result) = judged(module, &discovering());
        let gate = &result.gates[0];
        assert_eq!((gate.outcome, gate.points, result.score()), (GateOutcome::Failed, 0, 10), "{module}: {result:?}");
        assert_eq!(gate.reason, format!("the test program {words}"), "{module}");
        assert!(result.reasons.iter().any(|reason| reason.contains(words)), "{:?}", result.reasons);
    }
}

/// W14: where the judge does not know the test program, the order brings a canary of its own.
#[test]
fn the_canary_of_an_order_is_run_in_the_place_of_the_judges_own() {
    let command = |text: &str| json!({ "command": ["sh", "-c", text] });
    for (passing, failing, score) in [("test -e total.py", "exit 3", 100), ("true", "true", 10), ("false", "false", 10)]
    {
        let canary = json!({ "passing": command(passing), "failing": command(failing) });
        let gate = json!({ "command": ["sh", "-c", "echo 1 passed in 0.1s"], "canary": canary });
        let (_, result) = judged("def add(a, b):\n    return a + b\n", &gate);
        assert_eq!(result.score(), score, "{passing}, {failing}: {result:?}");
    }
}

/// W3: a test program that the judge does not know is taken at its word, and the log says so.
#[test]
fn a_command_without_a_canary_is_judged_as_before() {
    let (pod, result) = judged("def add(a, b):\n    return a + b\n", &json!({ "command": ["sh", "tests/../check"] }));
    assert_eq!(result.gates[0].outcome, GateOutcome::Failed);
    assert!(!pod.artifact("evaluate-log").contains("canary"));
    let (pod, result) = judged(
        "def add(a, b):\n    return a + b\n",
        &json!({ "command": ["sh", "-c", "true; echo 1 passed in 0.1s"] }),
    );
    assert_eq!(result.score(), 100);
    assert!(pod.artifact("evaluate-log").contains("gate test: the canary gave no verdict"));
}
