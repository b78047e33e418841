//! The worker `coder` as the pod runs it: a scripted model in the gateway's place, real stages, a real repository.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

#[path = "support/landlock.rs"]
mod landlock;
mod support;

use std::process::Command;

use landlock::WITHOUT_LANDLOCK;
use manyworlds_api::labels;
use manyworlds_upstream::{Script, Upstream};
use serde_json::{Value, json};
use support::{Pod, Repository};

const TOKEN: &str = "a-token-that-nobody-may-ever-see";

/// A scripted model on threads of its own.
struct Model {
    upstream: Option<Upstream>,
    runtime: tokio::runtime::Runtime,
}

impl Model {
    fn start(script: &Value) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let script = Script::read(&script.to_string()).unwrap();
        let upstream = runtime.block_on(Upstream::start(script)).unwrap();
        Self { upstream: Some(upstream), runtime }
    }

    fn url(&self) -> String {
        self.upstream.as_ref().unwrap().url()
    }

    fn bodies(&self) -> Vec<Value> {
        let calls = self.upstream.as_ref().unwrap().calls();
        calls.iter().map(|call| serde_json::from_slice(&call.body).unwrap()).collect()
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        let _entered = self.runtime.enter();
        drop(self.upstream.take());
    }
}

fn repository() -> Repository {
    Repository::new(&[("sum.txt", "a - b\n"), ("tests/check.sh", "grep -q 'a + b' sum.txt\n")])
}

fn pod(model: &Model, prompt: &str) -> Pod {
    pod_with(model, "scripted", prompt)
}

fn pod_with(model: &Model, name: &str, prompt: &str) -> Pod {
    pod_in(model, name, prompt, &json!([]))
}

/// Returns a pod whose worker has variables of its own.
fn pod_in(model: &Model, name: &str, prompt: &str, environment: &Value) -> Pod {
    let changes = json!({
        "task": {"title": "Fix the sum", "body": "It takes away instead of adding."},
        "worlds": {"variants": [{"name": "alpha", "model": name, "temperature": 0.25, "prompt": prompt}]},
        "worker": {"plugin": "coder", "command": [], "env": environment},
        "evaluation": {"gates": [
            {"name": "test", "kind": "Lint", "command": ["sh", "tests/check.sh"], "points": 100}]},
    });
    Pod::new(&repository(), &changes).with_gateway(&model.url(), TOKEN)
}

fn call(name: &str, arguments: &Value) -> Value {
    json!({"toolCalls": [{"name": name, "arguments": arguments}]})
}

/// A model that looks, changes, and finishes too early once.
fn steps(anthropic: &[&str]) -> Value {
    let edit = call("edit_file", &json!({"path": "sum.txt", "old": "a - b", "new": "a + b"}));
    json!({"anthropic": anthropic, "models": {"scripted": [
        {"turn": 0, "reply": call("search", &json!({"pattern": "a . b"}))},
        {"turn": 1, "reply": call("read_file", &json!({"path": "../secret"}))},
        {"turn": 2, "reply": call("finish", &json!({"summary": "nothing to do"}))},
        {"turn": 3, "contains": "The check test failed", "reply": edit},
        {"turn": 4, "contains": "was changed", "reply": call("finish", &json!({"summary": "added instead of taking away"}))},
    ]}})
}

#[test]
fn it_fixes_a_fault_in_both_protocols_and_leaves_a_transcript_without_its_token() {
    for (anthropic, path) in [(&[][..], "messages"), (&["scripted"], "system")] {
        let model = Model::start(&steps(anthropic));
        let pod = pod(&model, "minimal");
        let result = pod.result();
        assert_eq!(result.score(), 100);
        let bodies = model.bodies();
        assert_eq!(bodies.len(), 5);
        assert!(bodies[0].get(path).is_some(), "{}", bodies[0]);
        assert!(bodies.iter().all(|body| body["temperature"] == 0.25));
        assert!(bodies[0].to_string().contains("at most ten lines"), "the prompt is that of the variant");
        assert!(bodies[2].to_string().contains("leads out of the repository"), "a path that leads out is refused");
        assert!(pod.artifact("patch").contains("+a + b"));
        let transcript = pod.artifact("transcript");
        assert!(transcript.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
        assert!(transcript.contains("added instead of taking away") && !transcript.contains(TOKEN));
        let log = pod.artifact("work-log");
        assert!(log.contains("coder: check test") && !log.contains(TOKEN), "{log}");
        let report: Value = serde_json::from_str(&pod.artifact("report")).unwrap();
        let summary = report["worker"]["summary"].as_str().unwrap();
        assert!(summary.starts_with("added instead of taking away (5 turns"), "{summary}");
        assert!(checkpoints(&pod) >= 1);
    }
}

/// APIs with thinking refuse a conversation in which it is missing or altered.
#[test]
fn thinking_and_signatures_go_back_to_the_model_as_they_came() {
    let edit = json!({"path": "sum.txt", "old": "a - b", "new": "a + b"});
    let edits = json!({
        "id": "c1", "type": "function", "extra_content": {"google": {"thought_signature": "c2lnbmF0dXJl"}},
        "function": {"name": "edit_file", "arguments": edit.to_string()},
    });
    let message = json!({"role": "assistant", "content": null, "reasoning_content": "hm", "tool_calls": [edits]});
    let blocks = json!([
        {"type": "thinking", "thinking": "hm", "signature": "c2lnbmF0dXJl"},
        {"type": "redacted_thinking", "data": "ZGF0YQ=="},
        {"type": "tool_use", "id": "c1", "name": "edit_file", "input": edit},
    ]);
    let openai = (json!([]), json!({"choices": [{"message": message}]}), message);
    let anthropic = (json!(["scripted"]), json!({"content": blocks}), json!({"role": "assistant", "content": blocks}));
    for (listed, body, expected) in [openai, anthropic] {
        let finish = call("finish", &json!({"summary": "done"}));
        let model = Model::start(&json!({"anthropic": listed, "models": {"scripted": [
            {"turn": 0, "reply": {"body": body.to_string()}}, {"reply": finish}]}}));
        let pod = pod(&model, "careful");
        assert_eq!(pod.result().score(), 100);
        let second = model.bodies().swap_remove(1);
        let messages = second["messages"].as_array().unwrap();
        let sent_back = messages.iter().find(|message| message["role"] == "assistant").unwrap();
        assert_eq!(sent_back, &expected);
        assert!(!pod.artifact("transcript").contains("c2lnbmF0dXJl"), "the transcript is for people");
    }
}

/// W16: the task is short and the repository small, so the weakest model that is strong enough is tried, in its own protocol.
#[test]
fn the_model_is_chosen_by_how_hard_the_task_looks() {
    let script = |anthropic: &[&str], weak: i64| {
        let mut script = steps(anthropic);
        script["strengths"] = json!({"scripted": 50, "weak": weak, "strong": 90});
        script
    };
    for (anthropic, weak, path) in [(&[][..], 10, "messages"), (&["scripted"], 10, "system"), (&[], 50, "messages")] {
        let model = Model::start(&script(anthropic, weak));
        let pod = pod_with(&model, "auto", "minimal");
        assert_eq!(pod.result().score(), 100);
        let bodies = model.bodies();
        assert!(bodies.iter().all(|body| body["model"] == "scripted"), "{}", bodies[0]);
        assert!(bodies[0].get(path).is_some());
        let log = pod.artifact("work-log");
        assert!(log.contains("2 files, 0 of them named, 1 checks); the model is scripted"), "{log}");
    }
}

fn checkpoints(pod: &Pod) -> usize {
    let mut git = Command::new("git");
    git.args(["-c", "safe.directory=*", "for-each-ref", "refs/manyworlds/checkpoints"]).current_dir(pod.worktree());
    String::from_utf8(git.output().unwrap().stdout).unwrap().lines().count()
}

#[test]
fn it_waits_by_itself_where_it_is_told_to() {
    let mut script = steps(&[]);
    let busy = json!({"times": 1, "reply": {"status": 429, "headers": {"retry-after": "1"}}});
    // So says the gateway that a breaker has opened.
    let alone = json!({"retry-after": "1", "x-should-retry": "false"});
    let alone = json!({"times": 1, "reply": {"status": 503, "headers": alone}});
    script["models"]["scripted"].as_array_mut().unwrap().splice(0..0, [busy, alone]);
    let model = Model::start(&script);
    let pod = pod(&model, "careful");
    assert_eq!(pod.result().score(), 100);
    assert!(pod.artifact("work-log").contains("asking again in 1 s"));
    let calls = model.upstream.as_ref().unwrap().calls();
    let tries: Vec<_> = calls.iter().map(|call| call.headers.get("x-stainless-retry-count")).collect();
    assert!(tries[0].is_none() && tries[2].is_some_and(|number| number == "2") && tries[3].is_none(), "{tries:?}");
}

#[test]
fn a_prompt_of_the_folder_that_the_order_names_is_the_one_that_the_model_gets() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("minimal.md"), "Keep to the book of the house.").unwrap();
    let model = Model::start(&steps(&[]));
    let environment = json!([{"name": "CODER_PROMPTS_DIR", "value": folder.path()}]);
    assert_eq!(pod_in(&model, "scripted", "minimal", &environment).result().score(), 100);
    let first = model.bodies()[0].to_string();
    assert!(first.contains("Keep to the book of the house.") && !first.contains("at most ten lines"), "{first}");
}

#[test]
fn what_is_done_so_far_is_judged_when_it_repeats_itself() {
    let edit = call("edit_file", &json!({"path": "sum.txt", "old": "a - b", "new": "a + b"}));
    let again = call("read_file", &json!({"path": "sum.txt"}));
    let model = Model::start(&json!({"models": {"scripted": [{"turn": 0, "reply": edit}, {"reply": again}]}}));
    let pod = pod(&model, "explorer");
    assert_eq!(pod.result().score(), 100);
    let report: Value = serde_json::from_str(&pod.artifact("report")).unwrap();
    assert_eq!(report["worker"]["exit_code"], 3);
    let summary = report["worker"]["summary"].as_str().unwrap();
    assert!(summary.contains("ended early: it repeats itself: read_file"), "{summary}");
}

/// Two of ten turns at 0.015 dollars each are on the way to 0.15.
#[test]
fn a_world_on_the_way_to_more_than_three_shares_of_the_money_is_ended() {
    let prices = json!({"input": "10.00", "cached": "1.00", "output": "50.00"});
    let usage = json!({"input": 950, "cached": 500, "output": 100});
    let environment = json!([{"name": "CODER_MAX_TURNS", "value": "10"}]);
    let hit = json!({"x-manyworlds-cache": "hit"});
    for (share, headers, cut) in
        [("0.04", json!({}), true), ("0.05", json!({}), false), ("0.04", hit, false), ("unknown", json!({}), false)]
    {
        let replies = [
            call("edit_file", &json!({"path": "sum.txt", "old": "a - b", "new": "a + b"})),
            call("read_file", &json!({"path": "sum.txt"})),
            call("finish", &json!({"summary": "done"})),
        ];
        let rules = replies.into_iter().enumerate().map(|(turn, mut reply)| {
            reply["usage"] = usage.clone();
            reply["headers"] = headers.clone();
            json!({"turn": turn, "reply": reply})
        });
        let terms = json!({"prices": prices, "costShare": share});
        let models = json!({"scripted": rules.collect::<Vec<_>>()});
        let script = json!({"models": models, "strengths": {"scripted": 50}, "terms": {"scripted": terms}});
        let model = Model::start(&script);
        let pod = pod_in(&model, "scripted", "careful", &environment);
        assert_eq!(pod.result().score(), 100, "what is done so far is judged");
        let report: Value = serde_json::from_str(&pod.artifact("report")).unwrap();
        let summary = report["worker"]["summary"].as_str().unwrap();
        let said = "spends faster than forecast: 0.03 dollars after 2 turns, so 0.15 in all, and its share of the order's budget is 0.04";
        assert_eq!(summary.contains(said), cut, "{share}: {summary}");
        assert_eq!(summary.starts_with("done (3 turns"), !cut, "{share}: {summary}");
    }
}

/// Returns how a World ends whose model always answers the same, and how often it was asked.
fn end_of(reply: &Value) -> (String, usize) {
    let model = Model::start(&json!({"models": {"scripted": [{"reply": reply}]}}));
    let pod = pod(&model, "careful");
    pod.succeed(&["prepare", "work"]);
    let (_, report) = pod.stage("collect");
    (report.failure.unwrap().message, model.bodies().len())
}

#[test]
fn a_world_whose_money_is_used_up_ends_and_says_so() {
    let body = json!({"error": {"message": "the budget b is used up"}}).to_string();
    let (message, asked) = end_of(&json!({"status": 402, "body": body}));
    assert!(message.contains("the budget b is used up"), "{message}");
    assert_eq!(asked, 1);
}

/// The gateway has tried by itself what may be tried.
#[test]
fn nothing_is_asked_again_where_the_gateway_says_that_it_is_pointless() {
    let body = json!({"error": {"message": "no quota left", "code": "insufficient_quota"}}).to_string();
    let headers = json!({"x-should-retry": "false"});
    let (message, asked) = end_of(&json!({"status": 429, "headers": headers, "body": body}));
    assert!(message.contains("the gateway refuses: no quota left"), "{message}");
    assert_eq!(asked, 1);
}

#[test]
fn an_answer_that_cannot_be_read_is_asked_for_three_times() {
    for (body, said) in
        [("{\"choices\": [", "the answer is no JSON"), ("{\"choices\": []}", "the answer has no message")]
    {
        let (message, asked) = end_of(&json!({"body": body}));
        assert!(message.contains("3 answers in a row could not be read") && message.contains(said), "{message}");
        assert_eq!(asked, 3);
    }
}

/// Returns an answer that was cut in the middle of its last call, if it has one.
fn cut(arguments: Option<&str>) -> Value {
    let write =
        |arguments| json!({"id": "c1", "type": "function", "function": {"name": "write_file", "arguments": arguments}});
    let calls: Vec<_> = arguments.into_iter().map(write).collect();
    let message = json!({"role": "assistant", "content": "first", "tool_calls": calls});
    json!({"body": json!({"choices": [{"message": message, "finish_reason": "length"}]}).to_string()})
}

/// A call that was cut is not made, and is nobody's fault but its length's.
#[test]
fn a_model_whose_answers_are_cut_is_told_to_write_in_smaller_parts() {
    let edit = call("edit_file", &json!({"path": "sum.txt", "old": "a - b", "new": "a + b"}));
    let said = "Your answer was cut at 900 tokens; write in smaller parts.";
    let model = Model::start(&json!({
        "strengths": {"scripted": 50}, "terms": {"scripted": {"maxOutputTokens": 900}},
        "models": {"scripted": [
            {"turn": 0, "reply": cut(Some("{\"path\": \"sum.txt\", \"content\": \"a"))},
            {"turn": 1, "contains": said, "reply": cut(None)},
            {"turn": 2, "contains": said, "reply": cut(None)},
            {"turn": 3, "contains": said, "reply": cut(None)},
            {"turn": 4, "contains": said, "reply": edit},
        ]},
    }));
    let environment = json!([{"name": "CODER_MAX_TURNS", "value": "5"}]);
    let pod = pod_in(&model, "scripted", "careful", &environment);
    assert_eq!(pod.result().score(), 100);
    assert!(model.bodies().iter().all(|body| body["max_completion_tokens"] == 900));
    let report: Value = serde_json::from_str(&pod.artifact("report")).unwrap();
    let summary = report["worker"]["summary"].as_str().unwrap();
    let end = "its 5 turns are used up; 4 of its answers were cut at 900 tokens";
    assert!(summary.contains(end), "{summary}");
    assert!(pod.artifact("transcript").contains(end));
}

#[test]
fn a_conversation_is_kept_within_the_window_of_its_model() {
    let flood = |turn: usize| call("run", &json!({"command": format!("seq {turn} 1000")}));
    let mut rules: Vec<_> = (0..6).map(|turn| json!({"turn": turn, "reply": flood(turn)})).collect();
    let edit = call("edit_file", &json!({"path": "sum.txt", "old": "a - b", "new": "a + b"}));
    rules.push(json!({"turn": 6, "reply": edit}));
    rules.push(json!({"reply": call("finish", &json!({"summary": "done"}))}));
    let terms = json!({"scripted": {"contextWindow": 8000, "maxOutputTokens": 2000}});
    let model = Model::start(&json!({"strengths": {"scripted": 50}, "terms": terms, "models": {"scripted": rules}}));
    pod(&model, "careful").result();
    let sizes: Vec<_> = model.bodies().iter().map(|body| body.to_string().len()).collect();
    // What is around the texts is no more than a fifth here.
    assert!(sizes.len() > 6 && sizes.iter().all(|size| *size < 6_000 * 3 * 6 / 5), "{sizes:?}");
}

#[test]
fn commands_of_the_model_see_no_token_and_what_looks_like_a_key_is_masked() {
    let key = "sk-proj-abcdefghijklmnopqrstuvwxyz";
    let shows = call("run", &json!({"command": format!("env; echo {key}")}));
    let edit = call("edit_file", &json!({"path": "sum.txt", "old": "a - b", "new": "a + b"}));
    let done = call("finish", &json!({"summary": "done"}));
    let model = Model::start(&json!({"models": {"scripted": [
        {"turn": 0, "reply": shows}, {"turn": 1, "reply": edit}, {"turn": 2, "reply": done}]}}));
    let pod = pod(&model, "careful");
    pod.result();
    let seen = model.bodies()[1]["messages"].as_array().unwrap().last().unwrap()["content"].to_string();
    assert!(seen.contains("PATH=") && !seen.contains(TOKEN) && !seen.contains("API_KEY"), "{seen}");
    assert!(seen.contains("***") && !seen.contains(key), "{seen}");
    let transcript = pod.artifact("transcript");
    assert!(!transcript.contains(TOKEN) && !transcript.contains(key));
}

/// Returns the shell's words for the file with the gateway's token, as a command in the worktree finds it.
fn token_file() -> String {
    format!("$PWD/../../../../..{}/{}", labels::GATEWAY_TOKEN_DIRECTORY, labels::TOKEN_FILE)
}

/// S5: the token is in a file and in the coder's own environment.
#[test]
fn no_command_of_the_model_can_read_the_gateways_token() {
    let look = format!(
        "token=\"{}\"; test -e \"$token\" && echo it is there; cat \"$token\"; cat /proc/$PPID/environ; \
         ls -l /proc/$PPID/fd; echo written > note.txt; cat note.txt",
        token_file()
    );
    let edit = call("edit_file", &json!({"path": "sum.txt", "old": "a - b", "new": "a + b"}));
    let done = call("finish", &json!({"summary": "done"}));
    let model = Model::start(&json!({"models": {"scripted": [
        {"turn": 0, "reply": call("run", &json!({"command": look}))}, {"turn": 1, "reply": edit},
        {"turn": 2, "reply": done}]}}));
    assert_eq!(pod(&model, "careful").result().score(), 100);
    let bodies = model.bodies();
    let seen = bodies[1]["messages"].as_array().unwrap().last().unwrap()["content"].to_string();
    assert!(seen.contains("it is there") && seen.contains("written"), "{seen}");
    assert_eq!(seen.matches("Permission denied").count(), 3, "{seen}");
    assert!(bodies.iter().all(|body| !body.to_string().contains(TOKEN)));
}

/// S5: a repository's settings name programs that git starts, also where it is the coder that calls git.
#[test]
fn no_program_that_git_starts_for_the_coder_can_read_the_gateways_token() {
    let plant = format!(
        "git config filter.thief.clean \"cat '{}' > '$PWD/stolen' 2>&1; cat\"; \
         echo '* filter=thief' > \"$(git rev-parse --git-path info/attributes)\"",
        token_file()
    );
    let edit = call("edit_file", &json!({"path": "sum.txt", "old": "a - b", "new": "a + b"}));
    let show = call("run", &json!({"command": "cat stolen"}));
    let done = call("finish", &json!({"summary": "done"}));
    let model = Model::start(&json!({"models": {"scripted": [
        {"turn": 0, "reply": call("run", &json!({"command": plant}))}, {"turn": 1, "reply": edit},
        {"turn": 2, "reply": show}, {"turn": 3, "reply": done}]}}));
    pod(&model, "careful").works();
    let bodies = model.bodies();
    let seen = bodies[3]["messages"].as_array().unwrap().last().unwrap()["content"].to_string();
    assert!(seen.contains("Permission denied"), "git has not started the program: {seen}");
    assert!(bodies.iter().all(|body| !body.to_string().contains(TOKEN)));
}

#[test]
fn a_kernel_that_cannot_keep_the_token_from_commands_is_told_of_and_the_coders_memory_stays_closed() {
    let look = call("run", &json!({"command": "cat /proc/$PPID/environ"}));
    let edit = call("edit_file", &json!({"path": "sum.txt", "old": "a - b", "new": "a + b"}));
    let done = call("finish", &json!({"summary": "done"}));
    let model = Model::start(&json!({"models": {"scripted": [
        {"turn": 0, "reply": look}, {"turn": 1, "reply": edit}, {"turn": 2, "reply": done}]}}));
    let mut pod = pod(&model, "careful");
    pod.succeed(&["prepare"]);
    pod.wrapper = Some(WITHOUT_LANDLOCK);
    pod.succeed(&["work"]);
    pod.wrapper = None;
    pod.succeed(&["collect"]);
    let log = pod.artifact("work-log");
    assert!(log.contains("can read the file of the gateway's token: the kernel of the node has no Landlock"), "{log}");
    let seen = model.bodies()[1]["messages"].as_array().unwrap().last().unwrap()["content"].to_string();
    assert!(seen.contains("Permission denied") && !seen.contains(TOKEN), "{seen}");
}

#[test]
fn the_gateway_is_told_how_a_conversation_was_made_smaller() {
    let flood = call("run", &json!({"command": "seq 1000"}));
    let edit = call("edit_file", &json!({"path": "sum.txt", "old": "a - b", "new": "a + b"}));
    let done = call("finish", &json!({"summary": "done"}));
    let mut rules: Vec<_> = (0..6).map(|turn| json!({"turn": turn, "reply": flood})).collect();
    for (turn, rule) in rules.iter_mut().enumerate() {
        // The same again and again would end the session.
        rule["reply"]["toolCalls"][0]["arguments"]["command"] = json!(format!("seq {turn} 1000"));
    }
    rules.extend([json!({"turn": 6, "reply": edit}), json!({"reply": done})]);
    let model = Model::start(&json!({"models": {"scripted": rules}}));
    let environment = json!([{"name": "CODER_CONTEXT_BYTES", "value": "20000"}]);
    pod_in(&model, "scripted", "careful", &environment).result();
    let calls = model.upstream.as_ref().unwrap().calls();
    let told: Vec<_> = calls
        .iter()
        .filter(|call| call.path.ends_with("completions"))
        .map(|call| call.headers.get("x-manyworlds-context-reduced").map(|told| told.to_str().unwrap().to_owned()))
        .collect();
    assert!(told[..4].iter().all(Option::is_none), "{told:?}");
    let last = told.last().unwrap().as_deref().unwrap();
    assert!(last.starts_with("before=2") && last.contains("; summary=") && last.contains("; strategy="), "{told:?}");
}
