//! What our own worker says to a model and hears from it holds no secret (S5); other workers' words are left as they are.
//!
//! The Worlds are on fake nodes and played by the test; the operator, its gateway and its ledger are the real ones.

use manyworlds_tests::models::{CANARY, KEY};
use manyworlds_tests::played::Stage;
use manyworlds_tests::real::LIMIT;
use manyworlds_tests::{Result, eventually};
use manyworlds_upstream::{Script, Upstream};
use serde_json::json;

/// What looks like a key of a vendor, and is none that the operator knows.
const LOOKS: &str = "ghp_abcdefghijklmnopqrstuvwxyz0123456789";

/// S5: by pattern, and by the value of the Secret that the operator reads for the Provider, in both directions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_in_a_prompt_of_the_coder_reaches_no_model_and_none_comes_back() -> Result {
    let secrets = format!("the key is {CANARY}, the token {LOOKS}");
    let reply = json!({"reply": {"text": format!("I see that {secrets}.")}});
    let upstream = Upstream::start(Script::read(&json!({"models": {"*": [reply]}}).to_string())?).await?;
    let stage = Stage::new("prompts").await?;
    stage.key().await?;
    let with_key = json!({"secretRef": {"name": KEY}});
    stage.provider("keyed", &format!("{}/v1", upstream.url()), "m", &with_key).await?;
    let operator = stage.operator().await?;
    for (order, worker) in [("ours", "coder"), ("theirs", "echo")] {
        stage.order_of(order, &json!({"plugin": worker, "model": "m"})).await?;
        let world = stage.world(order, &operator).await?;
        let heard = eventually("the model answers", LIMIT, || async {
            let (status, heard) = world.ask("m", &secrets).await?;
            Ok((status == 200).then(|| heard.to_string()))
        })
        .await?;
        let call = upstream.calls().pop().ok_or("no call has arrived")?;
        assert_eq!(call.headers["authorization"], format!("Bearer {CANARY}"), "the key itself is used");
        let said = String::from_utf8(call.body.to_vec())?;
        for text in [said, heard] {
            assert!(text.contains("the key is"), "{order}: {text}");
            let seen = [CANARY, LOOKS].map(|secret| text.contains(secret));
            assert_eq!(seen, [worker != "coder"; 2], "{order}: {text}");
        }
    }
    // The audit log is written beside the calls, which never wait for it.
    let log = eventually("what was masked is audited", LIMIT, || async {
        let log = std::fs::read_to_string(stage.settings.folder.join("operator.log"))?;
        let mut lines = log.lines();
        let audited = lines.any(|line| line.contains(r#""target":"audit""#) && line.contains(r#""stage":"filter""#));
        Ok(audited.then_some(log))
    })
    .await?;
    assert!(![CANARY, LOOKS].iter().any(|secret| log.contains(secret)));
    Ok(operator.kill()?)
}
