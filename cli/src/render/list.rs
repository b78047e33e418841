//! The list of orders.

use jiff::Timestamp;
use kube::ResourceExt;
use manyworlds_api::WorkOrder;

use super::summary::{cost, order_seconds, order_tone, summary_word};
use super::table::{Column, Table};
use super::text::{Line, Tone};
use super::time::{age, length};

/// The extra columns of the list.
#[derive(Clone, Copy, Debug, Default)]
pub struct Columns {
    /// The namespace.
    pub has_namespace: bool,
    /// Priority, time and cost.
    pub is_wide: bool,
}

/// Draws the list.
pub fn list(orders: &[WorkOrder], now: Timestamp, columns: Columns, width: Option<usize>) -> Vec<Line> {
    if orders.is_empty() {
        return vec![Line::of(Tone::Muted, "there are no WorkOrders here; 'kubectl worlds run -f FILE' makes some")];
    }
    let mut titles = vec![
        Column::words("ORDER"),
        Column::words("STATUS"),
        Column::words("WORLDS"),
        Column::words("WINNER"),
        Column::numbers("SCORE"),
    ];
    if columns.has_namespace {
        titles.insert(0, Column::words("NAMESPACE"));
    }
    if columns.is_wide {
        titles.extend([Column::numbers("PRIORITY"), Column::numbers("TIME"), Column::numbers("COST")]);
    }
    titles.extend([Column::numbers("AGE"), Column::text("MESSAGE", 6)]);
    let mut table = Table::new(titles);
    for order in orders {
        table.push(row(order, now, columns));
    }
    table.lines(width)
}

fn row(order: &WorkOrder, now: Timestamp, columns: Columns) -> Vec<Line> {
    let status = order.status.clone().unwrap_or_default();
    let score = status.best.as_ref().and_then(|best| best.score).map_or_else(String::new, |score| score.to_string());
    let mut cells = vec![
        Line::of(Tone::Strong, order.name_any()),
        Line::of(order_tone(order), summary_word(order)),
        Line::plain(status.worlds.summary.clone().unwrap_or_default()),
        Line::of(Tone::Good, status.winner.clone().unwrap_or_default()),
        Line::plain(score),
    ];
    if columns.has_namespace {
        cells.insert(0, Line::plain(order.namespace().unwrap_or_default()));
    }
    if columns.is_wide {
        let time = order_seconds(order, now).map_or_else(String::new, length);
        let priority = order.spec.priority.to_string();
        cells.extend([priority, time, cost(&status).unwrap_or_default()].iter().map(Line::plain));
    }
    cells.push(Line::plain(age(order.metadata.creation_timestamp.as_ref(), now)));
    cells.push(Line::of(Tone::Muted, status.message.unwrap_or_default()));
    cells
}

#[cfg(test)]
mod tests {
    use super::super::{fixtures, text::plain_text};
    use super::*;

    #[test]
    fn each_order_has_a_line() {
        let orders = [fixtures::finished().order, fixtures::waiting().order];
        let text = plain_text(&list(&orders, fixtures::now(), Columns::default(), None));
        let expected = "\
ORDER     STATUS             WORLDS   WINNER   SCORE   AGE   MESSAGE
fix-270   Succeeded          5/5      alpha       96    2m   alpha won with 96 points.
fix-270   AwaitingCapacity   0/5                        2m   No node has a free slot; place 3 in the queue.
";
        assert_eq!(text, expected);
        assert!(plain_text(&list(&[], fixtures::now(), Columns::default(), None)).contains("no WorkOrders"));
    }

    #[test]
    fn a_wide_list_of_all_namespaces_has_more_columns() {
        let columns = Columns { has_namespace: true, is_wide: true };
        let text = plain_text(&list(&[fixtures::finished().order], fixtures::now(), columns, None));
        for word in ["NAMESPACE", "team", "PRIORITY", "TIME", "2m00s", "COST", "$0.42"] {
            assert!(text.contains(word), "{word}: {text}");
        }
    }
}
