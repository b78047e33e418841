//! The bytes that are stored, by order, and those that are on their way. They are counted once, when the process starts, and
//! kept up by each upload and each removal.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use manyworlds_api::artifacts::{ArtifactName, StoredArtifact};
use manyworlds_telemetry::Metrics;

use super::quota::{Held, OverQuota, Quota};

/// The place of what is stored among what its order has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    /// An artifact of a World.
    Artifact {
        /// The variant of the World.
        variant: Arc<str>,
        /// The number of its attempt.
        attempt: i32,
        /// The name of the artifact.
        name: ArtifactName,
    },
    /// The base of all Worlds of the order.
    Base,
    /// What the gates of the order give at that base.
    Baseline,
}

impl Place {
    /// Returns the variant of the World that it belongs to, where it is that of one.
    fn variant(&self) -> Option<&str> {
        match self {
            Self::Artifact { variant, .. } => Some(variant),
            Self::Base | Self::Baseline => None,
        }
    }
}

/// What an order holds.
#[derive(Debug, Default)]
struct OrderUsage {
    /// Its namespace, where it is known.
    namespace: Option<Arc<str>>,
    stored: HashMap<Place, u64>,
    /// The sum of what is stored.
    bytes: u64,
    /// The sizes of uploads that are under way, with their places.
    coming: Vec<(Place, u64)>,
}

/// What all orders hold, by their uids. Clones share it.
///
/// - **Shape:** an entry for each order and each artifact on the volume, so that the volume bounds it.
#[derive(Clone, Debug, Default)]
pub(super) struct Usage(Arc<Mutex<HashMap<Arc<str>, OrderUsage>>>);

/// Bytes that an upload may store. They are free again once this is dropped, unless they were stored.
#[derive(Debug)]
pub(super) struct Reservation {
    usage: Usage,
    order: Arc<str>,
    place: Place,
    size: u64,
}

impl Usage {
    /// Takes note of an order that the store has: the artifacts of its Worlds, and the sizes of what is of no World.
    pub(super) fn counted(
        &self,
        order: &str,
        namespace: Option<&str>,
        artifacts: Vec<StoredArtifact>,
        others: impl IntoIterator<Item = (Place, u64)>,
    ) {
        let mut all = self.lock();
        let entry = all.entry(order.into()).or_default();
        entry.namespace = namespace.map(Into::into);
        for StoredArtifact { world, attempt, name, bytes } in artifacts {
            entry.set(Place::Artifact { variant: world.into(), attempt, name }, bytes);
        }
        for (place, bytes) in others {
            entry.set(place, bytes);
        }
        forget_if_empty(&mut all, order);
    }

    /// Reserves the bytes of an upload.
    ///
    /// # Errors
    ///
    /// [`OverQuota`] (class: spec) where they would exceed a bound.
    pub(super) fn reserve(
        &self,
        quota: &Quota,
        order: &str,
        namespace: &str,
        place: Place,
        size: u64,
    ) -> Result<Reservation, OverQuota> {
        let mut all = self.lock();
        let order: Arc<str> = order.into();
        quota.check(held(&all, &order, namespace, &place), size)?;
        let entry = all.entry(order.clone()).or_default();
        entry.namespace = Some(namespace.into());
        entry.coming.push((place.clone(), size));
        Ok(Reservation { usage: self.clone(), order, place, size })
    }

    /// Returns the bytes that are on their way.
    pub(super) fn coming(&self) -> u64 {
        self.lock().values().map(OrderUsage::coming_bytes).sum()
    }

    /// Shows the bytes that are stored in the metrics.
    pub(super) fn show(&self, metrics: &Metrics) {
        metrics.artifacts_held.set(i64::try_from(self.stored()).unwrap_or(i64::MAX));
    }

    fn stored(&self) -> u64 {
        self.lock().values().map(|order| order.bytes).sum()
    }

    /// Returns the orders whose namespace is not known.
    pub(super) fn of_unknown_namespace(&self) -> Vec<Arc<str>> {
        let all = self.lock();
        all.iter().filter(|(_, order)| order.namespace.is_none()).map(|(uid, _)| uid.clone()).collect()
    }

    /// Takes note of the namespace of an order.
    pub(super) fn namespace_found(&self, order: &str, namespace: Arc<str>) {
        if let Some(entry) = self.lock().get_mut(order) {
            entry.namespace = Some(namespace);
        }
    }

    /// Takes note that nothing is stored of an order any more.
    pub(super) fn removed(&self, order: &str) {
        let mut all = self.lock();
        if let Some(entry) = all.get_mut(order) {
            (entry.stored, entry.bytes) = (HashMap::new(), 0);
        }
        forget_if_empty(&mut all, order);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, OrderUsage>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reservation {
    /// Takes note that the artifact is stored, in the place of one before it.
    pub(super) fn stored(self, size: u64) {
        let mut all = self.usage.lock();
        if let Some(entry) = all.get_mut(&self.order) {
            entry.set(self.place.clone(), size);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut all = self.usage.lock();
        if let Some(entry) = all.get_mut(&self.order) {
            let own = |(place, size): &(Place, u64)| *place == self.place && *size == self.size;
            if let Some(position) = entry.coming.iter().position(own) {
                entry.coming.swap_remove(position);
            }
        }
        forget_if_empty(&mut all, &self.order);
    }
}

impl OrderUsage {
    fn set(&mut self, place: Place, size: u64) {
        let before = self.stored.insert(place, size).unwrap_or_default();
        self.bytes = self.bytes.saturating_sub(before).saturating_add(size);
    }

    fn coming_bytes(&self) -> u64 {
        self.coming.iter().map(|(_, size)| size).sum()
    }

    fn bytes_of_world(&self, variant: &str) -> u64 {
        let stored = self.stored.iter().filter(|(place, _)| place.variant() == Some(variant)).map(|(_, size)| size);
        let coming = self.coming.iter().filter(|(place, _)| place.variant() == Some(variant)).map(|(_, size)| size);
        stored.chain(coming).sum()
    }
}

/// Returns what is held beside an artifact that gives its place to another one.
fn held(all: &HashMap<Arc<str>, OrderUsage>, order: &str, namespace: &str, place: &Place) -> Held {
    let of_namespace = all.values().filter(|order| order.namespace.as_deref() == Some(namespace));
    let namespace: u64 = of_namespace.map(|order| order.bytes + order.coming_bytes()).sum();
    let Some(entry) = all.get(order) else { return Held { world: place.variant().map(|_| 0), order: 0, namespace } };
    let replaced = entry.stored.get(place).copied().unwrap_or_default();
    Held {
        world: place.variant().map(|variant| entry.bytes_of_world(variant).saturating_sub(replaced)),
        order: (entry.bytes + entry.coming_bytes()).saturating_sub(replaced),
        namespace: namespace.saturating_sub(replaced),
    }
}

fn forget_if_empty(all: &mut HashMap<Arc<str>, OrderUsage>, order: &str) {
    if all.get(order).is_some_and(|entry| entry.stored.is_empty() && entry.coming.is_empty()) {
        all.remove(order);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(variant: &str, attempt: i32, name: ArtifactName) -> Place {
        Place::Artifact { variant: variant.into(), attempt, name }
    }

    fn patch(variant: &str) -> Place {
        place(variant, 1, ArtifactName::Patch)
    }

    #[test]
    fn what_is_stored_or_on_its_way_counts_for_its_world_its_order_and_its_namespace() {
        let (usage, quota) = (Usage::default(), Quota { world: Some(10), order: Some(16), namespace: Some(20) });
        let reserve =
            |order: &str, namespace: &str, place: Place, size| usage.reserve(&quota, order, namespace, place, size);
        reserve("a", "team", patch("alpha"), 6).unwrap().stored(6);
        let coming = reserve("a", "team", place("alpha", 1, ArtifactName::Report), 4).unwrap();
        assert!(reserve("a", "team", place("alpha", 2, ArtifactName::Patch), 1).is_err(), "the World");
        reserve("a", "team", patch("beta"), 6).unwrap().stored(6);
        assert!(reserve("a", "team", patch("gamma"), 1).is_err(), "the order");
        reserve("b", "team", patch("alpha"), 4).unwrap().stored(4);
        assert!(reserve("c", "team", patch("alpha"), 1).is_err(), "the namespace");
        assert!(reserve("d", "other", patch("alpha"), 1).is_ok(), "another namespace");
        assert_eq!((usage.stored(), usage.coming()), (16, 4));
        drop(coming);
        assert!(reserve("c", "team", patch("alpha"), 1).is_ok(), "what was not stored holds nothing");
        assert_eq!((usage.stored(), usage.coming()), (16, 0));
    }

    #[test]
    fn a_base_counts_for_its_order_and_its_namespace_and_for_no_world() {
        let (usage, quota) = (Usage::default(), Quota { world: Some(10), order: Some(40), namespace: Some(50) });
        let reserve =
            |order: &str, namespace: &str, place: Place, size| usage.reserve(&quota, order, namespace, place, size);
        reserve("a", "team", Place::Base, 20).unwrap().stored(20);
        reserve("a", "team", Place::Baseline, 10).unwrap().stored(10);
        reserve("a", "team", patch("alpha"), 10).unwrap().stored(10);
        assert!(reserve("a", "team", patch("beta"), 1).is_err(), "the order");
        assert!(reserve("b", "team", Place::Base, 11).is_err(), "the namespace");
        assert!(reserve("b", "team", Place::Base, 10).is_ok());
    }

    #[test]
    fn an_artifact_that_is_stored_again_counts_once() {
        let (usage, quota) = (Usage::default(), Quota { world: Some(10), ..Quota::default() });
        for size in [8, 10, 3] {
            usage.reserve(&quota, "a", "team", patch("alpha"), size).unwrap().stored(size);
            assert_eq!(usage.stored(), size);
        }
    }

    #[test]
    fn what_the_store_has_already_counts_and_what_is_removed_does_not() {
        let (usage, quota) = (Usage::default(), Quota { namespace: Some(10), ..Quota::default() });
        let artifact = |bytes| StoredArtifact { world: "alpha".into(), attempt: 1, name: ArtifactName::Patch, bytes };
        usage.counted("a", Some("team"), vec![artifact(4)], [(Place::Base, 2), (Place::Baseline, 1)]);
        usage.counted("b", None, vec![artifact(2)], []);
        assert!(usage.reserve(&quota, "c", "team", patch("alpha"), 3).is_ok(), "whose b is, is not known");
        assert_eq!(usage.of_unknown_namespace(), [Arc::<str>::from("b")]);
        usage.namespace_found("b", "team".into());
        assert!(usage.reserve(&quota, "c", "team", patch("alpha"), 3).is_err());
        usage.removed("a");
        assert!(usage.reserve(&quota, "c", "team", patch("alpha"), 8).is_ok());
        usage.removed("b");
        assert!(usage.lock().is_empty(), "nothing is kept of orders that hold nothing");
    }
}
