//! Tool files: what decides which tests run and what runs in their place. A gate is as good as they are, so they are those
//! of the base.

mod document;
mod holding;
mod ini;
mod json;
mod lines;
mod names;
mod programs;
mod set;
mod steering;
mod toml;

pub(super) use holding::hold;
pub(super) use set::ToolFileSet;
