//! The candidate: the base plus the World's change, in a checkout that the worker has never seen.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;

use manyworlds_api::conditions::shortened;
use manyworlds_api::order_document::OrderDocument;
use manyworlds_api::result::DiffStatistics;
use manyworlds_api::work_order::ToolFiles;

use super::disguise::disguises_in_patch;
use super::inspection::{
    RawChange, binary_files, entries_before, leaves_tree, named_in_patch, raw_changes, statistics,
};
use super::kept::Kept;
use super::protection::Protection;
use super::restoration::{RestoreError, restore};
use super::tool_files::{ToolFileSet, hold};
use super::tripwire::Guard;
use crate::collect::{commit, message, patch};
use crate::git::{Git, input, make_repository, paths};
use crate::history;
use crate::layout::Layout;
use crate::order::Identity;
use crate::stage::StageError;
use crate::text::{few, print_line};

/// The largest binary file that a change may add or alter, in bytes.
const LARGEST_BINARY: u64 = 512 * 1024;
/// The longest reason, in bytes.
const REASON_BYTES: usize = 512;

/// The candidate of a World.
#[derive(Debug)]
pub(super) struct Candidate {
    /// Its commit. Absent when there is nothing to judge.
    pub(super) commit: Option<String>,
    /// Its change as a patch, which is delivered if it wins.
    pub(super) patch: Vec<u8>,
    /// Size of the change.
    pub(super) diff: DiffStatistics,
    /// Findings against it.
    pub(super) reasons: Vec<String>,
    repository: PathBuf,
    checkout: PathBuf,
    mirror: PathBuf,
    protection: Protection,
    /// Its files that no gate may touch.
    guarded: Vec<PathBuf>,
    kept: Kept,
    base: String,
}

/// The reason why a change is not judged at all.
struct Refusal(String);

impl Candidate {
    /// Makes the checkout.
    ///
    /// A change that cannot be accepted leaves a candidate without a commit, and the reason.
    pub(super) fn make(
        layout: &Layout,
        order: &OrderDocument,
        base: &str,
        identity: &Identity,
    ) -> Result<Self, StageError> {
        let mut candidate = Self::empty(layout, order, base)?;
        match candidate.apply_patch(layout, order, base)? {
            Ok(()) => candidate.commit_change(order, base, identity)?,
            Err(Refusal(reason)) => {
                print_line(&format!("the change is refused: {reason}"));
                candidate.reasons.push(shortened(&format!("the change was refused: {reason}"), REASON_BYTES));
            }
        }
        Ok(candidate)
    }

    /// Makes the checkout of the base itself, without any change.
    pub(super) fn of_base(layout: &Layout, order: &OrderDocument, base: &str) -> Result<Self, StageError> {
        let mut candidate = Self::empty(layout, order, base)?;
        candidate.check_out(base, base)?;
        candidate.commit = Some(base.to_owned());
        Ok(candidate)
    }

    /// Makes a candidate that has nothing yet but the tree of the base in its index.
    fn empty(layout: &Layout, order: &OrderDocument, base: &str) -> Result<Self, StageError> {
        let repository = layout.evidence().join("repository.git");
        make_repository(&repository, &layout.mirror(), &repository, ["--bare", "."])?;
        let checkout = layout.checkout();
        let git = |arguments: &[&str]| Git::new(&checkout, arguments).with_git_directory(&repository, &checkout);
        let protection = Protection::new(&order.evaluation.protected_paths, tool_files(&git, order, base)?)?;
        let candidate = Self {
            commit: None,
            patch: Vec::new(),
            diff: DiffStatistics::default(),
            reasons: Vec::new(),
            repository,
            checkout,
            mirror: layout.mirror(),
            protection,
            guarded: Vec::new(),
            kept: Kept::new(&order.evaluation.keep)?,
            base: base.to_owned(),
        };
        candidate.git(&["read-tree", base]).run()?;
        Ok(candidate)
    }

    fn git(&self, arguments: &[&str]) -> Git {
        Git::new(&self.checkout, arguments).with_git_directory(&self.repository, &self.checkout)
    }

    /// Applies the patch to the index alone, so that a hostile one has written nothing when it is refused.
    fn apply_patch(
        &mut self,
        layout: &Layout,
        order: &OrderDocument,
        base: &str,
    ) -> Result<Result<(), Refusal>, StageError> {
        let path = layout.change();
        let size = match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_file() => metadata.len(),
            _ => return Ok(Err(Refusal("there is no patch".to_owned()))),
        };
        let most = u64::try_from(order.evaluation.max_patch_bytes).unwrap_or(0);
        if size > most {
            return Ok(Err(Refusal(format!("the patch has {size} bytes, evaluation.maxPatchBytes allows {most}"))));
        }
        let file = path.display().to_string();
        let applied = self.git(&["apply", "--cached", "--whitespace=nowarn", &file]).run();
        if let Err(error) = applied {
            return Ok(Err(Refusal(format!("the patch does not apply: {}", error.said()))));
        }
        let raw = self
            .git(&["diff-index", "--cached", "--no-renames", "--ignore-submodules=none", "--raw", "-z", base])
            .run()?;
        let changes = raw_changes(&raw);
        if let Some(refusal) = self.inspect(&changes, base)? {
            return Ok(Err(refusal));
        }
        self.restore_protected(&changes)?;
        Ok(Ok(()))
    }

    /// Inspects what the patch would put into the tree.
    fn inspect(&self, changes: &[RawChange], base: &str) -> Result<Option<Refusal>, StageError> {
        for RawChange { before: _, after, path } in changes {
            let refusal = match after.mode.as_str() {
                "160000" => Some(format!("{} is a submodule", path.display())),
                "120000" => {
                    let target = self.git(&["cat-file", "blob", &after.object]).run()?;
                    leaves_tree(path, &target).then(|| {
                        let target = String::from_utf8_lossy(&target);
                        format!("{} is a link to {target}, outside the tree", path.display())
                    })
                }
                _ if path.as_os_str() == ".gitmodules" => Some("it changes .gitmodules".to_owned()),
                _ => None,
            };
            if let Some(reason) = refusal {
                return Ok(Some(Refusal(reason)));
            }
        }
        self.inspect_binaries(changes, base)
    }

    fn inspect_binaries(&self, changes: &[RawChange], base: &str) -> Result<Option<Refusal>, StageError> {
        let numbers = self.git(&["diff-index", "--cached", "--no-renames", "--numstat", "-z", base]).run()?;
        let binaries: HashSet<PathBuf> = binary_files(&numbers).into_iter().collect();
        for RawChange { before: _, after, path } in changes.iter().filter(|change| binaries.contains(&change.path)) {
            if after.is_there() && self.size(&after.object)? > LARGEST_BINARY {
                let why = format!("{} is a binary file of more than {LARGEST_BINARY} bytes", path.display());
                return Ok(Some(Refusal(why)));
            }
        }
        Ok(None)
    }

    /// Returns the size of an object, in bytes.
    fn size(&self, object: &str) -> Result<u64, StageError> {
        let size = self.git(&["cat-file", "-s", object]).line()?;
        // git writes nothing but a number here; what is none is larger than anything that is allowed.
        Ok(size.parse().unwrap_or(u64::MAX))
    }

    /// Restores protected files and tool files from the base.
    fn restore_protected(&mut self, changes: &[RawChange]) -> Result<(), StageError> {
        let (touched, rest): (Vec<&RawChange>, Vec<&RawChange>) =
            changes.iter().partition(|change| self.protection.covers(&change.path));
        if !touched.is_empty() {
            // One call for all of them: a worker may have changed thousands.
            let entries = input(&self.repository, &entries_before(touched.iter().copied()))?;
            self.git(&["update-index", "-z", "--index-info"]).with_input(entries).run()?;
            let names: Vec<String> = touched.iter().map(|change| change.path.display().to_string()).collect();
            self.find(&format!("it changed protected files, which were restored: {}", few(&names)));
        }
        let Some(tools) = self.protection.tools() else { return Ok(()) };
        let found = hold(&|arguments: &[&str]| self.git(arguments), &self.repository, tools, &rest)?;
        for reason in found {
            self.find(&reason);
        }
        Ok(())
    }

    /// Records a finding.
    fn find(&mut self, reason: &str) {
        print_line(reason);
        self.reasons.push(shortened(reason, REASON_BYTES));
    }

    /// Makes the commit, its patch and the files.
    fn commit_change(&mut self, order: &OrderDocument, base: &str, identity: &Identity) -> Result<(), StageError> {
        let tree = self.git(&["write-tree"]).line()?;
        if tree == self.git(&["rev-parse", &format!("{base}^{{tree}}")]).line()? {
            self.reasons.push("nothing is left of the change".to_owned());
            return Ok(());
        }
        let call = |arguments: &[&str]| self.git(arguments);
        let made = commit(&call, &tree, base, &message(order, identity))?;
        let patch = patch(&call, base, &made)?;
        let numbers = self.git(&["diff-tree", "-r", "--no-renames", "--numstat", "-z", base, &made]).run()?;
        self.check_out(base, &made)?;
        for name in named_in_patch(&String::from_utf8_lossy(&patch)) {
            self.reasons.push(format!("its change names {name}, which belongs to its judge"));
        }
        if let Some(reason) = disguises_in_patch(&patch) {
            self.find(&reason);
        }
        self.guarded = self.files()?.into_iter().filter(|path| self.protection.guards(path)).collect();
        self.diff = statistics(&String::from_utf8_lossy(&numbers));
        self.patch = patch;
        self.commit = Some(made);
        Ok(())
    }

    /// Makes the files of a commit.
    fn check_out(&self, base: &str, commit: &str) -> Result<(), StageError> {
        self.git(&["update-ref", "HEAD", commit]).run()?;
        self.git(&["reset", "--quiet", "--hard", commit]).run()?;
        self.make_repository_for_gates(base, commit)
    }

    /// Gives the checkout a repository of its own, for tools that ask for one; the judge uses another.
    fn make_repository_for_gates(&self, base: &str, made: &str) -> Result<(), StageError> {
        let own = |arguments: &[&str]| Git::new(&self.checkout, arguments);
        make_repository(&self.checkout, &self.mirror, &self.checkout.join(".git"), ["."])?;
        // The new objects are fetched, not shared: the judge's repository stays out of the gates' reach.
        let judge = self.repository.display().to_string();
        own(&["fetch", "--quiet", "--no-tags", "--update-shallow", &judge, made]).run()?;
        own(&["update-ref", "HEAD", made]).run()?;
        own(&["reset", "--quiet", "--mixed", made]).run()?;
        own(&["update-ref", history::BASE, base]).run()?;
        history::copy_tags(&self.mirror, &self.checkout)
    }

    /// Returns the files of the commit.
    pub(super) fn files(&self) -> Result<Vec<PathBuf>, StageError> {
        Ok(paths(&self.git(&["ls-files", "-z"]).run()?))
    }

    /// Restores the checkout, and makes the repository in it anew: a gate may have put hooks and settings there.
    ///
    /// Returns the files of the commit that had been changed. Of what a gate has made stays only what the order keeps.
    pub(super) fn restore(&self) -> Result<Vec<PathBuf>, RestoreError> {
        let call = |arguments: &[&str]| self.git(arguments);
        let changed = restore(&call, &self.checkout, &self.protection, &self.kept)?;
        if let Some(commit) = &self.commit {
            self.make_repository_for_gates(&self.base, commit)?;
        }
        Ok(changed)
    }

    /// Notes how the files are that a gate may not touch.
    pub(super) fn guard(&self) -> Guard<'_> {
        Guard::new(&self.checkout, &self.guarded, &self.protection)
    }
}

/// Returns the tool files of an order, where it protects them.
fn tool_files(
    git: &impl Fn(&[&str]) -> Git,
    order: &OrderDocument,
    base: &str,
) -> Result<Option<ToolFileSet>, StageError> {
    if order.evaluation.tool_files == ToolFiles::Allowed {
        return Ok(None);
    }
    let files = paths(&git(&["ls-tree", "-r", "-z", "--name-only", base]).run()?);
    ToolFileSet::new(&order.evaluation.gates, files.into_iter().collect()).map(Some)
}
