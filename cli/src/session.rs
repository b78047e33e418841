//! The session of one command: options, cluster and output.

use serde_json::Value;

use crate::arguments::{Global, Output};
use crate::cluster::Cluster;
use crate::errors::Failure;
use crate::terminal::Terminal;

/// Field manager of everything that this program writes to the API server.
pub const FIELD_MANAGER: &str = "kubectl-worlds";

/// The inputs that every command shares.
pub struct Session {
    /// Options of every command.
    pub global: Global,
    /// Cluster of the kubeconfig.
    pub cluster: Cluster,
    /// Standard output.
    pub terminal: Terminal,
}

impl Session {
    /// Prints a value as JSON or YAML.
    ///
    /// # Errors
    ///
    /// [`Failure::File`] when the value cannot be serialized or the output fails, [`Failure::Closed`] when the reader is gone.
    pub fn print_data<V: serde::Serialize>(&self, output: Output, value: &V) -> Result<(), Failure> {
        let unwritable =
            |error: &dyn std::fmt::Display| Failure::File(format!("the answer cannot be written: {error}"));
        // Only the API server has a use for managed fields.
        let mut value = serde_json::to_value(value).map_err(|error| unwritable(&error))?;
        without_managed_fields(&mut value);
        let text = match output {
            Output::Yaml => serde_saphyr::to_string(&value).map_err(|error| unwritable(&error))?,
            Output::Json | Output::Text | Output::Wide => {
                serde_json::to_string_pretty(&value).map_err(|error| unwritable(&error))?
            }
        };
        self.terminal.print_content(format!("{}\n", text.trim_end()).as_bytes())
    }
}

fn without_managed_fields(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::Object(metadata)) = fields.get_mut("metadata") {
                metadata.remove("managedFields");
            }
            fields.values_mut().for_each(without_managed_fields);
        }
        Value::Array(items) => items.iter_mut().for_each(without_managed_fields),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn managed_fields_are_left_out_at_any_depth() {
        let mut value = json!([{ "order": { "metadata": { "name": "a", "managedFields": [1] } } }]);
        without_managed_fields(&mut value);
        assert_eq!(value, json!([{ "order": { "metadata": { "name": "a" } } }]));
    }
}
