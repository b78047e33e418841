//! What can go wrong, in words that say what to do.

/// Why a command could not do what it was asked. Its exit code is 2; 1 stands for an order that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Something that the user gave cannot be used.
    #[error("{0}")]
    Usage(String),
    /// The API server refused, or could not be reached.
    #[error("{}", api_error(.0))]
    Api(#[from] kube::Error),
    /// The kubeconfig cannot be used.
    #[error("the kubeconfig cannot be used")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// The operator refused, or could not be reached.
    #[error("{0}")]
    Operator(String),
    /// A file or the terminal failed.
    #[error("{0}")]
    File(String),
}

impl Failure {
    /// Exit code of every failure.
    pub const EXIT_CODE: u8 = 2;

    /// A file could not be read or written.
    pub fn file(path: &str, error: &std::io::Error) -> Self {
        Self::File(format!("{path}: {error}"))
    }
}

/// Writes what the API server said: one line for each field that it refuses.
fn api_error(error: &kube::Error) -> String {
    let kube::Error::Api(status) = error else { return format!("the API server could not be asked: {error}") };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let lines: Vec<String> =
        causes.map(|cause| format!("  {}: {}", cause.field.trim_start_matches("spec."), cause.message)).collect();
    if lines.is_empty() { status.message.clone() } else { format!("the API server refused it:\n{}", lines.join("\n")) }
}
