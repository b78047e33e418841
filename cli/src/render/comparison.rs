//! Comparison of Worlds: why one won and the others did not.

use manyworlds_api::Money;

use crate::order_view::OrderView;

/// The values that rank eligible Worlds, most important first.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RankingKey {
    score: i32,
    changed_lines: i32,
    cost: Money,
}

/// Explains why the winner is ahead of the next eligible World; `None` when there is no winner.
pub fn why_won(view: &OrderView) -> Option<String> {
    let winner = view.winner()?;
    let status = view.status();
    let ranking = &status.ranking;
    let next = ranking.iter().find(|ranked| ranked.eligible && ranked.world != winner);
    let Some(next) = next else {
        return Some(format!("{winner} won because it is the only eligible World."));
    };
    if let Some(votes) = ranking.iter().find(|ranked| ranked.world == winner).and_then(|ranked| ranked.votes) {
        return Some(format!("{winner} won with {votes} votes of the council; {} came next.", next.world));
    }
    let (best, second) = (ranking_key(view, winner)?, ranking_key(view, &next.world)?);
    Some(format!("{winner} won {}.", difference(&best, &second, &next.world)))
}

/// Explains why a World did not win; empty for the winner and for a World that has not ended.
pub fn why_lost(view: &OrderView, world: &str) -> Vec<String> {
    let Some(winner) = view.winner().filter(|winner| *winner != world) else { return too_few_points(view, world) };
    let is_eligible = view.world_status(world).and_then(|status| status.eligible) == Some(true);
    match (ranking_key(view, winner), ranking_key(view, world)) {
        (Some(best), Some(own)) if is_eligible => vec![format!("{winner} is ahead {}", difference(&best, &own, "it"))],
        _ => too_few_points(view, world),
    }
}

/// Returns whether a World must pass the gate to be eligible.
pub fn is_required(view: &OrderView, gate: &str) -> bool {
    view.order.spec.evaluation.gates.iter().any(|known| known.name == gate && known.required)
}

/// Explains a score below the one that the order accepts. The gates have reasons of their own.
fn too_few_points(view: &OrderView, world: &str) -> Vec<String> {
    let Some(status) = view.world_status(world).filter(|status| status.eligible == Some(false)) else {
        return Vec::new();
    };
    let Some(score) = &status.score else { return Vec::new() };
    let asked = view.order.spec.evaluation.accept_score;
    if score.total >= asked {
        return Vec::new();
    }
    vec![format!("{} points are fewer than the {asked} asked for", score.total)]
}

fn ranking_key(view: &OrderView, world: &str) -> Option<RankingKey> {
    let status = view.world_status(world)?;
    Some(RankingKey {
        score: status.score.as_ref()?.total,
        changed_lines: status.diff.map_or(0, manyworlds_api::result::DiffStatistics::changed_lines),
        cost: status.usage.as_ref().map(|usage| usage.cost).unwrap_or_default(),
    })
}

/// Describes the first value in which one World is ahead of another.
fn difference(ahead: &RankingKey, behind: &RankingKey, name: &str) -> String {
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
    use super::super::fixtures;
    use super::*;

    fn at(score: i32, changed_lines: i32, cost: &str) -> RankingKey {
        RankingKey { score, changed_lines, cost: cost.parse().unwrap() }
    }

    #[test]
    fn the_winner_is_compared_with_the_next_eligible_world() {
        let won = why_won(&fixtures::finished());
        assert_eq!(won.as_deref(), Some("alpha won with 96 points, beta has 82."));
        assert_eq!(why_won(&fixtures::running()), None);
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
        let view = fixtures::finished();
        assert_eq!(why_lost(&view, "beta"), ["alpha is ahead with 96 points, it has 82"]);
        assert_eq!(why_lost(&view, "gamma"), ["40 points are fewer than the 70 asked for"]);
        assert!(why_lost(&view, "alpha").is_empty());
        assert!(why_lost(&view, "delta").is_empty());
    }
}
