//! Why a World won, and why another one did not.

use manyworlds_api::Money;

use crate::picture::Picture;

/// What the Worlds are compared by, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Standing {
    score: i32,
    changed_lines: i32,
    cost: Money,
}

/// Says why the winner won, compared with the next eligible World; `None` when there is no winner.
pub fn why_won(picture: &Picture) -> Option<String> {
    let winner = picture.winner()?;
    let status = picture.status();
    let ranking = &status.ranking;
    let next = ranking.iter().find(|ranked| ranked.eligible && ranked.world != winner);
    let Some(next) = next else {
        return Some(format!("{winner} won because it is the only eligible World."));
    };
    if let Some(votes) = ranking.iter().find(|ranked| ranked.world == winner).and_then(|ranked| ranked.votes) {
        return Some(format!("{winner} won with {votes} votes of the council; {} came next.", next.world));
    }
    let (best, second) = (standing(picture, winner)?, standing(picture, &next.world)?);
    Some(format!("{winner} won {}.", difference(&best, &second, &next.world)))
}

/// Says what kept a World from winning; empty for the winner and for one that has not ended.
pub fn why_lost(picture: &Picture, world: &str) -> Vec<String> {
    let Some(winner) = picture.winner().filter(|winner| *winner != world) else { return failings(picture, world) };
    let is_eligible = picture.world_status(world).and_then(|status| status.eligible) == Some(true);
    match (standing(picture, winner), standing(picture, world)) {
        (Some(best), Some(own)) if is_eligible => vec![format!("{winner} is ahead {}", difference(&best, &own, "it"))],
        _ => failings(picture, world),
    }
}

/// Returns whether a World that does not pass the gate is out.
pub fn is_required(picture: &Picture, gate: &str) -> bool {
    picture.order.spec.evaluation.gates.iter().any(|known| known.name == gate && known.required)
}

/// Returns what made a World ineligible besides the gates, which speak for themselves: too few points.
fn failings(picture: &Picture, world: &str) -> Vec<String> {
    let Some(status) = picture.world_status(world).filter(|status| status.eligible == Some(false)) else {
        return Vec::new();
    };
    let Some(score) = &status.score else { return Vec::new() };
    let asked = picture.order.spec.evaluation.accept_score;
    if score.total >= asked {
        return Vec::new();
    }
    vec![format!("{} points are fewer than the {asked} asked for", score.total)]
}

fn standing(picture: &Picture, world: &str) -> Option<Standing> {
    let status = picture.world_status(world)?;
    Some(Standing {
        score: status.score.as_ref()?.total,
        changed_lines: status.diff.map_or(0, manyworlds_api::result::DiffStatistics::changed_lines),
        cost: status.usage.as_ref().map(|usage| usage.cost).unwrap_or_default(),
    })
}

/// Says in what one World is ahead of another.
fn difference(ahead: &Standing, behind: &Standing, name: &str) -> String {
    if ahead.score != behind.score {
        return format!("with {} points, {} has {}", ahead.score, name, behind.score);
    }
    let equal = format!("at {} points each", ahead.score);
    if ahead.changed_lines != behind.changed_lines {
        let (fewer, more) = (ahead.changed_lines, behind.changed_lines);
        return format!("{equal}: it changed fewer lines, {fewer} against {more}");
    }
    if ahead.cost != behind.cost {
        return format!("{equal} and as many changed lines: it cost less, ${} against ${}", ahead.cost, behind.cost);
    }
    format!("{equal}, as many changed lines and the same cost: the order of the names decides")
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn at(score: i32, changed_lines: i32, cost: &str) -> Standing {
        Standing { score, changed_lines, cost: cost.parse().unwrap() }
    }

    #[test]
    fn the_winner_is_compared_with_the_next_eligible_world() {
        let won = why_won(&sample::finished());
        assert_eq!(won.as_deref(), Some("alpha won with 96 points, beta has 82."));
        assert_eq!(why_won(&sample::running()), None);
    }

    #[test]
    fn the_first_difference_decides() {
        let ahead = at(90, 10, "0.10");
        for (behind, words) in [
            (at(80, 1, "0"), "with 90 points, b has 80"),
            (at(90, 12, "0"), "at 90 points each: it changed fewer lines, 10 against 12"),
            (at(90, 10, "0.20"), "it cost less, $0.10 against $0.20"),
            (at(90, 10, "0.10"), "the order of the names decides"),
        ] {
            let said = difference(&ahead, &behind, "b");
            assert!(said.contains(words), "{said}");
        }
    }

    #[test]
    fn a_world_that_lost_learns_why() {
        let picture = sample::finished();
        assert_eq!(why_lost(&picture, "beta"), ["alpha is ahead with 96 points, it has 82"]);
        assert_eq!(why_lost(&picture, "gamma"), ["40 points are fewer than the 70 asked for"]);
        assert!(why_lost(&picture, "alpha").is_empty());
        assert!(why_lost(&picture, "delta").is_empty());
    }
}
