//! The store of artifacts: a folder, laid out by order, World and attempt.
//!
//! ```text
//! <uid of the order>/base                       the commit that all its Worlds start from
//! <uid of the order>/<variant>/<attempt>/<name> one artifact
//! ```

use std::path::Path as FilePath;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use manyworlds_api::artifacts::{ArtifactName, StoredArtifact};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};

/// Name of the file with the commit that an order's Worlds start from.
const BASE: &str = "base";

/// The reason for which an artifact could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder cannot be made.
    #[error("the artifact folder {folder} cannot be made; the operator needs to write there")]
    Folder {
        /// The folder.
        folder: String,
        /// The error of the system.
        #[source]
        source: std::io::Error,
    },
    /// The store refused.
    #[error("the artifact store failed")]
    Store(#[from] object_store::Error),
    /// The stored base of an order is no commit.
    #[error("the stored base of the order cannot be read")]
    Base,
}

/// A store of artifacts.
#[derive(Clone, Debug)]
pub struct ArtifactStore {
    store: Arc<dyn ObjectStore>,
}

impl ArtifactStore {
    /// Opens a folder, which is made when there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Folder`] (class: spec) when it cannot be made.
    pub fn open(folder: &FilePath) -> Result<Self, StoreError> {
        std::fs::create_dir_all(folder)
            .map_err(|source| StoreError::Folder { folder: folder.display().to_string(), source })?;
        Ok(Self { store: Arc::new(LocalFileSystem::new_with_prefix(folder)?) })
    }

    /// Stores an artifact, in the place of one with the same name.
    ///
    /// # Errors
    ///
    /// [`StoreError::Store`] (class: transient).
    pub async fn artifact_put(
        &self,
        order_uid: &str,
        variant: &str,
        attempt: i32,
        name: ArtifactName,
        bytes: Bytes,
    ) -> Result<(), StoreError> {
        let path = artifact_path(order_uid, variant, attempt, name);
        self.store.put(&path, PutPayload::from_bytes(bytes)).await?;
        Ok(())
    }

    /// Reads an artifact; nothing when there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Store`] (class: transient).
    pub async fn artifact_get(
        &self,
        order_uid: &str,
        variant: &str,
        attempt: i32,
        name: ArtifactName,
    ) -> Result<Option<Bytes>, StoreError> {
        self.read(&artifact_path(order_uid, variant, attempt, name)).await
    }

    /// Lists the artifacts of an order, by World, attempt and name.
    ///
    /// # Errors
    ///
    /// [`StoreError::Store`] (class: transient).
    pub async fn artifact_list(&self, order_uid: &str) -> Result<Vec<StoredArtifact>, StoreError> {
        let prefix = Path::from_iter([order_uid]);
        let objects: Vec<_> = self.store.list(Some(&prefix)).try_collect().await?;
        let mut artifacts: Vec<StoredArtifact> =
            objects.iter().filter_map(|object| stored(&object.location, object.size)).collect();
        artifacts.sort_by(|left, right| {
            (&left.world, left.attempt, left.name).cmp(&(&right.world, right.attempt, right.name))
        });
        Ok(artifacts)
    }

    /// Pins the commit that all Worlds of an order start from, and returns it: the first one to come decides.
    ///
    /// # Errors
    ///
    /// [`StoreError::Store`] (class: transient), [`StoreError::Base`] (class: bug).
    pub async fn base_pin(&self, order_uid: &str, commit: &str) -> Result<String, StoreError> {
        let path = Path::from_iter([order_uid, BASE]);
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let payload = PutPayload::from(commit.to_owned());
        match self.store.put_opts(&path, payload, options).await {
            Ok(_) => Ok(commit.to_owned()),
            Err(object_store::Error::AlreadyExists { .. }) => {
                let stored = self.read(&path).await?.ok_or(StoreError::Base)?;
                String::from_utf8(stored.to_vec()).map_err(|_| StoreError::Base)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn read(&self, path: &Path) -> Result<Option<Bytes>, StoreError> {
        match self.store.get(path).await {
            Ok(found) => Ok(Some(found.bytes().await?)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn artifact_path(order_uid: &str, variant: &str, attempt: i32, name: ArtifactName) -> Path {
    Path::from_iter([order_uid, variant, attempt.to_string().as_str(), name.as_str()])
}

fn stored(path: &Path, bytes: u64) -> Option<StoredArtifact> {
    let parts: Vec<_> = path.parts().collect();
    let [_, world, attempt, name] = parts.as_slice() else { return None };
    Some(StoredArtifact {
        world: world.as_ref().to_owned(),
        attempt: attempt.as_ref().parse().ok()?,
        name: name.as_ref().parse().ok()?,
        bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_commit_is_the_base_of_all() {
        let folder = tempfile::tempdir().unwrap();
        let store = ArtifactStore::open(folder.path()).unwrap();
        let pins = futures::future::join_all((0..8).map(|world| {
            let store = store.clone();
            async move { store.base_pin("uid", &format!("{world:040}")).await.unwrap() }
        }))
        .await;
        assert!(pins.iter().all(|pin| *pin == pins[0]), "{pins:?}");
        assert_eq!(ArtifactStore::open(folder.path()).unwrap().base_pin("uid", "other").await.unwrap(), pins[0]);
    }

    #[tokio::test]
    async fn what_was_stored_is_listed_and_read() {
        let folder = tempfile::tempdir().unwrap();
        let store = ArtifactStore::open(folder.path()).unwrap();
        for (world, attempt) in [("beta", 1), ("alpha", 2), ("alpha", 1)] {
            let bytes = Bytes::from(format!("{world} {attempt}"));
            store.artifact_put("uid", world, attempt, ArtifactName::Patch, bytes).await.unwrap();
        }
        store.base_pin("uid", "commit").await.unwrap();
        let listed = store.artifact_list("uid").await.unwrap();
        let names: Vec<_> = listed.iter().map(|artifact| (artifact.world.as_str(), artifact.attempt)).collect();
        assert_eq!(names, [("alpha", 1), ("alpha", 2), ("beta", 1)]);
        let read = store.artifact_get("uid", "alpha", 2, ArtifactName::Patch).await.unwrap();
        assert_eq!(read.as_deref(), Some(b"alpha 2".as_slice()));
        assert!(store.artifact_get("uid", "alpha", 3, ArtifactName::Patch).await.unwrap().is_none());
        assert!(store.artifact_list("other").await.unwrap().is_empty());
    }
}
