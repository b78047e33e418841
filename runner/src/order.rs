//! The order, as a stage reads it: JSON that is validated by its schema first.

use std::fs;

use manyworlds_api::baseline_document::BaselineDocument;
use manyworlds_api::conditions::Reason;
use manyworlds_api::generate::{baseline_schema, order_schema, report_schema};
use manyworlds_api::labels;
use manyworlds_api::order_document::OrderDocument;
use manyworlds_api::report_document::ReportDocument;
use manyworlds_api::result::FailureClass;
use serde_json::Value;

use crate::layout::Layout;
use crate::stage::StageError;

/// The order and World that a stage belongs to.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) namespace: String,
    pub(crate) work_order: String,
    pub(crate) world: String,
    pub(crate) attempt: i32,
    pub(crate) service_url: String,
}

impl Identity {
    /// Reads the environment that the operator gives every stage.
    pub(crate) fn from_environment() -> Result<Self, StageError> {
        Ok(Self {
            namespace: variable(labels::ENV_NAMESPACE)?,
            work_order: variable(labels::ENV_WORK_ORDER)?,
            world: variable(labels::ENV_WORLD)?,
            attempt: variable(labels::ENV_ATTEMPT)?.parse().map_err(|error| {
                unusable(format!("the environment variable {} is no number: {error}", labels::ENV_ATTEMPT))
            })?,
            service_url: variable(labels::ENV_SERVICE_URL)?,
        })
    }
}

/// What a pod judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A World's change.
    Change,
    /// The base itself, without any change.
    Base,
}

impl Subject {
    /// Reads the environment that the operator gives the stages of a pod that judges.
    pub(crate) fn from_environment() -> Result<Self, StageError> {
        Self::named(std::env::var(labels::ENV_SUBJECT).ok().as_deref())
    }

    fn named(name: Option<&str>) -> Result<Self, StageError> {
        match name {
            None => Ok(Self::Change),
            Some(labels::SUBJECT_BASE) => Ok(Self::Base),
            Some(other) => {
                let (variable, known) = (labels::ENV_SUBJECT, labels::SUBJECT_BASE);
                Err(unusable(format!(
                    "the environment variable {variable} is {other:?}, and this runner knows {known:?}; use the runner image of the \
                     operator's release"
                )))
            }
        }
    }
}

/// Reads an environment variable that must be there.
pub(crate) fn variable(name: &str) -> Result<String, StageError> {
    std::env::var(name).map_err(|_| {
        unusable(format!(
            "the environment variable {name} is missing; this program runs in pods that the operator makes"
        ))
    })
}

/// Returns how many bytes of disk the World may fill, where the operator says so.
pub(crate) fn disk_bytes() -> Option<u64> {
    std::env::var(labels::ENV_DISK_BYTES).ok()?.parse().ok()
}

/// Reads an order document.
pub(crate) fn parse(text: &str) -> Result<OrderDocument, StageError> {
    let value: Value =
        serde_json::from_str(text).map_err(|error| unusable(format!("the order is not JSON: {error}")))?;
    validate(&order_schema(), &value).map_err(|why| unusable(format!("the order is not a workorder@1: {why}")))?;
    serde_json::from_value(value).map_err(|error| unusable(format!("the order is not a workorder@1: {error}")))
}

/// Reads the order that the operator gives, and returns it with its text.
///
/// # Errors
///
/// [`StageError`] with class `Spec` when it is none, or not that of this World.
pub(crate) fn given(identity: &Identity) -> Result<(OrderDocument, String), StageError> {
    let text = variable(labels::ENV_ORDER)?;
    let order = parse(&text)?;
    if order.agents.len() != 1 || order.agents.iter().any(|agent| agent.name != identity.world) {
        return Err(unusable("the order must name this World as its only agent".to_owned()));
    }
    Ok((order, text))
}

/// Leaves the order and the commit for the stages that follow, which [`load`] them.
pub(crate) fn store(layout: &Layout, text: &str, base: &str) -> Result<(), StageError> {
    for (path, content) in [(layout.order_file(), text), (layout.base_file(), base)] {
        fs::write(&path, content).map_err(|error| StageError::file(&path, &error))?;
    }
    Ok(())
}

/// Reads the order and the commit that the pod's first stage left.
pub(crate) fn load(layout: &Layout) -> Result<(OrderDocument, String), StageError> {
    let read = |path: std::path::PathBuf| fs::read_to_string(&path).map_err(|error| StageError::file(&path, &error));
    let order = parse(&read(layout.order_file())?)?;
    Ok((order, read(layout.base_file())?.trim().to_owned()))
}

/// Writes a report as JSON that is held against its schema.
pub(crate) fn report_json(report: &ReportDocument) -> Result<String, StageError> {
    let faulty = |why: String| {
        let message = format!("the report is not a report@1: {why}");
        StageError::new(FailureClass::Evaluation, Reason::Unexpected, message)
    };
    let value = serde_json::to_value(report).map_err(|error| faulty(error.to_string()))?;
    validate(&report_schema(), &value).map_err(faulty)?;
    serde_json::to_string_pretty(&value).map_err(|error| faulty(error.to_string()))
}

/// Writes what the gates give at the base as JSON that is held against its schema.
pub(crate) fn baseline_json(baseline: &BaselineDocument) -> Result<String, StageError> {
    let faulty = |why: String| {
        let message = format!("what the gates give at the base is not a baseline@1: {why}");
        StageError::new(FailureClass::Evaluation, Reason::Unexpected, message)
    };
    let value = serde_json::to_value(baseline).map_err(|error| faulty(error.to_string()))?;
    validate(&baseline_schema(), &value).map_err(faulty)?;
    serde_json::to_string(&value).map_err(|error| faulty(error.to_string()))
}

fn validate(schema: &impl serde::Serialize, value: &Value) -> Result<(), String> {
    let schema = serde_json::to_value(schema).map_err(|error| error.to_string())?;
    let validator = jsonschema::validator_for(&schema).map_err(|error| error.to_string())?;
    let faults: Vec<String> =
        validator.iter_errors(value).take(5).map(|error| format!("{}: {error}", error.instance_path())).collect();
    if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
}

fn unusable(message: String) -> StageError {
    StageError::new(FailureClass::Spec, Reason::InvalidSpecification, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_faulty_order_is_refused_with_the_place_of_the_fault() {
        let error = parse(r#"{"schema": "workorder@1"}"#).unwrap_err();
        assert!(error.message.contains("workorder@1"), "{}", error.message);
        assert_eq!(error.class, FailureClass::Spec);
        assert!(parse("{").unwrap_err().message.contains("not JSON"));
    }

    #[test]
    fn a_subject_that_nobody_knows_is_refused() {
        assert_eq!(Subject::named(None).unwrap(), Subject::Change);
        assert_eq!(Subject::named(Some("base")).unwrap(), Subject::Base);
        assert!(Subject::named(Some("tip")).unwrap_err().message.contains("MANYWORLDS_SUBJECT is \"tip\""));
    }
}
