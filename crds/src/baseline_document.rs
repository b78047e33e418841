//! `baseline@1`: what the gates of an order give at its base, by test case, as plain JSON.
//!
//! One pod makes it while the Worlds work. Every World's test cases are held against it by name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::report_document::GateOutput;
use crate::result::GateResult;

/// Name of the document.
pub const SCHEMA: &str = "baseline@1";
/// Version of its schema.
pub const SCHEMA_VERSION: &str = "1.0";
/// The most bytes of the document: a hundred thousand test cases with names of 80 bytes.
pub const MAXIMUM_BYTES: usize = 8 * 1024 * 1024;
/// The most test cases of one gate that are kept by name.
pub const MOST_CASES: usize = 50_000;
/// The most bytes of a test case's name.
pub const LONGEST_NAME: usize = 512;

/// What the gates give at the base.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaselineDocument {
    /// `baseline@1`.
    #[schemars(extend("const" = SCHEMA))]
    pub schema: String,
    /// `1.0`.
    #[schemars(regex(pattern = r"^1\.[0-9]+$"))]
    pub schema_version: String,
    /// The commit that was judged.
    #[schemars(length(max = 64))]
    pub base_commit: String,
    /// One entry for each gate of the order, in its order.
    pub gates: Vec<BaselineGate>,
    /// Last output lines of each gate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<GateOutput>,
}

/// What one gate gives at the base.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaselineGate {
    /// Its result.
    pub result: GateResult,
    /// Its test cases by name, sorted. Empty where the tool names none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cases: Vec<TestCase>,
}

/// A test case.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestCase {
    /// Its name, with the class, file or package that it is of. A second case of the same name has `#2` behind it.
    pub name: String,
    /// Its outcome.
    pub outcome: CaseOutcome,
}

/// The outcome of a test case.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum CaseOutcome {
    /// It passed.
    Passed,
    /// It failed.
    Failed,
    /// It was not run.
    Skipped,
}
