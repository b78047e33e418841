//! The bounds of uploads. They are settled before a byte of a body is read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, header};
use manyworlds_api::artifacts::MAXIMUM_BYTES;

use super::errors::RequestError;

/// The most uploads at once. Each holds less than a mebibyte of memory.
const MOST: usize = 32;
/// The most uploads of one World at once, or of the pod that judges an order's base. Its stages run one after the other, and each stores one artifact at a time.
const MOST_OF_A_WORLD: usize = 2;
/// The longest upload. A client that is slower is told to try again.
pub(super) const LONGEST: Duration = Duration::from_mins(1);

/// The uploads that are under way, by the uid of the World or order that they are of. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Uploads(Arc<Mutex<HashMap<Arc<str>, usize>>>);

/// A place among the uploads. It is free again once this is dropped.
#[derive(Debug)]
pub(super) struct UploadPermit {
    uploads: Uploads,
    owner: Arc<str>,
}

impl Uploads {
    /// Takes a place for an upload of a World, or of an order itself, by its uid.
    ///
    /// # Errors
    ///
    /// [`RequestError::Busy`] (class: transient) when there is none.
    pub(super) fn permit(&self, owner_uid: &str) -> Result<UploadPermit, RequestError> {
        let mut all = self.lock();
        let owner: Arc<str> = owner_uid.into();
        let count = all.get(&owner).copied().unwrap_or_default();
        if count >= MOST_OF_A_WORLD || all.values().sum::<usize>() >= MOST {
            return Err(RequestError::Busy);
        }
        all.insert(owner.clone(), count + 1);
        Ok(UploadPermit { uploads: self.clone(), owner })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UploadPermit {
    fn drop(&mut self) {
        let mut all = self.uploads.lock();
        if let Some(count) = all.get_mut(&self.owner) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.owner);
            }
        }
    }
}

/// Returns the size that the head of a request gives for the body of an artifact.
///
/// # Errors
///
/// [`RequestError::TooLarge`] when it is more than an artifact may have.
pub(super) fn announced_size(headers: &HeaderMap) -> Result<u64, RequestError> {
    let most = u64::try_from(MAXIMUM_BYTES).unwrap_or(u64::MAX);
    announced(headers, most).ok_or(RequestError::TooLarge)
}

/// Returns the size that the head of a request gives for its body. A body without one may have all that it may have at most.
///
/// - **Shape:** `None` when it is more than that.
pub(super) fn announced(headers: &HeaderMap, most: u64) -> Option<u64> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let size = length.and_then(|length| length.parse().ok()).unwrap_or(most);
    (size <= most).then_some(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_world_takes_few_places_and_all_together_no_more_than_there_are() {
        let uploads = Uploads::default();
        let uid = |number: usize| format!("w-{number}");
        let mut held: Vec<_> = (0..MOST_OF_A_WORLD).map(|_| uploads.permit(&uid(0)).unwrap()).collect();
        assert!(matches!(uploads.permit(&uid(0)), Err(RequestError::Busy)), "one World");
        held.extend((held.len()..MOST).map(|number| uploads.permit(&uid(number)).unwrap()));
        assert!(matches!(uploads.permit(&uid(MOST)), Err(RequestError::Busy)), "all");
        held.clear();
        assert!(uploads.permit(&uid(0)).is_ok());
        assert!(uploads.lock().is_empty(), "nothing is kept of uploads that are over");
    }

    #[test]
    fn a_body_that_says_that_it_is_too_large_is_not_read() {
        let of =
            |length: &str| announced_size(&HeaderMap::from_iter([(header::CONTENT_LENGTH, length.parse().unwrap())]));
        assert_eq!(of("7").unwrap(), 7);
        assert!(of(&MAXIMUM_BYTES.to_string()).is_ok());
        assert!(matches!(of(&(MAXIMUM_BYTES + 1).to_string()), Err(RequestError::TooLarge)));
        let unknown = usize::try_from(announced_size(&HeaderMap::new()).unwrap()).unwrap();
        assert_eq!(unknown, MAXIMUM_BYTES, "it is counted while it comes, and has room for all that may come");
    }
}
