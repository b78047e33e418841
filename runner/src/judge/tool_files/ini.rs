//! Files of sections and options, such as `setup.cfg`.

use serde_json::{Map, Value};

use super::document::Document;

/// A file of sections.
#[derive(Debug, Default)]
pub(super) struct Ini(Vec<Section>);

/// A section. What stands before the first one is a section without a name.
#[derive(Clone, Debug, Default)]
struct Section {
    name: Option<String>,
    /// Its first line, and what stands before its first option.
    head: String,
    options: Vec<Setting>,
}

/// An option of a section.
#[derive(Clone, Debug)]
struct Setting {
    name: String,
    /// Its lines, with the comments behind it.
    text: String,
}

impl Document for Ini {
    fn read(text: &str) -> Option<Self> {
        let mut sections = vec![Section::default()];
        for line in text.split_inclusive('\n') {
            let is_indented = line.starts_with([' ', '\t']);
            let words = line.trim();
            if words.starts_with('[') {
                // Some programs begin a section at such a line, and others read it as more of an option.
                if is_indented {
                    return None;
                }
                let name = section_name(words)?;
                sections.push(Section { name: Some(name), head: line.to_owned(), options: Vec::new() });
                continue;
            }
            let section = sections.last_mut()?;
            if !is_indented && !is_comment(words) {
                let name = words.split(['=', ':']).next().unwrap_or(words).trim().to_owned();
                section.options.push(Setting { name, text: line.to_owned() });
            } else {
                section.options.last_mut().map_or(&mut section.head, |option| &mut option.text).push_str(line);
            }
        }
        Some(Self(sections))
    }

    fn value(&self) -> Value {
        let mut sections = Map::new();
        for Section { name, head: _, options } in &self.0 {
            let Some(name) = name else { continue };
            let section = sections.entry(name.as_str()).or_insert_with(|| Value::Object(Map::new()));
            for Setting { name, text } in options {
                // An option that stands twice is not the same as one that stands once.
                let before = section.get(name).and_then(Value::as_str).unwrap_or_default();
                let lines = text.lines().map(str::trim).filter(|line| !is_comment(line));
                let all = lines.fold(before.to_owned(), |all, line| all + line + "\n");
                if let Value::Object(options) = &mut *section {
                    options.insert(name.clone(), Value::from(all));
                }
            }
        }
        Value::Object(sections)
    }

    fn take(&mut self, path: &[String], from: &Self) {
        match path {
            [section] => self.take_section(section, from),
            [section, option] => self.take_option(section, option, from),
            _ => {}
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for Section { head, options, .. } in &self.0 {
            for piece in std::iter::once(head).chain(options.iter().map(|option| &option.text)) {
                // The last line of the other file may have had no end.
                if !text.is_empty() && !text.ends_with('\n') && !piece.is_empty() {
                    text.push('\n');
                }
                text.push_str(piece);
            }
        }
        text
    }
}

impl Ini {
    fn position(&self, section: &str) -> Option<usize> {
        self.0.iter().position(|own| own.is(section))
    }

    fn take_section(&mut self, section: &str, from: &Self) {
        let place = self.position(section);
        self.0.retain(|own| !own.is(section));
        let place = place.unwrap_or(self.0.len());
        drop(self.0.splice(place..place, from.0.iter().filter(|their| their.is(section)).cloned()));
    }

    fn take_option(&mut self, section: &str, option: &str, from: &Self) {
        let theirs = from.0.iter().filter(|their| their.is(section));
        let theirs: Vec<Setting> =
            theirs.flat_map(|their| &their.options).filter(|their| their.name == option).cloned().collect();
        for own in self.0.iter_mut().filter(|own| own.is(section)) {
            own.options.retain(|own| own.name != option);
        }
        if theirs.is_empty() {
            return;
        }
        let place = self.position(section).unwrap_or_else(|| {
            self.0.push(Section {
                name: Some(section.to_owned()),
                head: format!("[{section}]\n"),
                options: Vec::new(),
            });
            self.0.len() - 1
        });
        self.0[place].options.extend(theirs);
    }
}

impl Section {
    fn is(&self, name: &str) -> bool {
        self.name.as_deref() == Some(name)
    }
}

/// Returns whether a line says nothing.
fn is_comment(line: &str) -> bool {
    line.is_empty() || line.starts_with(['#', ';'])
}

/// Reads the name in the first line of a section. Nothing where programs differ in what it is.
fn section_name(line: &str) -> Option<String> {
    let line = line.split(['#', ';']).next().unwrap_or(line).trim();
    let name = line.strip_prefix('[')?.strip_suffix(']')?;
    (!name.contains(['[', ']'])).then(|| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str =
        "[metadata]\nname = x\n\n[tool:pytest]\naddopts = --co\n\n[options]\ninstall_requires =\n    a\n    b\n";

    fn taken(own: &str, theirs: &str, path: &[&str]) -> String {
        let mut own = Ini::read(own).unwrap();
        let path: Vec<String> = path.iter().map(|name| (*name).to_owned()).collect();
        own.take(&path, &Ini::read(theirs).unwrap());
        own.text()
    }

    #[test]
    fn a_section_is_taken_and_the_rest_stays_as_it_is_written() {
        let expected = OWN.replace("--co\n\n", "-q\n");
        assert_eq!(taken(OWN, "[tool:pytest]\naddopts = -q", &["tool:pytest"]), expected);
        assert_eq!(taken(OWN, "", &["tool:pytest"]), OWN.replace("[tool:pytest]\naddopts = --co\n\n", ""));
        assert_eq!(taken(OWN, "[aliases]\ntest = x\n", &["aliases"]), format!("{OWN}[aliases]\ntest = x\n"));
        let twice = format!("{OWN}[tool:pytest]\ntestpaths = none\n");
        assert_eq!(taken(&twice, "[tool:pytest]\naddopts = -q", &["tool:pytest"]), expected);
    }

    #[test]
    fn an_option_is_taken_and_the_rest_of_its_section_stays() {
        let own = "[e]\na =\n    x\npytest11 =\n    evil = evil\n";
        assert_eq!(taken(own, "[e]\na = 1\n", &["e", "pytest11"]), "[e]\na =\n    x\n");
        assert_eq!(taken("[b]\n", "[e]\np = 1\nq = 2\n", &["e", "p"]), "[b]\n[e]\np = 1\n");
    }

    #[test]
    fn only_what_says_something_counts() {
        let value = |text: &str| Ini::read(text).unwrap().value();
        assert_eq!(value("[a]\nb = 1\n"), value("# x\n\n[a] ; x\n; y\nb = 1\n\n# z\n"));
        assert_ne!(value("[a]\nb = 1\n"), value("[a]\nb = 1\nb = 1\n"));
        assert_ne!(value("[a]\nb = 1\n"), value("[a]\nb = 1\n  2\n"));
    }

    #[test]
    fn what_programs_may_read_differently_is_not_read() {
        for text in ["[a]\nb =\n    [c]\n", "[a] x ]y\n", "[a]b]\n", "[a\n"] {
            assert!(Ini::read(text).is_none(), "{text:?}");
        }
    }
}
