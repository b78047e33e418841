//! JUnit XML: every `testcase` counts once, whatever the totals in the head of the file say.

use quick_xml::Reader;
use quick_xml::events::Event;

use super::test_counts::TestCounts;

/// TestCounts the test cases; nothing when the text is no JUnit XML.
pub(super) fn count(text: &str) -> Option<TestCounts> {
    let mut reader = Reader::from_str(text);
    let mut counts = TestCounts { passed: 0, total: 0 };
    let mut case: Option<Case> = None;
    let mut suites = false;
    let mut depth = 0_usize;
    loop {
        match reader.read_event().ok()? {
            // A file that was cut off is no report: what is missing could be the failures.
            Event::Eof => return (suites && depth == 0).then_some(counts),
            Event::Start(tag) => {
                depth += 1;
                match tag.local_name().as_ref() {
                    "testsuite" | "testsuites" => suites = true,
                    "testcase" => case = Some(Case::Passed),
                    name => mark(&mut case, name),
                }
            }
            Event::Empty(tag) => match tag.local_name().as_ref() {
                "testcase" => counts.add_case(Case::Passed),
                "testsuite" | "testsuites" => suites = true,
                name => mark(&mut case, name),
            },
            Event::End(tag) => {
                depth = depth.saturating_sub(1);
                if tag.local_name().as_ref() == "testcase"
                    && let Some(case) = case.take()
                {
                    counts.add_case(case);
                }
            }
            _ => {}
        }
    }
}

#[derive(Clone, Copy)]
enum Case {
    Passed,
    Failed,
    Skipped,
}

fn mark(case: &mut Option<Case>, name: &str) {
    match (name, case) {
        ("failure" | "error", Some(case)) => *case = Case::Failed,
        ("skipped", Some(case @ Case::Passed)) => *case = Case::Skipped,
        _ => {}
    }
}

impl TestCounts {
    fn add_case(&mut self, case: Case) {
        match case {
            Case::Passed => self.add(1, 0),
            Case::Failed => self.add(0, 1),
            Case::Skipped => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_counted_and_totals_are_not_believed() {
        let text = r#"<?xml version="1.0"?><testsuites tests="99" failures="0"><testsuite name="a">
            <testcase name="one"/><testcase name="two"><failure message="no"/></testcase>
            <testcase name="three"><skipped/></testcase><testcase name="four"><error>x</error></testcase>
            <testcase name="five"><system-out>fine</system-out></testcase></testsuite></testsuites>"#;
        assert_eq!(count(text), Some(TestCounts { passed: 2, total: 4 }));
    }

    #[test]
    fn what_is_no_report_is_refused() {
        assert_eq!(count("<html></html>"), None);
        assert_eq!(count("<testsuite><testcase>"), None);
        assert_eq!(count("<testsuite><testcase></wrong></testsuite>"), None);
        assert_eq!(count("plain"), None);
        assert_eq!(count("<testsuite/>"), Some(TestCounts { passed: 0, total: 0 }));
    }
}
