//! Runs a gate so that it can write to its own folders only, and can neither read nor reach what its judge keeps: Landlock
//! governs files and signals, `seccomp` the system calls.
//!
//! It is a program of its own, started between the judge and the gate: the rules that it puts on itself hold for
//! everything that it starts, and cannot be taken off again.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, LandlockStatus, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::getppid;

use super::sealing::Confinement;
use super::seccomp;
use crate::arguments::Confine;

/// The kernel interface that the rules are written for; older kernels enforce what they know of it.
const RULES: ABI = ABI::V6;
/// Exit code when the kernel cannot confine, or the program cannot be started.
pub(crate) const FAILED: u8 = 125;
/// Devices that every program may use.
const DEVICES: &[&str] = &[
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/tty",
    "/dev/ptmx",
    "/dev/pts",
    "/dev/shm",
];

/// Confines this process and becomes the given program; without one, prints what the kernel enforces.
pub(crate) fn run(arguments: &Confine) -> ExitCode {
    let problem = match restrict(arguments) {
        Ok(confinement) if arguments.command.is_empty() => return tell(confinement),
        Ok(_) => start(arguments).to_string(),
        Err(error) => error,
    };
    let _ = writeln!(std::io::stderr(), "manyworlds-runner: {problem}");
    ExitCode::from(FAILED)
}

fn start(arguments: &Confine) -> std::io::Error {
    if let Some(bytes) = arguments.file_bytes
        && let Err(error) = setrlimit(Resource::RLIMIT_FSIZE, bytes, bytes)
    {
        return error.into();
    }
    let Some((program, rest)) = arguments.command.split_first() else {
        return std::io::ErrorKind::InvalidInput.into();
    };
    let error = Command::new(program).args(rest).exec();
    std::io::Error::new(error.kind(), format!("{program:?} could not be started: {error}"))
}

/// Prints what the kernel enforces, for the judge that asks.
fn tell(confinement: Confinement) -> ExitCode {
    let told = serde_json::to_string(&confinement).map_err(std::io::Error::other);
    match told.and_then(|text| writeln!(std::io::stdout(), "{text}")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(FAILED),
    }
}

fn restrict(arguments: &Confine) -> Result<Confinement, String> {
    let cannot = |why: String| format!("the kernel cannot confine the gate: {why}");
    let landlock = rules(arguments).map_err(|error| cannot(error.to_string()))?;
    // The parent is the judge.
    let confinement = Confinement { landlock, seccomp: seccomp::restrict(getppid()).is_ok() };
    match confinement.lack().filter(|_| !arguments.best_effort) {
        None => Ok(confinement),
        Some(lack) => Err(cannot(lack)),
    }
}

/// Puts the rules of Landlock on this process, and returns the version of its interface that holds.
fn rules(arguments: &Confine) -> Result<Option<i32>, RulesetError> {
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(RULES))?
        .scope(Scope::from_all(RULES))?
        .create()?;
    let hidden: Vec<PathBuf> = arguments.hide.iter().filter_map(|path| path.canonicalize().ok()).collect();
    for path in open_folders(Path::new("/"), &hidden) {
        ruleset = allow(ruleset, &path, AccessFs::from_read(RULES))?;
    }
    for path in DEVICES {
        ruleset = allow(ruleset, Path::new(path), AccessFs::from_all(RULES))?;
    }
    for folder in &arguments.write {
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.clone());
        for path in open_folders(&folder, &hidden) {
            ruleset = allow(ruleset, &path, AccessFs::from_all(RULES))?;
        }
    }
    let status = ruleset.restrict_self()?;
    Ok(match status.landlock {
        LandlockStatus::Available { effective_abi, .. } if status.ruleset != RulesetStatus::NotEnforced => {
            Some(effective_abi.min(RULES) as i32)
        }
        _ => None,
    })
}

fn allow(
    ruleset: RulesetCreated,
    path: &Path,
    access: landlock::BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    // What does not exist, or may not be opened, needs no rule: it stays forbidden.
    let Ok(file) = PathFd::new(path) else { return Ok(ruleset) };
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(RULES) };
    ruleset.add_rule(PathBeneath::new(file, access))
}

/// Returns the largest folders within one that hold nothing hidden.
fn open_folders(folder: &Path, hidden: &[PathBuf]) -> Vec<PathBuf> {
    let mut open = Vec::new();
    collect_open(folder, hidden, &mut open);
    open
}

fn collect_open(folder: &Path, hidden: &[PathBuf], open: &mut Vec<PathBuf>) {
    if hidden.iter().any(|path| path == folder) {
        return;
    }
    if !hidden.iter().any(|path| path.starts_with(folder)) {
        open.push(folder.to_owned());
        return;
    }
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        // A link leads to a place that has its own rule.
        if entry.file_type().is_ok_and(|kind| !kind.is_symlink()) {
            collect_open(&entry.path(), hidden, open);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_is_left_out_and_its_neighbours_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for path in ["a/secret/deep", "a/open", "b"] {
            std::fs::create_dir_all(root.join(path)).unwrap();
        }
        let mut open = open_folders(&root, &[root.join("a/secret")]);
        open.sort();
        assert_eq!(open, [root.join("a/open"), root.join("b")]);
        assert_eq!(open_folders(&root.join("a/secret"), &[root.join("a/secret")]), Vec::<PathBuf>::new());
    }
}
