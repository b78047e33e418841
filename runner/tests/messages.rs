//! Termination messages that nobody would write: they come from a pod, so the operator reads whatever is in one.

/// `make fuzz` runs these for longer.
mod fuzzed {
    use manyworlds_api::result::{MAXIMUM_BYTES, StageReport};
    use manyworlds_test_support::fuzz::fuzz;

    #[test]
    fn a_message_that_can_be_read_can_be_written_again_within_its_bound() {
        let seeds: [&[u8]; 4] = [
            br#"{"version":1,"failure":{"class":"Spec","reason":"RevisionNotFound","message":"there is no revision"}}"#,
            br#"{"version":1,"baseCommit":"aa","worker":{"exitCode":1,"timedOut":true,"milliseconds":5,"summary":"done"}}"#,
            br#"{"version":1,"collection":{"artifacts":[{"name":"change","sha256":"ff","bytes":9}],"reasons":["because"]}}"#,
            br#"{"version":1,"result":{"commit":"bb","sealed":true,"gates":[{"name":"g","outcome":"Partial","points":50,"passed":1,"total":2,"tests":{"fixed":1},"milliseconds":7,"reason":"no"}],"diff":{"files":1,"insertions":2,"deletions":3},"reasons":["r"]}}"#,
        ];
        fuzz(&seeds, |input| {
            // The kubelet keeps no more of it.
            let text = String::from_utf8_lossy(&input[..input.len().min(MAXIMUM_BYTES)]);
            let Ok(report) = StageReport::from_message(&text) else { return };
            // One that does not fit is an error, and never half a report.
            let Ok(message) = report.to_message() else { return };
            assert!(message.len() <= MAXIMUM_BYTES, "{} bytes", message.len());
            let again = StageReport::from_message(&message).unwrap();
            assert_eq!(again.worker, report.worker);
            let numbers = |report: &StageReport| {
                report.result.as_ref().map(|result| (result.score(), result.gates.len(), result.diff))
            };
            assert_eq!(numbers(&again), numbers(&report));
            let class = |report: &StageReport| report.failure.as_ref().map(|failure| failure.class);
            assert_eq!(class(&again), class(&report));
        });
    }
}
