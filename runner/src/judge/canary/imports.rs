//! Reads what the test files of a folder load, so that a canary among them loads the same.

/// The most imports that a canary takes over. They are those of a folder of tests, which load the same again and again.
const IMPORTS: usize = 128;
/// The longest import, in bytes. A longer one is no line that somebody wrote.
const IMPORT_BYTES: usize = 2048;
/// The modules of test programs, which a canary loads by itself where it needs them.
const TEST_PROGRAMS: &[&str] = &["vitest", "@jest/globals", "node:test", "node:assert", "node:assert/strict"];

/// How a file of JavaScript loads another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loading {
    /// With `import`.
    Import,
    /// With `require`.
    Require,
}

/// Returns the imports at the top level of Python files, each on one line.
pub(super) fn of_python(texts: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for text in texts {
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if !line.starts_with("import ") && !line.starts_with("from ") {
                continue;
            }
            let mut whole = without_comment(line).to_owned();
            while is_open(&whole) && whole.len() < IMPORT_BYTES {
                let Some(next) = lines.next() else { break };
                whole = format!("{} {}", whole.trim_end_matches('\\').trim_end(), without_comment(next).trim());
            }
            if !whole.starts_with("from __future__ ") {
                add(&mut found, whole.trim_end().to_owned());
            }
        }
    }
    found
}

fn without_comment(line: &str) -> &str {
    line.split('#').next().unwrap_or(line).trim_end()
}

fn is_open(line: &str) -> bool {
    line.ends_with('\\') || (line.contains('(') && !line.contains(')'))
}

/// Returns the modules that files of JavaScript or TypeScript load at their top level, and how.
pub(super) fn of_javascript(texts: &[String]) -> Vec<(Loading, String)> {
    let mut found = Vec::new();
    for line in texts.iter().flat_map(|text| text.lines()) {
        let loaded = if line.starts_with("import type ") {
            None
        } else if line.starts_with("import ") || (line.starts_with('}') && line.contains(" from ")) {
            in_quotes(line).map(|module| (Loading::Import, module))
        } else if ["const ", "let ", "var ", "require("].iter().any(|start| line.starts_with(start)) {
            line.split_once("require(").and_then(|(_, rest)| in_quotes(rest)).map(|module| (Loading::Require, module))
        } else {
            None
        };
        if let Some((loading, module)) = loaded
            && !TEST_PROGRAMS.contains(&module)
        {
            add(&mut found, (loading, module.to_owned()));
        }
    }
    found.retain(|(_, module)| module.len() <= IMPORT_BYTES);
    found
}

/// Returns the last text in quotes of a line.
fn in_quotes(line: &str) -> Option<&str> {
    let end = line.rfind(['"', '\''])?;
    let quote = line[end..].chars().next()?;
    let start = line[..end].rfind(quote)? + 1;
    (start < end).then(|| &line[start..end])
}

fn add<T: PartialEq>(found: &mut Vec<T>, item: T) {
    if found.len() < IMPORTS && !found.contains(&item) {
        found.push(item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_of_python_are_found_on_one_line_each() {
        let text = "\"\"\"Tests.\"\"\"\nfrom __future__ import annotations\nimport sum  # ours\nfrom a import (\n    b,  # b\n    c,\n)\n\
                    from d import e, \\\n    f\nif True:\n    import hidden\nimport sum\nfrom .g import *\n";
        let expected = ["import sum", "from a import ( b, c, )", "from d import e, f", "from .g import *"];
        assert_eq!(of_python(&[text.to_owned()]), expected);
        assert_eq!(of_python(&["from a import (".to_owned()]), ["from a import ("]);
    }

    #[test]
    fn modules_of_javascript_are_found() {
        let text = "import { test } from 'vitest';\nimport sum from \"../src/sum\";\nimport {\n  a,\n} from './a.js'\nimport './b';\n\
                    import type { T } from './t';\nconst c = require('./c');\n  const d = require('./d');\nrequire(\"./e\")\n";
        let import = |module: &str| (Loading::Import, module.to_owned());
        let require = |module: &str| (Loading::Require, module.to_owned());
        let expected = [import("../src/sum"), import("./a.js"), import("./b"), require("./c"), require("./e")];
        assert_eq!(of_javascript(&[text.to_owned()]), expected);
    }
}
