//! TOML files, whose tables and values are held.

use serde_json::Value;
use toml_edit::{DocumentMut, Item, Table, TableLike};

use super::document::Document;

/// A file in TOML.
#[derive(Debug)]
pub(super) struct Toml(DocumentMut);

impl Document for Toml {
    fn read(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }

    fn value(&self) -> Value {
        table(self.0.as_table())
    }

    fn take(&mut self, path: &[String], from: &Self) {
        let theirs = path.iter().try_fold(from.0.as_item(), |item, name| item.get(name.as_str())).cloned();
        let Some((last, parents)) = path.split_last() else { return };
        let mut place = self.0.as_item_mut();
        for name in parents {
            let Some(table) = place.as_table_like_mut() else { return };
            if theirs.is_none() && !table.contains_key(name) {
                return;
            }
            place = table.entry(name).or_insert_with(unwritten_table);
        }
        let Some(table) = place.as_table_like_mut() else { return };
        match theirs {
            Some(item) => table.insert(last, item),
            None => table.remove(last),
        };
    }

    fn text(&self) -> String {
        self.0.to_string()
    }
}

/// Returns a table that is not written unless it holds something.
fn unwritten_table() -> Item {
    let mut table = Table::new();
    table.set_implicit(true);
    Item::Table(table)
}

fn table(table: &dyn TableLike) -> Value {
    Value::Object(table.iter().map(|(name, item)| (name.to_owned(), plain(item))).collect())
}

fn plain(item: &Item) -> Value {
    match item {
        Item::None => Value::Null,
        Item::Value(value) => plain_value(value),
        Item::Table(inner) => table(inner),
        Item::ArrayOfTables(tables) => Value::Array(tables.iter().map(|inner| table(inner)).collect()),
    }
}

fn plain_value(value: &toml_edit::Value) -> Value {
    match value {
        toml_edit::Value::String(text) => Value::from(text.value().as_str()),
        toml_edit::Value::Integer(number) => Value::from(*number.value()),
        toml_edit::Value::Float(number) => Value::from(*number.value()),
        toml_edit::Value::Boolean(is) => Value::from(*is.value()),
        toml_edit::Value::Datetime(time) => Value::from(time.value().to_string()),
        toml_edit::Value::Array(values) => Value::Array(values.iter().map(plain_value).collect()),
        toml_edit::Value::InlineTable(inner) => table(inner),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(own: &str, theirs: &str, path: &[&str]) -> Toml {
        let mut own = Toml::read(own).unwrap();
        let path: Vec<String> = path.iter().map(|name| (*name).to_owned()).collect();
        own.take(&path, &Toml::read(theirs).unwrap());
        own
    }

    #[test]
    fn a_table_is_taken_and_the_rest_stays_as_it_is_written() {
        let theirs = "[tool.pytest.ini_options]\naddopts = \"-q\" # quiet\n";
        let own = "# ours\n[project]\nname='x'   # kept\n\n[tool.pytest.ini_options]\naddopts = \"--co\"\n";
        let text = taken(own, theirs, &["tool", "pytest"]).text();
        assert!(text.starts_with("# ours\n[project]\nname='x'   # kept\n"), "{text}");
        assert!(text.contains("addopts = \"-q\" # quiet") && !text.contains("--co"), "{text}");
    }

    #[test]
    fn whatever_way_a_part_is_written_its_value_is_that_of_the_other_file() {
        let forms = ["a.b = {c = 1}", "a = {b = {c = 1}}", "[a]\nb.c = 1", "[a.b]\nc = 1", "x = 1", "[a]\nz = 1"];
        for own in forms {
            for theirs in forms {
                let taken = taken(own, theirs, &["a", "b"]);
                let again = Toml::read(&taken.text()).unwrap();
                let expected = Toml::read(theirs).unwrap().value().pointer("/a/b").cloned();
                assert_eq!(again.value().pointer("/a/b").cloned(), expected, "{own:?} {theirs:?}");
            }
        }
    }
}
