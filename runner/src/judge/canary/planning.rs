//! Plans the canary of a gate's command. It looks at names and texts alone, and does nothing.

use super::invocation::{Invocation, Tool};
use super::plan::{Ground, Plan};
use super::{compiled, javascript, python};

/// Returns the canary for a command; nothing where its test program is not known, or has no place for one.
pub(super) fn plan(command: &[String], ground: &Ground) -> Option<Plan> {
    let invocation = Invocation::find(command)?;
    let plan = match invocation.tool {
        Tool::Pytest => python::pytest(&invocation, ground),
        Tool::Unittest => python::unittest(&invocation, ground),
        Tool::Cargo => compiled::cargo(&invocation, ground),
        Tool::Go => compiled::go(&invocation, ground),
        Tool::Jest => javascript::jest(&invocation, ground),
        Tool::Vitest => javascript::vitest(&invocation, ground),
        Tool::Node => javascript::node(&invocation, ground),
    };
    plan.filter(|plan| !ground.files.contains(&plan.path))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::names::Names;
    use super::*;

    /// Plans for a command, in a checkout of these files and texts.
    fn planned(command: &[&str], files: &[(&str, &str)]) -> Option<Plan> {
        let number = 5;
        let [file, passing, failing] = ["order_1", "adds_1", "sends_2"].map(str::to_owned);
        let names = Names { file, passing, failing, number };
        let text = |path: &str| files.iter().find(|(file, _)| *file == path).map(|(_, text)| (*text).to_owned());
        let ground = Ground {
            files: &files.iter().map(|(file, _)| (*file).to_owned()).collect::<BTreeSet<_>>(),
            read: &text,
            names: &names,
            report: "/s/r",
        };
        plan(&command.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>(), &ground)
    }

    /// Each command, with the canary's file and its own command, empty where there is none.
    fn check(files: &[(&str, &str)], cases: &[(&str, &str, &str)]) {
        for (command, path, changed) in cases {
            let plan = planned(&command.split(' ').collect::<Vec<_>>(), files);
            let found = plan.map(|plan| (plan.path, plan.command.join(" "))).unwrap_or_default();
            assert_eq!(found, ((*path).to_owned(), (*changed).to_owned()), "{command}");
        }
    }

    const PYTHON: &[(&str, &str)] = &[
        ("app/__init__.py", ""),
        ("app/tests/__init__.py", ""),
        ("app/tests/test_x.py", "from ..x import y\nimport json\n"),
        ("tests/test_a.py", "import total\n"),
        ("tests/test_b.py", "import total\nfrom b import (\n    c,\n)\n"),
        ("tests/unit/u_test.py", ""),
        ("total.py", ""),
    ];

    #[test]
    fn pytest_runs_the_canary_in_the_place_of_its_tests() {
        let end = "--maxfail=0 -k  -m  --junit-xml=/s/r";
        let root = ("tests/test_order_1.py", format!("{end} tests/test_order_1.py"));
        let unit = ("tests/unit/order_1_test.py", format!("{end} tests/unit/order_1_test.py"));
        for (command, (path, end)) in [
            ("pytest", &root),
            ("pytest -x -k one -m two --deselect a --junit-xml=j.xml tests", &root),
            ("pytest --lf tests/test_a.py::test_one tests/test_b.py", &root),
            ("pytest ./tests/unit/", &unit),
        ] {
            let kept = if command.contains("-x") { "pytest -x" } else { "pytest" };
            check(PYTHON, &[(command, path, &format!("{kept} {end}"))]);
        }
        let kept = "python3 -m pytest -q -p no:cacheprovider --cov-fail-under 90 -n 4";
        check(PYTHON, &[(kept, root.0, &format!("{kept} {}", root.1))]);
        check(PYTHON, &[("pytest --collect-only", "", ""), ("pytest nowhere", "", "")]);
        check(&[("a.py", "")], &[("pytest", "", "")]);
    }

    #[test]
    fn a_canary_in_python_loads_what_the_tests_beside_it_load() {
        let text = planned(&["pytest"], PYTHON).unwrap().text;
        assert!(text.contains(r#"for _line in ["import total","from b import ( c, )"]:"#), "{text}");
        assert!(text.contains("def test_adds_1():") && text.contains("left, right = 5, 6"), "{text}");
        let text = planned(&["python3", "-m", "unittest", "app.tests.test_x"], PYTHON).unwrap().text;
        assert!(text.contains(r#"["from ..x import y","import json"]"#), "{text}");
        assert!(text.contains("self.assertEqual(5, 6)"), "{text}");
    }

    #[test]
    fn unittest_finds_the_canary_by_discovery_or_by_name() {
        check(
            PYTHON,
            &[
                (
                    "python3 -m unittest",
                    "app/tests/test_order_1.py",
                    "python3 -m unittest discover -p test_order_1.py -v",
                ),
                (
                    "python3 -m unittest discover -f -s tests -p *_x.py",
                    "tests/test_order_1.py",
                    "python3 -m unittest discover -s tests -p test_order_1.py -v",
                ),
                (
                    "python3 -m unittest discover tests t*.py .",
                    "tests/test_order_1.py",
                    "python3 -m unittest discover -s tests -t . -p test_order_1.py -v",
                ),
                (
                    "python3 -m unittest -q tests.test_a.Case.test_one tests.test_b",
                    "tests/test_order_1.py",
                    "python3 -m unittest tests.test_order_1 -v",
                ),
                (
                    "python3 -m unittest tests/test_a.py",
                    "tests/test_order_1.py",
                    "python3 -m unittest tests.test_order_1 -v",
                ),
                ("python3 -m unittest discover -stests", "", ""),
                ("python3 -m unittest discover -s nowhere", "", ""),
            ],
        );
        // A package that says by itself which tests it has need not take the canary.
        let own = [("tests/__init__.py", "def load_tests(a, b, c): ..."), ("tests/test_a.py", "")];
        check(&own, &[("python3 -m unittest discover -s tests", "", "")]);
    }

    #[test]
    fn cargo_runs_one_more_test_of_the_root_package() {
        let manifest = ("Cargo.toml", "[package]\nname = \"my-app\" # ours\n[dependencies]\nname = \"other\"\n");
        let files = [manifest, ("src/lib.rs", "")];
        check(
            &files,
            &[
                (
                    "cargo test --release --lib -- --test-threads 1",
                    "tests/order_1.rs",
                    "cargo test --release --test order_1",
                ),
                (
                    "cargo +stable test name --workspace -q --features a",
                    "tests/order_1.rs",
                    "cargo +stable test --workspace --features a --test order_1",
                ),
                ("cargo test -p other", "", ""),
                ("cargo test --no-run", "", ""),
            ],
        );
        assert!(planned(&["cargo", "test"], &files).unwrap().text.contains("extern crate my_app as _;"));
        for manifest in ["[workspace]\nmembers = []", "[package]\nname = 'a'\nautotests = false"] {
            check(&[("Cargo.toml", manifest), ("src/lib.rs", "")], &[("cargo test", "", "")]);
        }
    }

    #[test]
    fn go_runs_two_more_tests_of_one_package() {
        let files = [("a/a_test.go", "// A.\npackage a_test\n"), ("go.mod", ""), ("root_test.go", "package root\n")];
        let run = "-count=1 -v -run ^(TestAdds_1|TestSends_2)$";
        check(
            &files,
            &[
                ("go test", "order_1_test.go", &format!("go test {run} .")),
                (
                    "go test -race -tags x -run One -count 2 ./a",
                    "a/order_1_test.go",
                    &format!("go test -race -tags x {run} ./a"),
                ),
                ("go test ./a/...", "a/order_1_test.go", &format!("go test {run} ./a")),
                ("go test -list x ./...", "", ""),
                ("go test ./b", "", ""),
            ],
        );
        assert!(planned(&["go", "test", "./a"], &files).unwrap().text.starts_with("package a_test\n"));
        let main = [("a_test.go", "package a\nfunc TestMain(m *testing.M) { os.Exit(0) }\n")];
        check(&main, &[("go test ./...", "", "")]);
    }

    #[test]
    fn the_test_programs_of_javascript_run_the_canary_alone() {
        let files = [
            ("src/__tests__/one.ts", ""),
            ("test/sum.test.mjs", "import sum from '../sum.mjs';\n"),
            ("test/two.test.mjs", "import { b } from \"../b.mjs\";\n"),
        ];
        let [path, source] = ["test/order_1.test.mjs", "src/__tests__/order_1.ts"];
        let jest = "--passWithNoTests=false --coverage=false --json --outputFile=/s/r --runTestsByPath";
        let vitest = "--no-passWithNoTests --coverage.enabled=false --reporter=json --outputFile=/s/r";
        check(
            &files,
            &[
                ("npx jest --ci -t one --silent", path, &format!("npx jest --ci {jest} {path}")),
                ("npx jest src", source, &format!("npx jest {jest} {source}")),
                ("jest --listTests", "", ""),
                ("npx vitest run --bail 1 sum", path, &format!("npx vitest run {vitest} {path}")),
                ("vitest --config c.ts", path, &format!("vitest run --config c.ts {vitest} {path}")),
                ("vitest bench", "", ""),
                ("node --test --test-reporter=spec test", path, &format!("node --test --test-reporter=tap {path}")),
            ],
        );
        let text = planned(&["node", "--test"], &files).unwrap().text;
        assert!(text.contains("try { await import(\"../sum.mjs\"); } catch {}\n"), "{text}");
        assert!(text.contains("import(\"../b.mjs\")") && text.contains("assert.strictEqual(5, 6)"), "{text}");
        let text = planned(&["vitest"], &files).unwrap().text;
        assert!(text.starts_with("import { beforeAll, expect, test } from \"vitest\";\n"), "{text}");
    }

    #[test]
    fn a_name_that_is_taken_gives_no_canary() {
        check(&[("tests/test_a.py", ""), ("tests/test_order_1.py", "")], &[("pytest", "", "")]);
    }
}
