//! What the gates give at the base: stored by the pod that judges it, and read by those that judge a World.

use std::fs;
use std::io::ErrorKind;

use manyworlds_api::baseline_document::{BaselineDocument, BaselineGate, MAXIMUM_BYTES, SCHEMA, SCHEMA_VERSION};
use manyworlds_api::conditions::Reason;
use manyworlds_api::order_document::OrderDocument;
use manyworlds_api::result::{FailureClass, WorldResult};

use super::report::Evaluation;
use crate::layout::Layout;
use crate::operator::OperatorClient;
use crate::order::baseline_json;
use crate::stage::StageError;
use crate::text::print_line;

/// What the gates of an order are held against.
#[derive(Debug)]
pub(super) enum Standards {
    /// Nothing: the base itself is judged.
    Nothing,
    /// What they give at the base, where it is known.
    Baseline(Option<BaselineDocument>),
}

/// What one gate is held against.
#[derive(Clone, Copy, Debug)]
pub(super) enum Standard<'a> {
    /// Nothing: the base itself is judged.
    Nothing,
    /// What it gives at the base, where it is known.
    Baseline(Option<&'a BaselineGate>),
}

impl<'a> Standard<'a> {
    /// Returns whether the base itself is judged.
    pub(super) const fn is_base(self) -> bool {
        matches!(self, Self::Nothing)
    }

    /// Returns what the gate gives at the base, where it is known.
    pub(super) const fn gate(self) -> Option<&'a BaselineGate> {
        match self {
            Self::Nothing => None,
            Self::Baseline(gate) => gate,
        }
    }
}

impl Standards {
    /// Reads what `checkout` has left.
    ///
    /// # Errors
    ///
    /// [`StageError`] with class `Evaluation` where it is of no use: what a World is held against is never left out in silence.
    pub(super) fn read(layout: &Layout, base: &str) -> Result<Self, StageError> {
        let file = layout.baseline();
        let bytes = match fs::read(&file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::Baseline(None)),
            Err(error) => return Err(StageError::file(&file, &error)),
        };
        let document: BaselineDocument =
            serde_json::from_slice(&bytes).map_err(|error| unusable(&error.to_string()))?;
        if document.schema != SCHEMA {
            return Err(unusable(&format!("it is a {}", document.schema)));
        }
        if document.base_commit != base {
            return Err(unusable(&format!("it is of the commit {}, and not of {base}", document.base_commit)));
        }
        Ok(Self::Baseline(Some(document)))
    }

    /// Returns what a gate is held against.
    pub(super) fn of(&self, gate: &str) -> Standard<'_> {
        match self {
            Self::Nothing => Standard::Nothing,
            Self::Baseline(document) => {
                let mut gates = document.iter().flat_map(|document| &document.gates);
                Standard::Baseline(gates.find(|entry| entry.result.name == gate))
            }
        }
    }
}

/// Stores what the gates give at the base, and returns the result, which counts against nobody.
///
/// # Errors
///
/// [`StageError`] with class `Infrastructure` where it could not be stored.
pub(super) fn store(
    operator: &OperatorClient,
    order: &OrderDocument,
    base: &str,
    evaluation: Evaluation,
) -> Result<WorldResult, StageError> {
    let (document, result) = document(order, base, evaluation);
    operator.baseline_put(fitting(document)?.as_bytes())?;
    Ok(result)
}

/// Returns what is stored, and what is reported.
fn document(order: &OrderDocument, base: &str, evaluation: Evaluation) -> (BaselineDocument, WorldResult) {
    let Evaluation { result, patch: _, outputs, mut cases } = evaluation;
    for reason in &result.reasons {
        print_line(&format!("at the base: {reason}"));
    }
    let result = WorldResult { commit: None, reasons: Vec::new(), ..result };
    let gates = order.evaluation.gates.iter().zip(&result.gates).map(|(gate, result)| BaselineGate {
        result: result.clone(),
        cases: cases.remove(&gate.name).unwrap_or_default(),
    });
    let document = BaselineDocument {
        schema: SCHEMA.to_owned(),
        schema_version: SCHEMA_VERSION.to_owned(),
        base_commit: base.to_owned(),
        gates: gates.collect(),
        outputs,
    };
    (document, result)
}

/// Returns the document as JSON of at most [`MAXIMUM_BYTES`]. Where that is too little, the gate with the most test cases goes by
/// their number alone.
fn fitting(mut document: BaselineDocument) -> Result<String, StageError> {
    loop {
        let text = baseline_json(&document)?;
        let largest = document.gates.iter_mut().max_by_key(|gate| gate.cases.len());
        match largest.filter(|gate| text.len() > MAXIMUM_BYTES && !gate.cases.is_empty()) {
            Some(gate) => {
                let (name, count) = (&gate.result.name, gate.cases.len());
                print_line(&format!("the names of the {count} tests of gate {name} are too many to be kept"));
                gate.cases.clear();
            }
            None => return Ok(text),
        }
    }
}

fn unusable(why: &str) -> StageError {
    let message = format!(
        "what the gates give at the base cannot be read: {why}; use the runner image of the operator's release, or make the order anew"
    );
    StageError::new(FailureClass::Evaluation, Reason::EvaluationFailed, message)
}

#[cfg(test)]
mod tests {
    use manyworlds_api::baseline_document::{CaseOutcome, LONGEST_NAME, MOST_CASES, TestCase};
    use manyworlds_api::result::{GateOutcome, GateResult};

    use super::*;

    fn gate(name: &str, cases: usize, name_bytes: usize) -> BaselineGate {
        let result = GateResult {
            name: name.to_owned(),
            outcome: GateOutcome::Passed,
            points: 0,
            passed: Some(1),
            total: Some(1),
            tests: None,
            milliseconds: 0,
            reason: String::new(),
        };
        let case = TestCase { name: "x".repeat(name_bytes), outcome: CaseOutcome::Passed };
        BaselineGate { result, cases: vec![case; cases] }
    }

    fn baseline(gates: Vec<BaselineGate>) -> BaselineDocument {
        BaselineDocument {
            schema: SCHEMA.to_owned(),
            schema_version: SCHEMA_VERSION.to_owned(),
            base_commit: "c".repeat(40),
            gates,
            outputs: Vec::new(),
        }
    }

    #[test]
    fn a_document_that_is_too_large_keeps_the_names_that_fit() {
        let text = fitting(baseline(vec![gate("few", 3, 10), gate("many", MOST_CASES, LONGEST_NAME)])).unwrap();
        assert!(text.len() <= MAXIMUM_BYTES);
        let kept: BaselineDocument = serde_json::from_str(&text).unwrap();
        assert_eq!(kept.gates.iter().map(|gate| gate.cases.len()).collect::<Vec<_>>(), [3, 0]);
    }

    /// W3: a World is held against its own base, or not judged.
    #[test]
    fn only_the_baseline_of_this_base_is_read() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path());
        fs::create_dir_all(layout.order_directory()).unwrap();
        let base = "c".repeat(40);
        let none = Standards::read(&layout, &base).unwrap();
        assert!(none.of("test").gate().is_none() && !none.of("test").is_base());
        fs::write(layout.baseline(), fitting(baseline(vec![gate("test", 1, 5)])).unwrap()).unwrap();
        let some = Standards::read(&layout, &base).unwrap();
        assert_eq!(some.of("test").gate().map(|gate| gate.cases.len()), Some(1));
        assert!(some.of("other").gate().is_none());
        let other = Standards::read(&layout, &"d".repeat(40)).unwrap_err();
        assert!(other.message.contains("is of the commit"), "{}", other.message);
        fs::write(layout.baseline(), "{").unwrap();
        assert_eq!(Standards::read(&layout, &base).unwrap_err().class, FailureClass::Evaluation);
    }
}
