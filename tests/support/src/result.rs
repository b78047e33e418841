//! How a test ends.

/// Whatever ends a test: the text of the error is all that a person sees of it.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
/// Result of a helper, and of a test.
pub type Result<T = ()> = std::result::Result<T, Error>;
