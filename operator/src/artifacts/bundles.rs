//! The base of an order as a bundle of git: one file for all its Worlds, so that the pods that judge need no repository.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use manyworlds_api::artifacts::hexadecimal;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use sha2::{Digest, Sha256};

use super::errors::RequestError;
use super::once::{OnceFile, OncePut};
use super::quota::MOST_BUNDLE_BYTES;
use super::store::{ArtifactStore, PutError, StoreError, StoredBody};

/// The longest upload of a bundle: that many bytes at seven mebibytes a second.
pub(super) const LONGEST_BUNDLE: Duration = Duration::from_mins(5);
/// The most bundles that come at once: a node's network is full with fewer.
const MOST: usize = 8;

/// Its file.
const BUNDLE: OnceFile = OnceFile { name: "base.bundle", coming: "base.bundle.coming", most: MOST_BUNDLE_BYTES };
/// Name of the file with its digest. What has gone missing of it is computed.
const DIGEST: &str = "base.bundle.sha256";

impl ArtifactStore {
    /// Stores the bundle of an order, unless there is one.
    ///
    /// - **Guarantees:** the first one stays. One that did not come whole leaves nothing.
    ///
    /// # Errors
    ///
    /// [`PutError`].
    pub(super) async fn bundle_put<E: std::fmt::Display>(
        &self,
        order_uid: &str,
        body: impl Stream<Item = Result<Bytes, E>>,
    ) -> Result<OncePut, PutError> {
        let mut digest = Sha256::new();
        let put = self.once_put(order_uid, BUNDLE, body, |part| digest.update(part)).await?;
        if let OncePut::Stored(_) = put {
            let text = PutPayload::from(hexadecimal(&digest.finalize()));
            self.store.put(&Path::from_iter([order_uid, DIGEST]), text).await.map_err(StoreError::from)?;
        }
        Ok(put)
    }

    /// Returns the size of an order's bundle in bytes; nothing when there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Store`] (class: transient).
    pub(super) async fn bundle_size(&self, order_uid: &str) -> Result<Option<u64>, StoreError> {
        self.once_size(order_uid, BUNDLE).await
    }

    /// Reads the bundle of an order; nothing when there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Store`] (class: transient).
    pub(super) async fn bundle_get(&self, order_uid: &str) -> Result<Option<StoredBody>, StoreError> {
        let path = Path::from_iter([order_uid, BUNDLE.name]);
        let noted = self.read(&Path::from_iter([order_uid, DIGEST])).await?;
        // A file as large as a repository is not read twice for each pod where it need not be.
        let Some(digest) = noted.and_then(|text| String::from_utf8(text.to_vec()).ok()) else {
            return self.body(&path).await;
        };
        let Some(found) = self.find(&path).await? else { return Ok(None) };
        Ok(Some(StoredBody { digest, bytes: found.meta.size, body: found.into_stream() }))
    }
}

/// The bundles that are on their way, by the uid of their order. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct ComingBundles(Arc<Mutex<HashSet<Arc<str>>>>);

/// A place among the bundles that come. It is free again once this is dropped.
#[derive(Debug)]
pub(super) struct BundlePermit {
    coming: ComingBundles,
    order: Arc<str>,
}

impl ComingBundles {
    /// Takes the place of an order: its Worlds have the same bundle, so one of them is enough.
    ///
    /// # Errors
    ///
    /// [`RequestError::Busy`] (class: transient) when another one comes for the order, or too many for others.
    pub(super) fn permit(&self, order_uid: &str) -> Result<BundlePermit, RequestError> {
        let mut all = self.lock();
        let order: Arc<str> = order_uid.into();
        if all.len() >= MOST || !all.insert(order.clone()) {
            return Err(RequestError::Busy);
        }
        Ok(BundlePermit { coming: self.clone(), order })
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<Arc<str>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for BundlePermit {
    fn drop(&mut self) {
        self.coming.lock().remove(&self.order);
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

    /// W3: all Worlds of an order are judged on the same base, whoever has stored it.
    #[tokio::test]
    async fn the_first_bundle_stays_and_half_a_one_never_shows() {
        let folder = tempfile::tempdir().unwrap();
        let store = ArtifactStore::open(folder.path()).unwrap();
        let broken = store.bundle_put("uid", body(&[Ok("half"), Err("the client left")])).await;
        assert!(matches!(broken, Err(PutError::Body(_))), "{broken:?}");
        assert_eq!(store.bundle_size("uid").await.unwrap(), None);
        assert!(store.bundle_get("uid").await.unwrap().is_none());

        let first = store.bundle_put("uid", body(&[Ok("it is "), Ok("whole")])).await.unwrap();
        assert_eq!(first, OncePut::Stored(11));
        assert_eq!(store.bundle_put("uid", body(&[Ok("another")])).await.unwrap(), OncePut::Before);
        for noted in [true, false] {
            if !noted {
                std::fs::remove_file(folder.path().join("uid").join(DIGEST)).unwrap();
            }
            let StoredBody { digest, bytes, body } = store.bundle_get("uid").await.unwrap().unwrap();
            let read: Vec<_> = body.try_collect().await.unwrap();
            assert_eq!((read.concat(), bytes), (b"it is whole".to_vec(), 11));
            assert_eq!(digest, hexadecimal(&Sha256::digest("it is whole")), "{noted}");
        }
        assert!(store.artifact_list("uid").await.unwrap().is_empty(), "it is no artifact");
        assert!(!folder.path().join("uid").join(BUNDLE.coming).exists(), "nothing is left over");
        assert!(store.order_remove("uid").await.unwrap());
        assert_eq!(store.bundle_size("uid").await.unwrap(), None);
    }

    #[test]
    fn one_bundle_of_an_order_comes_at_a_time() {
        let coming = ComingBundles::default();
        let held = coming.permit("a").unwrap();
        assert!(matches!(coming.permit("a"), Err(RequestError::Busy)), "the same order");
        let others: Vec<_> = (1..MOST).map(|number| coming.permit(&number.to_string()).unwrap()).collect();
        assert!(matches!(coming.permit("more"), Err(RequestError::Busy)), "too many");
        drop((held, others));
        assert!(coming.permit("a").is_ok());
        assert!(coming.lock().is_empty(), "nothing is kept of what is over");
    }
}
