//! From resources to rows of the ledger's history: pure, so that the same resources give the same rows again.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use manyworlds_api::conditions::{OrderCondition, Truth, WorldCondition, shortened, truth};
use manyworlds_api::object::Stored;
use manyworlds_api::result::FailureClass;
use manyworlds_api::world::{Attempt, WorldStage};
use manyworlds_api::{WorkOrder, World, labels};
use manyworlds_ledger::history::{Checkpoint, ExecutionRun, HistoryRecord, TaskExecution, Worktree, WorldExecution};
use manyworlds_planner::observation::{OrderPod, StageState};
use manyworlds_planner::role::{EVALUATION, PodRole, WORK};

/// The most bytes of a prompt that a row names; a longer one is a text and not a name.
const LONGEST_PROMPT: usize = 256;
/// The most bytes of a reason.
const LONGEST_REASON: usize = 1024;

/// An order with its Worlds and pods, as the watches have last seen them.
pub(super) struct OrderView<'a> {
    /// The order.
    pub(super) order: &'a Stored<WorkOrder>,
    /// Its Worlds.
    pub(super) worlds: &'a [Arc<Stored<World>>],
    /// Their pods.
    pub(super) pods: &'a [Arc<OrderPod>],
}

/// Returns when an order finished.
pub(super) fn finished(order: &WorkOrder) -> Option<Timestamp> {
    let status = order.status.as_ref()?;
    let condition = holds(&status.conditions, OrderCondition::Finished.as_str())?;
    Some(moment(status.completion_time.as_ref()).unwrap_or(condition.last_transition_time.0))
}

/// Returns every row that an order gives, in an order in which none refers to a later one.
pub(super) fn rows(view: &OrderView<'_>) -> Vec<HistoryRecord> {
    let mut rows = vec![HistoryRecord::Run(run(view.order))];
    let mut worlds: Vec<_> = view.worlds.iter().filter(|world| *view.order.uid() == *world.spec.order.uid).collect();
    worlds.sort_by_key(|world| world.spec.variant.index);
    if worlds.is_empty() {
        return rows;
    }
    rows.push(HistoryRecord::Task(task(view.order)));
    for world in worlds {
        let context = Context { order: view.order, world };
        for attempt in attempts(world, view.pods) {
            context.rows(&attempt, &mut rows);
        }
    }
    // By table, so that a statement takes several at once.
    rows.sort_by_key(|row| match row {
        HistoryRecord::Run(_) => 0,
        HistoryRecord::Task(_) => 1,
        HistoryRecord::World(_) | HistoryRecord::WorldIfAbsent(_) => 2,
        HistoryRecord::Worktree(_) => 3,
        HistoryRecord::Checkpoint(_) | HistoryRecord::Audit(_) => 4,
    });
    rows
}

fn run(order: &Stored<WorkOrder>) -> ExecutionRun {
    let spec = &order.spec;
    let status = order.status.as_ref();
    let finished_at = finished(order);
    let succeeded =
        status.and_then(|status| find(&status.conditions, OrderCondition::Succeeded.as_str())).map(reason_of);
    ExecutionRun {
        id: order.uid().to_string(),
        namespace: order.namespace().to_owned(),
        work_order: order.name().to_owned(),
        title: spec.task.title.clone(),
        repository: spec.source.git.url.clone(),
        revision: spec.source.git.revision.clone(),
        base_commit: status.and_then(|status| status.base_commit.clone()),
        started_at: started(order),
        finished_at,
        outcome: finished_at.and(succeeded),
        winner: status.and_then(|status| status.winner.clone()),
    }
}

/// Returns when an order began: when its first World was started, and before that when it was made.
fn started(order: &Stored<WorkOrder>) -> Timestamp {
    let first = order.status.as_ref().and_then(|status| moment(status.start_time.as_ref()));
    first.unwrap_or_else(|| order.created())
}

fn task_id(order: &Stored<WorkOrder>) -> String {
    format!("{}/worlds/1", order.uid())
}

fn task(order: &Stored<WorkOrder>) -> TaskExecution {
    let conditions = order.status.as_ref().map_or(&[][..], |status| status.conditions.as_slice());
    let evaluated = holds(conditions, OrderCondition::Evaluated.as_str());
    let ended = evaluated.or_else(|| holds(conditions, OrderCondition::Finished.as_str()));
    TaskExecution {
        id: task_id(order),
        run: order.uid().to_string(),
        task: "worlds".to_owned(),
        round: 1,
        started_at: started(order),
        finished_at: ended.map(|condition| condition.last_transition_time.0),
        outcome: ended.map(|_| if evaluated.is_some() { "Evaluated" } else { "Ended" }.to_owned()),
        reason: ended.map(reason_of),
    }
}

/// An attempt of a World: one that its status records, or the one that goes on.
struct AttemptView<'a> {
    number: i32,
    recorded: Option<&'a Attempt>,
    /// The pod that works.
    pod: Option<&'a OrderPod>,
    /// The newest pod that judges.
    judge: Option<&'a OrderPod>,
    /// The attempt that the conditions of the World's status are about.
    subject: StatusSubject,
}

/// The attempt that the conditions of a World's status are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StatusSubject {
    /// This one.
    This,
    /// A later one.
    Another,
}

fn attempts<'a>(world: &'a Stored<World>, pods: &'a [Arc<OrderPod>]) -> Vec<AttemptView<'a>> {
    let status = world.status.as_ref();
    let recorded = status.map_or(0, |status| status.attempt_count);
    let world_uid = world.uid().as_str();
    let newest = |role: &'static PodRole, number: i32| {
        let of_role = pods.iter().filter(|pod| pod.is_attempt(role, world_uid, number));
        of_role.max_by_key(|pod| pod.number).map(Arc::as_ref)
    };
    let view = |number: i32, recorded: Option<&'a Attempt>, subject: StatusSubject| {
        let (pod, judge) = (newest(&WORK, number), newest(&EVALUATION, number));
        AttemptView { number, recorded, pod, judge, subject }
    };
    let stage = status.and_then(|status| status.stage);
    let mut all: Vec<_> = status
        .map_or(&[][..], |status| status.attempts.as_slice())
        .iter()
        .map(|attempt| {
            let is_shown = attempt.number == recorded && stage == Some(WorldStage::Scored);
            let subject = if is_shown { StatusSubject::This } else { StatusSubject::Another };
            view(attempt.number, Some(attempt), subject)
        })
        .collect();
    let next = view(recorded + 1, None, StatusSubject::This);
    // A World is made together with its first pod.
    let has_next = next.pod.or(next.judge).is_some() || recorded == 0;
    let is_over = matches!(stage, Some(WorldStage::Scored | WorldStage::Failed));
    if has_next && !is_over {
        all.push(next);
    }
    all
}

struct Context<'a> {
    order: &'a Stored<WorkOrder>,
    world: &'a Stored<World>,
}

impl Context<'_> {
    fn rows(&self, attempt: &AttemptView<'_>, rows: &mut Vec<HistoryRecord>) {
        let execution = self.execution(attempt);
        let (id, started_at, finished_at) = (execution.id.clone(), execution.started_at, execution.finished_at);
        rows.push(if self.is_earlier(attempt) {
            HistoryRecord::WorldIfAbsent(execution)
        } else {
            HistoryRecord::World(execution)
        });
        if let Some(made_at) = started_at
            && self.had_worktree(attempt)
        {
            rows.push(HistoryRecord::Worktree(self.worktree(attempt, &id, made_at, finished_at)));
        }
        let mut reached = |stage: &str, made_at, commit: Option<&String>| {
            let details = serde_json::json!({"world": self.world.spec.variant.name, "attempt": attempt.number});
            rows.push(HistoryRecord::Checkpoint(Checkpoint {
                id: format!("{id}/{stage}"),
                world_execution: id.clone(),
                stage: stage.to_owned(),
                commit: commit.cloned(),
                made_at,
                details: Some(details.to_string()),
            }));
        };
        if let Some(started_at) = started_at {
            reached("WorldsSpawned", started_at, None);
        }
        let status = self.world.status.as_ref().filter(|_| attempt.subject == StatusSubject::This);
        let commit = status.and_then(|status| status.commit.as_ref());
        let base = status.and_then(|status| status.base_commit.as_ref());
        let stages = WORK.stages.iter().map(|stage| (stage, attempt.pod));
        for (stage, pod) in stages.chain(EVALUATION.stages.iter().map(|stage| (stage, attempt.judge))) {
            let Some(done) = &stage.done else { continue };
            let seen = pod.and_then(|pod| pod.stages.get(stage.container));
            let shown = status.and_then(|status| holds(&status.conditions, done.condition.as_str()));
            // What fails later is not shown any more, and what is quick never was: the pod says it too.
            let at = shown.map(|condition| condition.last_transition_time.0).or(seen.and_then(ended_well));
            let of_stage = if done.condition == WorldCondition::Prepared { base } else { commit };
            if let Some(at) = at {
                reached(done.checkpoint, at, of_stage.filter(|_| shown.is_some()));
            }
        }
        if attempt.subject == StatusSubject::Another {
            return;
        }
        let won = self.order.status.as_ref().and_then(|status| status.winner.as_deref());
        if won == Some(self.world.spec.variant.name.as_str())
            && let Some(finished) = finished(self.order)
        {
            reached("MergeReady", finished, commit);
        }
    }

    /// Returns whether an attempt was made before a fallback of the order had the World run again. What it scored is not in the
    /// World's status any more, and nor is the model of all fallbacks but the last.
    fn is_earlier(&self, attempt: &AttemptView<'_>) -> bool {
        let fallback = self.world.status.as_ref().and_then(|status| status.fallback.as_ref());
        fallback.is_some_and(|fallback| attempt.number <= fallback.after_attempt)
    }

    fn execution(&self, attempt: &AttemptView<'_>) -> WorldExecution {
        let Self { order, world } = self;
        let variant = &world.spec.variant;
        let status = world.status.as_ref();
        let shown = status.filter(|_| attempt.subject == StatusSubject::This && attempt.recorded.is_some());
        let (model, temperature) = if self.is_earlier(attempt) {
            (variant.model.clone(), variant.temperature)
        } else {
            (world.model().map(str::to_owned), world.temperature())
        };
        let (finished_at, outcome, reason) = self.end(attempt);
        WorldExecution {
            id: format!("{}/{}", world.uid(), attempt.number),
            run: order.uid().to_string(),
            task: Some(task_id(order)),
            world: world.name().to_owned(),
            world_uid: world.uid().to_string(),
            attempt: i64::from(attempt.number),
            variant: variant.name.clone(),
            model,
            temperature: temperature.map(|temperature| temperature.to_string()),
            prompt: variant.prompt.as_deref().map(|prompt| shortened(prompt, LONGEST_PROMPT)),
            pod: Some(labels::pod_name(&world.spec.order.name, &variant.name, attempt.number)),
            started_at: match (attempt.recorded, attempt.pod) {
                (Some(recorded), _) => moment(recorded.start_time.as_ref()),
                (None, Some(pod)) => Some(pod.created),
                (None, None) => Some(world.created()),
            },
            finished_at,
            outcome,
            reason,
            score: shown.and_then(|status| status.score.as_ref()).map(|score| i64::from(score.total)),
            result_commit: shown.and_then(|status| status.commit.clone()),
        }
    }

    /// Returns when, how and why an attempt ended.
    fn end(&self, attempt: &AttemptView<'_>) -> (Option<Timestamp>, Option<String>, Option<String>) {
        let status = self.world.status.as_ref();
        if let Some(recorded) = attempt.recorded {
            let outcome = recorded.class.map_or("Completed", FailureClass::as_str);
            let reason = match recorded.message.as_str() {
                "" => recorded.reason.clone(),
                message => shortened(&format!("{}: {message}", recorded.reason), LONGEST_REASON),
            };
            return (moment(recorded.finish_time.as_ref()), Some(outcome.to_owned()), Some(reason));
        }
        let over = status.and_then(|status| holds(&status.conditions, WorldCondition::Finished.as_str()));
        match over {
            // An attempt that no status records was cut with its World.
            Some(over) => (Some(over.last_transition_time.0), Some("Cut".to_owned()), Some(reason_of(over))),
            None => (None, None, None),
        }
    }

    /// Returns whether the repository was checked out. What failed before that, or was ended from outside, may not have come so far.
    fn had_worktree(&self, attempt: &AttemptView<'_>) -> bool {
        match attempt.recorded {
            Some(recorded) => matches!(recorded.class, None | Some(FailureClass::Worker | FailureClass::Evaluation)),
            None => self
                .world
                .status
                .as_ref()
                .is_some_and(|status| holds(&status.conditions, WorldCondition::Prepared.as_str()).is_some()),
        }
    }

    fn worktree(
        &self,
        attempt: &AttemptView<'_>,
        execution: &str,
        made_at: Timestamp,
        removed_at: Option<Timestamp>,
    ) -> Worktree {
        let variant = &self.world.spec.variant.name;
        let known = self.world.status.as_ref().and_then(|status| status.base_commit.clone());
        Worktree {
            id: format!("{execution}/tree"),
            world_execution: execution.to_owned(),
            path: format!("{}/worktrees/world-{variant}/{}", labels::WORK_DIRECTORY, self.world.spec.order.name),
            node: match (attempt.recorded, attempt.pod) {
                (Some(recorded), _) => recorded.node.clone(),
                (None, pod) => pod.and_then(|pod| pod.node.as_deref().map(str::to_owned)),
            },
            base_commit: known.or_else(|| self.order.status.as_ref().and_then(|status| status.base_commit.clone())),
            made_at,
            removed_at,
        }
    }
}

/// Returns when a stage ended, where it did and did what it was for.
fn ended_well(stage: &StageState) -> Option<Timestamp> {
    match stage {
        StageState::Ended { exit_code: 0, finished, .. } => *finished,
        _ => None,
    }
}

fn moment(time: Option<&Time>) -> Option<Timestamp> {
    time.map(|time| time.0)
}

fn reason_of(condition: &Condition) -> String {
    condition.reason.clone()
}

fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == kind)
}

/// Returns a condition that is true.
fn holds<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    find(conditions, kind).filter(|_| truth(conditions, kind) == Truth::True)
}

#[cfg(test)]
#[path = "history_rows_tests.rs"]
pub(super) mod tests;
