//! The errors of a command, with a hint on what to do.

/// The reason why a command could not be carried out: exit code 2. Exit code 1 means that an order did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// An argument or a file cannot be used.
    #[error("{0}")]
    Usage(String),
    /// The API server refused the request or could not be reached.
    #[error("{}", api_error(.0))]
    Api(#[from] kube::Error),
    /// The kubeconfig cannot be used.
    #[error("the kubeconfig cannot be used")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// The operator refused the request or could not be reached.
    #[error("{0}")]
    Operator(String),
    /// A file or the terminal failed.
    #[error("{0}")]
    File(String),
    /// The reader of the output is gone.
    #[error("the output is closed")]
    Closed,
}

impl Failure {
    /// Exit code of every failure.
    pub const EXIT_CODE: u8 = 2;

    /// Returns the failure of reading or writing a file.
    pub fn file(path: &str, error: &std::io::Error) -> Self {
        Self::File(format!("{path}: {error}"))
    }

    /// Returns the cause of the failure, where it adds something to the message.
    pub fn cause(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            // The message has the API server's answer in full; the client's own error repeats it.
            Self::Api(kube::Error::Api(_)) => None,
            _ => std::error::Error::source(self),
        }
    }

    /// Returns whether a retry may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Api(kube::Error::Api(status)) => status.code == 429 || status.code >= 500,
            Self::Api(_) => true,
            Self::Usage(_) | Self::Kubeconfig(_) | Self::Operator(_) | Self::File(_) | Self::Closed => false,
        }
    }
}

/// Formats the answer of the API server, with one line for each refused field.
fn api_error(error: &kube::Error) -> String {
    let kube::Error::Api(status) = error else { return "the API server could not be asked".to_owned() };
    if status.code == 404 && status.details.as_ref().is_none_or(|details| details.name.is_empty()) {
        return "this cluster does not know WorkOrders; install the chart manyworlds-crds first".to_owned();
    }
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let lines: Vec<String> = causes
        .map(|cause| match cause.field.as_str() {
            "" | "<nil>" => format!("  {}", without_value_prefix(&cause.message)),
            field => format!("  {field}: {}", without_value_prefix(&cause.message)),
        })
        .collect();
    if let Some(refused) = undeclared_field(&status.message) {
        return format!("the API server refused it:\n  {refused}");
    }
    if lines.is_empty() { status.message.clone() } else { format!("the API server refused it:\n{}", lines.join("\n")) }
}

/// Returns the field that the schema does not have, from the message of server-side apply.
fn undeclared_field(message: &str) -> Option<&str> {
    let rest = message.strip_prefix("failed to create typed patch object (")?;
    rest.split_once("): ").map(|(_, fields)| fields.trim_start_matches("errors:").trim().trim_start_matches('.'))
}

/// Removes the prefix that the API server puts before the message of a rule, unless it holds a short value.
fn without_value_prefix(message: &str) -> &str {
    let prefixes = ["object", "array", "string", "integer", "number", "boolean", "null"];
    prefixes
        .iter()
        .find_map(|kind| {
            let quoted = message.strip_prefix(&format!("Invalid value: \"{kind}\": "));
            quoted.or_else(|| message.strip_prefix(&format!("Invalid value: {kind}: ")))
        })
        // Newer API servers leave out a value that is not short.
        .or_else(|| message.strip_prefix("Invalid value: ").filter(|rest| rest.starts_with(char::is_alphabetic)))
        .unwrap_or(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: serde_json::Value) -> Failure {
        Failure::Api(kube::Error::Api(Box::new(serde_json::from_value(status).unwrap())))
    }

    #[test]
    fn each_refused_field_has_a_line_with_the_rule_in_words() {
        let failure = refusal(serde_json::json!({
            "status": "Failure", "code": 422, "reason": "Invalid", "message": "WorkOrder a is invalid",
            "details": { "name": "a", "causes": [
                { "field": "spec.worlds.variants", "message": "Invalid value: \"array\": the names of variants must be unique" },
                { "field": "spec.worlds", "message": "Invalid value: min is too great" },
                { "field": "spec.priority", "message": "Invalid value: 9: too much" },
                { "field": "<nil>", "message": "Invalid value: null: some rules were not checked" },
            ] },
        }));
        let expected = "the API server refused it:\n  spec.worlds.variants: the names of variants must be unique\n  \
            spec.worlds: min is too great\n  spec.priority: Invalid value: 9: too much\n  some rules were not checked";
        assert_eq!(failure.to_string(), expected);
        assert!(!failure.is_transient());
    }

    #[test]
    fn a_field_that_no_order_has_is_named() {
        let message = "failed to create typed patch object (/a; manyworlds.dev/v1alpha1, Kind=WorkOrder): .spec.suspendd: \
            field not declared in schema";
        let failure = refusal(serde_json::json!({ "status": "Failure", "code": 500, "message": message }));
        assert_eq!(failure.to_string(), "the API server refused it:\n  spec.suspendd: field not declared in schema");
    }

    #[test]
    fn a_cluster_without_the_kinds_is_told_from_one_without_the_order() {
        let unknown = refusal(serde_json::json!({ "status": "Failure", "code": 404, "message": "404 page not found" }));
        assert!(unknown.to_string().contains("manyworlds-crds"), "{unknown}");
        let missing = serde_json::json!({
            "status": "Failure", "code": 404, "message": "namespaces \"a\" not found", "details": { "name": "a" },
        });
        assert_eq!(refusal(missing).to_string(), "namespaces \"a\" not found");
        assert!(refusal(serde_json::json!({ "code": 503, "message": "" })).is_transient());
    }
}
