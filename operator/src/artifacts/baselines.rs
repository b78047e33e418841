//! What the gates of an order give at its base: one file for all its Worlds, beside the bundle of that base.

use bytes::Bytes;
use futures::Stream;
use manyworlds_api::baseline_document::MAXIMUM_BYTES;
use object_store::ObjectStoreExt;
use object_store::path::Path;

use super::store::{ArtifactStore, PutError, StoreError, StoredBody};

/// The most bytes of a baseline.
pub(super) const MOST_BASELINE_BYTES: u64 = MAXIMUM_BYTES as u64;

/// Name of the file among those of an order. No variant has a dot in its name.
const BASELINE: &str = "baseline.json";
/// Name of the file that it is while nobody may read it yet.
const COMING: &str = "baseline.json.coming";

/// Whether a baseline was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BaselinePut {
    /// It is stored, and has this many bytes.
    Stored(u64),
    /// There was one already, which stays.
    Before,
}

impl ArtifactStore {
    /// Stores the baseline of an order, unless there is one.
    ///
    /// - **Guarantees:** the first one stays: Worlds that are judged at different times are held against the same.
    ///
    /// # Errors
    ///
    /// [`PutError`].
    pub(super) async fn baseline_put<E: std::fmt::Display>(
        &self,
        order_uid: &str,
        body: impl Stream<Item = Result<Bytes, E>>,
    ) -> Result<BaselinePut, PutError> {
        let path = |name: &str| Path::from_iter([order_uid, name]);
        let size = self.put(&path(COMING), body, MOST_BASELINE_BYTES, |_| {}).await?;
        match self.store.rename_if_not_exists(&path(COMING), &path(BASELINE)).await {
            Ok(()) => Ok(BaselinePut::Stored(size)),
            Err(object_store::Error::AlreadyExists { .. }) => {
                self.store.delete(&path(COMING)).await.map_err(StoreError::from)?;
                Ok(BaselinePut::Before)
            }
            Err(error) => Err(StoreError::from(error).into()),
        }
    }

    /// Returns the size of an order's baseline in bytes; nothing when there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Store`] (class: transient).
    pub(super) async fn baseline_size(&self, order_uid: &str) -> Result<Option<u64>, StoreError> {
        match self.store.head(&Path::from_iter([order_uid, BASELINE])).await {
            Ok(found) => Ok(Some(found.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads the baseline of an order; nothing when there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Store`] (class: transient).
    pub(super) async fn baseline_get(&self, order_uid: &str) -> Result<Option<StoredBody>, StoreError> {
        self.body(&Path::from_iter([order_uid, BASELINE])).await
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::*;

    fn body(parts: &[Result<&str, &'static str>]) -> impl Stream<Item = Result<Bytes, &'static str>> + use<> {
        let parts: Vec<_> = parts.iter().map(|part| part.map(|text| Bytes::from(text.to_owned()))).collect();
        futures::stream::iter(parts)
    }

    /// W3: all Worlds of an order are held against the same.
    #[tokio::test]
    async fn the_first_baseline_stays_and_half_a_one_never_shows() {
        let folder = tempfile::tempdir().unwrap();
        let store = ArtifactStore::open(folder.path()).unwrap();
        let broken = store.baseline_put("uid", body(&[Ok("{"), Err("the client left")])).await;
        assert!(matches!(broken, Err(PutError::Body(_))), "{broken:?}");
        assert_eq!(store.baseline_size("uid").await.unwrap(), None);
        assert!(store.baseline_get("uid").await.unwrap().is_none());

        assert_eq!(store.baseline_put("uid", body(&[Ok("{"), Ok("}")])).await.unwrap(), BaselinePut::Stored(2));
        assert_eq!(store.baseline_put("uid", body(&[Ok("[]")])).await.unwrap(), BaselinePut::Before);
        let StoredBody { bytes, body, .. } = store.baseline_get("uid").await.unwrap().unwrap();
        let read: Vec<_> = body.try_collect().await.unwrap();
        assert_eq!((read.concat(), bytes, store.baseline_size("uid").await.unwrap()), (b"{}".to_vec(), 2, Some(2)));
        assert!(store.artifact_list("uid").await.unwrap().is_empty(), "it is no artifact");
        assert!(!folder.path().join("uid").join(COMING).exists(), "nothing is left over");
    }

    #[tokio::test]
    async fn a_baseline_that_is_too_large_is_not_stored() {
        let folder = tempfile::tempdir().unwrap();
        let store = ArtifactStore::open(folder.path()).unwrap();
        let part = Bytes::from(vec![b' '; 1 << 20]);
        let endless = futures::stream::repeat_with(move || Ok::<_, &str>(part.clone()));
        assert!(matches!(store.baseline_put("uid", endless).await, Err(PutError::TooLarge)));
        assert_eq!(store.baseline_size("uid").await.unwrap(), None);
    }
}
