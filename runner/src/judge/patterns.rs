//! Patterns of files in the checkout.

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};
use manyworlds_api::conditions::Reason;
use manyworlds_api::result::FailureClass;

use crate::stage::StageError;

/// Whether a pattern tells small letters from capital ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Letters {
    /// They are the same. Some file systems do not tell them apart, and what is refused must not be got around that way.
    Alike,
    /// They are not.
    Apart,
}

/// Reads one pattern as it stands.
pub(super) fn glob(pattern: &str, letters: Letters) -> Result<Glob, globset::Error> {
    GlobBuilder::new(pattern).literal_separator(true).case_insensitive(letters == Letters::Alike).build()
}

/// Reads the patterns of a field of an order. A folder without a pattern stands for everything in it.
///
/// # Errors
///
/// [`StageError`] with class `Spec` where one cannot be read.
pub(super) fn of_field(field: &str, patterns: &[String], letters: Letters) -> Result<GlobSet, StageError> {
    let refused = |why: String| {
        let message = format!("{field} cannot be read: {why}");
        StageError::new(FailureClass::Spec, Reason::InvalidSpecification, message)
    };
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let plain = pattern.trim_start_matches('/').trim_end_matches('/');
        for form in [plain.to_owned(), format!("{plain}/**")] {
            set.add(glob(&form, letters).map_err(|error| refused(format!("{pattern:?}: {error}")))?);
        }
    }
    set.build().map_err(|error| refused(error.to_string()))
}
