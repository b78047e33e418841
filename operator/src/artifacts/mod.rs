//! Artifacts over HTTP: Worlds store theirs with their pod's token, people fetch them with their own.

mod api;
mod errors;
mod handlers;
mod server;
mod store;
mod uploads;

pub(crate) use api::ArtifactApi;
pub(crate) use server::serve;
pub use store::{ArtifactStore, PutError, StoreError, StoredBody};
