//! Artifacts over HTTP: Worlds store theirs with their pod's token, people fetch them with their own. They go with their order.

mod api;
mod baselines;
mod bundles;
mod cleaner;
mod errors;
mod handlers;
mod once;
mod once_upload;
mod order_handlers;
mod orders;
mod quota;
mod retention;
mod server;
mod settings;
mod store;
mod uploads;
mod usage;

pub(crate) use api::{ArtifactApi, ArtifactInputs};
pub use orders::Owner;
pub use quota::Quota;
pub(crate) use retention::Retention;
pub(crate) use server::serve;
pub use settings::{ArtifactArguments, ArtifactSettings, ArtifactSettingsError};
pub use store::{ArtifactStore, PutError, StoreError, StoredBody};
