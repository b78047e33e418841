//! Changes that steer the tools of their gates, and gates that touch what they are judged by.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

use manyworlds_api::result::{GateOutcome, WorldResult};
use serde_json::json;
use support::{Pod, Repository, gated};

const PACKAGE: &str =
    "{\n  \"name\": \"x\",\n  \"scripts\": {\n    \"test\": \"jest\"\n  },\n  \"dependencies\": {}\n}\n";
const PYPROJECT: &str =
    "[project]\nname = 'x'   # ours\ndependencies = []\n\n[tool.pytest.ini_options]\naddopts = '-q'\n";
const CARGO: &str = "[package]\nname = 'x'   # ours\n\n[dependencies]\n";

fn repository() -> Repository {
    Repository::new(&[
        ("file", "x"),
        ("package.json", PACKAGE),
        ("pyproject.toml", PYPROJECT),
        ("Cargo.toml", CARGO),
        ("Makefile", "test:\n\tpytest\n"),
        ("ci/check.sh", "grep -q y file\n"),
        ("tests/kept", "theirs"),
    ])
}

fn named(result: &WorldResult, words: &str) -> bool {
    result.reasons.iter().any(|reason| reason.contains(words))
}

/// W14: whatever a change does to the tools, they are those of the base when it is judged, and in what is delivered.
#[test]
fn no_trick_with_the_tools_is_judged_or_delivered() {
    for (trick, look, words) in [
        ("echo 'collect_ignore = [\"tests\"]' > conftest.py", "test ! -e conftest.py", "restored: conftest.py"),
        ("echo trick > pytest.py", "test ! -e pytest.py", "restored: pytest.py"),
        ("mkdir trick; echo > trick/__init__.py; ln -s trick _pytest", "test ! -h _pytest", "restored: _pytest"),
        ("echo trick > sitecustomize.py", "test ! -e sitecustomize.py", "restored: sitecustomize.py"),
        (
            "mkdir .cargo; printf '[target.x]\\nrunner = \"trick\"\\n' > .cargo/config.toml",
            "test ! -e .cargo/config.toml",
            "restored: .cargo/config.toml",
        ),
        ("printf 'test:\\n\\ttrue\\n' > Makefile", "grep -q pytest Makefile", "restored: Makefile"),
        ("echo true > ci/check.sh", "sh ci/check.sh && grep -q grep ci/check.sh", "restored: ci/check.sh"),
        (
            "printf '[[test]]\\nname = \"t\"\\ntest = false\\n' >> Cargo.toml",
            "! grep -q false Cargo.toml",
            "Cargo.toml (test)",
        ),
        ("printf '[lib]\\ntest = false\\n' >> Cargo.toml", "! grep -q false Cargo.toml", "Cargo.toml (lib.test)"),
        ("sed -i 's/\"jest\"/\"true\"/' package.json", "grep -q '\"jest\"' package.json", "package.json (scripts)"),
        ("sed -i 's/jest/jest one/' package.json", "! grep -q one package.json", "package.json (scripts)"),
        ("sed -i 's/-q/--co/' pyproject.toml", "grep -q -e -q pyproject.toml", "pyproject.toml (tool.pytest)"),
        ("echo '{' > package.json", "grep -q jest package.json", "cannot be read in package.json"),
    ] {
        let pod = Pod::new(&repository(), &gated(&format!("echo y > file; {trick}"), &[("look", look)]));
        let result = pod.result();
        assert_eq!(result.score(), 100, "{trick}: {result:?}");
        assert!(named(&result, words), "{trick}: {:?}", result.reasons);
        let patch = pod.artifact("patch");
        let lines: Vec<&str> = patch.lines().filter(|line| line.starts_with('+') && !line.starts_with("+++")).collect();
        assert!(lines.contains(&"+y") && !lines.iter().any(|line| line.contains("test")), "{trick}: {patch}");
    }
}

/// W14: a change that needs a new dependency has it, as it wrote it.
#[test]
fn a_new_dependency_is_delivered_byte_for_byte() {
    let worker = "sed -i 's/\"dependencies\": {}/\"dependencies\": { \"left\":\"1\" }/' package.json; \
                  sed -i \"s/= \\[\\]/= [ 'left' ]  # new/\" pyproject.toml; \
                  printf 'left   = \"1\"  # new\\n' >> Cargo.toml";
    let look = "grep -q left package.json && grep -q left pyproject.toml && grep -q left Cargo.toml";
    let pod = Pod::new(&repository(), &gated(worker, &[("look", look)]));
    let result = pod.result();
    assert_eq!((result.score(), result.reasons.len()), (100, 0), "{result:?}");
    let patch = pod.artifact("patch");
    for line in
        ["+  \"dependencies\": { \"left\":\"1\" }", "+dependencies = [ 'left' ]  # new", "+left   = \"1\"  # new"]
    {
        assert!(patch.lines().any(|own| own == line), "{line}: {patch}");
    }
    assert_eq!((result.diff.insertions, result.diff.deletions), (3, 2));
}

/// W14: what is put back is the part that steers, and the rest of the file is the change's.
#[test]
fn a_dependency_beside_a_trick_is_kept() {
    let worker =
        "sed -i 's/\"jest\"/\"true\"/; s/\"dependencies\": {}/\"dependencies\": { \"left\":\"1\" }/' package.json";
    let pod = Pod::new(&repository(), &gated(worker, &[("look", "grep -q left package.json")]));
    let result = pod.result();
    assert_eq!((result.score(), result.diff.insertions, result.diff.deletions), (100, 1, 1), "{result:?}");
}

#[test]
fn an_order_may_let_tool_files_change() {
    let mut changes = gated("echo changed > Makefile", &[("look", "grep -q changed Makefile")]);
    changes["evaluation"]["toolFiles"] = json!("Allowed");
    let result = Pod::new(&repository(), &changes).result();
    assert_eq!((result.score(), result.reasons.len()), (100, 0), "{result:?}");
}

/// W14: a gate that swaps what it is judged by earns nothing, even where it puts it back.
#[test]
fn a_gate_that_touches_protected_files_earns_nothing_and_a_cache_costs_nothing() {
    let swap =
        "mv tests/kept away; echo mine > tests/kept; rm tests/kept; mv away tests/kept; grep -q theirs tests/kept";
    for (command, points, words) in [
        (swap, 0, "touched protected files while it ran: tests/kept"),
        ("printf '' >> Makefile; touch Makefile", 0, "touched protected files while it ran: Makefile"),
        ("echo x > tests/added", 100, "added files in protected places: tests/added"),
        ("mkdir tests/__pycache__; echo x > tests/__pycache__/a.pyc; cat tests/kept Makefile; ls -R", 100, ""),
    ] {
        let mut changes = gated("echo y > file", &[("test", command)]);
        changes["evaluation"]["protectedPaths"] = json!(["tests/**"]);
        let result = Pod::new(&repository(), &changes).result();
        assert_eq!(result.score(), points, "{command}: {result:?}");
        assert_eq!(result.reasons.is_empty(), words.is_empty(), "{command}: {:?}", result.reasons);
        assert!(words.is_empty() || named(&result, words), "{command}: {:?}", result.reasons);
        if points == 0 {
            assert_eq!(result.gates[0].outcome, GateOutcome::Failed, "{command}");
        }
    }
}

/// W14: what a gate leaves behind does not steer the next one, and what it builds stays.
#[test]
fn what_a_gate_adds_does_not_steer_the_next() {
    let add = "echo x > conftest.py; echo x > pytest.py; mkdir -p venv/site-packages/a; echo x > venv/site-packages/a/conftest.py";
    let look = "test ! -e conftest.py && test ! -e pytest.py && test -e venv/site-packages/a/conftest.py";
    let mut changes = gated("echo y > file", &[("add", add), ("look", look)]);
    changes["evaluation"]["keep"] = json!(["*.py", "venv"]);
    let result = Pod::new(&repository(), &changes).result();
    assert_eq!(result.score(), 100, "{result:?}");
    assert!(named(&result, "gate add added files in protected places: conftest.py, pytest.py"), "{:?}", result.reasons);
}
