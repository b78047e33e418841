//! The gateway in front of a mock of the APIs of models that others wrote (`@copilotkit/aimock`): its shapes, and its chaos.
//! What a client sees, how often upstream is asked, and what the ledger counts (W6, W9; docs/gateway.md).

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod books;
mod mock;
mod support;

use std::time::{Duration, Instant};

use books::Books;
use futures::future::join_all;
use mock::{Mock, SHAPES, Shape};
use reqwest::Response;
use serde_json::Value;
use support::{Bench, always, client, dollars};

/// The cost of a call of 100 input and 20 output tokens.
const COST: &str = "0.00014";
/// The least cost of a call of unknown usage: all the output that it asks for.
const MOST: &str = "0.001";

async fn bench(mock: &Mock) -> Bench {
    let bench = Bench::start(&always(&serde_json::json!({}))).await;
    bench.rules.change(|rules| rules.base_url.clone_from(&mock.url));
    bench
}

/// Sends one of the shapes as the World `w` of the order `a`. The mock counts calls by `case`.
async fn ask(bench: &Bench, shape: &Shape, text: &str, case: &str, chaos: Option<&str>) -> Response {
    let request = client().post(bench.url(shape.path)).bearer_auth("a/w").header("x-test-id", case);
    let request =
        chaos.into_iter().fold(request, |request, name| request.header(format!("x-aimock-chaos-{name}"), "1"));
    request.body(shape.body(text)).send().await.unwrap()
}

/// Does the same with every shape at once, each in front of a gateway of its own.
async fn with_every_shape<'a, F: Future<Output = ()>>(
    mock: &'a Mock,
    check: impl Fn(Bench, &'static Shape, String) -> F + 'a,
) {
    join_all(SHAPES.iter().enumerate().map(async |(number, shape)| {
        check(bench(mock).await, shape, format!("case{number}")).await;
    }))
    .await;
}

async fn books(bench: &Bench) -> Books {
    bench.settled("a").await;
    let books = Books::read(&bench.file()).await;
    books.agree(&[]);
    books
}

#[tokio::test]
async fn every_shape_passes_and_is_paid_for_once() {
    let mock = Mock::start().await;
    with_every_shape(&mock, async |bench, shape, case| {
        let answer = ask(&bench, shape, "hello", &case, None).await;
        assert_eq!(answer.status(), 200, "{}", shape.path);
        let text = answer.text().await.unwrap();
        assert!(text.contains("hello there"), "{}: {text}", shape.path);
        assert!(shape.says_usage || !text.contains("prompt_tokens"), "{}: {text}", shape.path);
        let tool = ask(&bench, shape, "use the tool", &case, None).await.text().await.unwrap();
        assert!(tool.contains("ls"), "{}: {tool}", shape.path);
        assert_eq!(bench.settled("a").await, (dollars("0.00028"), 2), "{}", shape.path);
        assert!(books(&bench).await.calls.iter().all(|call| call.outcome == "Answered" && !call.estimated));
    })
    .await;
}

#[tokio::test]
async fn a_failure_that_passes_is_tried_again_and_only_the_answer_is_paid_for() {
    let mock = Mock::start().await;
    let cases = [("limited at first", "Refused"), ("busy at first", "Outage"), ("unavailable at first", "Outage")];
    join_all(cases.map(async |(text, outcome)| {
        with_every_shape(&mock, async |bench, shape, case| {
            let case = format!("{case}-{text}");
            let begun = Instant::now();
            let answer = ask(&bench, shape, text, &case, None).await;
            assert_eq!(answer.status(), 200, "{text}: {}", shape.path);
            assert!(answer.text().await.unwrap().contains("hello there"));
            let wanted = Duration::from_millis(if outcome == "Refused" { 1000 } else { 375 });
            assert!(begun.elapsed() >= wanted, "{text}: {:?}", begun.elapsed());
            assert_eq!(mock.calls(&case).await.len(), 2, "{text}: {}", shape.path);
            assert_eq!(bench.settled("a").await, (dollars(COST), 1), "{text}: {}", shape.path);
            let books = books(&bench).await;
            assert_eq!((books.calls.len(), books.with(outcome).len(), books.with(outcome)[0].cost), (2, 1, 0));
            let breakers = bench.ledger.breakers("team/p").await.unwrap();
            assert_eq!(breakers.len(), usize::from(outcome == "Outage"), "{text}: {breakers:?}");
        })
        .await;
    }))
    .await;
}

#[tokio::test]
async fn a_model_that_keeps_failing_is_given_up_and_left_alone_and_costs_nothing() {
    let mock = Mock::start().await;
    with_every_shape(&mock, async |bench, shape, case| {
        for (asked, seen) in [(1, 3), (2, 5), (3, 5)] {
            let answer = ask(&bench, shape, "always busy", &case, None).await;
            let status = answer.status().as_u16();
            assert_eq!(mock.calls(&case).await.len(), seen, "{}", shape.path);
            if asked < 2 {
                assert_eq!((status, answer.headers()["x-should-retry"].to_str().unwrap()), (529, "false"));
                let value: Value = answer.json().await.unwrap();
                assert_eq!(value["error"]["message"], "busy", "upstream's own words");
            } else {
                assert_eq!(status, 503, "the breaker is open after five failures");
                assert!(answer.headers().contains_key("retry-after"));
                let value: Value = answer.json().await.unwrap();
                assert_eq!(value["error"][shape.field], shape.unavailable, "{value}");
            }
        }
        let books = books(&bench).await;
        assert_eq!((books.calls.len(), books.with("Outage").len(), books.cost()), (5, 5, 0), "{}", shape.path);
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_passes_as_it_is_costs_its_upper_bound_and_is_an_outage() {
    let mock = Mock::start().await;
    with_every_shape(&mock, async |bench, shape, case| {
        let answer = ask(&bench, shape, "hello", &case, Some("malformed")).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.text().await.unwrap(), "{malformed json: <<<chaos>>>");
        assert_eq!(mock.calls(&case).await.len(), 1, "it is not tried again");
        let books = books(&bench).await;
        assert!(books.calls.len() == 1 && books.with("Outage")[0].estimated, "{}: {books:?}", shape.path);
        assert!(bench.settled("a").await.0 >= dollars(MOST), "{}", shape.path);
        assert_eq!(bench.ledger.breakers("team/p").await.unwrap().len(), 1, "it counts as a failure");
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_is_dropped_is_seen_to_be_and_costs_its_upper_bound() {
    let mock = Mock::start().await;
    with_every_shape(&mock, async |bench, shape, case| {
        if !shape.streamed {
            return;
        }
        let mut answer = ask(&bench, shape, "cut", &case, None).await;
        assert_eq!(answer.status(), 200);
        assert!(answer.chunk().await.unwrap().is_some(), "what came before passes");
        while answer.chunk().await.is_ok_and(|part| {
            assert!(part.is_some(), "{}: a dropped stream must not look like one that ended", shape.path);
            true
        }) {}
        assert_eq!(mock.calls(&case).await.len(), 1, "what has begun is not tried again");
        let books = books(&bench).await;
        assert!(books.calls.len() == 1 && books.with("Cut")[0].estimated, "{}: {books:?}", shape.path);
        assert!(bench.settled("a").await.0 >= dollars(MOST), "{}", shape.path);
        assert!(bench.ledger.breakers("team/p").await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_answer_is_an_outage_and_costs_the_upper_bound() {
    let mock = Mock::start().await;
    with_every_shape(&mock, async |bench, shape, case| {
        let answer = ask(&bench, shape, "hello", &case, Some("disconnect")).await;
        assert_eq!(answer.status(), 502);
        assert_eq!(answer.headers()["x-should-retry"], "false");
        let value: Value = answer.json().await.unwrap();
        assert!(value["error"]["message"].as_str().unwrap().contains("did not answer"), "{value}");
        assert_eq!(mock.calls(&case).await.len(), 3, "{}", shape.path);
        let books = books(&bench).await;
        assert_eq!((books.calls.len(), books.with("Outage").len()), (3, 3), "{}", shape.path);
        let most = i64::try_from(dollars(MOST).trillionths()).unwrap();
        assert!(books.calls.iter().all(|call| call.estimated && call.cost >= most), "{books:?}");
        assert_eq!(bench.ledger.breakers("team/p").await.unwrap().len(), 1);
    })
    .await;
}

/// Every attempt that upstream saw is a row of its own, and none has another; what upstream answered is paid for, what it
/// refused is not, and of the rest it is not known.
#[tokio::test]
async fn under_mixed_chaos_the_ledger_counts_what_upstream_saw() {
    let mock = Mock::start().await;
    let bench = bench(&mock).await;
    bench.rules.change(|rules| rules.provider["breaker"] = serde_json::json!({"failures": 100}));
    mock.chaos(&[("dropRate", 0.15), ("malformedRate", 0.15), ("rateLimitRate", 0.05), ("disconnectRate", 0.15)]).await;
    let asked = (0..80).map(async |number: usize| {
        let answer = ask(&bench, &SHAPES[number % SHAPES.len()], "hello", "mixed", None).await;
        // A body that breaks off is one of the things that happen.
        let _ = answer.bytes().await;
    });
    join_all(asked).await;
    let (books, seen) = (books(&bench).await, mock.calls("mixed").await);
    let of = |kind: Option<&str>| seen.iter().filter(|call| call.chaos.as_deref() == kind).count();
    let (answered, malformed, broken) = (of(None), of(Some("malformed")), of(Some("disconnect")));
    assert!(answered > 20 && malformed > 0 && of(Some("drop")) > 0, "{seen:?}");
    assert_eq!(books.calls.len(), seen.len(), "one row for each attempt");
    let paid = books.with("Answered");
    assert!(paid.len() == answered && paid.iter().all(|call| !call.estimated), "{books:?}");
    assert_eq!(books.calls.iter().filter(|call| call.estimated).count(), malformed + broken);
    assert_eq!(books.with("Outage").len(), of(Some("drop")) + broken + malformed);
    assert_eq!(books.with("Refused").len(), of(Some("rateLimit")));
    assert!(
        books.calls.iter().all(|call| (call.cost > 0) == (call.outcome == "Answered" || call.estimated)),
        "{books:?}"
    );
    books.agree_with(&String::from_utf8(bench.metrics.encode().unwrap()).unwrap());
}
