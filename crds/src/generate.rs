//! Generates the CRDs and JSON Schemas from the types.

use kube::CustomResourceExt;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::baseline_document::BaselineDocument;
use crate::order_document::OrderDocument;
use crate::report_document::ReportDocument;
use crate::{Budget, Provider, WorkOrder, World};

/// One generated file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeneratedFile {
    /// Path relative to the folder of this crate.
    pub path: &'static str,
    /// Content of the file.
    pub content: String,
}

/// The reason why a file could not be generated.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// A CRD cannot be written as YAML.
    #[error("a custom resource definition cannot be written as YAML")]
    Yaml(#[source] serde_saphyr::ser_error::Error),
    /// A schema cannot be written as JSON.
    #[error("a schema cannot be written as JSON")]
    Json(#[source] serde_json::Error),
}

/// Returns every generated file.
///
/// # Errors
///
/// When a type cannot be serialised (class: bug).
pub fn files() -> Result<Vec<GeneratedFile>, GenerateError> {
    let yaml = |crd| {
        let mut definition = serde_json::to_value(crd).map_err(GenerateError::Json)?;
        forbid_null(&mut definition);
        serde_saphyr::to_string(&definition).map_err(GenerateError::Yaml)
    };
    let json = |schema: &_| serde_json::to_string_pretty(schema).map_err(GenerateError::Json);
    Ok(vec![
        GeneratedFile { path: "manyworlds.dev_budgets.yaml", content: yaml(Budget::crd())? },
        GeneratedFile { path: "manyworlds.dev_providers.yaml", content: yaml(Provider::crd())? },
        GeneratedFile { path: "manyworlds.dev_workorders.yaml", content: yaml(WorkOrder::crd())? },
        GeneratedFile { path: "manyworlds.dev_worlds.yaml", content: yaml(World::crd())? },
        GeneratedFile { path: "schemas/workorder@1.json", content: json(&order_schema())? + "\n" },
        GeneratedFile { path: "schemas/report@1.json", content: json(&report_schema())? + "\n" },
        GeneratedFile { path: "schemas/baseline@1.json", content: json(&baseline_schema())? + "\n" },
    ])
}

/// Removes `nullable` everywhere.
///
/// The API server drops a null from a field that is not nullable and keeps it in one that is. A kept null makes `has()`
/// true in a rule, while the operator reads the field as absent: `budget: null` would remove a budget.
fn forbid_null(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if fields.get("nullable") == Some(&Value::Bool(true)) {
                fields.remove("nullable");
            }
            fields.values_mut().for_each(forbid_null);
        }
        Value::Array(items) => items.iter_mut().for_each(forbid_null),
        _ => {}
    }
}

/// Returns the JSON Schema of `workorder@1`.
pub fn order_schema() -> schemars::Schema {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<OrderDocument>()
}

/// Returns the JSON Schema of `report@1`.
pub fn report_schema() -> schemars::Schema {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<ReportDocument>()
}

/// Returns the JSON Schema of `baseline@1`.
pub fn baseline_schema() -> schemars::Schema {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<BaselineDocument>()
}
