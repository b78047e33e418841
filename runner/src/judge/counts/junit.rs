//! JUnit XML: every `testcase` counts once, whatever the totals in the head of the file say.

use std::borrow::Cow;

use manyworlds_api::baseline_document::CaseOutcome;
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use super::cases::Cases;

/// Adds the test cases of a report; nothing when the text is no JUnit XML.
///
/// - **Shape:** a case has its class before its name, else its file, else its suites.
pub(super) fn read(text: &str, cases: &mut Cases) -> Option<()> {
    let mut reader = Reader::from_str(text);
    let mut suites: Vec<String> = Vec::new();
    let mut case: Option<Case> = None;
    let mut is_report = false;
    let mut depth = 0_usize;
    loop {
        match reader.read_event().ok()? {
            // A file that was cut off is no report: what is missing could be the failures.
            Event::Eof => return (is_report && depth == 0).then_some(()),
            Event::Start(tag) => {
                depth += 1;
                match tag.local_name().as_ref() {
                    "testsuite" | "testsuites" => {
                        is_report = true;
                        suites.push(attribute(&tag, "name"));
                    }
                    "testcase" => case = Some(Case::new(&tag, &suites)),
                    name => mark(case.as_mut(), name),
                }
            }
            Event::Empty(tag) => match tag.local_name().as_ref() {
                "testcase" => Case::new(&tag, &suites).add_to(cases),
                "testsuite" | "testsuites" => is_report = true,
                name => mark(case.as_mut(), name),
            },
            Event::End(tag) => {
                depth = depth.saturating_sub(1);
                match tag.local_name().as_ref() {
                    "testcase" => {
                        if let Some(case) = case.take() {
                            case.add_to(cases);
                        }
                    }
                    "testsuite" | "testsuites" => drop(suites.pop()),
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

struct Case {
    place: String,
    name: String,
    /// Whether it has a class. pytest has a case without one for a file that could not be loaded.
    has_class: bool,
    is_error: bool,
    outcome: CaseOutcome,
}

impl Case {
    fn new(tag: &BytesStart<'_>, suites: &[String]) -> Self {
        let class = tag.try_get_attribute("classname").ok().flatten().map(|_| attribute(tag, "classname"));
        let has_class = class.as_ref().is_none_or(|class| !class.is_empty());
        let named = |text: &String| !text.is_empty();
        let place = class.filter(named).or_else(|| Some(attribute(tag, "file")).filter(named));
        let place = place.unwrap_or_else(|| {
            suites.iter().map(String::as_str).filter(|suite| !suite.is_empty()).collect::<Vec<_>>().join("::")
        });
        Self { place, name: attribute(tag, "name"), has_class, is_error: false, outcome: CaseOutcome::Passed }
    }

    fn add_to(self, cases: &mut Cases) {
        let Self { place, name, has_class, is_error, outcome } = self;
        if is_error && !has_class {
            cases.add_not_loaded(&name);
        } else if place.is_empty() || name.is_empty() {
            cases.add(&name, outcome);
        } else {
            cases.add(&format!("{place}::{name}"), outcome);
        }
    }
}

/// Returns an attribute; the empty text where it is not there, or nobody can read it.
fn attribute(tag: &BytesStart<'_>, name: &str) -> String {
    let found = tag.try_get_attribute(name).ok().flatten();
    let value = found.and_then(|found| found.normalized_value(XmlVersion::Implicit1_0).ok().map(Cow::into_owned));
    value.unwrap_or_default()
}

fn mark(case: Option<&mut Case>, name: &str) {
    let Some(case) = case else { return };
    match name {
        "failure" | "error" => {
            case.is_error |= name == "error";
            case.outcome = CaseOutcome::Failed;
        }
        "skipped" if case.outcome == CaseOutcome::Passed => case.outcome = CaseOutcome::Skipped,
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Option<Vec<String>> {
        let mut cases = Cases::default();
        read(text, &mut cases)?;
        Some(cases.sorted().into_iter().map(|case| format!("{} {:?}", case.name, case.outcome)).collect())
    }

    #[test]
    fn cases_are_counted_and_totals_are_not_believed() {
        let text = r#"<?xml version="1.0"?><testsuites tests="99" failures="0"><testsuite name="a">
            <testcase name="one"/><testcase name="two"><failure message="no"/></testcase>
            <testcase name="three"><skipped/></testcase><testcase name="four"><error>x</error></testcase>
            <testcase name="five"><system-out>fine</system-out></testcase></testsuite></testsuites>"#;
        let mut cases = Cases::default();
        read(text, &mut cases).unwrap();
        assert_eq!((cases.counts().passed, cases.counts().total), (2, 4));
        let five = ["a::five Passed", "a::four Failed", "a::one Passed", "a::three Skipped", "a::two Failed"];
        assert_eq!(names(text).unwrap(), five);
    }

    #[test]
    fn a_case_has_its_class_or_file_or_suites_before_its_name() {
        let text = r#"<testsuites name=""><testsuite name="outer"><testsuite name="inner"><testcase name="x"/></testsuite>
            <testcase classname="pkg.Class" file="a.py" name="x &lt;1&gt;"/><testcase file="b.js" name="x"/></testsuite>
            <testsuite name="other"><testcase name="x"/></testsuite></testsuites>"#;
        let four = ["b.js::x Passed", "other::x Passed", "outer::inner::x Passed", "pkg.Class::x <1> Passed"];
        assert_eq!(names(text).unwrap(), four);
    }

    #[test]
    fn a_file_that_could_not_be_loaded_is_told_from_a_test() {
        let text = r#"<testsuite name="pytest"><testcase classname="" name="tests.test_a"><error message="collection failure"/>
            </testcase></testsuite>"#;
        assert_eq!(names(text).unwrap(), ["tests.test_a could not be loaded Failed"]);
    }

    #[test]
    fn what_is_no_report_is_refused() {
        for text in ["<html></html>", "<testsuite><testcase>", "<testsuite><testcase></wrong></testsuite>", "plain"] {
            assert_eq!(names(text), None, "{text}");
        }
        assert_eq!(names("<testsuite/>"), Some(Vec::new()));
    }
}
