//! The error of a process that cannot start or go on.

use std::error::Error;

/// Any error that ends the process.
pub type Failure = Box<dyn Error + Send + Sync>;
