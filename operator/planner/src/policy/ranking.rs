//! Which World is the best.

use std::cmp::{Ordering, Reverse};

use manyworlds_api::Money;

/// The facts that a World is ranked by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Name of the variant.
    pub name: String,
    /// Whether it could win.
    pub eligible: bool,
    /// Its score, where it has one.
    pub score: Option<i32>,
    /// Lines added and removed.
    pub changed_lines: i32,
    /// Its cost.
    pub cost: Money,
}

/// Compares two Worlds; the better one is less.
///
/// - **Guarantees:** a total order: eligible before ineligible, then the higher score, then fewer changed lines, then
///   the lower cost, then the name. The order in which results arrive does not matter.
pub fn compare(left: &Candidate, right: &Candidate) -> Ordering {
    let key = |candidate: &Candidate| {
        (Reverse(candidate.eligible), Reverse(candidate.score), candidate.changed_lines, candidate.cost)
    };
    key(left).cmp(&key(right)).then_with(|| left.name.cmp(&right.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn candidate(name: &str, eligible: bool, score: Option<i32>, changed_lines: i32, cost: u128) -> Candidate {
        Candidate { name: name.to_owned(), eligible, score, changed_lines, cost: Money::from_trillionths(cost) }
    }

    #[test]
    fn ties_are_broken_by_lines_then_cost_then_name() {
        let mut candidates = [
            candidate("unscored", false, None, 0, 0),
            candidate("ineligible", false, Some(100), 0, 0),
            candidate("zeta", true, Some(90), 10, 5),
            candidate("alpha", true, Some(90), 10, 5),
            candidate("cheap", true, Some(90), 10, 4),
            candidate("short", true, Some(90), 9, 9),
            candidate("best", true, Some(91), 99, 99),
        ];
        candidates.sort_by(compare);
        let names: Vec<&str> = candidates.iter().map(|candidate| candidate.name.as_str()).collect();
        assert_eq!(names, ["best", "short", "cheap", "alpha", "zeta", "ineligible", "unscored"]);
    }

    proptest! {
        #[test]
        fn the_order_of_results_does_not_matter(
            rows in prop::collection::vec((any::<bool>(), prop::option::of(0..=100_i32), 0..5_i32, 0..3_u128), 1..8),
            seed in any::<usize>(),
        ) {
            let sorted = |mut rows: Vec<Candidate>| { rows.sort_by(compare); rows };
            let rows: Vec<Candidate> = rows
                .into_iter()
                .enumerate()
                .map(|(index, (eligible, score, lines, cost))| candidate(&format!("w{index}"), eligible, score, lines, cost))
                .collect();
            let mut turned = rows.clone();
            turned.rotate_left(seed % rows.len());
            turned.reverse();
            prop_assert_eq!(sorted(rows), sorted(turned));
        }
    }
}
