//! Specifications of orders within the bounds of the schema, with every field now present and now absent.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Toleration;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use manyworlds_api::result::FailureClass;
use manyworlds_api::work_order::{
    AcceptPartialSuccess, Approval, Budget, BudgetExceeded, Canary, CanaryCommand, ConfigMapVolume, Council,
    CouncilFailure, Deadlines, Delivery, DeliveryMode, EarlyTermination, EmptyDirectory, EnvironmentVariable,
    Evaluation, EvaluationNetwork, ExtraVolume, Fallback, Gate, GateKind, GitSource, IssueReference, LocalReference,
    PersistentVolumeClaimVolume, PhaseTimeouts, PodTemplate, Reevaluation, ResourceAmounts, Retry, RetryAction,
    RetryRule, RetryWithLowerTemperature, Sealing, Sizing, SizingMode, Skip, Source, SwitchModel, Task, TaskMode,
    TimeToLive, ToolFiles, Variant, VariantWorker, Voter, WaitForHuman, Worker, Worlds,
};
use manyworlds_api::{Duration, Money, WorkOrderSpec};
use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

/// Returns any specification within the bounds of the schema.
pub fn specification() -> impl Strategy<Value = WorkOrderSpec> {
    let what = (source(), task(), worlds(), worker(), evaluation(), of(council()), retry());
    let rules = (
        vec(fallback(), 0..4),
        of(budget()),
        of(early_termination()),
        select(vec![Approval::Required, Approval::NotRequired]),
        delivery(),
        of((of(duration()), of(duration())).prop_map(|(start, active)| Deadlines { start, active })),
        of((of(duration()), of(duration()))
            .prop_map(|(after_success, after_failure)| TimeToLive { after_success, after_failure })),
    );
    (what, rules, -1_000_000..=1_000_000, any::<bool>(), (any::<bool>(), of(reevaluation()))).prop_map(
        |(
            (source, task, worlds, worker, evaluation, council, retry),
            (fallbacks, budget, early_termination, approval, delivery, deadlines, ttl),
            priority,
            suspend,
            (cancel, reevaluate),
        )| WorkOrderSpec {
            source,
            task,
            worlds,
            worker,
            evaluation,
            council,
            retry,
            fallbacks,
            budget,
            early_termination,
            approval,
            delivery,
            priority,
            suspend,
            cancel,
            reevaluate,
            deadlines,
            ttl,
        },
    )
}

/// Text with what breaks careless programs: quotes, control characters, other scripts.
fn text() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9 .,\"'\\\\{}$\t\näß漢🦀\u{1}]{1,40}"
}

fn word() -> impl Strategy<Value = String> {
    "[a-z]([a-z0-9-]{0,13}[a-z0-9])?"
}

fn duration() -> impl Strategy<Value = Duration> {
    (0..=Duration::MAXIMUM.milliseconds()).prop_map(Duration::from_milliseconds)
}

fn money() -> impl Strategy<Value = Money> {
    (0..1_000_000_000_000_000_000_000_u128).prop_map(Money::from_trillionths)
}

fn reevaluation() -> impl Strategy<Value = Reevaluation> {
    (word(), of(word())).prop_map(|(request, world)| Reevaluation { request, world })
}

fn reference() -> impl Strategy<Value = LocalReference> {
    word().prop_map(|name| LocalReference { name })
}

fn temperature() -> impl Strategy<Value = f64> {
    (0..=200).prop_map(|hundredths| f64::from(hundredths) / 100.0)
}

fn source() -> impl Strategy<Value = Source> {
    (word(), "[a-zA-Z0-9_./-]{1,30}", of(reference())).prop_map(|(path, revision, secret_ref)| Source {
        git: GitSource { url: format!("https://example.com/{path}.git"), revision, secret_ref },
    })
}

fn task() -> impl Strategy<Value = Task> {
    let issue = (word(), 1..i64::MAX)
        .prop_map(|(path, number)| IssueReference { url: format!("https://example.com/{path}"), number });
    let mode = select(vec![TaskMode::Build, TaskMode::Ask, TaskMode::Review]);
    (text(), of(text()), of(issue), mode).prop_map(|(title, body, issue, mode)| Task {
        title,
        body: body.unwrap_or_default(),
        issue,
        mode,
    })
}

fn worlds() -> impl Strategy<Value = Worlds> {
    (1..=50, 1..=50, sizing(), vec(variant(), 1..6)).prop_map(|(min, parallelism, sizing, variants)| Worlds {
        min,
        parallelism,
        sizing,
        variants,
    })
}

fn sizing() -> impl Strategy<Value = Sizing> {
    let amount = || (1..1000, select(vec!["", "m", "Mi", "Gi"])).prop_map(|(n, unit)| Quantity(format!("{n}{unit}")));
    let mode = select(vec![SizingMode::Fixed, SizingMode::ShareOfNode]);
    (mode, amount(), amount(), amount()).prop_map(|(mode, cpu, memory, ephemeral_storage)| Sizing {
        mode,
        per_world: ResourceAmounts { cpu, memory, ephemeral_storage },
    })
}

fn variant() -> impl Strategy<Value = Variant> {
    let worker = (command(), environment()).prop_map(|(command, env)| VariantWorker { command, env });
    (word(), of(text()), of(temperature()), of(text()), of(0..=1000), of(worker)).prop_map(
        |(name, model, temperature, prompt, weight, worker)| Variant {
            name,
            model,
            temperature,
            prompt,
            weight,
            worker,
        },
    )
}

fn command() -> impl Strategy<Value = Vec<String>> {
    vec(text(), 0..4)
}

fn environment() -> impl Strategy<Value = Vec<EnvironmentVariable>> {
    vec(("[A-Z_][A-Z0-9_]{0,20}", text()).prop_map(|(name, value)| EnvironmentVariable { name, value }), 0..4)
}

fn worker() -> impl Strategy<Value = Worker> {
    let timeouts = (duration(), duration()).prop_map(|(coding, testing)| PhaseTimeouts { coding, testing });
    (word(), of(word()), command(), environment(), timeouts, of(pod_template())).prop_map(
        |(plugin, image, command, env, phase_timeouts, pod_template)| Worker {
            plugin,
            model: image.as_ref().map(|image| format!("{image}-model")),
            image,
            command,
            env,
            phase_timeouts,
            pod_template,
        },
    )
}

fn map() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map("[a-z]{1,8}(/[a-z]{1,8})?", "[a-z0-9]{0,12}", 0..4)
}

fn pod_template() -> impl Strategy<Value = PodTemplate> {
    let toleration = (of(word()), of(0..100_000_i64)).prop_map(|(key, toleration_seconds)| Toleration {
        key,
        operator: Some("Exists".to_owned()),
        toleration_seconds,
        ..Toleration::default()
    });
    let affinity = word().prop_map(|key| serde_json::json!({"nodeAffinity": {key: [1, "two", {"three": 3}]}}));
    let classes = (of(word()), of(word()), of(word()));
    (map(), map(), map(), vec(toleration, 0..3), of(affinity), vec(reference(), 0..3), classes, vec(volume(), 0..3))
        .prop_map(
            |(labels, annotations, node_selector, tolerations, affinity, image_pull_secrets, classes, volumes)| {
                let (runtime_class_name, priority_class_name, scheduler_name) = classes;
                PodTemplate {
                    labels,
                    annotations,
                    node_selector,
                    tolerations,
                    affinity,
                    image_pull_secrets,
                    runtime_class_name,
                    priority_class_name,
                    scheduler_name,
                    volumes,
                }
            },
        )
}

fn volume() -> impl Strategy<Value = ExtraVolume> {
    let source = prop_oneof![
        word().prop_map(|name| (Some(ConfigMapVolume { name }), None, None)),
        word().prop_map(|claim_name| (None, Some(PersistentVolumeClaimVolume { claim_name }), None)),
        of(Just("1Gi".to_owned())).prop_map(|size_limit| (None, None, Some(EmptyDirectory { size_limit }))),
    ];
    (word(), word(), source).prop_map(|(name, path, (config_map, persistent_volume_claim, empty_dir))| ExtraVolume {
        name,
        mount_path: format!("/data/{path}"),
        config_map,
        persistent_volume_claim,
        empty_dir,
    })
}

fn evaluation() -> impl Strategy<Value = Evaluation> {
    let sealing = select(vec![Sealing::Required, Sealing::Preferred]);
    let network = select(vec![EvaluationNetwork::None, EvaluationNetwork::Inherit]);
    let bounds = (1..=1_000_000, 1024..=16_777_216);
    let tool_files = select(vec![ToolFiles::Protected, ToolFiles::Allowed]);
    let patterns = (vec(text(), 0..4), vec(text(), 0..4), tool_files);
    (patterns, 0..=100, vec(gate(), 1..4), of(word()), sealing, network, bounds).prop_map(
        |(
            (protected_paths, keep, tool_files),
            accept_score,
            gates,
            image,
            sealing,
            network,
            (max_changed_lines, max_patch_bytes),
        )| {
            Evaluation {
                protected_paths,
                tool_files,
                keep,
                accept_score,
                gates,
                image,
                sealing,
                network,
                max_changed_lines,
                max_patch_bytes,
            }
        },
    )
}

fn gate() -> impl Strategy<Value = Gate> {
    let kind = select(vec![
        GateKind::Build,
        GateKind::Test,
        GateKind::Lint,
        GateKind::Secrets,
        GateKind::Dependencies,
        GateKind::Dangerous,
        GateKind::Licenses,
        GateKind::Size,
        GateKind::Custom,
    ]);
    let canary_command = || vec(text(), 1..4);
    let canary = (canary_command(), canary_command()).prop_map(|(passing, failing)| Canary {
        passing: CanaryCommand { command: passing },
        failing: CanaryCommand { command: failing },
    });
    (word(), kind, command(), of(text()), of(canary), 0..=100, any::<bool>(), duration()).prop_map(
        |(name, kind, command, report, canary, points, required, timeout)| Gate {
            name,
            kind,
            command,
            report,
            canary,
            points,
            required,
            timeout,
        },
    )
}

fn council() -> impl Strategy<Value = Council> {
    let voter = (word(), text(), of(text())).prop_map(|(name, model, stance)| Voter {
        name,
        model,
        stance: stance.unwrap_or_default(),
    });
    let on_failure = select(vec![CouncilFailure::HighestScore, CouncilFailure::NoWinner]);
    (vec(voter, 1..4), 1..=9, 0..=10, on_failure).prop_map(|(voters, quorum, max_retries, on_failure)| Council {
        voters,
        quorum,
        max_retries,
        on_failure,
    })
}

fn retry() -> impl Strategy<Value = Retry> {
    (1..=10, duration(), 1..=10, duration(), vec(retry_rule(), 0..4)).prop_map(
        |(max_attempts, base_delay, multiplier, max_delay, rules)| Retry {
            max_attempts,
            base_delay,
            multiplier,
            max_delay,
            rules,
        },
    )
}

fn retry_rule() -> impl Strategy<Value = RetryRule> {
    let action = select(vec![RetryAction::Retry, RetryAction::FailWorld, RetryAction::FailOrder, RetryAction::Ignore]);
    let condition = prop_oneof![
        select(FailureClass::ALL.to_vec()).prop_map(|class| (Some(class), None, None)),
        vec(1..=255, 1..4).prop_map(|codes| (None, Some(codes), None)),
        vec(word(), 1..3).prop_map(|conditions| (None, None, Some(conditions))),
    ];
    (condition, action).prop_map(|((on_class, on_exit_codes, on_pod_conditions), action)| RetryRule {
        on_class,
        on_exit_codes,
        on_pod_conditions,
        action,
    })
}

fn fallback() -> impl Strategy<Value = Fallback> {
    let none = Fallback::default;
    prop_oneof![
        (1..=50).prop_map(move |min_worlds| Fallback {
            accept_partial_success: Some(AcceptPartialSuccess { min_worlds }),
            ..none()
        }),
        temperature().prop_map(move |reduction| Fallback {
            retry_with_lower_temperature: Some(RetryWithLowerTemperature { reduction }),
            ..none()
        }),
        text().prop_map(move |model| Fallback { switch_model: Some(SwitchModel { model }), ..none() }),
        duration().prop_map(move |timeout| Fallback { wait_for_human: Some(WaitForHuman { timeout }), ..none() }),
        Just(Fallback { skip: Some(Skip {}), ..none() }),
    ]
}

fn budget() -> impl Strategy<Value = Budget> {
    let on_exceeded = select(vec![BudgetExceeded::Pause, BudgetExceeded::Stop]);
    (money(), of(1..i64::MAX), on_exceeded, of(reference())).prop_map(
        |(max_cost, max_tokens, on_exceeded, budget_ref)| Budget { max_cost, max_tokens, on_exceeded, budget_ref },
    )
}

fn early_termination() -> impl Strategy<Value = EarlyTermination> {
    (of(1..=100), of(1..=50)).prop_map(|(score, after_eligible)| EarlyTermination { score, after_eligible })
}

fn delivery() -> impl Strategy<Value = Delivery> {
    let mode = select(vec![DeliveryMode::None, DeliveryMode::Branch, DeliveryMode::PullRequest]);
    (mode, of(word()), of(reference()), vec(word(), 0..3)).prop_map(|(mode, forge, secret_ref, labels)| Delivery {
        mode,
        forge,
        secret_ref,
        labels,
    })
}
