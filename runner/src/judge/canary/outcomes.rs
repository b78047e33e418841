//! Reads what became of the two cases of a canary from what the test program wrote.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use serde_json::Value;

use super::compiled::test_name;
use super::names::Names;
use super::plan::Format;

/// What became of a case. Where a program says several things of one, the last of these counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// It was not run.
    Skipped,
    /// It was called a failure.
    Failed,
    /// It was called a success.
    Passed,
}

/// What became of the two cases; absent where nothing was said of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcomes {
    /// The case that must pass.
    pub(super) passing: Option<Outcome>,
    /// The case that must fail.
    pub(super) failing: Option<Outcome>,
}

impl Outcomes {
    /// Reads the text of a report or an output.
    pub(super) fn read(format: Format, names: &Names, text: &str) -> Self {
        match format {
            Format::Junit => Self::of(names, &junit(text)),
            Format::Json => {
                let mut cases = Vec::new();
                if let Ok(report) = serde_json::from_str(text) {
                    json(&report, &mut cases);
                }
                Self::of(names, &cases)
            }
            Format::Unittest => Self::of(names, &lines(text, unittest)),
            Format::Libtest => Self::of(names, &lines(text, libtest)),
            Format::Go => Self::of(names, &lines(text, go)),
            Format::Tap => Self::of(names, &lines(text, tap)),
        }
    }

    fn of(names: &Names, cases: &[(String, Outcome)]) -> Self {
        let find = |name: &str| {
            let forms = [name.to_owned(), format!("test_{name}"), test_name(name)];
            // A plugin that runs a case several times puts the number behind its name.
            let is_it = |found: &str| forms.iter().any(|form| found.split('[').next() == Some(form.as_str()));
            cases.iter().filter(|(found, _)| is_it(found)).map(|(_, outcome)| *outcome).max()
        };
        Self { passing: find(&names.passing), failing: find(&names.failing) }
    }
}

fn lines(text: &str, read: fn(&str) -> Option<(&str, Outcome)>) -> Vec<(String, Outcome)> {
    text.lines().filter_map(read).map(|(name, outcome)| (name.to_owned(), outcome)).collect()
}

/// `test_name (module.Class.test_name) ... ok`.
fn unittest(line: &str) -> Option<(&str, Outcome)> {
    if let Some(rest) = line.strip_prefix("FAIL: ").or_else(|| line.strip_prefix("ERROR: ")) {
        return Some((rest.split(' ').next()?, Outcome::Failed));
    }
    let (name, rest) = line.split_once(" (")?;
    let (_, said) = rest.split_once(") ... ")?;
    let outcome = match said.trim() {
        "ok" | "unexpected success" => Outcome::Passed,
        "FAIL" | "ERROR" => Outcome::Failed,
        said if said.starts_with("skipped") || said == "expected failure" => Outcome::Skipped,
        _ => return None,
    };
    Some((name, outcome))
}

/// `test name ... ok`.
fn libtest(line: &str) -> Option<(&str, Outcome)> {
    let (name, said) = line.trim().strip_prefix("test ")?.split_once(" ... ")?;
    let outcome = match said.split([' ', ',']).next()? {
        "ok" => Outcome::Passed,
        "FAILED" => Outcome::Failed,
        "ignored" => Outcome::Skipped,
        _ => return None,
    };
    Some((name, outcome))
}

/// `--- PASS: TestName (0.00s)`.
fn go(line: &str) -> Option<(&str, Outcome)> {
    let (said, rest) = line.trim().strip_prefix("--- ")?.split_once(": ")?;
    let outcome = match said {
        "PASS" => Outcome::Passed,
        "FAIL" => Outcome::Failed,
        "SKIP" => Outcome::Skipped,
        _ => return None,
    };
    Some((rest.split(' ').next()?, outcome))
}

/// `ok 1 - name`, `not ok 2 - name # SKIP`.
fn tap(line: &str) -> Option<(&str, Outcome)> {
    let line = line.trim();
    let (outcome, rest) = match line.strip_prefix("not ok ") {
        Some(rest) => (Outcome::Failed, rest),
        None => (Outcome::Passed, line.strip_prefix("ok ")?),
    };
    let (_, name) = rest.split_once(" - ")?;
    match name.split_once(" # ") {
        Some((name, _)) => Some((name.trim(), Outcome::Skipped)),
        None => Some((name.trim(), outcome)),
    }
}

/// Collects the cases of a report as jest writes it: objects with a title and a status, however deep.
fn json(value: &Value, cases: &mut Vec<(String, Outcome)>) {
    match value {
        Value::Object(fields) => {
            if let (Some(title), Some(status)) = (fields.get("title"), fields.get("status")) {
                let outcome = match status.as_str() {
                    Some("passed") => Outcome::Passed,
                    Some("failed") => Outcome::Failed,
                    _ => Outcome::Skipped,
                };
                cases.extend(title.as_str().map(|title| (title.to_owned(), outcome)));
            }
            for field in fields.values() {
                json(field, cases);
            }
        }
        Value::Array(items) => {
            for item in items {
                json(item, cases);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Collects the cases of JUnit XML, as far as it can be read.
fn junit(text: &str) -> Vec<(String, Outcome)> {
    let mut reader = Reader::from_str(text);
    let mut cases: Vec<(String, Outcome)> = Vec::new();
    let mut is_inside = false;
    loop {
        match reader.read_event() {
            Ok(Event::Eof) | Err(_) => return cases,
            Ok(Event::Start(tag)) if tag.local_name().as_ref() == "testcase" => {
                is_inside = true;
                cases.push((name_of_case(&tag), Outcome::Passed));
            }
            Ok(Event::Empty(tag)) if tag.local_name().as_ref() == "testcase" => {
                cases.push((name_of_case(&tag), Outcome::Passed));
            }
            Ok(Event::End(tag)) if tag.local_name().as_ref() == "testcase" => is_inside = false,
            Ok(Event::Start(tag) | Event::Empty(tag)) if is_inside => {
                if let Some((_, outcome)) = cases.last_mut() {
                    match tag.local_name().as_ref() {
                        "failure" | "error" => *outcome = Outcome::Failed,
                        "skipped" if *outcome == Outcome::Passed => *outcome = Outcome::Skipped,
                        _ => {}
                    }
                }
            }
            Ok(_) => {}
        }
    }
}

fn name_of_case(tag: &BytesStart) -> String {
    tag.try_get_attribute("name").ok().flatten().map(|name| name.value.into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names { file: "order".to_owned(), passing: "adds_1".to_owned(), failing: "sends_2".to_owned(), number: 5 }
    }

    #[test]
    fn the_two_cases_are_found_in_every_form() {
        let junit = "<testsuites><testsuite><testcase name=\"test_adds_1\" time=\"0\"/><testcase name=\"test_sends_2\">\
                     <failure message=\"assert\">x</failure></testcase><testcase name=\"test_other\"/></testsuite></testsuites>";
        let json = r#"{"numTotalTests":2,"testResults":[{"status":"failed","assertionResults":[
            {"title":"adds_1","status":"passed"},{"title":"sends_2","status":"failed"}]}]}"#;
        for (format, text) in [
            (Format::Junit, junit),
            (Format::Json, json),
            (
                Format::Unittest,
                "test_adds_1 (test_order.Test_order.test_adds_1) ... ok\ntest_sends_2 (test_order.Test_order) ... noise\nFAIL\n\
                 ======\nFAIL: test_sends_2 (test_order.Test_order)\nRan 2 tests in 0.000s\n\nFAILED (failures=1)",
            ),
            (Format::Libtest, "running 2 tests\ntest adds_1 ... ok\ntest sends_2 ... FAILED\n\nfailures:"),
            (
                Format::Go,
                "=== RUN   TestAdds_1\n--- PASS: TestAdds_1 (0.00s)\n=== RUN   TestSends_2\n--- FAIL: TestSends_2 (0.00s)\nFAIL",
            ),
            (Format::Tap, "TAP version 13\n# Subtest: adds_1\nok 1 - adds_1\n  ---\n    not ok 2 - sends_2\n1..2"),
        ] {
            let expected = Outcomes { passing: Some(Outcome::Passed), failing: Some(Outcome::Failed) };
            assert_eq!(Outcomes::read(format, &names(), text), expected, "{format:?}");
            assert_eq!(Outcomes::read(format, &names(), ""), Outcomes::default(), "{format:?}");
        }
    }

    #[test]
    fn a_case_that_was_skipped_is_neither_a_success_nor_a_failure() {
        let skipped = Outcomes { passing: Some(Outcome::Skipped), failing: Some(Outcome::Skipped) };
        for (format, text) in [
            (
                Format::Junit,
                "<testsuite><testcase name=\"test_adds_1\"><skipped/></testcase><testcase name=\"test_sends_2\"><skipped/></testcase></testsuite>",
            ),
            (Format::Json, r#"[{"title":"adds_1","status":"pending"},{"title":"sends_2","status":"skipped"}]"#),
            (Format::Unittest, "test_adds_1 (a) ... skipped 'x'\ntest_sends_2 (a) ... expected failure"),
            (Format::Tap, "ok 1 - adds_1 # SKIP\nnot ok 2 - sends_2 # TODO"),
        ] {
            assert_eq!(Outcomes::read(format, &names(), text), skipped, "{format:?}");
        }
    }

    /// W14: where a program says two things of a case, the one that could hide a failure counts.
    #[test]
    fn a_success_is_not_hidden_by_a_failure_that_was_printed_too() {
        let text = "FAIL: test_sends_2 (a)\ntest_sends_2 (a.B.test_sends_2) ... ok";
        assert_eq!(Outcomes::read(Format::Unittest, &names(), text).failing, Some(Outcome::Passed));
    }
}
