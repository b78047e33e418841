//! Files that an order stores once: whoever brings one first, that one stays.

use bytes::Bytes;
use futures::Stream;
use object_store::ObjectStoreExt;
use object_store::path::Path;

use super::store::{ArtifactStore, PutError, StoreError};

/// Whether a file was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OncePut {
    /// It is stored, and has this many bytes.
    Stored(u64),
    /// There was one already, which stays.
    Before,
}

/// A file that an order stores once.
#[derive(Clone, Copy, Debug)]
pub(super) struct OnceFile {
    /// Its name among the files of an order. No variant has a dot in its name.
    pub(super) name: &'static str,
    /// Its name while nobody may read it yet.
    pub(super) coming: &'static str,
    /// The most bytes that it may have.
    pub(super) most: u64,
}

impl ArtifactStore {
    /// Stores a file of an order, unless there is one. `each` gets every part of it.
    ///
    /// - **Guarantees:** the first one stays. One that did not come whole leaves nothing.
    ///
    /// # Errors
    ///
    /// [`PutError`].
    pub(super) async fn once_put<E: std::fmt::Display>(
        &self,
        order_uid: &str,
        file: OnceFile,
        body: impl Stream<Item = Result<Bytes, E>>,
        each: impl FnMut(&Bytes),
    ) -> Result<OncePut, PutError> {
        let path = |name: &str| Path::from_iter([order_uid, name]);
        let size = self.put(&path(file.coming), body, file.most, each).await?;
        match self.store.rename_if_not_exists(&path(file.coming), &path(file.name)).await {
            Ok(()) => Ok(OncePut::Stored(size)),
            Err(object_store::Error::AlreadyExists { .. }) => {
                self.store.delete(&path(file.coming)).await.map_err(StoreError::from)?;
                Ok(OncePut::Before)
            }
            Err(error) => Err(StoreError::from(error).into()),
        }
    }

    /// Returns the size of a file of an order in bytes; nothing when there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Store`] (class: transient).
    pub(super) async fn once_size(&self, order_uid: &str, file: OnceFile) -> Result<Option<u64>, StoreError> {
        match self.store.head(&Path::from_iter([order_uid, file.name])).await {
            Ok(found) => Ok(Some(found.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
