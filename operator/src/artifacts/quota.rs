//! The bounds of what is stored: of a World, of its order and of their namespace. Pure.

/// The most bytes of a bundle. The pod that judges has it on the World's own disk, beside the checkout.
pub(super) const MOST_BUNDLE_BYTES: u64 = 2 << 30;

/// The most bytes of artifacts; `None` where there is no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Those of one World, all its attempts together.
    pub world: Option<u64>,
    /// Those of one order.
    pub order: Option<u64>,
    /// Those of all orders of one namespace.
    pub namespace: Option<u64>,
}

/// The bytes that a World, its order and their namespace hold: those that are stored, and those on their way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// Absent where what comes belongs to no World alone.
    pub(super) world: Option<u64>,
    pub(super) order: u64,
    pub(super) namespace: u64,
}

/// An upload that would go over a bound.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "the artifacts of the {whose} have {held} bytes, and {size} more would exceed its {bound} bytes; \
     the Helm value {value} sets the bound"
)]
pub(super) struct OverQuota {
    whose: &'static str,
    held: u64,
    size: u64,
    bound: u64,
    value: &'static str,
}

impl Quota {
    /// Checks that some bytes more stay within every bound.
    ///
    /// # Errors
    ///
    /// [`OverQuota`] (class: spec) with the narrowest bound that they do not stay within.
    pub(super) fn check(&self, held: Held, size: u64) -> Result<(), OverQuota> {
        let bounds = [
            ("World", held.world.unwrap_or_default(), held.world.and(self.world), "artifacts.quota.perWorld"),
            ("order", held.order, self.order, "artifacts.quota.perOrder"),
            ("namespace", held.namespace, self.namespace, "artifacts.quota.perNamespace"),
        ];
        let over = bounds.into_iter().find_map(|(whose, held, bound, value)| {
            let bound = bound.filter(|bound| held.saturating_add(size) > *bound)?;
            Some(OverQuota { whose, held, size, bound, value })
        });
        over.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_within_every_bound_is_taken_and_the_narrowest_other_bound_is_named() {
        let quota = Quota { world: Some(10), order: Some(20), namespace: Some(40) };
        let refused = |world, order, namespace, size| {
            quota.check(Held { world: Some(world), order, namespace }, size).err().map(|over| over.value)
        };
        assert_eq!(refused(4, 14, 34, 6), None, "each bound is met exactly");
        assert_eq!(refused(5, 14, 34, 6), Some("artifacts.quota.perWorld"));
        assert_eq!(refused(4, 15, 34, 6), Some("artifacts.quota.perOrder"));
        assert_eq!(refused(4, 14, 35, 6), Some("artifacts.quota.perNamespace"));
        assert_eq!(refused(9, 19, 39, u64::MAX), Some("artifacts.quota.perWorld"), "no sum overflows");
    }

    #[test]
    fn a_bound_that_is_not_set_holds_nobody_back() {
        let held = Held { world: Some(u64::MAX), order: u64::MAX, namespace: u64::MAX };
        assert_eq!(Quota::default().check(held, 1), Ok(()));
    }

    #[test]
    fn what_belongs_to_no_world_alone_counts_for_its_order_and_its_namespace() {
        let quota = Quota { world: Some(10), order: Some(20), namespace: Some(40) };
        assert_eq!(quota.check(Held { world: None, order: 5, namespace: 5 }, 15), Ok(()));
        assert!(quota.check(Held { world: None, order: 6, namespace: 6 }, 15).is_err());
    }

    #[test]
    fn a_refusal_says_what_is_held_and_which_value_sets_the_bound() {
        let quota = Quota { order: Some(20), ..Quota::default() };
        let error = quota.check(Held { order: 15, ..Held::default() }, 6).unwrap_err().to_string();
        for word in ["the order", "15 bytes", "6 more", "20 bytes", "artifacts.quota.perOrder"] {
            assert!(error.contains(word), "{error}");
        }
    }
}
