//! The list of orders.

use jiff::Timestamp;
use kube::ResourceExt;
use manyworlds_api::WorkOrder;

use super::summary::summary_word;
use super::table::{Column, Table};
use super::text::{Line, Tone};
use super::time::age;

/// Draws the list.
pub fn list(orders: &[WorkOrder], now: Timestamp, width: Option<usize>) -> Vec<Line> {
    if orders.is_empty() {
        return vec![Line::of(Tone::Muted, "there are no WorkOrders here; 'kubectl worlds run -f FILE' makes some")];
    }
    let mut table = Table::new(vec![
        Column::words("ORDER"),
        Column::words("STATUS"),
        Column::words("WORLDS"),
        Column::words("WINNER"),
        Column::numbers("SCORE"),
        Column::numbers("AGE"),
        Column::text("MESSAGE", 6),
    ]);
    for order in orders {
        let status = order.status.clone().unwrap_or_default();
        let score = status.best.and_then(|best| best.score).map_or_else(String::new, |score| score.to_string());
        table.push(vec![
            Line::of(Tone::Strong, order.name_any()),
            Line::plain(summary_word(order)),
            Line::plain(status.worlds.summary.unwrap_or_default()),
            Line::of(Tone::Good, status.winner.unwrap_or_default()),
            Line::plain(score),
            Line::plain(age(order.metadata.creation_timestamp.as_ref(), now)),
            Line::of(Tone::Muted, status.message.unwrap_or_default()),
        ]);
    }
    table.lines(width)
}

#[cfg(test)]
mod tests {
    use super::super::{sample, text::plain_text};
    use super::*;

    #[test]
    fn each_order_has_a_line() {
        let text = plain_text(&list(&[sample::finished().order], sample::now(), None));
        assert_eq!(text.lines().count(), 2);
        assert!(text.contains("fix-270") && text.contains("alpha"), "{text}");
        assert!(plain_text(&list(&[], sample::now(), None)).contains("no WorkOrders"));
    }
}
