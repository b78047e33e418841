//! Whether a World can be judged again.

use super::status::{WorldStage, WorldStatus};
use crate::artifacts::ArtifactName;
use crate::conditions::{Reason, Truth, WorldCondition, truth};

/// The most requests by which one World is judged again. Each may take five pods, so their numbers have two digits at most and
/// their names stay within 64 characters for the longest names of an order and a variant.
pub const MOST_REEVALUATIONS: i32 = 18;

impl WorldStatus {
    /// Returns why the World cannot be judged again, and what to do; nothing where it can.
    pub fn obstacle_to_reevaluation(&self) -> Option<String> {
        let is_finished = truth(&self.conditions, WorldCondition::Finished.as_str()) == Truth::True;
        if !is_finished {
            return Some("it is not over yet; ask again once it is".to_owned());
        }
        let has_change = self.artifacts.iter().any(|artifact| artifact.name == ArtifactName::Change);
        let was_judged = matches!(self.stage, Some(WorldStage::Scored | WorldStage::Failed));
        if !was_judged || !has_change || self.base_commit.is_none() {
            return Some(
                "it has no stored change that could be judged; 'kubectl worlds retry' has the work done again"
                    .to_owned(),
            );
        }
        let succeeded = |word: &str| {
            let of_kind = |kind: &str| kind == WorldCondition::Succeeded.as_str();
            self.conditions.iter().any(|condition| of_kind(&condition.type_) && condition.reason == word)
        };
        if succeeded(Reason::JudgeAttacked.as_str()) {
            return Some("a gate attacked its judge, so its change is not judged again; 'kubectl worlds retry' has the work done again".to_owned());
        }
        let count = self.reevaluation.as_ref().map_or(0, |reevaluation| reevaluation.count);
        (count >= MOST_REEVALUATIONS).then(|| {
            format!("it was judged again {count} times, and no World is more often; 'kubectl worlds retry' makes a new order")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::reevaluation::WorldReevaluation;
    use super::*;
    use crate::artifacts::ArtifactDigest;
    use crate::conditions::{condition, set};

    fn scored() -> WorldStatus {
        let mut status = WorldStatus {
            stage: Some(WorldStage::Scored),
            base_commit: Some("b".repeat(40)),
            artifacts: vec![ArtifactDigest { name: ArtifactName::Change, sha256: "c".repeat(64), bytes: 1 }],
            attempt_count: 1,
            ..WorldStatus::default()
        };
        let now = jiff::Timestamp::UNIX_EPOCH;
        set(&mut status.conditions, condition("Finished", Truth::True, Reason::Completed, "", None, now));
        status
    }

    #[test]
    fn a_world_that_was_judged_can_be_judged_again() {
        assert_eq!(scored().obstacle_to_reevaluation(), None);
        let failed = WorldStatus { stage: Some(WorldStage::Failed), ..scored() };
        assert_eq!(failed.obstacle_to_reevaluation(), None);
    }

    #[test]
    fn a_world_that_cannot_be_judged_again_says_why() {
        type Change = fn(&mut WorldStatus);
        let cases: [(Change, &str); 6] = [
            (|status| status.conditions.clear(), "not over yet"),
            (|status| status.artifacts.clear(), "no stored change"),
            (|status| status.base_commit = None, "no stored change"),
            (|status| status.stage = Some(WorldStage::Cut), "no stored change"),
            (
                |status| {
                    let now = jiff::Timestamp::UNIX_EPOCH;
                    let attacked = condition("Succeeded", Truth::False, Reason::JudgeAttacked, "", None, now);
                    set(&mut status.conditions, attacked);
                },
                "attacked its judge",
            ),
            (
                |status| {
                    let count = MOST_REEVALUATIONS;
                    status.reevaluation = Some(WorldReevaluation { count, ..WorldReevaluation::default() });
                },
                "judged again 18 times",
            ),
        ];
        for (change, expected) in cases {
            let mut status = scored();
            change(&mut status);
            let said = status.obstacle_to_reevaluation().unwrap_or_default();
            assert!(said.contains(expected), "{said:?} instead of {expected:?}");
        }
    }
}
