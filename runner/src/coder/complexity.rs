//! Estimates how hard a task is, and chooses a model for it (W16).
//!
//! **Architecture invariant:** pure: the same task and repository always choose the same model.

use std::fmt;

use super::model_limits::ModelLimits;
use super::pricing::Pricing;

/// The size of a task and its repository.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TaskSize {
    /// Bytes of the task's text.
    pub(super) task_bytes: usize,
    /// Files of the repository.
    pub(super) files: usize,
    /// The number of files that the task names.
    pub(super) named: usize,
    /// The order's checks.
    pub(super) checks: usize,
}

impl fmt::Display for TaskSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { task_bytes, files, named, checks } = self;
        write!(formatter, "{task_bytes} bytes of task, {files} files, {named} of them named, {checks} checks")
    }
}

/// A model that may be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) name: String,
    /// Its strength from 1 to 100, from its Provider.
    pub(super) strength: i64,
    /// Its prices, if they are known. They do not matter for the choice.
    pub(super) pricing: Option<Pricing>,
    /// Its limits. They do not matter for the choice, either.
    pub(super) limits: ModelLimits,
}

/// Points that every task has.
const LEAST: i64 = 20;
/// A point for so many bytes of the task, up to the most.
const BYTES_OF_A_POINT: usize = 80;
const MOST_FOR_THE_TASK: i64 = 25;
/// Points for each doubling of the number of files, up to the most.
const FOR_A_DOUBLING: i64 = 3;
const MOST_FOR_THE_REPOSITORY: i64 = 30;
/// Points for each check beyond the first, up to the most.
const FOR_A_CHECK: i64 = 5;
const MOST_FOR_CHECKS: i64 = 10;
/// A task that names one or two files says where to look; one that names more reaches further.
const NAMED_FEW: i64 = -10;
const FOR_A_NAMED: i64 = 4;
const MOST_FOR_NAMED: i64 = 15;

/// Returns the strength that a task asks for, from 1 to 100.
pub(super) fn required_strength(size: TaskSize) -> i64 {
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let task = count(size.task_bytes / BYTES_OF_A_POINT).min(MOST_FOR_THE_TASK);
    let doublings = i64::from(size.files.checked_ilog2().unwrap_or_default());
    let repository = (doublings * FOR_A_DOUBLING).min(MOST_FOR_THE_REPOSITORY);
    let checks = count(size.checks.saturating_sub(1)).saturating_mul(FOR_A_CHECK).min(MOST_FOR_CHECKS);
    let named = match size.named {
        0 => 0,
        1 | 2 => NAMED_FEW,
        more => count(more - 2).saturating_mul(FOR_A_NAMED).min(MOST_FOR_NAMED),
    };
    (LEAST + task + repository + checks + named).clamp(1, 100)
}

/// Returns the weakest model that is strong enough, else the strongest.
///
/// - **Guarantees:** the order of the models does not matter; of two that are as strong, the first by name.
pub(super) fn choose(models: &[Model], required: i64) -> Option<&Model> {
    let enough = models.iter().filter(|model| model.strength >= required);
    enough
        .min_by_key(|model| (model.strength, &model.name))
        .or_else(|| models.iter().min_by_key(|model| (-model.strength, &model.name)))
}

/// Returns how many of the files a text names, by their path or their last part.
pub(super) fn named_files(text: &str, files: &[String]) -> usize {
    let words: std::collections::HashSet<&str> = text
        .split(|character: char| !(character.is_alphanumeric() || "._-/".contains(character)))
        .map(|word| word.trim_matches('.'))
        .filter(|word| word.contains('.') || word.contains('/'))
        .collect();
    let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    files.iter().filter(|path| words.contains(path.as_str()) || words.contains(last(path).as_str())).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(name: &str, strength: i64) -> Model {
        Model { name: name.to_owned(), strength, pricing: None, limits: ModelLimits::default() }
    }

    #[test]
    fn a_small_fix_in_a_named_file_asks_for_little_and_a_wide_change_for_much() {
        let fix = TaskSize { task_bytes: 160, files: 16, named: 1, checks: 1 };
        assert_eq!(required_strength(fix), 20 + 2 + 12 - 10);
        let wide = TaskSize { task_bytes: 6_000, files: 5_000, named: 7, checks: 4 };
        assert_eq!(required_strength(wide), 100, "20 + 25 + 30 + 10 + 15");
        assert_eq!(required_strength(TaskSize::default()), 20);
    }

    #[test]
    fn more_of_anything_but_a_hint_never_asks_for_less() {
        let base = TaskSize { task_bytes: 800, files: 100, named: 3, checks: 2 };
        let more = [
            TaskSize { task_bytes: 1600, ..base },
            TaskSize { files: 200, ..base },
            TaskSize { checks: 3, ..base },
            TaskSize { named: 4, ..base },
        ];
        assert!(more.into_iter().all(|size| required_strength(size) > required_strength(base)));
    }

    #[test]
    fn the_weakest_that_is_strong_enough_is_chosen_else_the_strongest() {
        let models = [choice("large", 90), choice("small", 30), choice("middle", 60), choice("also-middle", 60)];
        assert_eq!(choose(&models, 30).unwrap().name, "small");
        assert_eq!(choose(&models, 31).unwrap().name, "also-middle");
        assert_eq!(choose(&models, 95).unwrap().name, "large");
        assert_eq!(choose(&[], 1), None);
    }

    #[test]
    fn files_are_named_by_path_or_name() {
        let files = ["src/parser.py", "src/writer.py", "README.md"].map(str::to_owned);
        assert_eq!(named_files("In `parser.py`, see src/writer.py. Not the parser.", &files), 2);
        assert_eq!(named_files("The README is wrong.", &files), 0);
    }
}
