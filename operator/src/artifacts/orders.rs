//! What the store has of whole orders: whose it is, and its removal.

use std::io;

use object_store::path::Path;
use object_store::{PutMode, PutOptions, PutPayload};
use serde::{Deserialize, Serialize};

use super::store::{ArtifactStore, StoreError};
use crate::index::OrderKey;

/// Name of the file that says whose the artifacts are. No variant has a dot in its name.
const OWNER: &str = "order.json";

/// The order that artifacts belong to. It is kept with them, because it may be gone before they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Owner {
    /// Returns whose artifacts those of an order are.
    pub(super) fn of(order: &OrderKey) -> Self {
        let OrderKey { namespace, name } = order;
        Self { namespace: namespace.to_string(), name: name.to_string() }
    }
}

impl ArtifactStore {
    /// Lists the uids of the orders that something is stored of.
    ///
    /// # Errors
    ///
    /// [`StoreError::Store`] (class: transient).
    pub async fn order_list(&self) -> Result<Vec<String>, StoreError> {
        let found = self.store.list_with_delimiter(None).await?.common_prefixes;
        let uids = found.iter().filter_map(|folder| folder.filename()).filter(|name| is_uid(name));
        Ok(uids.map(str::to_owned).collect())
    }

    /// Removes everything that is stored of an order, and returns whether there was anything.
    ///
    /// # Errors
    ///
    /// [`StoreError::Remove`] (class: transient). A part may be removed then.
    pub async fn order_remove(&self, order_uid: &str) -> Result<bool, StoreError> {
        if !is_uid(order_uid) {
            return Ok(false);
        }
        let folder = self.folder.join(order_uid);
        let removed = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(folder)).await;
        match removed.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(StoreError::Remove { order_uid: order_uid.to_owned(), source }),
        }
    }

    /// Notes which order artifacts belong to; the first note stays.
    ///
    /// # Errors
    ///
    /// [`StoreError::Store`] (class: transient).
    pub async fn owner_note(&self, order_uid: &str, owner: &Owner) -> Result<(), StoreError> {
        let path = Path::from_iter([order_uid, OWNER]);
        let text = serde_json::json!(owner).to_string();
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.store.put_opts(&path, PutPayload::from(text), options).await {
            Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the order that artifacts belong to; nothing where nobody has noted it, or it cannot be read.
    ///
    /// # Errors
    ///
    /// [`StoreError::Store`] (class: transient).
    pub async fn owner_get(&self, order_uid: &str) -> Result<Option<Owner>, StoreError> {
        let found = self.read(&Path::from_iter([order_uid, OWNER])).await?;
        Ok(found.and_then(|text| serde_json::from_slice(&text).ok()))
    }
}

/// Returns whether a name is a uid of the API server: what else is in the folder, such as `lost+found`, is nobody's.
fn is_uid(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use manyworlds_api::artifacts::ArtifactName;

    use super::*;

    #[tokio::test]
    async fn everything_of_an_order_is_removed_and_nothing_of_another_one() {
        let folder = tempfile::tempdir().unwrap();
        let store = ArtifactStore::open(folder.path()).unwrap();
        for uid in ["gone", "stays"] {
            let body = futures::stream::iter([Ok::<_, &str>(Bytes::from("text"))]);
            store.artifact_put(uid, "alpha", 1, ArtifactName::Patch, body).await.unwrap();
            store.base_pin(uid, "commit").await.unwrap();
        }
        // What a process that was killed in the middle of an upload leaves.
        std::fs::write(folder.path().join("gone/alpha/1/report#1"), "half").unwrap();
        std::fs::create_dir(folder.path().join("lost+found")).unwrap();
        let listed = async || {
            let mut uids = store.order_list().await.unwrap();
            uids.sort();
            uids
        };
        assert_eq!(listed().await, ["gone", "stays"]);
        assert!(store.order_remove("gone").await.unwrap());
        assert!(!folder.path().join("gone").exists());
        assert_eq!(listed().await, ["stays"]);
        assert_eq!(store.artifact_list("stays").await.unwrap().len(), 1);
        assert!(!store.order_remove("gone").await.unwrap(), "there is nothing any more");
        for path in ["..", "lost+found", "stays/alpha", ""] {
            assert!(!store.order_remove(path).await.unwrap(), "{path:?} is no uid");
        }
        assert!(folder.path().join("stays/alpha/1/patch").is_file());
    }

    #[tokio::test]
    async fn the_first_to_say_whose_artifacts_are_decides() {
        let folder = tempfile::tempdir().unwrap();
        let store = ArtifactStore::open(folder.path()).unwrap();
        let owner = |name: &str| Owner { namespace: "team".to_owned(), name: name.to_owned() };
        assert_eq!(store.owner_get("uid").await.unwrap(), None);
        for name in ["fix", "other"] {
            store.owner_note("uid", &owner(name)).await.unwrap();
        }
        assert_eq!(store.owner_get("uid").await.unwrap(), Some(owner("fix")));
        assert!(store.artifact_list("uid").await.unwrap().is_empty(), "it is no artifact");
        std::fs::write(folder.path().join("uid").join(OWNER), "{").unwrap();
        assert_eq!(store.owner_get("uid").await.unwrap(), None);
    }
}
