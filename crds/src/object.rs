//! Objects that the API server has. What each of them has, such as a uid, is read once, so that nobody asks for it again.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::Resource;
use kube::core::ObjectMeta;

use crate::{WorkOrder, World};

/// An object without a part that every object of the API server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("metadata.{0} is missing, empty or of another form, though the API server sets it on every object")]
pub struct IncompleteMetadata(&'static str);

/// Makes a type of text that is never empty and belongs to objects of one kind.
macro_rules! text_of_a_kind {
    ($(#[$documentation:meta])* $name:ident, $field:literal) => {
        $(#[$documentation])*
        ///
        /// - **Shape:** never empty. Clones share the text.
        pub struct $name<K>(Arc<str>, PhantomData<fn() -> K>);

        impl<K> $name<K> {
            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Returns the text, shared.
            pub fn shared(&self) -> Arc<str> {
                self.0.clone()
            }
        }

        impl<K> TryFrom<Arc<str>> for $name<K> {
            type Error = IncompleteMetadata;

            fn try_from(text: Arc<str>) -> Result<Self, IncompleteMetadata> {
                if text.is_empty() { Err(IncompleteMetadata($field)) } else { Ok(Self(text, PhantomData)) }
            }
        }

        impl<K> FromStr for $name<K> {
            type Err = IncompleteMetadata;

            fn from_str(text: &str) -> Result<Self, IncompleteMetadata> {
                Arc::<str>::from(text).try_into()
            }
        }

        // Derived ones would ask the same of the kind.
        impl<K> Clone for $name<K> {
            fn clone(&self) -> Self {
                Self(self.0.clone(), PhantomData)
            }
        }

        impl<K> PartialEq for $name<K> {
            fn eq(&self, other: &Self) -> bool {
                self.0 == other.0
            }
        }

        impl<K> Eq for $name<K> {}

        impl<K> PartialOrd for $name<K> {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl<K> Ord for $name<K> {
            fn cmp(&self, other: &Self) -> Ordering {
                self.0.cmp(&other.0)
            }
        }

        impl<K> Hash for $name<K> {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.0.hash(state);
            }
        }

        impl<K> Borrow<str> for $name<K> {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl<K> PartialEq<str> for $name<K> {
            fn eq(&self, other: &str) -> bool {
                *self.0 == *other
            }
        }

        impl<K> fmt::Display for $name<K> {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl<K> fmt::Debug for $name<K> {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, formatter)
            }
        }
    };
}

text_of_a_kind!(
    /// The uid of an object of a kind: another one for an object made again under the same name.
    Uid,
    "uid"
);
text_of_a_kind!(
    /// The name of an object of a kind, within its namespace.
    Name,
    "name"
);

/// The uid of a WorkOrder.
pub type OrderUid = Uid<WorkOrder>;
/// The uid of a World.
pub type WorldUid = Uid<World>;
/// The name of a World: that of its order, a dash, and that of its variant.
pub type WorldName = Name<World>;
/// The uid of a pod.
pub type PodUid = Uid<Pod>;
/// The name of a pod.
pub type PodName = Name<Pod>;

/// The version of an object. Of two versions of one kind the greater one is newer, since Kubernetes says so (KEP-5504).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ResourceVersion(u64);

impl FromStr for ResourceVersion {
    type Err = IncompleteMetadata;

    fn from_str(text: &str) -> Result<Self, IncompleteMetadata> {
        text.parse().map(Self).map_err(|_| IncompleteMetadata("resourceVersion"))
    }
}

impl fmt::Display for ResourceVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

/// Which object of a kind is meant, so that a write reaches no other: not even one made again under the same name.
pub struct ObjectId<K> {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Name<K>,
    /// Its uid.
    pub uid: Uid<K>,
}

impl<K> ObjectId<K> {
    /// Reads which object is meant.
    ///
    /// # Errors
    ///
    /// [`IncompleteMetadata`] where a part is missing or empty.
    pub fn parse(metadata: &ObjectMeta) -> Result<Self, IncompleteMetadata> {
        let namespace = metadata.namespace.as_deref().filter(|namespace| !namespace.is_empty());
        Ok(Self {
            namespace: namespace.ok_or(IncompleteMetadata("namespace"))?.into(),
            name: metadata.name.as_deref().unwrap_or("").parse()?,
            uid: metadata.uid.as_deref().unwrap_or("").parse()?,
        })
    }
}

impl<K> Clone for ObjectId<K> {
    fn clone(&self) -> Self {
        let Self { namespace, name, uid } = self;
        Self { namespace: namespace.clone(), name: name.clone(), uid: uid.clone() }
    }
}

impl<K> PartialEq for ObjectId<K> {
    fn eq(&self, other: &Self) -> bool {
        (&self.namespace, &self.name, &self.uid) == (&other.namespace, &other.name, &other.uid)
    }
}

impl<K> Eq for ObjectId<K> {}

impl<K> fmt::Debug for ObjectId<K> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{} ({})", self.namespace, self.name, self.uid)
    }
}

/// An object as the API server has it: with a namespace, a name, a uid, a version and the time when it was created.
///
/// - **Guarantees:** these stay what they were when the object was read, and none of them is empty.
#[derive(Clone)]
pub struct Stored<K> {
    id: ObjectId<K>,
    version: ResourceVersion,
    created: Timestamp,
    object: K,
}

impl<K: Resource> Stored<K> {
    /// Reads what every object has.
    ///
    /// # Errors
    ///
    /// [`IncompleteMetadata`] where a part is missing or empty.
    pub fn parse(object: K) -> Result<Self, IncompleteMetadata> {
        let metadata = object.meta();
        let id = ObjectId::parse(metadata)?;
        let version = metadata.resource_version.as_deref().unwrap_or("").parse()?;
        let created = metadata.creation_timestamp.as_ref().ok_or(IncompleteMetadata("creationTimestamp"))?.0;
        Ok(Self { id, version, created, object })
    }
}

impl<K> Stored<K> {
    /// Returns which object it is.
    pub fn id(&self) -> &ObjectId<K> {
        &self.id
    }

    /// Returns its namespace.
    pub fn namespace(&self) -> &str {
        &self.id.namespace
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        self.id.name.as_str()
    }

    /// Returns its uid.
    pub fn uid(&self) -> &Uid<K> {
        &self.id.uid
    }

    /// Returns its version.
    pub fn version(&self) -> ResourceVersion {
        self.version
    }

    /// Returns when it was created.
    pub fn created(&self) -> Timestamp {
        self.created
    }
}

impl<K> Stored<K> {
    /// Returns the object, to be changed. What was read of its metadata stays as it was.
    pub fn object_mut(&mut self) -> &mut K {
        &mut self.object
    }
}

impl<K> Deref for Stored<K> {
    type Target = K;

    fn deref(&self) -> &K {
        &self.object
    }
}

/// Two are equal when they are the same version of the same object.
impl<K> PartialEq for Stored<K> {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.version == other.version
    }
}

impl<K> fmt::Debug for Stored<K> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?} at {}", self.id, self.version)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn order(change: impl FnOnce(&mut Value)) -> Result<Stored<WorkOrder>, IncompleteMetadata> {
        let mut order = json!({
            "apiVersion": "manyworlds.dev/v1alpha1", "kind": "WorkOrder",
            "metadata": {
                "name": "fix", "namespace": "team", "uid": "u", "resourceVersion": "7",
                "creationTimestamp": "2026-01-01T00:00:00Z",
            },
            "spec": { "source": { "git": { "url": "https://forge.example/a" } }, "task": { "title": "t" } },
        });
        change(&mut order["metadata"]);
        Stored::parse(serde_json::from_value(order).unwrap())
    }

    #[test]
    fn an_object_without_what_every_object_has_is_none() {
        let whole = order(|_| {}).unwrap();
        assert_eq!((whole.namespace(), whole.name(), whole.uid().as_str()), ("team", "fix", "u"));
        assert_eq!(whole.version().to_string(), "7");
        for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
            let absent = order(|metadata| drop(metadata.as_object_mut().unwrap().remove(field)));
            assert_eq!(absent, Err(IncompleteMetadata(field)), "absent");
            if field != "creationTimestamp" {
                assert_eq!(order(|metadata| metadata[field] = json!("")), Err(IncompleteMetadata(field)), "empty");
            }
        }
        assert!(order(|metadata| metadata["resourceVersion"] = json!("x7")).is_err());
    }

    #[test]
    fn an_object_made_again_is_another_one() {
        let first = order(|_| {}).unwrap();
        let newer = order(|metadata| metadata["resourceVersion"] = json!("10")).unwrap();
        let again = order(|metadata| metadata["uid"] = json!("v")).unwrap();
        assert!(newer.version() > first.version() && newer.id() == first.id());
        assert_ne!(again.id(), first.id());
    }
}
