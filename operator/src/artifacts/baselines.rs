//! What the gates of an order give at its base: one file for all its Worlds, beside the bundle of that base.

use bytes::Bytes;
use futures::Stream;
use manyworlds_api::baseline_document::MAXIMUM_BYTES;
use object_store::path::Path;

use super::once::{OnceFile, OncePut};
use super::store::{ArtifactStore, PutError, StoreError, StoredBody};

/// The most bytes of a baseline.
pub(super) const MOST_BASELINE_BYTES: u64 = MAXIMUM_BYTES as u64;

/// Its file.
const BASELINE: OnceFile =
    OnceFile { name: "baseline.json", coming: "baseline.json.coming", most: MOST_BASELINE_BYTES };

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
    ) -> Result<OncePut, PutError> {
        self.once_put(order_uid, BASELINE, body, |_| {}).await
    }

    /// Returns the size of an order's baseline in bytes; nothing when there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Store`] (class: transient).
    pub(super) async fn baseline_size(&self, order_uid: &str) -> Result<Option<u64>, StoreError> {
        self.once_size(order_uid, BASELINE).await
    }

    /// Reads the baseline of an order; nothing when there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Store`] (class: transient).
    pub(super) async fn baseline_get(&self, order_uid: &str) -> Result<Option<StoredBody>, StoreError> {
        self.body(&Path::from_iter([order_uid, BASELINE.name])).await
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

        assert_eq!(store.baseline_put("uid", body(&[Ok("{"), Ok("}")])).await.unwrap(), OncePut::Stored(2));
        assert_eq!(store.baseline_put("uid", body(&[Ok("[]")])).await.unwrap(), OncePut::Before);
        let StoredBody { bytes, body, .. } = store.baseline_get("uid").await.unwrap().unwrap();
        let read: Vec<_> = body.try_collect().await.unwrap();
        assert_eq!((read.concat(), bytes, store.baseline_size("uid").await.unwrap()), (b"{}".to_vec(), 2, Some(2)));
        assert!(store.artifact_list("uid").await.unwrap().is_empty(), "it is no artifact");
        assert!(!folder.path().join("uid").join(BASELINE.coming).exists(), "nothing is left over");
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
