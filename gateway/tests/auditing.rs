//! Each refusal of the gateway is in the audit log (S6), once for each kind and minute, without a word of the client's.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

use serde_json::json;
use support::{Bench, always, client, eventually};

#[tokio::test]
async fn a_refusal_is_in_the_audit_log() {
    let bench = Bench::start(&always(&json!({"text": "a"}))).await;
    for model in ["sk-canary-of-a-client", "another"] {
        let body = json!({"model": model, "max_tokens": 5, "messages": []});
        assert_eq!(bench.post("a", "/v1/messages", body).await.status(), 403);
    }
    let nobody = client().post(bench.url("/v1/sk-canary-of-a-client")).bearer_auth("nobody").send().await.unwrap();
    assert!(nobody.status().is_client_error());
    let entries = async || bench.ledger.audit_entries(None, 100).await.unwrap();
    eventually(async || entries().await.len() == 2).await;
    let entries = entries().await;
    let of_order: Vec<_> = entries.iter().filter(|entry| entry.order_uid.as_deref() == Some("uid-a")).collect();
    let [refused] = of_order.as_slice() else { panic!("{entries:?}") };
    assert_eq!((refused.stage.as_str(), refused.result.as_str()), ("gateway", "Refused"));
    assert_eq!(refused.failure_reason.as_deref(), Some("model"));
    assert_eq!(refused.details, r#"{"attempt":1,"namespace":"team","workOrder":"a","world":"w"}"#);
    assert!(!format!("{entries:?}").contains("canary"), "{entries:?}");
}
