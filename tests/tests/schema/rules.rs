//! Every rule of the schema that a new order can break: what breaks it is refused with its message, what is next to it is not.

use manyworlds_tests::Result;
use serde_json::{Value, json};

use super::{all_rules, cluster, complaints, complete, spec_schema, untyped, with};

/// One rule: a part of its message, changes of the complete order that break it, and changes that just do not.
pub(crate) struct Case {
    message: &'static str,
    refused: Vec<(&'static str, Value)>,
    allowed: Vec<(&'static str, Value)>,
}

pub(crate) fn case<const R: usize, const A: usize>(
    message: &'static str,
    refused: [(&'static str, Value); R],
    allowed: [(&'static str, Value); A],
) -> Case {
    Case { message, refused: refused.into(), allowed: allowed.into() }
}

fn cases() -> Vec<Case> {
    [names(), source_and_task(), worlds(), worker(), volumes(), evaluation(), council_and_retry(), ends(), sizes()]
        .into_iter()
        .flatten()
        .collect()
}

fn names() -> Vec<Case> {
    vec![
        case(
            "has at most 40 characters",
            [("/metadata/name", json!("a".repeat(41)))],
            [("/metadata/name", json!("a".repeat(40)))],
        ),
        case("has no dots", [("/metadata/name", json!("a.b"))], [("/metadata/name", json!("a-b"))]),
    ]
}

fn source_and_task() -> Vec<Case> {
    let url = "/spec/source/git/url";
    let revision = "/spec/source/git/revision";
    let shape = "write the repository as";
    let named = "revision must be a branch";
    vec![
        case(shape, [(url, json!("example.com/a.git"))], [(url, json!("ssh://git@example.com/a.git"))]),
        case(shape, [(url, json!("ftp://example.com/a.git"))], [(url, json!("git@example.com:a/b.git"))]),
        case(shape, [(url, json!("https://example.com/a b"))], [(url, json!("file:///srv/a.git"))]),
        case(shape, [(url, json!("ext::sh -c id"))], [(url, json!("http://example.com/a.git"))]),
        case(
            "must not contain a user or password",
            [(url, json!("https://user:secret@example.com/a.git"))],
            [(url, json!("https://example.com/a@b.git"))],
        ),
        case(named, [(revision, json!("--upload-pack=id"))], [(revision, json!("feature/a_b-1.2+3"))]),
        case(named, [(revision, json!("main..other"))], [(revision, json!("a".repeat(40)))]),
        case(named, [(revision, json!("main other"))], [(revision, json!("v1.0"))]),
        case(
            "title must be one line",
            [("/spec/task/title", json!("a\nWorld: alpha"))],
            [("/spec/task/title", json!("Größer: \"ja\""))],
        ),
        case(
            "write the issue's address",
            [("/spec/task/issue/url", json!("javascript:alert(1)"))],
            [("/spec/task/issue/url", json!("http://example.com/1"))],
        ),
    ]
}

fn worlds() -> Vec<Case> {
    let amounts = "must be Kubernetes quantities above zero";
    let cpu = "/spec/worlds/sizing/perWorld/cpu";
    vec![
        case(
            "min must not be greater than the number of variants",
            [("/spec/worlds/min", json!(3))],
            [("/spec/worlds/min", json!(2))],
        ),
        case(
            "the names of variants must be unique",
            [("/spec/worlds/variants/1/name", json!("alpha"))],
            [("/spec/worlds/variants/1/name", json!("alpha2"))],
        ),
        case(amounts, [(cpu, json!("much"))], [(cpu, json!("1500m"))]),
        case(amounts, [(cpu, json!("0"))], [(cpu, json!("0.5"))]),
        case(
            amounts,
            [("/spec/worlds/sizing/perWorld/memory", json!("-1Gi"))],
            [("/spec/worlds/sizing/perWorld/memory", json!("1e9"))],
        ),
        case(
            amounts,
            [("/spec/worlds/sizing/perWorld/ephemeralStorage", json!("1GB"))],
            [("/spec/worlds/sizing/perWorld/ephemeralStorage", json!("1G"))],
        ),
    ]
}

fn worker() -> Vec<Case> {
    let reserved = "names that start with MANYWORLDS_ are reserved";
    let labels = "labels that start with manyworlds.dev/";
    vec![
        case(
            "set worker.plugin to command, or leave worker.command out of worlds.variants",
            [("/spec/worker/plugin", json!("echo")), ("/spec/worker/command", Value::Null)],
            [("/spec/worker/plugin", json!("command"))],
        ),
        case(
            "set worker.plugin to command, or leave worker.command out",
            [("/spec/worker/plugin", json!("echo")), ("/spec/worlds/variants/0/worker/command", Value::Null)],
            [("/spec/worker/plugin", json!("command")), ("/spec/worlds/variants/0/worker/command", Value::Null)],
        ),
        case(
            "the names of environment variables must be unique",
            [("/spec/worker/env/-", json!({"name": "LEVEL", "value": "1"}))],
            [("/spec/worker/env/-", json!({"name": "LEVEL2", "value": "1"}))],
        ),
        case(
            reserved,
            [("/spec/worker/env/0/name", json!("MANYWORLDS_ORDER"))],
            [("/spec/worker/env/0/name", json!("MY_MANYWORLDS_ORDER"))],
        ),
        case(
            reserved,
            [("/spec/worlds/variants/0/worker/env/0/name", json!("MANYWORLDS_WORLD"))],
            [("/spec/worlds/variants/0/worker/env/0/name", json!("WORLD"))],
        ),
        case(
            "coding must be between",
            [("/spec/worker/phaseTimeouts/coding", json!("0s"))],
            [("/spec/worker/phaseTimeouts/coding", json!("1s"))],
        ),
        case(
            "testing must be between",
            [("/spec/worker/phaseTimeouts/testing", json!("25h"))],
            [("/spec/worker/phaseTimeouts/testing", json!("24h"))],
        ),
        case(
            labels,
            [("/spec/worker/podTemplate/labels/manyworlds.dev~1world", json!("other"))],
            [("/spec/worker/podTemplate/labels/example.com~1world", json!("other"))],
        ),
        case(
            labels,
            [("/spec/worker/podTemplate/labels/app.kubernetes.io~1managed-by", json!("me"))],
            [("/spec/worker/podTemplate/labels/app", json!("mine"))],
        ),
        case(
            "annotations that start with manyworlds.dev/",
            [("/spec/worker/podTemplate/annotations/manyworlds.dev~1a", json!("b"))],
            [("/spec/worker/podTemplate/annotations/app.kubernetes.io~1a", json!("b"))],
        ),
    ]
}

fn volumes() -> Vec<Case> {
    let path = "/spec/worker/podTemplate/volumes/0/mountPath";
    let places = "mountPath must not be";
    vec![
        case(
            "the names of volumes must be unique",
            [("/spec/worker/podTemplate/volumes/1/name", json!("settings"))],
            [("/spec/worker/podTemplate/volumes/1/name", json!("settings2"))],
        ),
        case(
            "a volume has exactly one of",
            [("/spec/worker/podTemplate/volumes/0/emptyDir", json!({}))],
            [
                ("/spec/worker/podTemplate/volumes/0/configMap", Value::Null),
                ("/spec/worker/podTemplate/volumes/0/emptyDir", json!({})),
            ],
        ),
        case(places, [(path, json!("/manyworlds/work"))], [(path, json!("/data/manyworlds"))]),
        case(places, [(path, json!("/var/run/secrets/kubernetes.io"))], [(path, json!("/var/run/secret"))]),
        case(places, [(path, json!("/tmp"))], [(path, json!("/tmpfs"))]),
        case(places, [(path, json!("/proc/sys"))], [(path, json!("/process"))]),
        case(places, [(path, json!("/dev"))], [(path, json!("/develop"))]),
        case(places, [(path, json!("/data/../manyworlds/work"))], [(path, json!("/data/..x"))]),
        case(
            "sizeLimit must be a Kubernetes quantity",
            [("/spec/worker/podTemplate/volumes/2/emptyDir/sizeLimit", json!("large"))],
            [("/spec/worker/podTemplate/volumes/2/emptyDir/sizeLimit", json!("500Mi"))],
        ),
    ]
}

fn evaluation() -> Vec<Case> {
    vec![
        case(
            "a gate of this kind needs a command",
            [("/spec/evaluation/gates/0/command", json!([]))],
            [("/spec/evaluation/gates/0/command", json!(["true"]))],
        ),
        case(
            "a gate of the kind Size has no command",
            [("/spec/evaluation/gates/1/command", json!(["true"]))],
            [("/spec/evaluation/gates/1/command", json!([]))],
        ),
        case(
            "only a gate of the kind Test has a canary",
            [("/spec/evaluation/gates/0/kind", json!("Lint"))],
            [("/spec/evaluation/gates/0/kind", json!("Lint")), ("/spec/evaluation/gates/0/canary", Value::Null)],
        ),
        case(
            "the names of gates must be unique",
            [("/spec/evaluation/gates/1/name", json!("tests"))],
            [("/spec/evaluation/gates/1/name", json!("tests2"))],
        ),
        case(
            "the points of the gates must add up to 100",
            [("/spec/evaluation/gates/1/points", json!(41))],
            [("/spec/evaluation/gates/1/points", json!(39)), ("/spec/evaluation/gates/0/points", json!(61))],
        ),
        case(
            "timeout must be between 1s and 24h",
            [("/spec/evaluation/gates/0/timeout", json!("999ms"))],
            [("/spec/evaluation/gates/0/timeout", json!("1000ms"))],
        ),
    ]
}

fn council_and_retry() -> Vec<Case> {
    let exactly = "a rule has exactly one of";
    vec![
        case("quorum must not be greater", [("/spec/council/quorum", json!(3))], [("/spec/council/quorum", json!(1))]),
        case(
            "the names of voters must be unique",
            [("/spec/council/voters/1/name", json!("one"))],
            [("/spec/council/voters/1/name", json!("three"))],
        ),
        case(
            "baseDelay must not be longer than maxDelay",
            [("/spec/retry/baseDelay", json!("61s"))],
            [("/spec/retry/baseDelay", json!("60s"))],
        ),
        case(
            "baseDelay must be at most 1h",
            [("/spec/retry/baseDelay", json!("61m")), ("/spec/retry/maxDelay", json!("2h"))],
            [("/spec/retry/baseDelay", json!("60m")), ("/spec/retry/maxDelay", json!("2h"))],
        ),
        case(
            "maxDelay must be at most 24h",
            [("/spec/retry/maxDelay", json!("24h1s"))],
            [("/spec/retry/maxDelay", json!("24h"))],
        ),
        case(
            exactly,
            [("/spec/retry/rules/0/onExitCodes", json!([1]))],
            [("/spec/retry/rules/0/onClass", json!("Evaluation"))],
        ),
        case(
            exactly,
            [("/spec/retry/rules/0", json!({"action": "Retry"}))],
            [("/spec/retry/rules/0/action", json!("Ignore"))],
        ),
        case(
            "a fallback is exactly one of",
            [("/spec/fallbacks/0", json!({}))],
            [("/spec/fallbacks/0", json!({"skip": {}}))],
        ),
        case(
            "a fallback is exactly one of",
            [("/spec/fallbacks/0/skip", json!({}))],
            [("/spec/fallbacks/0/skip", Value::Null)],
        ),
        case(
            "timeout must be between 1s and 720h",
            [("/spec/fallbacks/3/waitForHuman/timeout", json!("721h"))],
            [("/spec/fallbacks/3/waitForHuman/timeout", json!("720h"))],
        ),
    ]
}

/// W7: no order is larger than 256 KiB, whatever makes it large.
fn sizes() -> Vec<Case> {
    let text = |length: usize| json!("a".repeat(length));
    let command = "/spec/worker/command";
    let annotations = "/spec/worker/podTemplate/annotations";
    let selector = "/spec/worker/podTemplate/nodeSelector";
    let conditions = "/spec/retry/rules/2/onPodConditions";
    vec![
        case(
            "may together have 40 KiB",
            [(command, json!([text(16_384), text(16_384), text(8175)]))],
            [(command, json!([text(16_384), text(16_384), text(8174)]))],
        ),
        case(
            "may together have 168 KiB",
            [("/spec/task/body", json!("字".repeat(57_336)))],
            [("/spec/task/body", json!("字".repeat(57_335)))],
        ),
        case(
            "protectedPaths may together have 8 KiB",
            [("/spec/evaluation/protectedPaths", json!(vec![text(256); 33]))],
            [("/spec/evaluation/protectedPaths", json!(vec![text(256); 32]))],
        ),
        case(
            "keep may have 8 KiB in all",
            [("/spec/evaluation/keep", json!(vec![text(256); 33]))],
            [("/spec/evaluation/keep", json!(vec![text(256); 32]))],
        ),
        case(
            "annotations may together have 16 KiB",
            [(annotations, json!({"note": text(8192), "b": text(8188)}))],
            [(annotations, json!({"note": text(8192), "b": text(8187)}))],
        ),
        case(
            "a label of a node has at most 317 characters",
            [(selector, json!({("a".repeat(318)): "b"}))],
            [(selector, json!({("a".repeat(317)): "b"}))],
        ),
        case(
            "onPodConditions of all rules may together have 4 KiB",
            [(conditions, json!(vec![text(205); 20]))],
            [(conditions, json!(vec![text(204); 20]))],
        ),
    ]
}

fn ends() -> Vec<Case> {
    vec![
        case(
            "earlyTermination needs score",
            [("/spec/earlyTermination", json!({}))],
            [("/spec/earlyTermination", json!({"score": 90}))],
        ),
        case(
            "deadlines must be between",
            [("/spec/deadlines/start", json!("500ms"))],
            [("/spec/deadlines/start", json!("1s"))],
        ),
        case(
            "deadlines must be between",
            [("/spec/deadlines/active", json!("8761h"))],
            [("/spec/deadlines/active", json!("8760h"))],
        ),
        case(
            "ttl must be at most",
            [("/spec/ttl/afterSuccess", json!("8761h"))],
            [("/spec/ttl/afterSuccess", json!("0s"))],
        ),
        case(
            "ttl must be at most",
            [("/spec/ttl/afterFailure", json!("8761h"))],
            [("/spec/ttl/afterFailure", json!("8760h"))],
        ),
    ]
}

/// Returns the rules of a kind that a new object can break and that no case breaks.
pub(crate) fn missed(file: &str, cases: &[Case]) -> Vec<(String, String)> {
    all_rules(&spec_schema(file))
        .into_iter()
        .filter(|(rule, message)| !rule.contains("oldSelf") && !cases.iter().any(|case| message.contains(case.message)))
        .collect()
}

/// Fails unless the API server refuses and accepts what the cases say.
pub(crate) async fn every_case_holds(manifest: &Value, cases: Vec<Case>) -> Result {
    let (cluster, namespace) = cluster("rules").await?;
    let api = untyped(&cluster.client, &namespace.name, manifest);
    let mut wrong = Vec::new();
    for Case { message, refused, allowed } in cases {
        let said = complaints(&api, &with(manifest, &refused)).await?;
        if !said.iter().any(|(_, text)| text.contains(message)) {
            wrong.push(format!("{refused:?} should be refused with {message:?}, but: {said:?}"));
        }
        let said = complaints(&api, &with(manifest, &allowed)).await?;
        if !said.is_empty() {
            wrong.push(format!("{allowed:?} should be accepted, but: {said:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

#[test]
fn every_rule_has_a_case() {
    assert_eq!(missed("manyworlds.dev_workorders.yaml", &cases()), Vec::new());
}

#[tokio::test]
async fn every_rule_refuses_what_breaks_it_and_nothing_next_to_it() -> Result {
    every_case_holds(&complete::order("complete"), cases()).await
}
