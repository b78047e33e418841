//! Runs the gates in their order and gives their points.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use manyworlds_api::baseline_document::TestCase;
use manyworlds_api::conditions::{Reason, shortened};
use manyworlds_api::order_document::OrderDocument;
use manyworlds_api::report_document::GateOutput;
use manyworlds_api::result::{FailureClass, GateOutcome, GateResult};
use manyworlds_api::work_order::{Gate, GateKind};

use super::baseline::Standards;
use super::canary::{Trial, Verdict};
use super::candidate::Candidate;
use super::counts::{OutputReader, Reports};
use super::gate::Sandbox;
use super::ground::Ground;
use super::inspection::refused_in_output;
use super::integrity::{forged, untouched, worthless};
use super::outcome::{REASON_BYTES, cases_of, file_too_large, gate_result, not_run, reason, unscored};
use super::restoration::{RestoreError, remove};
use super::tripwire::{Touched, Tripwire};
use crate::layout::Layout;
use crate::process::{Completed, Stop, Supervisor};
use crate::stage::StageError;
use crate::text::{few, one_line, print_line, tail};

/// The last bytes of a gate's output that the report keeps.
const TAIL_BYTES: usize = 8192;
/// The most bytes of a line about a refusal that a reason repeats.
const REFUSED_BYTES: usize = 160;
/// A gate that prints more than this has flooded its log.
const FLOOD_BYTES: u64 = 16 * 1024 * 1024;

/// The gates of an order.
pub(super) struct Gates<'a> {
    order: &'a OrderDocument,
    supervisor: &'a Supervisor,
    sandbox: Sandbox<'a>,
    ground: Ground,
    standards: Standards,
    /// Files of the judge, which no gate may change.
    watched: [PathBuf; 4],
    deadline: Instant,
    /// Findings against the World.
    pub(super) reasons: Vec<String>,
    /// Reports that were removed before their gates ran. A change of one is no change of the candidate.
    reports: HashSet<PathBuf>,
    /// Whether a gate left the checkout beyond repair, so that no other gate can run.
    damaged: bool,
    /// How a gate attacked its judge, if one did. No other gate can run then, and none earns anything.
    pub(super) attack: Option<String>,
    /// The last lines that each gate printed.
    pub(super) outputs: Vec<GateOutput>,
    /// Everything that the gates printed.
    pub(super) log: String,
    /// The test cases of each gate that names them all, by the gate's name, where the base is judged.
    pub(super) cases: HashMap<String, Vec<TestCase>>,
}

impl<'a> Gates<'a> {
    pub(super) fn new(
        layout: &Layout,
        order: &'a OrderDocument,
        supervisor: &'a Supervisor,
        sealed: bool,
        standards: Standards,
    ) -> Self {
        let sandbox = Sandbox {
            checkout: layout.checkout(),
            scratch: layout.scratch(),
            temporary: layout.temporary(),
            shared_memory: layout.shared_memory(),
            hidden: vec![layout.evidence(), layout.token_directory(), layout.termination_log(), layout.baseline()],
            environment: &order.worker.env,
            sealed,
        };
        let testing = Duration::from(order.phase_timeout.testing);
        let deadline = Instant::now() + testing;
        Self {
            order,
            supervisor,
            sandbox,
            ground: Ground::new(layout),
            standards,
            watched: [layout.termination_log(), layout.evidence(), layout.change(), layout.baseline()],
            deadline,
            reasons: Vec::new(),
            reports: HashSet::new(),
            damaged: false,
            attack: None,
            outputs: Vec::new(),
            log: String::new(),
            cases: HashMap::new(),
        }
    }

    /// Runs every gate.
    ///
    /// - **Shape:** one result for each gate of the order, in its order.
    pub(super) fn run(&mut self, candidate: &Candidate) -> Result<Vec<GateResult>, StageError> {
        let order = self.order;
        let mut results: Vec<GateResult> = Vec::new();
        for gate in &order.evaluation.gates {
            let blocked = self.blocked(candidate, &results);
            let result = match blocked {
                Some(reason) => not_run(gate, &reason),
                None if gate.kind == GateKind::Size => self.size(gate, candidate),
                None => self.command(gate, candidate)?,
            };
            print_line(&format!(
                "gate {}: {:?}, {} of {} points {}",
                gate.name, result.outcome, result.points, gate.points, result.reason
            ));
            results.push(result);
        }
        if let Some(attack) = &self.attack {
            results = results.into_iter().map(|result| worthless(result, attack)).collect();
        }
        Ok(results)
    }

    /// Returns why no further gate is run.
    fn blocked(&self, candidate: &Candidate, results: &[GateResult]) -> Option<String> {
        if candidate.commit.is_none() {
            return Some(candidate.reasons.last().cloned().unwrap_or_else(|| "there is no change".to_owned()));
        }
        if let Some(attack) = &self.attack {
            return Some(format!("{}: {attack}", Reason::JudgeAttacked));
        }
        if self.damaged {
            return Some("an earlier gate left the checkout so that it cannot be restored".to_owned());
        }
        if Instant::now() >= self.deadline {
            return Some(format!("the {} for testing were over", self.order.phase_timeout.testing));
        }
        let failed = self.order.evaluation.gates.iter().zip(results).find(|(gate, result)| {
            gate.kind == GateKind::Build && gate.required && result.outcome != GateOutcome::Passed
        });
        failed.map(|(gate, _)| format!("the required gate {} did not pass", gate.name))
    }

    fn size(&self, gate: &Gate, candidate: &Candidate) -> GateResult {
        let most = self.order.evaluation.max_changed_lines;
        let lines = candidate.diff.changed_lines();
        if lines > most {
            let reason = format!("the change has {lines} lines, evaluation.maxChangedLines allows {most}");
            return GateResult { outcome: GateOutcome::Failed, reason, ..unscored(gate) };
        }
        GateResult { outcome: GateOutcome::Passed, points: gate.points, ..unscored(gate) }
    }

    fn command(&mut self, gate: &Gate, candidate: &Candidate) -> Result<GateResult, StageError> {
        let reports = gate.report.as_ref().map(|path| Reports::new(path, &self.sandbox.checkout));
        match self.restore(candidate, gate, reports.as_ref()) {
            Ok(()) => {}
            Err(RestoreError(why)) => {
                let reason = format!("an earlier gate left the checkout so that it cannot be restored: {why}");
                self.reasons.push(shortened(&reason, REASON_BYTES));
                self.damaged = true;
                return Ok(not_run(gate, &reason));
            }
        }
        print_line(&format!("gate {}: {}", gate.name, gate.command.join(" ")));
        let left = self.deadline.saturating_duration_since(Instant::now());
        let tripwire = Tripwire::snapshot(&self.watched);
        let guard = candidate.guard();
        let counts_output = gate.kind == GateKind::Test && reports.is_none();
        let mut reader = counts_output.then(OutputReader::default);
        let time = Duration::from(gate.timeout).min(left);
        let completed = self.sandbox.run(self.supervisor, &gate.command, time, reader.as_mut())?;
        let left_reports = reports.as_ref().map(Reports::files).unwrap_or_default();
        let touched = guard.look(&left_reports);
        self.record_touched(gate, &touched);
        self.record_trespass(gate, &tripwire);
        if completed.stopped == Some(Stop::Terminated) {
            self.record_output(gate, &completed);
            return Err(terminated());
        }
        self.record_output(gate, &completed);
        let reading = (gate.kind == GateKind::Test).then(|| match &reports {
            Some(reports) => reports.read(&left_reports),
            None => reader.unwrap_or_default().finish(),
        });
        let standard = self.standards.of(&gate.name);
        let result = gate_result(gate, &completed, reading.as_ref(), standard);
        if standard.is_base() {
            self.cases.insert(gate.name.clone(), cases_of(&completed, reading.as_ref()));
        }
        let left = time.saturating_sub(completed.elapsed);
        self.hold_against_canary(candidate, gate, untouched(gate, result, &touched), left)
    }

    /// Holds a result against the gate's canary: what a program says that calls every test a success is worth nothing.
    fn hold_against_canary(
        &mut self,
        candidate: &Candidate,
        gate: &Gate,
        result: GateResult,
        left: Duration,
    ) -> Result<GateResult, StageError> {
        if gate.kind != GateKind::Test || !matches!(result.outcome, GateOutcome::Passed | GateOutcome::Partial) {
            return Ok(result);
        }
        let tripwire = Tripwire::snapshot(&self.watched);
        let trial = Trial { sandbox: &self.sandbox, supervisor: self.supervisor, gate, left };
        // A gate that has spoilt the judge's repository gets no canary, and no other gate runs after it.
        let tried = trial.run(&candidate.files().unwrap_or_default())?;
        self.log.extend(["== canary of gate ", &gate.name, "\n", &tried.output]);
        if tried.stopped == Some(Stop::Terminated) {
            return Err(terminated());
        }
        self.record_trespass(gate, &tripwire);
        if let Some(why) = tried.remains {
            self.reasons.push(shortened(&format!("gate {} keeps its canary: {why}", gate.name), REASON_BYTES));
            self.damaged = true;
        }
        Ok(match tried.verdict {
            Verdict::Sound => result,
            Verdict::Unknown(why) => {
                let note = one_line(&format!("gate {}: the canary gave no verdict: {why}", gate.name));
                print_line(&note);
                self.log.extend([&note, "\n"]);
                result
            }
            Verdict::Forged(why) => {
                self.reasons.push(reason(&format!("gate {}: {why}", gate.name)));
                forged(gate, &result, &why, self.standards.of(&gate.name))
            }
        })
    }

    /// Restores the checkout, and removes the old reports of the gate.
    fn restore(&mut self, candidate: &Candidate, gate: &Gate, reports: Option<&Reports>) -> Result<(), RestoreError> {
        self.ground.clear()?;
        let mut changed = candidate.restore()?;
        changed.retain(|path| !self.reports.contains(&self.sandbox.checkout.join(path)));
        self.record_changes(&changed, gate);
        for report in reports.map(Reports::files).unwrap_or_default() {
            remove(&report)?;
            self.reports.insert(report);
        }
        Ok(())
    }

    /// Records a gate's output and everything that it did besides.
    fn record_output(&mut self, gate: &Gate, completed: &Completed<String>) {
        self.outputs.push(GateOutput { gate: gate.name.clone(), tail: tail(&completed.output, TAIL_BYTES).to_owned() });
        self.log.extend(["== gate ", &gate.name, "\n", &completed.output]);
        if completed.left_behind > 0 {
            self.reasons
                .push(format!("gate {} left {} processes behind, which were ended", gate.name, completed.left_behind));
        }
        if completed.printed > FLOOD_BYTES {
            let kept = completed.output.len();
            self.reasons
                .push(format!("gate {} flooded its log with {} bytes; {kept} were kept", gate.name, completed.printed));
        }
        match completed.stopped {
            Some(Stop::DiskLimit) => self.reasons.push(format!("gate {} filled the disk", gate.name)),
            Some(Stop::FileSizeLimit) => self.reasons.push(format!("gate {} {}", gate.name, file_too_large())),
            Some(Stop::FileCountLimit) => self.reasons.push(format!("gate {} made too many files", gate.name)),
            Some(Stop::ProcessLimit) => self.reasons.push(format!("gate {} started too many processes", gate.name)),
            Some(Stop::TimeLimit | Stop::OutputLimit | Stop::Terminated) | None => {}
        }
        if completed.forged_signals > 0 {
            let attack = format!("gate {} told its judge to end", gate.name);
            self.reasons.push(format!("{}: {attack}", Reason::JudgeAttacked));
            self.attack = Some(attack);
        }
        if let Some(line) = refused_in_output(&completed.output) {
            let line = shortened(line, REFUSED_BYTES);
            self.reasons.push(format!("gate {} reached for what belongs to its judge: {line}", gate.name));
        }
    }

    /// Records that a gate changed files of its judge.
    fn record_trespass(&mut self, gate: &Gate, before: &Tripwire) {
        if let Some(path) = before.changes(&self.watched).first() {
            self.reasons.push(format!("gate {} changed what belongs to its judge: {}", gate.name, path.display()));
        }
    }

    /// Records what a gate did to protected files and places.
    fn record_touched(&mut self, gate: &Gate, Touched { tampered, added }: &Touched) {
        for (files, did) in
            [(tampered, "touched protected files while it ran"), (added, "added files in protected places")]
        {
            if !files.is_empty() {
                let reason = format!("gate {} {did}: {}", gate.name, few(files));
                self.reasons.push(shortened(&reason, REASON_BYTES));
            }
        }
    }

    fn record_changes(&mut self, changed: &[PathBuf], gate: &Gate) {
        if !changed.is_empty() {
            let named = changed.iter().take(3).map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
            self.reasons.push(format!("files changed while a gate ran, restored before {}: {named}", gate.name));
        }
    }
}

fn terminated() -> StageError {
    let message = "the pod was told to end while the gates ran";
    StageError::new(FailureClass::Cancelled, Reason::Terminated, message)
}
