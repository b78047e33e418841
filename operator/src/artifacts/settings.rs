//! The settings of artifacts: as they are given, and as they are used.

use std::path::PathBuf;

use clap::Args;
use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use manyworlds_api::Duration;
use manyworlds_api::duration::DurationError;
use manyworlds_planner::quantity::{QuantityError, thousandths};

use super::quota::Quota;

/// Settings of artifacts as they are given.
#[derive(Args, Clone, Debug)]
pub struct ArtifactArguments {
    /// Folder of stored artifacts; nothing else may be in it
    #[arg(long = "artifacts", env = "MANYWORLDS_ARTIFACTS", default_value = "/var/lib/manyworlds/artifacts")]
    folder: PathBuf,
    /// Time that the artifacts of a finished order are kept; 0s for as long as the order is there
    #[arg(long = "artifact-retention", env = "MANYWORLDS_ARTIFACT_RETENTION", default_value = "720h")]
    retention: String,
    /// Most bytes of artifacts of one World; 0 for no bound
    #[arg(long = "artifacts-per-world", env = "MANYWORLDS_ARTIFACTS_PER_WORLD", default_value = "256Mi")]
    per_world: String,
    /// Most bytes of artifacts of one order; 0 for no bound
    #[arg(long = "artifacts-per-order", env = "MANYWORLDS_ARTIFACTS_PER_ORDER", default_value = "2Gi")]
    per_order: String,
    /// Most bytes of artifacts of one namespace; 0 for no bound
    #[arg(long = "artifacts-per-namespace", env = "MANYWORLDS_ARTIFACTS_PER_NAMESPACE", default_value = "5Gi")]
    per_namespace: String,
}

/// Settings of artifacts as they are used.
#[derive(Clone, Debug)]
pub struct ArtifactSettings {
    /// The folder that they are stored in.
    pub folder: PathBuf,
    /// The time for which those of a finished order are kept; `None` for as long as the order is there.
    pub retention: Option<SignedDuration>,
    /// The most bytes that are stored.
    pub quota: Quota,
}

/// A setting of artifacts that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactSettingsError {
    /// The retention is no length of time.
    #[error("MANYWORLDS_ARTIFACT_RETENTION cannot be read")]
    Retention(#[source] DurationError),
    /// A bound is no amount of bytes.
    #[error("{name} cannot be read")]
    Quota {
        /// The name of the setting.
        name: &'static str,
        /// What is wrong with it.
        #[source]
        source: QuantityError,
    },
}

impl ArtifactArguments {
    /// Reads every setting.
    ///
    /// # Errors
    ///
    /// [`ArtifactSettingsError`] (class: spec) that names the setting.
    pub fn resolve(self) -> Result<ArtifactSettings, ArtifactSettingsError> {
        let retention: Duration = self.retention.parse().map_err(ArtifactSettingsError::Retention)?;
        let retention = SignedDuration::try_from(std::time::Duration::from(retention)).unwrap_or(SignedDuration::MAX);
        Ok(ArtifactSettings {
            folder: self.folder,
            retention: (!retention.is_zero()).then_some(retention),
            quota: Quota {
                world: bound("MANYWORLDS_ARTIFACTS_PER_WORLD", self.per_world)?,
                order: bound("MANYWORLDS_ARTIFACTS_PER_ORDER", self.per_order)?,
                namespace: bound("MANYWORLDS_ARTIFACTS_PER_NAMESPACE", self.per_namespace)?,
            },
        })
    }
}

/// Reads an amount of bytes, of which 0 is no bound.
fn bound(name: &'static str, text: String) -> Result<Option<u64>, ArtifactSettingsError> {
    let amount =
        thousandths(&Quantity(text)).map_err(|source| ArtifactSettingsError::Quota { name, source })?.div_ceil(1000);
    let bytes = u64::try_from(amount).unwrap_or(u64::MAX);
    Ok((bytes > 0).then_some(bytes))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Given {
        #[command(flatten)]
        artifacts: ArtifactArguments,
    }

    fn resolve(arguments: &[&str]) -> Result<ArtifactSettings, ArtifactSettingsError> {
        let all = std::iter::once("program").chain(arguments.iter().copied());
        Given::try_parse_from(all).unwrap().artifacts.resolve()
    }

    #[test]
    fn everything_has_a_bound_unless_it_is_set_to_zero() {
        let default = resolve(&[]).unwrap();
        let expected = Quota { world: Some(256 << 20), order: Some(2 << 30), namespace: Some(5 << 30) };
        assert_eq!((default.quota, default.retention), (expected, Some(SignedDuration::from_hours(720))));
        let none = ["per-world", "per-order", "per-namespace"].map(|name| format!("--artifacts-{name}=0"));
        let none: Vec<_> = none.iter().map(String::as_str).chain(["--artifact-retention=0s"]).collect();
        let none = resolve(&none).unwrap();
        assert_eq!((none.quota, none.retention), (Quota::default(), None));
    }

    #[test]
    fn a_setting_that_cannot_be_used_is_named() {
        let refused = |argument: &str| resolve(&[argument]).unwrap_err().to_string();
        assert!(refused("--artifact-retention=soon").contains("MANYWORLDS_ARTIFACT_RETENTION"));
        assert!(refused("--artifacts-per-world=much").contains("MANYWORLDS_ARTIFACTS_PER_WORLD"));
        assert!(refused("--artifacts-per-order=-1").contains("MANYWORLDS_ARTIFACTS_PER_ORDER"));
        assert!(refused("--artifacts-per-namespace=1Zi").contains("MANYWORLDS_ARTIFACTS_PER_NAMESPACE"));
    }
}
