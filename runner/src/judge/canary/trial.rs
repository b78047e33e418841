//! Lays a canary, runs it, and takes it away again.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use manyworlds_api::work_order::{Canary, Gate};

use super::names::{CHANCE_BYTES, Names};
use super::outcomes::Outcomes;
use super::plan::{Ground, Plan};
use super::planning::plan;
use super::verdict::{Verdict, of_cases, of_commands};
use crate::files;
use crate::judge::counts::is_inside;
use crate::judge::gate::Sandbox;
use crate::process::{Stop, Supervisor};
use crate::stage::StageError;

/// The longest time of a canary. It has two tests that compare two numbers; the rest is the start of the test program.
const LONGEST: Duration = Duration::from_mins(1);
/// The most bytes that are read of a test file: more than people write into one.
const TEST_FILE_BYTES: u64 = 256 * 1024;
/// The most bytes that are read of the report: two tests, and whatever the program under test prints.
const REPORT_BYTES: u64 = 4 * 1024 * 1024;

/// The trial of a gate's test program.
pub(in crate::judge) struct Trial<'a> {
    /// The place that the gate ran in.
    pub(in crate::judge) sandbox: &'a Sandbox<'a>,
    /// What runs programs.
    pub(in crate::judge) supervisor: &'a Supervisor,
    /// The gate.
    pub(in crate::judge) gate: &'a Gate,
    /// The time that the gate has left.
    pub(in crate::judge) left: Duration,
}

/// What came of a trial.
pub(in crate::judge) struct Tried {
    /// What is known of the test program now.
    pub(in crate::judge) verdict: Verdict,
    /// What it printed.
    pub(in crate::judge) output: String,
    /// The limit that it reached, or that the pod was told to end.
    pub(in crate::judge) stopped: Option<Stop>,
    /// Why the canary could not be taken away, where it could not.
    pub(in crate::judge) remains: Option<String>,
}

impl Tried {
    fn unknown(why: impl Into<String>) -> Self {
        Self { verdict: Verdict::Unknown(why.into()), output: String::new(), stopped: None, remains: None }
    }
}

impl Trial<'_> {
    /// Runs the canary of the order, or else one that fits the gate's command.
    ///
    /// - **Shape:** `files` are those of the candidate.
    /// - **Guarantees:** a canary that cannot be run is no verdict, and nothing of it is left.
    ///
    /// # Errors
    ///
    /// When no program can be started at all.
    pub(in crate::judge) fn run(&self, files: &[PathBuf]) -> Result<Tried, StageError> {
        let deadline = Instant::now() + self.left.min(LONGEST);
        if self.left.is_zero() {
            return Ok(Tried::unknown("the gate has no time left"));
        }
        match &self.gate.canary {
            Some(canary) => self.run_commands(canary, deadline),
            None => self.run_cases(files, deadline),
        }
    }

    fn run_commands(&self, canary: &Canary, deadline: Instant) -> Result<Tried, StageError> {
        let mut output = String::new();
        let mut ends = [None, None];
        for (command, end) in [&canary.passing.command, &canary.failing.command].into_iter().zip(&mut ends) {
            let completed = self.sandbox.run(self.supervisor, command, time_until(deadline), ())?;
            output.push_str(&completed.output);
            if completed.stopped.is_some() {
                let verdict = Verdict::Unknown(format!("it was stopped: {}", command.join(" ")));
                return Ok(Tried { verdict, output, stopped: completed.stopped, remains: None });
            }
            *end = completed.exit_code;
        }
        let [passing, failing] = ends;
        Ok(Tried { verdict: of_commands(passing, failing), output, stopped: None, remains: None })
    }

    fn run_cases(&self, files: &[PathBuf], deadline: Instant) -> Result<Tried, StageError> {
        let names = match chance() {
            Ok(chance) => Names::new(chance),
            Err(error) => return Ok(Tried::unknown(format!("/dev/urandom: {error}"))),
        };
        let report = self.sandbox.scratch.join(format!("{}.out", names.file));
        let ground = Ground {
            files: &files.iter().filter_map(|file| file.to_str().map(str::to_owned)).collect::<BTreeSet<_>>(),
            read: &|file| self.read(file),
            names: &names,
            report: &report.display().to_string(),
        };
        let Some(plan) = plan(&self.gate.command, &ground) else {
            return Ok(Tried::unknown("the judge has no canary for this command and these tests"));
        };
        let file = self.sandbox.checkout.join(&plan.path);
        let completed = match self.lay(&file, &plan) {
            Ok(()) => self.sandbox.run(self.supervisor, &plan.command, time_until(deadline), ()),
            Err(error) => {
                let remains = self.remove(&file);
                return Ok(Tried { remains, ..Tried::unknown(format!("{} cannot be written: {error}", plan.path)) });
            }
        };
        let remains = self.remove(&file);
        let completed = completed?;
        let text = if plan.format.is_report() {
            let bytes = files::read_ordinary(&report, REPORT_BYTES).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        } else {
            completed.output.clone()
        };
        let verdict = match completed.stopped {
            Some(stop) => Verdict::Unknown(format!("it was stopped: {stop:?}")),
            None => of_cases(completed.exit_code, Outcomes::read(plan.format, &names, &text)),
        };
        // The scratch folder is the gates' own, so a report that stays there harms nobody.
        let _ = files::remove(&report);
        Ok(Tried { verdict, output: completed.output, stopped: completed.stopped, remains })
    }

    /// Reads a test file of the candidate, as the gate has left it.
    fn read(&self, file: &str) -> Option<String> {
        let path = self.sandbox.checkout.join(file);
        let bytes =
            is_inside(&path, &self.sandbox.checkout).then(|| files::read_ordinary(&path, TEST_FILE_BYTES))??;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Writes the canary's file. The gate may have put a link in the place of a folder.
    fn lay(&self, file: &Path, plan: &Plan) -> io::Result<()> {
        if let Some(folder) = file.parent().filter(|folder| is_inside(folder, &self.sandbox.checkout)) {
            match fs::create_dir(folder) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        if !is_inside(file, &self.sandbox.checkout) {
            return Err(io::Error::other("its folder is not in the checkout"));
        }
        OpenOptions::new().write(true).create_new(true).open(file)?.write_all(plan.text.as_bytes())
    }

    /// Removes the canary's file and what Python made of it. Returns why that cannot be done.
    fn remove(&self, file: &Path) -> Option<String> {
        if !is_inside(file, &self.sandbox.checkout) {
            return None;
        }
        let folder = file.parent()?;
        let stem = file.file_stem()?.to_str()?;
        for entry in fs::read_dir(folder.join("__pycache__")).into_iter().flatten().flatten() {
            if entry.file_name().to_str().is_some_and(|name| name.starts_with(stem)) {
                // A compiled file without its source is no test.
                let _ = files::remove(&entry.path());
            }
        }
        let removed = files::remove(file).or_else(|_| {
            files::make_readable(folder);
            files::remove(file)
        });
        // A folder that was made for it goes too; one that holds anything stays.
        let _ = fs::remove_dir(folder);
        removed.err().map(|error| format!("{}: {error}", file.display()))
    }
}

fn time_until(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

fn chance() -> io::Result<[u8; CHANCE_BYTES]> {
    let mut bytes = [0; CHANCE_BYTES];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}
