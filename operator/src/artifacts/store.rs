//! The store of artifacts: a folder, laid out by order, World and attempt.
//!
//! ```text
//! <uid of the order>/order.json                 the namespace and the name of the order
//! <uid of the order>/base                       the commit that all its Worlds start from
//! <uid of the order>/base.bundle                that commit with its history, and beside it its digest
//! <uid of the order>/baseline.json              what its gates give at that commit
//! <uid of the order>/<variant>/<attempt>/<name> one artifact
//! ```

use std::path::Path as FilePath;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, TryStreamExt};
use manyworlds_api::artifacts::{ArtifactName, MAXIMUM_BYTES, StoredArtifact, hexadecimal};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{GetResult, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, WriteMultipart};
use sha2::{Digest, Sha256};

use crate::volumes::Room;

/// Name of the file with the commit that an order's Worlds start from.
const BASE: &str = "base";
/// The size of the parts of an upload in memory.
const PART: usize = 128 * 1024;
/// The most parts of an upload that wait for the disk.
const PARTS: usize = 4;
/// The free room that uploads leave on the volume.
const RESERVE: u64 = 256 * 1024 * 1024;

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
    /// The artifacts of an order cannot be removed.
    #[error("the artifacts of the order with the uid {order_uid} cannot be removed; the operator needs to write there")]
    Remove {
        /// The uid.
        order_uid: String,
        /// The error of the system.
        #[source]
        source: std::io::Error,
    },
    /// The stored base of an order is no commit.
    #[error("the stored base of the order cannot be read")]
    Base,
}

/// The reason for which an artifact was not stored.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// The body is larger than an artifact may be.
    #[error("the body is too large")]
    TooLarge,
    /// The body broke off.
    #[error("the body broke off: {0}")]
    Body(String),
    /// The volume has too little room.
    #[error("the volume is full")]
    Full,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A stored artifact, to be sent in parts.
pub struct StoredBody {
    /// SHA-256 of its bytes, in hexadecimal.
    pub digest: String,
    /// Size in bytes.
    pub bytes: u64,
    /// The bytes.
    pub body: BoxStream<'static, object_store::Result<Bytes>>,
}

/// A store of artifacts.
#[derive(Clone, Debug)]
pub struct ArtifactStore {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) folder: Arc<FilePath>,
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
        Ok(Self { store: Arc::new(LocalFileSystem::new_with_prefix(folder)?), folder: folder.into() })
    }

    /// Checks that the volume has room for an artifact of a size, and some to spare: the ledger may be on the same volume.
    ///
    /// # Errors
    ///
    /// [`PutError::Full`] (class: spec).
    pub fn check_room(&self, bytes: u64) -> Result<(), PutError> {
        // A volume that does not tell has to show it by itself.
        let Some(Room { free, .. }) = Room::of(&self.folder) else { return Ok(()) };
        if free >= bytes.saturating_add(RESERVE) { Ok(()) } else { Err(PutError::Full) }
    }

    /// Stores an artifact, in the place of one with the same name, and returns its size in bytes.
    ///
    /// - **Guarantees:** holds no more than some parts of the body in memory. An artifact that did not come whole leaves nothing,
    ///   and the one before it stays.
    ///
    /// # Errors
    ///
    /// [`PutError`].
    pub async fn artifact_put<E: std::fmt::Display>(
        &self,
        order_uid: &str,
        variant: &str,
        attempt: i32,
        name: ArtifactName,
        body: impl Stream<Item = Result<Bytes, E>>,
    ) -> Result<u64, PutError> {
        let path = artifact_path(order_uid, variant, attempt, name);
        let most = u64::try_from(MAXIMUM_BYTES).unwrap_or(u64::MAX);
        self.put(&path, body, most, |_| {}).await
    }

    /// Writes a body of at most so many bytes to a path, has each part of it seen, and returns its size in bytes.
    pub(super) async fn put<E: std::fmt::Display>(
        &self,
        path: &Path,
        body: impl Stream<Item = Result<Bytes, E>>,
        most: u64,
        on_part: impl FnMut(&Bytes),
    ) -> Result<u64, PutError> {
        let upload = self.store.put_multipart(path).await.map_err(StoreError::from)?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART);
        match write(&mut upload, body, most, on_part).await {
            Ok(size) => {
                upload.finish().await.map_err(StoreError::from)?;
                Ok(size)
            }
            Err(error) => {
                upload.abort().await.map_err(StoreError::from)?;
                Err(error)
            }
        }
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
    ) -> Result<Option<StoredBody>, StoreError> {
        self.body(&artifact_path(order_uid, variant, attempt, name)).await
    }

    /// Reads what is at a path, with its digest; nothing when there is nothing.
    pub(super) async fn body(&self, path: &Path) -> Result<Option<StoredBody>, StoreError> {
        let Some(found) = self.find(path).await? else { return Ok(None) };
        // It is read twice, because the digest goes before the bytes, and none of it waits in memory.
        let (mut digest, mut parts) = (Sha256::new(), found.into_stream());
        while let Some(part) = parts.try_next().await? {
            digest.update(&part);
        }
        let Some(found) = self.find(path).await? else { return Ok(None) };
        let bytes = found.meta.size;
        Ok(Some(StoredBody { digest: hexadecimal(&digest.finalize()), bytes, body: found.into_stream() }))
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

    pub(super) async fn read(&self, path: &Path) -> Result<Option<Bytes>, StoreError> {
        match self.find(path).await? {
            Some(found) => Ok(Some(found.bytes().await?)),
            None => Ok(None),
        }
    }

    pub(super) async fn find(&self, path: &Path) -> Result<Option<GetResult>, StoreError> {
        match self.store.get(path).await {
            Ok(found) => Ok(Some(found)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Writes a body part by part, and returns its size in bytes.
async fn write<E: std::fmt::Display>(
    upload: &mut WriteMultipart,
    body: impl Stream<Item = Result<Bytes, E>>,
    most: u64,
    mut on_part: impl FnMut(&Bytes),
) -> Result<u64, PutError> {
    let mut body = std::pin::pin!(body);
    let mut size = 0_u64;
    while let Some(part) = body.next().await {
        let part = part.map_err(|error| PutError::Body(error.to_string()))?;
        size = size.saturating_add(u64::try_from(part.len()).unwrap_or(u64::MAX));
        if size > most {
            return Err(PutError::TooLarge);
        }
        on_part(&part);
        upload.wait_for_capacity(PARTS).await.map_err(StoreError::from)?;
        upload.put(part);
    }
    Ok(size)
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

    /// Returns a body that comes in parts.
    fn body(parts: &[&str]) -> impl Stream<Item = Result<Bytes, &'static str>> + use<> {
        let parts: Vec<_> = parts.iter().map(|part| Ok(Bytes::from((*part).to_owned()))).collect();
        futures::stream::iter(parts)
    }

    #[tokio::test]
    async fn what_does_not_come_whole_leaves_nothing_and_takes_no_place() {
        let folder = tempfile::tempdir().unwrap();
        let store = ArtifactStore::open(folder.path()).unwrap();
        let put = async |body: BoxStream<'static, Result<Bytes, &'static str>>| {
            store.artifact_put("uid", "alpha", 1, ArtifactName::Patch, body).await
        };
        assert_eq!(put(body(&["it ", "is whole"]).boxed()).await.unwrap(), 11);
        let broken = body(&["half"]).chain(futures::stream::iter([Err("the client left")]));
        assert!(matches!(put(broken.boxed()).await, Err(PutError::Body(why)) if why == "the client left"));
        let part = Bytes::from(vec![0; 1 << 20]);
        let endless = futures::stream::repeat_with(move || Ok(part.clone()));
        assert!(matches!(put(endless.boxed()).await, Err(PutError::TooLarge)));
        let kept = store.artifact_get("uid", "alpha", 1, ArtifactName::Patch).await.unwrap().unwrap();
        assert_eq!(kept.bytes, 11, "the one before it stays");
        let files = std::fs::read_dir(folder.path().join("uid/alpha/1")).unwrap();
        assert_eq!(files.count(), 1, "no part is left over");
    }

    #[tokio::test]
    async fn a_volume_without_room_takes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = ArtifactStore::open(folder.path()).unwrap();
        assert!(store.check_room(1).is_ok());
        assert!(matches!(store.check_room(u64::MAX / 2), Err(PutError::Full)));
    }

    #[tokio::test]
    async fn what_was_stored_is_listed_and_read() {
        let folder = tempfile::tempdir().unwrap();
        let store = ArtifactStore::open(folder.path()).unwrap();
        for (world, attempt) in [("beta", 1), ("alpha", 2), ("alpha", 1)] {
            let text = format!("{world} {attempt}");
            store.artifact_put("uid", world, attempt, ArtifactName::Patch, body(&[&text])).await.unwrap();
        }
        store.base_pin("uid", "commit").await.unwrap();
        let listed = store.artifact_list("uid").await.unwrap();
        let names: Vec<_> = listed.iter().map(|artifact| (artifact.world.as_str(), artifact.attempt)).collect();
        assert_eq!(names, [("alpha", 1), ("alpha", 2), ("beta", 1)]);
        let read = store.artifact_get("uid", "alpha", 2, ArtifactName::Patch).await.unwrap();
        let StoredBody { digest, bytes, body } = read.unwrap();
        let read: Vec<_> = body.try_collect().await.unwrap();
        assert_eq!((read.concat(), bytes), (b"alpha 2".to_vec(), 7));
        assert_eq!(digest, hexadecimal(&Sha256::digest("alpha 2")));
        assert!(store.artifact_get("uid", "alpha", 3, ArtifactName::Patch).await.unwrap().is_none());
        assert!(store.artifact_list("other").await.unwrap().is_empty());
    }
}
